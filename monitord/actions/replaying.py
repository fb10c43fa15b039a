"""Going through the past: from pass to pass, over what nobody saw, and to the next incident."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from monitord.actions.late_moments import with_functions
from monitord.actions.moments import Moment, MomentReader, moments
from monitord.actions.recorders_box import RecordersBox
from monitord.actions.unknown_stretches import stretch_between
from monitord.actions.workspace import Workspace
from monitord.model import Rates
from monitord.storage.past import PastReader

_INSTANT = timedelta(microseconds=1)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Replay:
    """One store, gone through. Each step gives the next moment, or None behind the last one."""

    def __init__(self, reader: PastReader, box: RecordersBox) -> None:
        self._reader = reader
        self._moments = MomentReader(reader)
        self._box = box

    def at(self, at: datetime) -> Moment:
        """Return the machine as it was last read at or before `at`, and who ran in the last 100 s."""
        return with_functions(self._moments.at(at), self._box)

    def newest(self) -> Moment:
        """Return the last moment that is stored, or now, where nothing is."""
        shown = self.at(datetime.now(UTC))
        return self.preceding(shown) or shown if shown.unknown is not None else shown

    def oldest(self) -> Moment:
        """Return the first moment that is stored, or the beginning of time, where nothing is."""
        shown = self.at(_BEGINNING)
        return self.following(shown) or shown

    def following(self, shown: Moment) -> Moment | None:
        """Return the next pass, or the stretch before it of which nothing is known."""
        if shown.unknown is not None:
            return self.at(shown.unknown.until) if shown.unknown.until else None
        near = self._reader.history_near(shown.at)
        if near.after is None:
            return None
        return self._beside(near.before, near.after, near.step_s, to=near.after)

    def preceding(self, shown: Moment) -> Moment | None:
        """Return the pass before, or the stretch behind it of which nothing is known."""
        if shown.unknown is not None:
            return self.at(shown.unknown.since) if shown.unknown.since else None
        near = self._reader.history_near((shown.taken_at or shown.at) - _INSTANT)
        if near.before is None:
            return None
        return self._beside(near.before, near.after, near.step_s, to=near.before)

    def _beside(self, before: Rates | None, after: Rates | None, step_s: float, *, to: Rates) -> Moment:
        if before is not None and after is not None and stretch_between(before, after, step_s) is not None:
            return self.at(before.taken_at + (after.taken_at - before.taken_at) / 2)
        return self.at(to.taken_at)

    def incident(self, shown: Moment, *, is_next: bool) -> Moment | None:
        """Return the moment at which the next incident was raised, or the one before."""
        raised_at = self._reader.incident_beside(shown.at, is_next=is_next)
        return self.at(raised_at) if raised_at is not None else None


def replayed_rows(workspace: Workspace, since: datetime, until: datetime, step_s: float) -> Iterator[Moment]:
    """Return an iterator over the steps of a period, with who ran in those of the last 100 s."""
    found = moments(workspace, since, until, step_s)
    box = RecordersBox(workspace)
    return (with_functions(shown, box, min(step_s, (until - shown.at).total_seconds())) for shown in found)


@contextmanager
def replay(workspace: Workspace) -> Iterator[Replay]:
    """Open the store for going through it."""
    with workspace.past() as reader:
        yield Replay(reader, RecordersBox(workspace))
