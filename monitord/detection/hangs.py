"""How long a process has been in uninterruptible sleep (state D) without a break."""

from __future__ import annotations

from monitord.model import ProcessKey, ProcessRates

MAX_PROCESSES = 1024


class HangClock:
    """Seconds in state D since it was first seen, with no sign of life in between.

    A process that used CPU time or moved bytes since the last pass ran in between: heavy disk I/O is
    often caught in D and does not hang. Bounded: with 1,024 hanging, more are not needed to see it.
    """

    def __init__(self) -> None:
        self._since: dict[ProcessKey, tuple[float, ProcessRates]] = {}

    def __len__(self) -> int:
        return len(self._since)

    @property
    def keys(self) -> list[ProcessKey]:
        return list(self._since)

    def last(self, key: ProcessKey) -> ProcessRates | None:
        entry = self._since.get(key)
        return entry[1] if entry else None

    def note(self, process: ProcessRates, now_s: float) -> None:
        if process.state != "D" or process.is_frozen:  # paused, which does not count as a hang
            self._since.pop(process.key, None)
            return
        is_alive = (process.cpu_percent or 0) > 0 or (process.disk_bytes_per_s or 0) > 0
        known = self._since.get(process.key)
        if known is not None and not is_alive:
            self._since[process.key] = (known[0], process)
        elif known is not None or len(self._since) < MAX_PROCESSES:
            self._since[process.key] = (now_s, process)

    def seconds(self, key: ProcessKey, now_s: float) -> float:
        entry = self._since.get(key) if self._since else None
        return now_s - entry[0] if entry else 0.0

    def forget(self, key: ProcessKey) -> None:
        self._since.pop(key, None)

    def clear(self) -> None:
        self._since.clear()
