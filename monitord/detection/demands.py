"""What detection must be shown: the lowest level of each metric at which a rule about a process can break."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice

from monitord.detection.judges import RuleJudge
from monitord.model import Demand, ProcessKey, TriggerMetric

MAX_WATCHED = 512
HEARTBEAT_WINDOW_S = 120.0
"""Growth over this long or longer is seen well enough by the sampler's slow heartbeat (15 s by default):
to demand its few megabytes, which the machine as a whole always uses, would make every pass a full one."""


def demand_of(judges: Sequence[RuleJudge], memory_total_bytes: int) -> Demand:
    """The demand of the enabled rules, busy with nobody; it changes only when the rules or the RAM do.

    A rule of a baseline alone demands 0 (it can break anywhere). Who gained that much memory holds at
    least that much. `memory_total_bytes` is 0 before the first pass: a share of RAM then demands 0.
    """
    rss = _lowest(judges, TriggerMetric.MEMORY, TriggerMetric.MEMORY_GROWTH, total_bytes=memory_total_bytes)
    metrics = [judge.rule.metric for judge in judges]
    return Demand(
        cpu_percent=_lowest(
            judges, TriggerMetric.CPU, TriggerMetric.SHORT_LIVED_CPU, TriggerMetric.SHORT_SPIKE
        ),
        rss_bytes=None if rss is None else int(rss),
        disk_bytes_per_s=_lowest(judges, TriggerMetric.DISK_IO),
        needs_consumers=TriggerMetric.CPU_PRESSURE in metrics,
        private_from_bytes=_private_from_bytes(judges),
        needs_fd_count=TriggerMetric.FD_GROWTH in metrics,
        starts_per_s=_lowest(judges, TriggerMetric.SPAWN_STORM),
        needs_unit=any(judge.rule.match.units and _is_demanded_by_no_level(judge) for judge in judges),
    )


PRIVATE_SHARE = 1 / 8
"""Of the least growth that a rule asks for: who holds less is judged by all it holds, and most hold less."""


def _private_from_bytes(judges: Sequence[RuleJudge]) -> int | None:
    floors = [
        judge.condition.floor or 0.0 for judge in judges if judge.rule.metric is TriggerMetric.MEMORY_GROWTH
    ]
    return int(PRIVATE_SHARE * min(floors)) if floors else None


def _is_demanded_by_no_level(judge: RuleJudge) -> bool:
    """Growth starts from anywhere (of memory: unless the window is short)."""
    metric = judge.rule.metric
    is_slow = metric is TriggerMetric.MEMORY_GROWTH and judge.rule.window_s >= HEARTBEAT_WINDOW_S
    return is_slow or metric in (TriggerMetric.FD_GROWTH, TriggerMetric.THREAD_GROWTH)


def _lowest(judges: Sequence[RuleJudge], *metrics: TriggerMetric, total_bytes: int = 0) -> float | None:
    floors = []
    for judge in judges:
        if judge.rule.metric in metrics and not _is_demanded_by_no_level(judge):
            floor = judge.condition.floor or 0.0
            is_share = judge.rule.metric is TriggerMetric.MEMORY and judge.condition.unit == "percent"
            if judge.rule.metric is TriggerMetric.SHORT_SPIKE:  # seconds of a core within the window
                floors.append(100 * floor / judge.rule.window_s)
            else:
                floors.append(floor * total_bytes / 100 if is_share else floor)
    return min(floors, default=None)


def watched_by(judges: Sequence[RuleJudge], now_s: float) -> frozenset[ProcessKey]:
    """Whom the next pass must show: who is armed, firing, in state D, or could escalate while cooling down.

    In that order, bounded.
    """
    by_state: dict[str, list[ProcessKey]] = {"armed": [], "firing": [], "cooling_down": [], "quiet": []}
    close: list[ProcessKey] = []
    for judge in judges:
        close += judge.meter.close_watch()
        for target, track in judge.tracks.items():
            if target is not None:
                state = "armed" if track.window is not None else track.state(now_s)
                by_state[state].append(target)
    wanted = chain(by_state["armed"], by_state["firing"], close, by_state["cooling_down"])
    return frozenset(islice(dict.fromkeys(wanted), MAX_WATCHED))
