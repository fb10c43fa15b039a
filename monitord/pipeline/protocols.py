"""What the pipeline needs of the rooms that look and judge; it knows no more of them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from monitord.model import (
    Alert,
    Capture,
    CapturePlan,
    Demand,
    DetectionResult,
    ProcessDetails,
    ProcessKey,
    ProcessRates,
    Rates,
)


class SamplerProtocol(Protocol):
    """What the pipeline asks of the sampling room."""

    def look(self, demand: Demand) -> Rates: ...

    def details(self, key: ProcessKey) -> ProcessDetails | None: ...

    def heaviest(self) -> ProcessRates | None: ...


class DetectorProtocol(Protocol):
    """What the pipeline asks of the detection room."""

    def demand(self) -> Demand: ...

    def judge(self, rates: Rates) -> DetectionResult: ...

    def is_firing(self, rule: str, target: ProcessKey | None) -> bool: ...

    def give_back(self, rule: str) -> None: ...


class CaptureService(Protocol):
    """What the pipeline needs of the capture room."""

    def capture(self, target: ProcessKey, plan: CapturePlan, folder: Path) -> list[Capture]: ...

    def context(self, target: ProcessKey, plan: CapturePlan, folder: Path) -> Capture: ...

    def read(self, capture: Capture, folder: Path) -> Capture: ...

    def stop(self) -> None: ...


class BeforeProtocol(Protocol):
    """What knows what a process ran before its alert."""

    def capture(self, alert: Alert, plan: CapturePlan, folder: Path) -> Capture | None: ...

    def stop(self) -> None: ...


class _NothingBefore:
    """Nobody kept what was before."""

    def capture(self, _alert: Alert, _plan: CapturePlan, _folder: Path) -> Capture | None:
        return None

    def stop(self) -> None:
        return


NOTHING_BEFORE = _NothingBefore()
