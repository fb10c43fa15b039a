"""The state by hand: what is in it, one item read or changed, all of it copied into another backend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from monitord.actions.workspace import Workspace
from monitord.errors import BusyError, NotFoundError, UsageError
from monitord.storage.artefacts.secret_sources import read_url
from monitord.storage.artefacts.urls import shown_url
from monitord.storage.state import (
    Namespace,
    NamespacedStorage,
    Put,
    SessionNamespace,
    Storage,
    StorageItem,
    UserNamespace,
)

if TYPE_CHECKING:
    from monitord.storage.state.copying import Copied

RECORDER = "recorder"
"""Names the recorder's own state, in the data directory's database, in place of a URL."""


@dataclass(frozen=True, slots=True)
class StateStats:
    """Which state, and how many live items each of its namespaces has."""

    place: str
    namespaces: tuple[tuple[Namespace, int], ...]


def namespace_named(user: str | None, session: str | None) -> Namespace:
    """Return the namespace that options name; raises UsageError."""
    if session is not None and user is None:
        raise UsageError("invalid namespace: a session is a user's, expected --user, too")
    if session is not None and user is not None:
        return SessionNamespace(user, session)
    return UserNamespace(user) if user is not None else None


@contextmanager
def opened(workspace: Workspace, place: str | None, *, writes: bool = False) -> Iterator[Storage]:
    """Open a URL, what holds one, `recorder`, or with None the configured state, else the recorder's.

    Each call may take `state.deadline_s`.
    """
    where, within_s = _resolved(workspace, place), workspace.settings.state.deadline_s
    if where == RECORDER and not writes:
        with workspace.reader() as reader:
            yield reader.storage.within(within_s)
        return
    if where == RECORDER:
        with workspace.store() as store:
            yield store.state.within(within_s)
        return
    from monitord.storage.state import open_state

    storage = open_state(where, within_s=within_s)
    try:
        yield storage
    finally:
        storage.close()


def _resolved(workspace: Workspace, place: str | None) -> str:
    return read_url(place or workspace.settings.state.url or RECORDER, "the state")


def stats(workspace: Workspace, place: str | None) -> StateStats:
    """Count what is there."""
    with opened(workspace, place) as state:
        found = tuple(state.namespaces())
    where = _resolved(workspace, place)
    return StateStats(where if where == RECORDER else shown_url(where), found)


def items(workspace: Workspace, place: str | None, namespace: Namespace) -> dict[str, StorageItem]:
    """Return every item of a namespace by its key, in order."""
    with opened(workspace, place) as state:
        keys = state.keys(namespace)
        found = state.get_many(keys, namespace)
    return {key: found[key] for key in keys if key in found}


def get(workspace: Workspace, place: str | None, namespace: Namespace, key: str) -> StorageItem:
    """Return an item; raises NotFoundError."""
    with opened(workspace, place) as state:
        item = state.get(key, namespace)
    if item is None:
        raise NotFoundError(f"cannot find {key!r} in the state; `monitord state ls` lists what is there")
    return item


def put(workspace: Workspace, place: str | None, change: Put) -> None:
    """Store an item; raises BusyError when not what it expects is there."""
    with opened(workspace, place, writes=True) as state:
        if not state.compare_and_set(change):
            raise BusyError(
                f"cannot set {change.key!r}: another version is there; `monitord state get -o json` has it"
            )


def delete(workspace: Workspace, place: str | None, namespace: Namespace, key: str | None) -> int:
    """Delete an item, or with no key the whole namespace; how many. Raises NotFoundError for a key."""
    with opened(workspace, place, writes=True) as state:
        count = state.delete(namespace, key)
    if not count and key is not None:
        raise NotFoundError(f"cannot find {key!r} in the state; `monitord state ls` lists what is there")
    return count


def copy(workspace: Workspace, source: str, target: str, *, merge: bool) -> Copied:
    """Copy one state into another, and read every item back."""
    from monitord.storage.state.copying import copy_state
    from monitord.storage.state.storage import us_of

    source, target = _resolved(workspace, source), _resolved(workspace, target)
    if _same(source, target):
        raise UsageError("cannot copy a state into itself; expected two")
    with opened(workspace, source) as read, opened(workspace, target, writes=True) as written:
        made = cast("NamespacedStorage", read).backend, cast("NamespacedStorage", written).backend
        now_us = us_of(datetime.now(UTC))
        return copy_state(*made, now_us, merge=merge, within_s=workspace.settings.state.deadline_s)


def _same(source: str, target: str) -> bool:
    def real(place: str) -> str:
        path = place.removeprefix("sqlite:///")
        return str(Path(path).resolve()) if path != place else place

    return real(source) == real(target)
