"""Who took the machine's memory: the process, or the part of the kernel's, that grew; else who holds most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from monitord.causes import holders, memory, room, words
from monitord.causes.facts import Facts
from monitord.causes.observed import OfMachine, checked
from monitord.model import NOT_KNOWN, UNKNOWN_CAUSE, Cause, HistoryPoint

_EXPLAINS_SHARE = 0.5
_LEAST_LOSS_BYTES = 64 << 20
_DECIDES = "a second look while it still goes down: `monitord capture PID` of the largest"


def observe(pid: int, start_ticks: int) -> OfMachine:
    """Who holds memory now; and of the process that is suspected, if any, what it holds."""
    seen = holders.read()
    if pid:
        try:
            seen["suspect"] = memory.observe(pid, start_ticks)
        except OSError:
            pass  # it has ended, or may not be read: who holds memory is known all the same
    return seen


def explain(facts: Facts) -> Cause | None:
    """Name who grew in the minutes before, or between the two looks, by at least half of what went."""
    before, after = checked(facts.before, OfMachine), checked(facts.after, OfMachine)
    if after is None:
        return None
    by_history = _of_history(facts, after)
    if by_history is not None:
        return by_history
    lost = holders.available(before) - holders.available(after)
    if before is None or lost < _LEAST_LOSS_BYTES:
        return _of_holding(facts, after)
    rows = holders.ranked(before, after)
    evidence = (("grew", holders.table(rows, is_gain=True)), *_held(after))
    if rows and rows[0].gained >= _EXPLAINS_SHARE * lost:
        first = rows[0]
        said = f"{first.described()} grew by {words.size(first.gained)}"
        said += f" while {words.size(lost)} of available memory went"
        return _with_inside(_cause("memory that grew", said, rows[1:], evidence), facts, after, first.pid)
    why = f"{words.size(lost)} of available memory went, and nobody grew by half of that"
    return _unknown(why, rows, evidence)


def _of_history(facts: Facts, after: OfMachine) -> Cause | None:
    """The suspect, if it gained at least half of what the machine lost in the minutes before."""
    known = [one for one in facts.history if one.rss_bytes is not None]
    if len(known) < 2 or facts.alert.target is None:
        return None
    first, last = known[0], known[-1]
    gained, lost = _between(first, last)
    if lost < _LEAST_LOSS_BYTES or gained < _EXPLAINS_SHARE * lost:
        return None
    seconds = (last.taken_at - first.taken_at).total_seconds()
    said = f"{facts.alert.process_name} (pid {facts.alert.target.pid}) grew by {words.size(gained)} in "
    said += f"{words.lasting(seconds)}, while {words.size(lost)} of available memory went"
    evidence = (*room.told(room.trend_in(facts.history), {}), *_held(after))
    return _with_inside(_cause("memory that grew", said, [], evidence), facts, after, facts.alert.target.pid)


def _between(first: HistoryPoint, last: HistoryPoint) -> tuple[int, int]:
    gained = (last.rss_bytes or 0) - (first.rss_bytes or 0)
    return gained, first.memory_available_bytes - last.memory_available_bytes


def _of_holding(facts: Facts, after: OfMachine) -> Cause:
    """Nobody grew while we looked: who holds at least half of what is in use."""
    rows, evidence = holders.ranked(None, after), _held(after)
    used = after.get("parts", {}).get("MemTotal", 0) - holders.available(after)
    if rows and used > 0 and rows[0].held >= _EXPLAINS_SHARE * used:
        said = f"{rows[0].described()} holds {words.size(rows[0].held)} of {words.size(used)} in use"
        return _with_inside(_cause("memory held", said, rows[1:], evidence), facts, after, rows[0].pid)
    why = "nobody grew while it was looked at, and nobody holds half of what is in use"
    return _unknown(why, rows, evidence)


def _held(after: OfMachine) -> tuple[tuple[str, str], ...]:
    said = holders.table(holders.ranked(None, after), is_gain=False)
    return (("holds", said),) if said else ()


def _cause(
    kind: str, said: str, others: Sequence[holders.Holder], evidence: tuple[tuple[str, str], ...]
) -> Cause:
    return Cause(kind, said, "likely", others[0].described() if others else None, None, evidence)


def _unknown(why: str, rows: Sequence[holders.Holder], evidence: tuple[tuple[str, str], ...]) -> Cause:
    runner_up = rows[0].described() if rows else None
    return Cause(UNKNOWN_CAUSE, f"{NOT_KNOWN}{why}", "unknown", runner_up, _DECIDES, evidence)


def _with_inside(cause: Cause, facts: Facts, after: OfMachine, pid: int) -> Cause:
    """What in it grew, where that is known of this process."""
    if facts.alert.target is None or facts.alert.target.pid != pid or "suspect" not in after:
        return cause
    before = checked(facts.before, OfMachine) or {}
    inner = memory.explain(replace(facts, before=before.get("suspect"), after=after["suspect"]))
    if inner is None or inner.confidence == "unknown":
        return cause
    sentence = f"{cause.sentence}; {inner.sentence}"
    return replace(cause, sentence=sentence, evidence=(*cause.evidence, *inner.evidence))
