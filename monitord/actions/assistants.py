"""Assistants: what starts monitord's server for them, and what is written down of their actions."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitord.actions.files import write_file
from monitord.actions.workspace import Workspace
from monitord.durable import read_regular
from monitord.errors import MonitordError, PermissionDeniedError, UsageError
from monitord.model import Event, EventType
from monitord.ownership import (
    MACHINE_GROUP,
    belongs_to,
    is_for_all,
    is_privileged,
    lasting_path,
    open_folder,
)


def record_action(workspace: Workspace, what: str, about: Mapping[str, Any]) -> None:
    """Write an action down where `monitord events` shows it; raises StorageError when it can't be."""
    event = Event(EventType.DAEMON, datetime.now(UTC), payload={"what": what, "about": dict(about)})
    with workspace.store(create=True) as store:
        store.events.store_event(event)


def server_entry(workspace: Workspace, *, allow_actions: bool) -> dict[str, Any]:
    """Return what a client's configuration says of our server: its command and arguments.

    A client starts it in a project's folder, from which nothing may be imported.
    """
    command, *arguments = workspace.command("mcp", "serve", *(["--allow-actions"] if allow_actions else []))
    return {"command": lasting_path(command), "args": arguments}


def put_entry(path: Path, key: str, entry: Mapping[str, Any]) -> None:
    """Put our server under `key` into a client's JSON file, beside what else is there."""
    merged = _read(path)
    servers = merged.setdefault(key, {})
    if not isinstance(servers, dict):
        raise UsageError(f"invalid {path}: {key} is not a JSON object; nothing was written")
    servers["monitord"] = entry
    # As private as it was: other servers' secrets may stand in it.
    write_file(_where_it_lies(path), (json.dumps(merged, indent=2, ensure_ascii=False) + "\n").encode())


def _where_it_lies(path: Path) -> Path:
    """Follow a link, which is kept; with rights only where nobody else could have put one."""
    if not is_privileged() or (path.is_symlink() and _is_roots_alone(path.parent)):
        return path.resolve()
    return path


def _is_roots_alone(folder: Path) -> bool:
    try:
        opened = open_folder(folder.absolute(), frozenset())
    except OSError:
        return False  # the writer says why
    try:
        return belongs_to(opened, frozenset())
    finally:
        os.close(opened)


def hint_for_clients(data_dir: Path) -> str | None:
    """Say why a client could not start the server or read the store, and what to type; None: it can."""
    from monitord.config.places import SYSTEM_DATA_DIR
    from monitord.storage.folder import check_data_dir

    if os.geteuid() == 0:
        if not is_for_all(Path(sys.executable)):
            return f"only root can start {sys.executable}: type `monitord mcp install` as the client's user"
        if data_dir.resolve() == SYSTEM_DATA_DIR.resolve() and os.path.lexists(SYSTEM_DATA_DIR):
            return f"a client of yours reads {data_dir} when you are in the group {MACHINE_GROUP}"
        return None
    try:
        check_data_dir(data_dir, reads=True)
    except PermissionDeniedError as error:
        return f"the client may not read what the machine's service recorded: {error}"
    except MonitordError:
        return None  # nothing is recorded yet
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(read_regular(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"cannot read {path} as JSON ({error}); nothing was written") from error
    if not isinstance(held, Mapping):
        raise UsageError(f"invalid {path}: expected a JSON object; nothing was written")
    return dict(held)
