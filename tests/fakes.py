"""Stand-ins with the true shape, for tests of the rooms that introduce other rooms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitord.model import (
    Alert,
    Capture,
    CapturePlan,
    CaptureStatus,
    Demand,
    DetectionResult,
    ProcessDetails,
    ProcessKey,
    ProcessRates,
    Rates,
    SystemRates,
    Threshold,
    TriggerMetric,
)

START = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
KEY = ProcessKey(4242, 1000)


def a_process(key: ProcessKey = KEY, cpu_percent: float | None = 97.0, **changes: object) -> ProcessRates:
    values: dict[str, object] = {
        "key": key, "name": "burn", "parent_pid": 1, "state": "R", "uid": 0,
        "cpu_percent": cpu_percent, "rss_bytes": 10_000_000, "thread_count": 1,
    }  # fmt: skip
    return ProcessRates(**{**values, **changes})  # type: ignore[arg-type]


def some_rates(
    second: float, processes: Sequence[ProcessRates] = (), *, is_complete: bool = True, **system: object
) -> Rates:
    levels: dict[str, object] = {
        "machine_percent": 50.0, "cpu_count": 2, "memory_total_bytes": 8 << 30,
        "memory_available_bytes": 4 << 30, "swap_used_bytes": 0, "load_1": 1.0,
    }  # fmt: skip
    return Rates(
        taken_at=START + timedelta(seconds=second),
        monotonic_s=second,
        interval_s=2.0,
        system=SystemRates(**{**levels, **system}),  # type: ignore[arg-type]
        processes=tuple(processes),
        process_count=100,
        is_complete=is_complete,
    )


def an_alert(metric: TriggerMetric = TriggerMetric.CPU, **changes: object) -> Alert:
    values: dict[str, object] = {
        "rule": "cpu-hog", "metric": metric, "value": 97.0, "threshold": Threshold(90.0, "percent"),
        "window_s": 10.0, "crossed_at": START, "raised_at": START + timedelta(seconds=10),
        "target": KEY, "process_name": "burn", "reason": "burn used 97 % of one core", "severity": 1.08,
    }  # fmt: skip
    return Alert(**{**values, **changes})  # type: ignore[arg-type]


def a_capture(role: str = "profile", status: CaptureStatus = CaptureStatus.OK, **changes: object) -> Capture:
    values: dict[str, object] = {
        "role": role, "profiler": "py-spy", "status": status, "started_at": START,
        "duration_s": 10.0, "target": KEY, "payload": b"evidence", "format": "folded",
    }  # fmt: skip
    return Capture(**{**values, **changes})  # type: ignore[arg-type]


class FakeSampler:
    """A sampler that shows what the test drew."""

    def __init__(self, passes: Sequence[Rates]) -> None:
        self.passes = list(passes)
        self.demands: list[Demand] = []

    def look(self, demand: Demand) -> Rates:
        self.demands.append(demand)
        return self.passes.pop(0)

    def details(self, key: ProcessKey) -> ProcessDetails | None:
        return ProcessDetails(key, "burn", 1, START)

    def heaviest(self) -> ProcessRates | None:
        return a_process(ProcessKey(77, 1), name="whale", rss_bytes=6 << 30)


class FakeDetector:
    """A detector that gives the verdicts the test drew."""

    def __init__(self, verdicts: Sequence[DetectionResult]) -> None:
        self.verdicts = list(verdicts)
        self.over: set[tuple[str, ProcessKey | None]] = set()
        self.given_back: list[str] = []

    def demand(self) -> Demand:
        return Demand(cpu_percent=90.0)

    def judge(self, rates: Rates) -> DetectionResult:
        return self.verdicts.pop(0)

    def is_firing(self, rule: str, target: ProcessKey | None) -> bool:
        return (rule, target) not in self.over

    def give_back(self, rule: str) -> None:
        self.given_back.append(rule)


class FakeCaptures:
    """A capture service that gives what the test drew, and notes whom it was asked to look at."""

    def __init__(self, captures: Sequence[Capture] = ()) -> None:
        self.captures = list(captures)
        self.asked: list[tuple[ProcessKey, CapturePlan]] = []
        self.looked: list[ProcessKey] = []
        self.described: list[ProcessKey] = []
        self.is_stopped = False
        self.on_capture: Callable[[], object] = lambda: None

    def capture(self, target: ProcessKey, plan: CapturePlan, folder: Path) -> list[Capture]:
        assert folder.is_dir()
        self.asked.append((target, plan))
        self.on_capture()
        return self.captures

    def context(self, target: ProcessKey, plan: CapturePlan, folder: Path) -> Capture:
        self.described.append(target)
        return a_capture("context", target=target)

    def first_look(self, target: ProcessKey, folder: Path) -> Capture:
        self.looked.append(target)
        return a_capture("dump", target=target)

    def read(self, capture: Capture, folder: Path) -> Capture:
        return capture

    def stop(self) -> None:
        self.is_stopped = True
