"""The stacks of a brushed span: out of what the black box left with incidents; nothing is stored for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from monitord.actions.workspace import Workspace
from monitord.errors import MonitordError, NotFoundError, UsageError
from monitord.export.encoding import iso
from monitord.export.evidence import MAX_EVIDENCE_BYTES, Comparable, slice_of
from monitord.export.shapes import consumer_row
from monitord.model import BEFORE, SNAPSHOT, ProfileRecord
from monitord.profiles.consumers import Consumer
from monitord.profiles.representation import RING
from monitord.storage.queries import StoreReader
from monitord.storage.views import RecentFilter

LONGEST_S = 300.0
MOST_INCIDENTS = 30
_BEFORE_AT_MOST = timedelta(seconds=160)  # of the box before an alert, and until its incident was stored
NO_STACKS = (
    "cannot show stacks of this time: none are stored, as they are not of a quiet machine;"
    " `monitord snapshot` keeps those of the last minute, `monitord top` shows those of this moment"
)


@dataclass(frozen=True, slots=True)
class Source:
    """What the black box left with one incident: of a process and its descendants, or `of_machine`."""

    incident: str
    process_name: str
    pid: int | None
    since: datetime
    until: datetime
    of_machine: bool
    key: str

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "incident": self.incident,
            "process_name": self.process_name,
            "pid": self.pid,
            "since": iso(self.since),
            "until": iso(self.until),
            "of_machine": self.of_machine,
        }


@dataclass(frozen=True, slots=True)
class Stacks:
    """The stacks of a span, or of its end from `since` on; `origin` says where from.

    `tree`: see `as_plain` in profiles/ring_slice.py.
    """

    since: datetime
    until: datetime
    origin: Mapping[str, Any]
    others: Sequence[Source]
    tree: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        consumers = [consumer_row(Consumer(**one)) for one in self.tree["consumers"]]
        return {
            "since": iso(self.since),
            "until": iso(self.until),
            "origin": self.origin,
            "others": [one.as_json() for one in self.others],
            **self.tree,
            "consumers": consumers,
        }


def stored_stacks(
    workspace: Workspace, since: datetime, until: datetime, incident: str | None = None
) -> Stacks:
    """Return the stacks of a span from an incident's black box: of the one named, else of who tells most.

    Raises NotFoundError where nothing is stored of that time, with what to type.
    """
    check(since, until)
    with workspace.reader() as reader:
        found = sources(reader, since, until)
        wanted = [one for one in found if incident is None or one.incident.startswith(incident)]
        if not wanted:
            raise NotFoundError(NO_STACKS)
        chosen = wanted[0]
        payload = reader.payload(chosen.key, MAX_EVIDENCE_BYTES)
    begin_s, end_s = ((at - chosen.since).total_seconds() for at in (since, until))
    tree = slice_of(Comparable(chosen.incident, RING, None, payload), begin_s, end_s)
    others = [one for one in found if one is not chosen]
    return Stacks(since, until, {"kind": "incident", **chosen.as_json()}, others, tree)


def others_stored(workspace: Workspace, since: datetime, until: datetime) -> Sequence[Source]:
    """Return the incidents' black boxes that reach into a span; none of a longer one than they are shown of.

    Nor where the store can't be read.
    """
    if is_too_long(since, until):
        return ()
    try:
        with workspace.reader() as reader:
            return sources(reader, since, until)
    except MonitordError:  # who asked has an answer already
        return ()


def sources(reader: StoreReader, since: datetime, until: datetime) -> list[Source]:
    """Give the incidents' black boxes that reach into a span: the machine's first, then by how far."""
    near = RecentFilter(limit=MOST_INCIDENTS, since=since, until=until + _BEFORE_AT_MOST)
    found = [
        source
        for record in reader.recent(near)
        for source in _sources_of(reader, record)
        if source.since < until and source.until > since
    ]

    def covered_s(one: Source) -> float:
        return (min(one.until, until) - max(one.since, since)).total_seconds()

    return sorted(found, key=lambda one: (not one.of_machine, -covered_s(one)))


def _sources_of(reader: StoreReader, record: ProfileRecord) -> list[Source]:
    captures = (record,) if record.role == BEFORE else reader.incident(record.correlation_id).captures
    return [
        Source(
            incident=one.correlation_id,
            process_name=one.process_name,
            pid=one.pid or None,
            since=one.captured_at,
            until=max(record.raised_at or one.captured_at, _end_of(one)),
            of_machine=record.rule == SNAPSHOT and not record.pid,
            key=one.artefact_key,
        )
        for one in captures
        if one.role == BEFORE and one.format == RING and one.status.has_evidence and one.artefact_key
    ]


def _end_of(capture: ProfileRecord) -> datetime:
    return capture.captured_at + timedelta(seconds=capture.duration_seconds)


def is_too_long(since: datetime, until: datetime) -> bool:
    """Whether a span is longer than those whose stored stacks are shown."""
    return (until - since).total_seconds() > LONGEST_S


def check(since: datetime, until: datetime) -> None:
    """Raise UsageError for a span that goes backwards or is longer than a black box's."""
    length_s = (until - since).total_seconds()
    if length_s <= 0 or is_too_long(since, until):
        raise UsageError(
            f"invalid span of {length_s:g} s, expected above 0 and {LONGEST_S:g} s at most:"
            " stacks are kept of minutes"
        )
