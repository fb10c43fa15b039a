"""Weighs the samples of py-spy by the CPU that their threads really used: what waits is not hot.

Pure: given py-spy's speedscope document and, per thread, CPU seconds over the same window. The weighed
document stays a speedscope file, whose weights are CPU seconds, and says so under the key "monitord".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KEY = "monitord"
_IDLE_SHARE = 0.01  # of the window: below that a thread only woke up now and then
_LEAST_USED = 0.05  # of one core: below that nothing was hot, and where it waits is the evidence


@dataclass(frozen=True, slots=True)
class Weighed:
    """`explained_share` is the part of the CPU used that the threads with samples account for.

    `hidden` are ids of threads that used CPU and were never seen by the profiler, the busiest first.
    """

    document: Mapping[str, Any]
    explained_share: float | None
    hidden: tuple[int, ...] = ()


def weigh(document: Mapping[str, Any], use: Mapping[str, Any], period_s: float) -> Weighed:
    """Give the document with each thread's samples scaled to the CPU seconds that it used.

    `use` has the fields of capture's ThreadUse. As it is when the process hardly ran. Where it says
    `has_idle`, threads that wait are marked instead of left out: then all of them.
    """
    threads = {int(name): float(value) for name, value in use["threads"].items()}
    window_s, process_s = float(use["window_s"]), float(use["process_s"])
    profiles = document["profiles"]
    if process_s < _LEAST_USED * window_s:
        waited = {KEY: {"idle": [*range(len(profiles))]}} if use.get("has_idle") else {}
        return Weighed({**document, **waited}, None)
    ids = [_thread_id(profile.get("name"), int(use["main_id"])) for profile in profiles]
    counts = [len(profile["samples"]) for profile in profiles]
    used = _used(ids, counts, threads, process_s)
    has_idle = bool(
        use.get("has_idle")
    )  # threads that wait were sampled on purpose: they stay, as what they are
    idle = [n for n, used_s in enumerate(used) if has_idle and used_s <= _IDLE_SHARE * window_s]
    scaled = []
    for n, (profile, count, used_s) in enumerate(zip(profiles, counts, used, strict=True)):
        factor = min(1.0, used_s / (count * period_s)) if count and used_s > _IDLE_SHARE * window_s else 0.0
        scaled.append(profile if n in idle else _scaled(profile, factor * period_s))
    is_partly = bool(use.get("by_lock"))  # a thread with samples may have run most of the time without any
    seen_s = sum(
        min(used_s, count * period_s) if is_partly else used_s
        for used_s, count in zip(used, counts, strict=True)
        if count
    )
    hidden = sorted(threads.keys() - {one for one, count in zip(ids, counts, strict=True) if count})
    busy = [one for one in hidden if threads[one] > _IDLE_SHARE * window_s]
    busy.sort(key=lambda one: -threads[one])
    note = {"weights": "CPU seconds of the thread, from the scheduler", "period_s": period_s, "idle": idle}
    weighed = {**document, "profiles": scaled, KEY: note}
    if has_idle:
        return Weighed(weighed, None)
    return Weighed(weighed, min(1.0, seen_s / process_s), tuple(busy[:10]))


def _used(
    ids: Sequence[int | None], counts: Sequence[int], threads: Mapping[int, float], process_s: float
) -> list[float]:
    """CPU seconds of each profile's thread; threads that ended or have no id share what is left over."""
    left_s = max(0.0, process_s - sum(threads.values()))
    if None in ids:  # old Pythons: any thread that nobody claimed may be one of them
        claimed = set(ids)
        left_s += sum(used_s for one, used_s in threads.items() if one not in claimed)
    unknown = sum(count for one, count in zip(ids, counts, strict=True) if one not in threads)
    each_s = left_s / unknown if unknown else 0.0
    return [
        each_s * count if one is None else threads.get(one, each_s * count)
        for one, count in zip(ids, counts, strict=True)
    ]


def _scaled(profile: Mapping[str, Any], weight: float) -> dict[str, Any]:
    """Every sample with this weight; a thread without any keeps its name, so that it is not missed."""
    samples = profile["samples"] if weight else []
    return {
        **profile,
        "samples": samples,
        "weights": [weight] * len(samples),
        "startValue": 0.0,
        "endValue": weight * len(samples),
    }


def _thread_id(name: object, main_id: int) -> int | None:
    """The id in `Thread 9684 "MainThread"`; without one only the main thread is known by its name."""
    if not isinstance(name, str) or not name.startswith("Thread "):
        return None
    number, _space, quoted = name[len("Thread ") :].partition(" ")
    if number.isdecimal() and len(number) < 20:
        return int(number)
    return main_id if quoted.strip('"') == "MainThread" else None
