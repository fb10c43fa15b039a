"""A moment of the last 100 s: who ran then and in which functions, from the recorder's black box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from monitord.actions.moments import Leader, Moment
from monitord.actions.recorders_box import RecordersBox, boot_ns, is_late
from monitord.profiles.consumers import Consumer
from monitord.profiles.ring_document import Ring
from monitord.profiles.ring_slice import cut

_OVER_S = 2.0  # up to the moment
_NS_PER_S = 1_000_000_000


def with_functions(shown: Moment, box: RecordersBox) -> Moment:
    """Return it with who ran in the seconds before it, those that led included, and in which functions."""
    if not is_late(shown.at):
        return shown
    until_ns = boot_ns(shown.at)
    ring = box.whole(until_ns)
    ran = _consumers(ring, until_ns) if ring is not None else ()
    if not ran:
        return replace(shown, notes=(*shown.notes, box.why_not)) if box.why_not else shown
    note = f"from the recorder's black box, of the {_OVER_S:g} s before: functions, and who began meanwhile"
    known = {one.pid: one for one in ran}
    leaders = [_named(one, known.pop(one.pid, None)) for one in shown.leaders]
    leaders += map(_leader, known.values())  # who began after the pass that is stored
    return replace(
        shown,
        leaders=tuple(sorted(leaders, key=lambda one: -(one.cpu_percent or 0.0))),
        leaders_at=shown.leaders_at or shown.at,
        notes=(*shown.notes, note),
    )


def _consumers(ring: Ring, until_ns: int) -> Sequence[Consumer]:
    """None where the document begins later: then nothing is known."""
    until_s = (until_ns - ring.began_ns) / _NS_PER_S
    return cut(ring, until_s - _OVER_S, until_s).consumers if until_s >= _OVER_S else ()


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
