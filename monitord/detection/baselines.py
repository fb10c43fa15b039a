"""How a process looks when nothing is wrong, by its name and owner, learned from quiet times only."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from monitord.model import TriggerMetric

WARM_UP_COUNT = 30
"""Samples before a baseline says anything: a minute at 2 s ticks."""
WEIGHT = 1 / 500
"""λ below; half of what is known is replaced in about 350 quiet samples (12 minutes at 2 s ticks)."""
MAX_ENTRIES = 2000

_METRICS = frozenset(str(metric) for metric in TriggerMetric)
_Key = tuple[str, int | None, TriggerMetric]


@dataclass(slots=True)
class _Entry:
    mean: float
    count: int


class Baselines:
    """Exponentially weighted means, a bounded table (the least recently taught goes first).

    EWMA_t = λ·Y_t + (1-λ)·EWMA_{t-1} (NIST/SEMATECH e-Handbook of Statistical Methods, 6.3.2.4), with
    λ = 1/t while 1/t > WEIGHT, which makes the start a plain mean instead of a guess.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._max_entries = max_entries

    def __len__(self) -> int:
        return len(self._entries)

    def learn(self, name: str, uid: int | None, metric: TriggerMetric, value: float) -> None:
        key = (name, uid, metric)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(0.0, 0)
            if len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)
        else:
            self._entries.move_to_end(key)
        entry.count += 1
        entry.mean += max(WEIGHT, 1 / entry.count) * (value - entry.mean)

    def get(self, name: str, uid: int | None, metric: TriggerMetric) -> float | None:
        """The baseline, or None while it is still warming up."""
        entry = self._entries.get((name, uid, metric))
        return entry.mean if entry is not None and entry.count >= WARM_UP_COUNT else None

    def remember(self) -> list[list[object]]:
        return [
            [to_text(name), uid, str(metric), entry.mean, min(entry.count, 10**6)]
            for (name, uid, metric), entry in self._entries.items()
        ]

    def restore(self, rows: Iterable[object]) -> None:
        """Take back what `remember` gave; a row that is not of its shape is left out."""
        for row in rows:
            match row:
                case [str(name), int() | None as uid, str(metric), int() | float() as mean, int(count)]:
                    if metric in _METRICS and 0 <= mean < float("inf") and count > 0:
                        key = (from_text(name), uid, TriggerMetric(metric))
                        self._entries[key] = _Entry(float(mean), count)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)


def to_text(name: str) -> str:
    """A process name as text that every JSON writer takes: its bytes, one character each."""
    return name.encode("utf-8", "surrogatepass").decode("latin-1")


def from_text(text: str) -> str:
    return text.encode("latin-1", "replace").decode("utf-8", "surrogatepass")
