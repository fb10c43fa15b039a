"""What survives a restart: episodes, cooldowns, high-water marks, grants of the last hour, baselines.

All times are kept as ages and remainders beside the wall time of the last pass. On restore the time away
is `first pass - saved_at`, never less than 0: a clock set back neither shortens nor lengthens a cooldown
(it goes on where it was), and none lasts longer than its rule's `cooldown_s`. A clock set forward while
nothing ran can't be told from time that passed, so it may end a cooldown early; it can't prolong one.
Episodes that were firing are still firing afterwards, however long it took: same process, same story.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from math import isfinite

from monitord.detection.baselines import Baselines, from_text, to_text
from monitord.detection.judges import MAX_TRACKS, RuleJudge
from monitord.detection.limits import HourBudget
from monitord.detection.targets import Track
from monitord.model import ProcessKey

VERSION = 1


def remember(
    judges: Iterable[RuleJudge], baselines: Baselines, now_s: float, saved_at: datetime | None
) -> dict[str, object]:
    """Return everything worth keeping, as plain JSON values."""
    return {
        "version": VERSION,
        "saved_at": saved_at.isoformat() if saved_at else None,
        "rules": {judge.rule.name: _rule(judge, now_s) for judge in judges},
        "baselines": baselines.remember(),
    }


def _rule(judge: RuleJudge, now_s: float) -> dict[str, object]:
    targets = [
        {
            "pid": target.pid if target else None,
            "start_ticks": target.start_ticks if target else None,
            "name": to_text(track.name),
            "is_firing": track.is_firing,
            "is_refused": track.is_refused,
            "is_told": track.is_told,
            "cooling_s": round(max(0.0, track.cool_until_s - now_s), 3),
            "high_water": track.high_water,
        }
        for target, track in judge.tracks.items()
        if track.is_firing or track.cool_until_s > now_s
    ]
    return {"metric": str(judge.rule.metric), "granted_ages_s": judge.budget.ages(now_s), "targets": targets}


def saved_at(memory: Mapping[str, object]) -> datetime | None:
    """When the memory was made; None where it does not say so in a form that can be used."""
    text = memory.get("saved_at")
    if memory.get("version") != VERSION or not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def restore(
    memory: Mapping[str, object], judges: Iterable[RuleJudge], baselines: Baselines, *, same_boot: bool
) -> None:
    """Put a memory back, on a clock that stands at 0; what is not of its shape is left out.

    Of another boot, processes are strangers (pid and start may repeat); limits and baselines still hold.
    """
    rules, rows = memory.get("rules"), memory.get("baselines")
    if isinstance(rows, list | tuple):
        baselines.restore(rows)
    if not isinstance(rules, Mapping):
        return
    for judge in judges:
        kept = rules.get(judge.rule.name)
        if isinstance(kept, Mapping) and kept.get("metric") == str(judge.rule.metric):
            _restore_rule(judge, kept, same_boot)


def _restore_rule(judge: RuleJudge, kept: Mapping[str, object], same_boot: bool) -> None:
    ages, targets = kept.get("granted_ages_s"), kept.get("targets")
    if isinstance(ages, list | tuple):
        granted = [-age for age in map(_number, ages) if age is not None and age >= 0]
        judge.budget = HourBudget(judge.rule.captures_per_hour, granted)
    for entry in (targets if isinstance(targets, list | tuple) else ())[:MAX_TRACKS]:
        if isinstance(entry, Mapping) and (same_boot or entry.get("pid") is None):
            _restore_target(judge, entry)


def _restore_target(judge: RuleJudge, entry: Mapping[str, object]) -> None:
    pid, ticks = entry.get("pid"), entry.get("start_ticks")
    if isinstance(pid, int) and isinstance(ticks, int):
        target = ProcessKey(pid, ticks)
    elif pid is None and ticks is None:
        target = None
    else:
        return
    cooling_s = min(_number(entry.get("cooling_s")) or 0.0, judge.rule.cooldown_s)
    high_water = _number(entry.get("high_water"))
    name = entry.get("name")
    judge.tracks[target] = Track(
        name=from_text(name) if isinstance(name, str) else "",
        is_firing=entry.get("is_firing") is True,
        is_refused=entry.get("is_refused") is True,
        is_told=entry.get("is_told") is True,
        cool_until_s=cooling_s if cooling_s > 0 else float("-inf"),
        high_water=high_water if high_water is not None and high_water >= 0 else None,
        is_restored=True,
    )


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and isfinite(value) else None  # type: ignore[arg-type]  # narrowed by is_number
