"""What passed through providers, in plain numbers behind a lock: cheap enough to be told of every call.

No key ever comes here: a number by key would grow without end, and a key can carry a process's name.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass


@dataclass(slots=True)
class _Timing:
    count: int = 0
    total_s: float = 0.0
    longest_s: float = 0.0


class StorageMetrics:
    """Counts since this process began; sizes in bytes as stored, `storage_used` as it was measured last."""

    def __init__(self) -> None:
        self.reads = 0
        self.writes = 0
        self.deletes = 0
        self.read_bytes = 0
        self.write_bytes = 0
        self.storage_used = 0
        self._errors: Counter[tuple[str, str, str]] = Counter()
        self._latency: dict[tuple[str, str], _Timing] = {}
        self._lock = threading.Lock()

    def record_read(self, size: int) -> None:
        """An artefact was read, to its end or not."""
        with self._lock:
            self.reads += 1
            self.read_bytes += size

    def record_write(self, size: int) -> None:
        """An artefact is stored."""
        with self._lock:
            self.writes += 1
            self.write_bytes += size

    def record_delete(self) -> None:
        """An artefact is gone."""
        with self._lock:
            self.deletes += 1

    def record_error(self, provider: str, operation: str, error: str) -> None:
        """Count a call that failed with an error of this class."""
        with self._lock:
            self._errors[provider, operation, error] += 1

    def record_latency(self, provider: str, operation: str, seconds: float) -> None:
        """A call was answered after this time."""
        with self._lock:
            timing = self._latency.setdefault((provider, operation), _Timing())
            timing.count += 1
            timing.total_s += seconds
            timing.longest_s = max(timing.longest_s, seconds)

    @property
    def errors(self) -> int:
        """How many calls failed."""
        with self._lock:
            return self._errors.total()

    def as_json(self) -> dict[str, object]:
        """Return all metrics, of one moment."""
        with self._lock:
            return {
                "reads": self.reads,
                "writes": self.writes,
                "deletes": self.deletes,
                "read_bytes": self.read_bytes,
                "write_bytes": self.write_bytes,
                "storage_used_bytes": self.storage_used,
                "errors": [
                    {"provider": provider, "operation": operation, "error": error, "count": count}
                    for (provider, operation, error), count in sorted(self._errors.items())
                ],
                "latency": [
                    {
                        "provider": provider,
                        "operation": operation,
                        "count": timing.count,
                        "total_s": round(timing.total_s, 6),
                        "longest_s": round(timing.longest_s, 6),
                    }
                    for (provider, operation), timing in sorted(self._latency.items())
                ],
            }
