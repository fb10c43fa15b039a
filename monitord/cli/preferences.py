"""`prefer`: what a person wants in every call, kept in the state under who it is; flags still win."""

from __future__ import annotations

import json as jsonlib
import os
from typing import Annotated

import typer

from monitord.cli.context import CliContext, JsonFlag, OutputFlag, wants_json
from monitord.cli.terminal import emit
from monitord.errors import MonitordError, UsageError
from monitord.export.encoding import json_text
from monitord.storage.state import UserNamespace

# What can be preferred, and what holds without a word: times in UTC, lists through a pager.
DEFAULTS = {"utc": False, "pager": True}
_KEY = "preferences"
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def prefer(
    context: CliContext,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="utc or pager.")] = None,
    value: Annotated[str | None, typer.Argument(metavar="VALUE", help="true or false.")] = None,
    output: OutputFlag = None,
    json: JsonFlag = False,
) -> None:
    """Show your preferences, or set one: `monitord prefer utc true`."""
    as_json = wants_json(output, json)
    if name is not None:
        _set(context, name, value)
    chosen = preferences_of(context)
    if as_json:
        emit(json_text(chosen) + "\n")
        return
    emit("".join(f"{key:<6} {str(held).lower()}\n" for key, held in chosen.items()))


def _set(context: CliContext, name: str, value: str | None) -> None:
    if name not in DEFAULTS:
        raise UsageError(f"{name!r} can't be preferred; there are {', '.join(DEFAULTS)}")
    if value is None or value.lower() not in _WORDS:
        raise UsageError(f"say true or false: `monitord prefer {name} true`")
    chosen = {**preferences_of(context), name: _WORDS[value.lower()]}
    with context.store() as store:
        store.state.set(_KEY, jsonlib.dumps(chosen).encode(), _whose())


def preferences_of(context: CliContext) -> dict[str, bool]:
    """Yours, or the defaults where there is no store, none were set or they can't be read; never an error."""
    try:
        item = context.reader().storage.get(_KEY, _whose())
        held = jsonlib.loads(item.data) if item else {}
    except (MonitordError, ValueError):
        held = {}
    known = held if isinstance(held, dict) else {}
    return {key: bool(known.get(key, default)) for key, default in DEFAULTS.items()}


def _whose() -> UserNamespace:
    return UserNamespace(str(os.getuid()))
