"""What a person prefers in every call, kept in the state under who it is; a call's own words still win."""

from __future__ import annotations

import json
import os

from monitord.actions.workspace import Workspace
from monitord.errors import MonitordError, UsageError
from monitord.storage.state import UserNamespace

PREFERENCES = {"utc": False, "pager": True}
"""What can be preferred, and what holds without a word: times in UTC, lists through a pager."""
_KEY = "preferences"
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def preferences(workspace: Workspace) -> dict[str, bool]:
    """Yours, or the defaults where there is no store, none were set or they can't be read; never an error."""
    try:
        item = workspace.reader().storage.get(_KEY, whose())
        held = json.loads(item.data) if item else {}
    except (MonitordError, ValueError):
        held = {}
    known = held if isinstance(held, dict) else {}
    return {key: bool(known.get(key, default)) for key, default in PREFERENCES.items()}


def prefer(workspace: Workspace, name: str, value: str | None) -> None:
    """Set one of yours to a word for true or false; raises UsageError for others."""
    if name not in PREFERENCES:
        raise UsageError(f"invalid preference: {name!r}, expected one of {', '.join(PREFERENCES)}")
    if value is None or value.lower() not in _WORDS:
        raise UsageError(f"invalid value: expected true or false, as in `monitord prefer {name} true`")
    chosen = {**preferences(workspace), name: _WORDS[value.lower()]}
    with workspace.store() as store:
        store.state.set(_KEY, json.dumps(chosen).encode(), whose())


def whose() -> UserNamespace:
    """Return where this user's preferences stand in the state."""
    return UserNamespace(str(os.getuid()))
