"""What values of a section look like: amounts as people write them ("2GiB", "1h 30min"), secrets' places."""

from __future__ import annotations

import math
import re
from typing import Annotated

import msgspec
from msgspec import Meta

from monitord.model import METRIC_UNITS, Threshold, TriggerMetric


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file; a key it does not know is an error."""


KEY_SOURCE = r"(file:/.+|credential:[A-Za-z0-9_-][A-Za-z0-9._-]*|environment:[A-Za-z_][A-Za-z0-9_]*)"
KeySource = Annotated[str, Meta(pattern=f"^{KEY_SOURCE}$")]
KeySourceOrNone = Annotated[str, Meta(pattern=f"^$|^{KEY_SOURCE}$")]

_BYTES = {
    "": 1, "b": 1,
    "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
    "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40,
    "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}  # fmt: skip
_SECONDS = {
    "ms": 0.001, "s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hr": 3600,
    "hour": 3600, "d": 86400, "day": 86400, "w": 604800, "week": 604800,
    "month": 30 * 86400, "year": 365 * 86400,
}  # fmt: skip
_KEY_UNITS = {  # how a key's name ends, what it counts in, an example in the file
    "_s": ("seconds", 1, '"10s"'), "_h": ("hours", 3600, '"72h"'), "_days": ("days", 86400, '"30d"'),
    "_mb": ("MB", 1_000_000, '"50MB"'), "kib_per_cpu": ("KiB", 1 << 10, '"512KiB"'),
}  # fmt: skip
_PART = r"(\d+(?:\.\d+)?)\s*([a-z]+)"
_SPAN = re.compile(rf"{_PART}(?:\s*{_PART})*", re.ASCII)
_BIG_M = re.compile(r"(?<!\d)(\d+(?:\.\d+)?)\s*M(?![A-Za-z])", re.ASCII)
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*|%)\s*(/s)?\s*")

_EXAMPLE = {
    "percent": "a number of percent such as 90",
    "bytes": 'a size such as "2GiB"',
    "bytes_per_s": 'a rate such as "50MB/s"',
    "seconds": 'a number of seconds such as 60 or a duration such as "2min"',
    "count": "a number such as 500",
}


def seconds_of(text: str) -> float | None:
    """Return the seconds of "90s", "1h 30m", "250ms" (systemd.time's spans); None for another text."""
    words = text.strip().lower()
    parts = re.findall(_PART, words, re.ASCII) if _SPAN.fullmatch(words) else []
    units = [_SECONDS.get(unit) or _SECONDS.get(unit.removesuffix("s")) for _number, unit in parts]
    if not parts or None in units:
        return None
    return sum(float(part[0]) * (unit or 0) for part, unit in zip(parts, units, strict=True))


def readings_of_big_m(text: str) -> str | None:
    """Return what is to be written in place of "1M", which could be a minute or a month; None without one."""
    found = _BIG_M.search(text)
    if found is None:
        return None
    number = float(found[1])
    return f'ambiguous, expected "{number:g}min" for minutes or "{number * 30:g}d" for months'


def has_unit(key: str) -> bool:
    """Whether a key's name ends with a unit of time or size, so that its value may be written with one."""
    return key.endswith(tuple(_KEY_UNITS))


def parse_amount(key: str, text: str) -> float:
    """Read a duration or a size in the unit that the key's name ends with: "2min" of `window_s` is 120.0.

    Raises ValueError with the form that is expected.
    """
    name, factor, example = next(unit for ending, unit in _KEY_UNITS.items() if key.endswith(ending))
    is_size = name in ("MB", "KiB")
    ambiguous = None if is_size else readings_of_big_m(text)
    amount = _bytes_of(text) if is_size else seconds_of(text)
    if ambiguous or amount is None:
        form = f"a number of {name} or a text such as {example}"
        raise ValueError(ambiguous or f"expected {form}, got {text!r}")
    value = amount / factor
    return int(value) if value.is_integer() and name == "KiB" else value


def _bytes_of(text: str) -> float | None:
    match = _QUANTITY.fullmatch(text)
    if match is None or not match[2] or match[3]:
        return None
    unit = _BYTES.get(match[2].lower())
    return None if unit is None else float(match[1]) * unit


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
    if unit == "seconds" and (span := seconds_of(text)) is not None and not readings_of_big_m(text):
        return span, unit
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
