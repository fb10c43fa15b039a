"""`retention.ages`: evidence of some that goes sooner; read only where any are configured."""

from __future__ import annotations

import re
from collections.abc import Sequence

from monitord.config.quantities import seconds_of

_CHOSEN = re.compile(r"severity=\d+(\.\d+)?|(process|rule)=[^\x00-\x1f]{1,200}")
_AT_MOST = 64
_EXPECTED = 'WHAT=VALUE:AGE such as "process=chrome:6h", "rule=cpu-hog:2d" or "severity=2:48h"'


def age_of(text: str) -> tuple[str, str, float]:
    """Return what an age is for, its value, and the age in seconds: "process=java:6h"; raises ValueError."""
    chosen, _, age = text.rpartition(":")
    age_s = 0.0 if age.strip() == "0" else seconds_of(age)
    if age_s is None or not _CHOSEN.fullmatch(chosen):
        raise ValueError(f"ages: {text[:200]!r}, expected {_EXPECTED}")
    what, _, value = chosen.partition("=")
    return what, value, age_s


def check_ages(texts: Sequence[str], max_age_h: float) -> None:
    """Raise ValueError for ages that make no sense, or could never count."""
    if len(texts) > _AT_MOST:
        raise ValueError(f"ages: {len(texts)} of them, expected at most {_AT_MOST}")
    for text in texts:
        if age_of(text)[2] > max_age_h * 3600:
            raise ValueError(f"ages: {text!r}, expected an age up to max_age_h ({max_age_h:g} h)")
