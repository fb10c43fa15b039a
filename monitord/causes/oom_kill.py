"""Whom the kernel killed for lack of memory, how it had grown before, and who holds memory now."""

from __future__ import annotations

from datetime import timedelta

from monitord.causes import holders, room, words
from monitord.causes.facts import Facts
from monitord.causes.observed import OfMachine, checked
from monitord.model import NOT_KNOWN, UNKNOWN_CAUSE, Cause

_DECIDES = "the kernel's log names the victim: journalctl -k -g 'Out of memory|oom-kill'"
_GREW_SHARE = 0.25
_LEAST_GROWTH_BYTES = 16 << 20
_CLOCKS_DIFFER_S = 2.0


def observe(pid: int, start_ticks: int) -> OfMachine:
    """Who holds memory after the kill; the victim is gone."""
    return holders.read()


def explain(facts: Facts) -> Cause | None:
    """How the likeliest victim went before; unknown where nobody large disappeared, or nothing is known."""
    after = checked(facts.after, OfMachine) or {}
    rows, growers = holders.ranked(None, after), _growers(checked(facts.before, OfMachine) or {}, after)
    now = (("holds now", holders.table(rows, is_gain=False)),) if rows else ()
    if growers:
        now = (("grew before", holders.table(growers, is_gain=True)), *now)
    target = facts.alert.target
    if target is not None:
        now = (("ended", _ended(facts)), *now)
    levels = [(one.taken_at, one.rss_bytes) for one in facts.history if one.rss_bytes]
    if target is None or not levels:
        why = "nobody that held much disappeared then" if target is None else "what it held is not known"
        runner_up = rows[0].described() if rows else None
        return Cause(UNKNOWN_CAUSE, f"{NOT_KNOWN}{why}", "unknown", runner_up, _DECIDES, now)
    (first_at, first), (last_at, last) = levels[0], levels[-1]
    who, lasted = f"{facts.alert.process_name} (pid {target.pid})", (last_at - first_at).total_seconds()
    if last - first >= _GREW_SHARE * last:
        said = f"{who} had grown from {words.size(first)} to {words.size(last)} in {words.lasting(lasted)}"
        trend = room.told(room.trend_in(facts.history), {})
        return Cause("out of memory", f"{said} when it was killed", "likely", None, None, (*trend, *now))
    said = f"{who} had held {words.size(last)} for {words.lasting(lasted)} when it was killed"
    first_grower = next(iter(growers), None)
    if first_grower is not None and first_grower.gained >= _GREW_SHARE * last:
        sentence = f"{said}, while {first_grower.described()} grew by {words.size(first_grower.gained)}"
        return Cause("out of memory", sentence, "possible", first_grower.described(), _DECIDES, now)
    larger = next((one.described() for one in rows if one.held > last), None)
    sentence = f"{said}: others may have grown"
    return Cause("out of memory", sentence, "possible", larger, _DECIDES, now)


def _growers(before: OfMachine, after: OfMachine) -> list[holders.Holder]:
    """Who is alive and holds more than when the recorder first remembered it; the most first."""
    known = {(pid, start): held for pid, start, _name, held in before.get("processes", ())}
    found = [
        holders.Holder(name, pid, held - known[pid, start], held)
        for pid, start, name, held in after.get("processes", ())
        if (pid, start) in known
    ]
    grown = [one for one in found if one.gained >= _LEAST_GROWTH_BYTES]
    return sorted(grown, key=lambda one: -one.gained)


def _ended(facts: Facts) -> str:
    """When the victim ended, by the kernel's record; one that was seen alive after that is not of its end."""
    try:
        before_s = float((facts.after or {})["box"]["ended_before_s"])
        ended_at = facts.alert.raised_at - timedelta(seconds=before_s)
    except (KeyError, TypeError, ValueError, OverflowError):
        return "unknown"
    slack = timedelta(seconds=_CLOCKS_DIFFER_S)
    seen_at = max((one.taken_at for one in facts.history if one.rss_bytes), default=ended_at)
    if not seen_at - slack <= ended_at <= facts.alert.raised_at + slack:
        return "unknown"
    return f"{words.lasting(max(0.0, before_s))} before the alert, by the kernel's record"
