"""Numbers in the sentences of causes."""

from __future__ import annotations

from monitord.model import scaled


def size(number: float) -> str:
    """Bytes of memory, in 1024s: "31 MiB", "1.2 GiB"."""
    value, unit = scaled(number, "bytes")
    return f"{_short(value)} {unit}"


def grown(number: float) -> str:
    """The same of a gain: "+31 MiB"."""
    return f"{'+' if number >= 0 else '-'}{size(abs(number))}"


def share(part: float, whole: float) -> str:
    """How much of it: "92 %"; at most all."""
    return f"{min(100.0, 100 * part / whole):.0f} %" if whole > 0 else "0 %"


def percent(part: float) -> str:
    """The same of a part of 1."""
    return share(part, 1.0)


def lasting(seconds: float) -> str:
    """A length of time in the unit that says enough: "40 s", "12 min", "3.5 h", "9 days"."""
    for unit_s, most_s, word in ((1, 120, "s"), (60, 7200, "min"), (3600, 172800, "h")):
        if seconds < most_s:
            return f"{_short(seconds / unit_s)} {word}"
    return f"{_short(seconds / 86400)} days"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.1f}".removesuffix(".0")
