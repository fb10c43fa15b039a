"""What came of profiling a script: plain values, and the document that everything can be told from again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitord.model import Hotspot
from monitord.profiles.scalene_document import HotLine


@dataclass(frozen=True, slots=True)
class ProfileResult:
    """One profile of one script.

    `profile_id` is new for each; kept ones have it as their correlation id. `ended` is exited, duration or
    stopped; `exit_status` the script's, negative for a signal, None when it is not known any more. `payload`
    is Scalene's JSON as it is kept (`monitord.profiles.scalene_document`): no absolute path of a home or
    project.
    """

    profile_id: str
    script: str
    taken_at: datetime
    duration_s: float
    profiler_version: str
    sample_count: int
    payload: bytes
    hotspots: tuple[Hotspot, ...] = ()
    lines: tuple[HotLine, ...] = ()
    ended: str = "exited"
    exit_status: int | None = None
    cpu_percent: float = 0.0
    peak_bytes: int | None = None
    is_kept: bool = False

    def as_values(self) -> dict[str, Any]:
        """Return everything but the payload, for JSON. Times in ISO 8601, shares 0 to 1, percents of all the
        time.
        """
        return {
            "profile_id": self.profile_id,
            "script": self.script,
            "taken_at": self.taken_at.isoformat(timespec="milliseconds"),
            "duration_s": round(self.duration_s, 3),
            "profiler": "scalene",
            "profiler_version": self.profiler_version,
            "ended": self.ended,
            "exit_status": self.exit_status,
            "sample_count": self.sample_count,
            "cpu_percent": round(self.cpu_percent, 1),
            "peak_bytes": self.peak_bytes,
            "kept": self.is_kept,
            "lines": [_line(line) for line in self.lines],
            "functions": [_function(spot) for spot in self.hotspots],
        }


def _line(line: HotLine) -> dict[str, Any]:
    return {
        "file": line.file,
        "line": line.line,
        "percent": round(line.percent, 2),
        "python_percent": round(line.python_percent, 2),
        "native_percent": round(line.native_percent, 2),
        "system_percent": round(line.system_percent, 2),
        "allocated_bytes": line.allocated_bytes,
        "peak_bytes": line.peak_bytes,
        "source": line.source,
    }


def _function(spot: Hotspot) -> dict[str, Any]:
    return {
        "function": spot.function,
        "file": spot.file,
        "line": spot.line,
        "self_share": round(spot.self_share, 4),
        "total_share": round(spot.total_share, 4),
        "share_error": spot.share_error,
        "func_id": spot.func_id,
        "stmt_id": spot.stmt_id,
    }
