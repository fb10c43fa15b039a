"""Processes that the kernel killed for lack of memory, of the machine or of a group; each one incident."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from monitord.detection.passes import Pass
from monitord.detection.readings import Killed, Reading, Target
from monitord.model import Alert, ProcessKey, ProcessRates, SystemRates, TriggerMetric

MAX_PROCESSES = 256
LARGE_BYTES = 16 << 20
"""The killer chooses the large; the small that end in the same moment are of no interest."""

WAIT_S = 10.0
"""Who was killed may take seconds to go: a large memory is given back piece by piece."""


class OomKillMeter:
    """Kills since the last pass, and the largest that disappeared: who was killed takes rights to know."""

    def __init__(self) -> None:
        self._large: OrderedDict[ProcessKey, ProcessRates] = OrderedDict()
        self._gone: list[ProcessRates] = []  # in the last pass, or since a kill whose victim is waited for
        self._kills = 0
        self._in_groups: Counter[str] = Counter()
        self._since_s = 0.0
        self._was_waited_for = False  # a complete pass has shown that the victim is still there, or unknown

    @property
    def is_waiting(self) -> bool:
        """Whether kills were counted whose victims are not all known yet."""
        return self._kills > 0

    def readings(self, look: Pass, followed: Mapping[Target, ProcessRates | None]) -> Iterator[Reading]:
        gone = [self._large.pop(key) for key in look.exited if key in self._large]
        victims = gone + self._gone
        self._remember(look.present.values())
        if not self._kills:
            self._since_s = look.now_s
        self._kills += look.system.oom_kills or 0
        if look.system.oom_kills_in:
            self._in_groups.update(look.system.oom_kills_in)
        if not self._kills:
            self._gone = gone
            yield Reading(None, None, 0.0, is_held=True)
            return
        # Whose group is not known may be too small to be remembered: the next pass that shows all knows it.
        waits_s = WAIT_S if self._in_groups else 0.0
        is_over = self._was_waited_for and look.now_s - self._since_s >= waits_s
        total_bytes = look.system.memory_total_bytes
        killed = _attributed(self._kills, self._in_groups, victims, total_bytes, is_last=is_over)
        if is_over or all(one.victim is not None for one in killed):
            kills = self._kills
            self.restart()
            first = next((one.victim for one in killed if one.victim is not None), None)
            yield Reading(None, first, float(kills), is_held=True, killed=killed)
        else:
            self._gone, self._was_waited_for = victims, look.is_complete

    def _remember(self, processes: Iterable[ProcessRates]) -> None:
        for process in processes:
            if process.rss_bytes >= LARGE_BYTES:
                self._large[process.key] = process
                self._large.move_to_end(process.key)
        while len(self._large) > MAX_PROCESSES:
            self._large.popitem(last=False)

    def peek(self, process: ProcessRates | None, now_s: float, system: SystemRates) -> float | None:
        return None if system.oom_kills is None else float(system.oom_kills)

    def forget(self, keys: Iterable[ProcessKey]) -> None:
        """Nothing to do: `readings` noted processes that ended."""

    def restart(self) -> None:
        self._gone, self._kills, self._was_waited_for = [], 0, False
        self._in_groups.clear()

    def close_watch(self) -> Iterable[ProcessKey]:
        return ()


def _attributed(
    kills: int,
    in_groups: Counter[str],
    gone: Sequence[ProcessRates],
    memory_total_bytes: int,
    *,
    is_last: bool,
) -> tuple[Killed, ...]:
    """Each group's kills and the others, with the likeliest of those that disappeared from there.

    Those whose group is not known may have been in it, but as long as it is waited for one that was, they
    only ended in the same moment.
    """
    ranked = sorted(gone, key=lambda one: -_likelihood(one, memory_total_bytes))
    found = []
    for group, count in in_groups.most_common():
        mates = (one for one in ranked if one.memory_group == group)
        unknown = (one for one in ranked if one.memory_group is None and is_last)
        victim = next(mates, None) or next(unknown, None)
        found.append(Killed(count, group, victim))
        ranked = [one for one in ranked if one is not victim]
    others = kills - in_groups.total()
    if others > 0:
        victim = ranked[0] if ranked else None
        found.append(Killed(others, victim.memory_group if victim else None, victim))
    return tuple(found)


def _likelihood(process: ProcessRates, memory_total_bytes: int) -> float:
    """How much it held of what it could have: who filled a small group goes first."""
    return process.rss_bytes / max(1, process.memory_limit_bytes or memory_total_bytes)


def one_incident_a_kill(
    alerts: Sequence[Alert], ended: Sequence[Alert], waited: Sequence[Alert], *, goes_on: bool
) -> tuple[list[Alert], list[Alert]]:
    """Join what the kernel's counter and what rules about memory say of the same victim.

    `ended` disappeared above a threshold in this pass, `waited` before: the counter may follow a pass later,
    and while `goes_on` what it counted waits for a victim. Gives what is raised now, and what still waits.
    """
    raised, joined = list(alerts), list[Alert]()
    for end in (*waited, *ended):
        index = next((i for i, one in enumerate(raised) if _is_kill_of(one, end.target)), None)
        if index is None:
            continue
        joined.append(end)
        kill = raised[index]
        if kill.suppressed_by is None:
            raised[index] = replace(kill, reason=f"{kill.reason}; {end.reason.partition(';')[0]}")
        else:  # the kill's own row would be an earlier one's: this one is raised by the rule about its memory
            raised[index] = replace(kill, counts_with=end.rule)
            raised.append(replace(end, reason=f"{end.reason.partition(';')[0]}; {kill.reason}"))
    waits = [end for end in (*waited, *ended) if end not in joined]
    if not goes_on:
        raised += [end for end in waits if end in waited]
        waits = [end for end in waits if end not in waited]
    return raised, waits


def _is_kill_of(alert: Alert, target: ProcessKey | None) -> bool:
    is_kill = alert.metric is TriggerMetric.OOM_KILL and alert.counts_with is None
    return is_kill and target is not None and alert.target == target
