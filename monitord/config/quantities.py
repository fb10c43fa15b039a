"""Thresholds as people write them ("2GiB", "50MB/s", 90) turned into numbers with a unit."""

from __future__ import annotations

import math
import re

from monitord.model import METRIC_UNITS, Threshold, TriggerMetric

_BYTES = {
    "": 1, "b": 1,
    "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
    "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40,
    "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}  # fmt: skip
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*|%)\s*(/s)?\s*")

_EXAMPLE = {
    "percent": "a number of percent such as 90",
    "bytes": 'a size such as "2GiB"',
    "bytes_per_s": 'a rate such as "50MB/s"',
    "seconds": "a number of seconds such as 60",
    "count": "a number such as 500",
}


def parse_threshold(value: float | str, metric: TriggerMetric) -> Threshold:
    """A threshold in the unit its metric is judged in.

    Bare numbers mean percent, bytes, bytes a second, seconds or a count, as the metric has it; texts
    carry SI (MB = 10⁶) or IEC (MiB = 2²⁰, also M) units. Memory takes a percentage or a size.
    Raises ValueError with the forms that are understood.
    """
    unit = METRIC_UNITS[metric][0]
    if isinstance(value, str):
        number, unit = _parse_text(value, metric, unit)
    else:
        number = float(value)
    if not math.isfinite(number) or number <= 0:
        raise ValueError(f"expected {_forms(metric)} above 0, got {value!r}")
    if unit == "percent" and metric is not TriggerMetric.CPU and number > 100:
        raise ValueError(f"expected at most 100 percent, got {value!r}")
    return Threshold(number, unit)


def _parse_text(text: str, metric: TriggerMetric, unit: str) -> tuple[float, str]:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"expected {_forms(metric)}, got {text!r}")
    number, suffix, per_second = float(match[1]), match[2].lower(), match[3] is not None
    if suffix == "%" and unit == "percent" and not per_second:
        return number, "percent"
    is_size = "bytes" in METRIC_UNITS[metric]
    if suffix in _BYTES and suffix and ((is_size and not per_second) or unit == "bytes_per_s"):
        return number * _BYTES[suffix], "bytes" if is_size else "bytes_per_s"
    if not suffix and not per_second:
        return number, unit
    raise ValueError(f"expected {_forms(metric)}, got {text!r}")


def _forms(metric: TriggerMetric) -> str:
    form = _EXAMPLE[METRIC_UNITS[metric][0]]
    if METRIC_UNITS[metric] == ("percent", "bytes"):
        form += ' or a size such as "2GiB"'
    return form
