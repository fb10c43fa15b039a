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
    """Return it with the functions of those that led; where nobody that led is stored, with who ran."""
    if not is_late(shown.at):
        return shown
    until_ns = boot_ns(shown.at)
    ring = box.whole(until_ns)
    ran = _consumers(ring, until_ns) if ring is not None else ()
    if not ran:
        return replace(shown, notes=(*shown.notes, box.why_not)) if box.why_not else shown
    note = f"functions of the {_OVER_S:g} s before: from the recorder's black box"
    if shown.leaders:
        leaders = _named(shown.leaders, ran)
        return (
            shown if leaders == shown.leaders else replace(shown, leaders=leaders, notes=(*shown.notes, note))
        )
    leaders = tuple(map(_leader, ran))
    return replace(shown, leaders=leaders, leaders_at=shown.at, notes=(f"processes and {note}",))


def _consumers(ring: Ring, until_ns: int) -> Sequence[Consumer]:
    """None where the document begins later: then nothing is known."""
    until_s = (until_ns - ring.began_ns) / _NS_PER_S
    return cut(ring, until_s - _OVER_S, until_s).consumers if until_s >= _OVER_S else ()


def _named(leaders: Sequence[Leader], ran: Sequence[Consumer]) -> tuple[Leader, ...]:
    known = {one.pid: one for one in ran}
    return tuple(
        replace(one, function=found.function, file=found.file, share=found.share)
        if one.function is None and (found := known.get(one.pid)) is not None
        else one
        for one in leaders
    )


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
