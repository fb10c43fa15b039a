"""A moment of the last 100 s: who ran then and in which functions, from the recorder's black box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from monitord.actions.moments import Leader, Moment
from monitord.actions.recorders_box import LastSeconds, RecordersBox, boot_ns, is_late
from monitord.profiles.consumers import Consumer
from monitord.profiles.ring_document import Ring
from monitord.profiles.ring_slice import ran

_OVER = timedelta(seconds=2)  # up to the moment
_NS_PER_S = 1_000_000_000


def with_functions(shown: Moment, box: RecordersBox, step_s: float | None = None) -> Moment:
    """Return it with who ran in the seconds before it, those that led included, and in which functions.

    `step_s`: it stands for a step of that length; where no pass of it is stored yet, who ran in it is told.
    """
    since, until = _seconds(shown, step_s)
    if not is_late(until):
        return shown
    ring = box.whole(boot_ns(until))
    seen = _consumers(ring, boot_ns(since), boot_ns(until)) if ring is not None else ()
    if not seen:
        return replace(shown, notes=(*shown.notes, box.why_not)) if box.why_not else shown
    which = "the 2 s before" if until - since == _OVER else "its seconds"
    note = f"from the recorder's black box, of {which}: functions, and who began meanwhile"
    known = {one.pid: one for one in seen}
    leaders = [_named(one, known.pop(one.pid, None)) for one in shown.leaders]
    leaders += map(_leader, known.values())  # who began after the pass that is stored
    return replace(
        shown,
        leaders=tuple(sorted(leaders, key=lambda one: -(one.cpu_percent or 0.0))),
        leaders_at=shown.leaders_at or shown.at,
        notes=(*shown.notes, note),
    )


def with_late_functions(shown: Moment, last_seconds: LastSeconds) -> Moment:
    """Return a moment of now with the functions that those that lead were seen in a little earlier."""
    seen = last_seconds.seen()
    if seen is None:
        return shown
    ended_ns, known = seen
    leaders = tuple(_named(one, known.get(one.pid)) for one in shown.leaders)
    if leaders == tuple(shown.leaders):
        return shown
    ago_s = (boot_ns(shown.at) - ended_ns) / _NS_PER_S
    note = f"functions of others are from the recorder's black box, {max(0.0, ago_s):.0f} s ago"
    return replace(shown, leaders=leaders, notes=(*shown.notes, note))


def _seconds(shown: Moment, step_s: float | None) -> tuple[datetime, datetime]:
    """Which seconds a moment is about: those before it, or before the pass that stands for its step."""
    if step_s is not None and shown.taken_at is None:
        return shown.at, min(shown.at + timedelta(seconds=step_s), datetime.now(UTC))
    until = shown.at if step_s is None or shown.taken_at is None else shown.taken_at
    return until - _OVER, until


def _consumers(ring: Ring, since_ns: int, until_ns: int) -> Sequence[Consumer]:
    """None where the document knows less than two seconds of them: then nothing is known."""
    since_s, until_s = map(ring.seconds_at, (since_ns, until_ns))
    is_known = until_s >= min(_OVER.total_seconds(), until_s - since_s)
    return ran(ring, since_s, until_s) if is_known else ()


def _named(one: Leader, found: Consumer | None) -> Leader:
    """What was read of it is kept; a rate that was not known is what the box saw."""
    if found is None or one.function is not None:
        return one
    percent = found.cpu_percent if one.cpu_percent is None else one.cpu_percent
    return replace(one, cpu_percent=percent, function=found.function, file=found.file, share=found.share)


def _leader(one: Consumer) -> Leader:
    return Leader(
        one.pid,
        one.name,
        one.cpu_percent,
        function=one.function,
        file=one.file,
        share=one.share,
        is_ended=one.is_ended,
    )
