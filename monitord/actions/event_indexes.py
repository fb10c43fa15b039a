"""Indexes of events that are made and dropped on request, and the slow questions that ask for one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from monitord.actions.events import HERE, EventPlace, far_events
from monitord.actions.workspace import Workspace
from monitord.errors import BusyError, NotFoundError, UsageError
from monitord.export.encoding import iso
from monitord.recorder.locks import DAEMON_LOCK, holder
from monitord.storage.events.statements import BUILT_IN, ON_REQUEST, EventIndex

if TYPE_CHECKING:
    from monitord.storage.events.advice import SlowQuestion

_WITHIN_S = 3.0
"""A recorder waits five seconds for the write lock, which making an index holds."""


@dataclass(frozen=True, slots=True)
class KnownIndex:
    """An index, whether it is there, and its bytes; None where the database can't tell."""

    index: EventIndex
    is_there: bool
    size_bytes: int | None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data with the keys of docs/output.md."""
        return {
            "name": self.index.short_name,
            "columns": list(self.index.columns),
            "where": self.index.where,
            "is_built_in": self.index in BUILT_IN,
            "is_there": self.is_there,
            "size_bytes": self.size_bytes,
        }


@dataclass(frozen=True, slots=True)
class IndexChange:
    """What was done: `is_changed` False: nothing, because it was so already."""

    known: KnownIndex
    is_changed: bool
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data with the keys of docs/output.md."""
        return {**self.known.as_json(), "is_changed": self.is_changed, "seconds": round(self.seconds, 3)}


def event_indexes(workspace: Workspace, place: EventPlace = HERE) -> list[KnownIndex]:
    """Return the indexes that there are or can be, those built in first."""
    if place.url is not None:
        with far_events(workspace, place) as far:
            return _known(far.events.indexes())
    with workspace.reader() as reader:
        return _known(reader.event_indexes())


def slow_event_questions(workspace: Workspace) -> list[SlowQuestion]:
    """Return the questions to the events here that were slow in the last 30 days, the most frequent first."""
    from monitord.storage.events.advice import slow_questions

    with workspace.reader() as reader:
        return slow_questions(reader, datetime.now(UTC))


def question_row(question: SlowQuestion) -> dict[str, Any]:
    """Return slow questions of one shape as plain data with the keys of docs/output.md."""
    return {
        "by": list(question.counted.shape),
        "times": question.counted.times,
        "last_at": iso(question.counted.last_at),
        "index": question.index.short_name if question.index else None,
    }


def create_event_index(workspace: Workspace, name: str, place: EventPlace = HERE) -> IndexChange:
    """Make an index; raises BusyError when the recorder would wait too long for it."""
    index = _on_request(name, "create")
    if place.url is not None:
        with far_events(workspace, place) as far:
            began_s = time.monotonic()
            is_new = far.create_index(index)
            return _change(index, far.events.indexes(), is_new, began_s)
    is_recording = holder(workspace.data_dir / DAEMON_LOCK) is not None
    with workspace.store() as store:
        began_s = time.monotonic()
        try:
            is_new = store.events.create_index(index, _WITHIN_S if is_recording else None)
        except BusyError as error:
            raise BusyError(
                f"cannot make index {index.short_name} within {_WITHIN_S:g} s, and the recorder waits no"
                " longer; try again after `monitord service stop`"
            ) from error
        return _change(index, store.events.indexes(), is_new, began_s)


def drop_event_index(workspace: Workspace, name: str, place: EventPlace = HERE) -> IndexChange:
    """Remove an index that was made on request; raises NotFoundError."""
    index = _on_request(name, "drop")
    if place.url is not None:
        with far_events(workspace, place) as far:
            before, began_s = far.events.indexes(), time.monotonic()
            far.drop_index(index)
            took_s = time.monotonic() - began_s
    else:
        with workspace.store() as store:
            before, began_s = store.events.indexes(), time.monotonic()
            store.events.drop_index(index)
            took_s = time.monotonic() - began_s
    if index.name not in before:
        raise NotFoundError(
            f"cannot find index {index.short_name}; `monitord events index` lists what there is"
        )
    return IndexChange(KnownIndex(index, False, before[index.name]), True, took_s)


def _known(found: Mapping[str, int | None]) -> list[KnownIndex]:
    return [KnownIndex(each, each.name in found, found.get(each.name)) for each in (*BUILT_IN, *ON_REQUEST)]


def _change(index: EventIndex, found: Mapping[str, int | None], is_new: bool, began_s: float) -> IndexChange:
    known = KnownIndex(index, index.name in found, found.get(index.name))
    return IndexChange(known, is_new, time.monotonic() - began_s)


def _on_request(name: str, verb: str) -> EventIndex:
    """The index of this name; only those of the table are ever made or dropped."""
    if (index := _named(ON_REQUEST, name)) is not None:
        return index
    choices = ", ".join(each.short_name for each in ON_REQUEST)
    if (built_in := _named(BUILT_IN, name)) is not None:
        raise UsageError(
            f"cannot {verb} index {built_in.short_name}: it is built in, expected one of {choices}"
        )
    raise UsageError(f"invalid index {name[:40]!r}: expected one of {choices}")


def _named(indexes: Sequence[EventIndex], name: str) -> EventIndex | None:
    return next((each for each in indexes if name in (each.name, each.short_name)), None)
