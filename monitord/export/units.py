"""Numbers with their units, as people read them: "97 %", "1.2 GiB", "80 MB/s", "3 h ago"."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from monitord.model import METRIC_UNITS, TriggerMetric, sized

_BLOCKS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def unit_of(metric: TriggerMetric, value: float) -> str:
    """Return a trigger value's unit: its metric's, but a memory value above 100 can only be a size."""
    units = METRIC_UNITS[metric]
    return "bytes" if "bytes" in units and value > 100 else units[0]


def quantity(value: float, unit: str) -> str:
    """Write a number with its unit (`percent`, `bytes`, `disk_bytes`, `bytes_per_s`, `seconds`, `count`).

    Sizes as `model.sized` writes them.
    """
    if unit == "percent":
        return f"{value:.1f} %" if 0 < value < 9.95 else f"{value:,.0f} %"
    if unit in ("bytes", "disk_bytes", "bytes_per_s"):
        return sized(value, unit)
    if unit == "seconds":
        return span(value)
    return f"{value:,.0f}"


def span(seconds: float) -> str:
    """A length of time in its largest unit that says enough: "0.2 s", "45 s", "3 min", "5 h", "2 d"."""
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    for size, name in ((86400 * 2, "d"), (3600 * 2, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / (86400 if name == 'd' else 3600 if name == 'h' else 60):.0f} {name}"
    return f"{seconds:.0f} s"


def age(moment: datetime, now: datetime) -> str:
    """Say how long ago it was; a moment in the future (a clock that jumped) says so."""
    seconds = (now - moment).total_seconds()
    if seconds < -1:
        return f"in {span(-seconds)}"
    return "now" if seconds < 1 else f"{span(round(seconds))} ago"


def sparkline(values: Sequence[float | None], columns: int = 60) -> str:
    """Draw one character a value, from the lowest to the highest; a value that is not known is a blank.

    More values than `columns` are thinned by their maximum, because a spike is what one looks for.
    """
    thinned = _thin(values, columns)
    known = [value for value in thinned if value is not None]
    if not known:
        return ""
    low, reach = min(known), max(known) - min(known)
    return "".join(
        " " if v is None else _BLOCKS[int((v - low) / reach * 7.999) if reach else 0] for v in thinned
    )


def bar(share: float, columns: int) -> str:
    """Draw `share` (0 to 1) of `columns`, to an eighth of a character; anything above 0 shows."""
    eighths = round(min(max(share, 0.0), 1.0) * columns * 8)
    eighths = max(eighths, 1) if share > 0 else 0
    return ("█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")).ljust(columns)


def _thin(values: Sequence[float | None], columns: int) -> list[float | None]:
    if len(values) <= columns:
        return list(values)
    edges = [round(i * len(values) / columns) for i in range(columns + 1)]
    groups = (values[start:end] for start, end in pairwise(edges))
    return [max((v for v in group if v is not None), default=None) for group in groups]
