"""Whether a level goes on: a line is thought further; a plateau, a saw-tooth and noise are not."""

from __future__ import annotations

import math
import random

import pytest

from monitord.trend import floors, trend_of

MINUTE = [float(second) for second in range(0, 300, 2)]


def course(levels: list[float]) -> list[tuple[float, float]]:
    return list(zip(MINUTE, levels, strict=True))


@pytest.mark.parametrize("slope", [0.5, 3.0, 1000.0])
def test_a_line_has_its_slope(slope: float) -> None:
    chance = random.Random(1)
    path = floors(course([50 + slope * at + chance.uniform(0, 10 * slope) for at in MINUTE]))
    found = trend_of(path, 298.0)
    assert found.per_s == pytest.approx(slope, rel=0.1)
    assert not found.is_noise
    assert not found.is_level


@pytest.mark.parametrize(
    "levels",
    [
        [100 + at % 60 for at in MINUTE],
        [100 + 30 * math.sin(at / 8) for at in MINUTE],
        [100 + random.Random(3).random() * 50 for _ in MINUTE],
        [100 + min(at, 60) for at in MINUTE],
        [100.0 for _ in MINUTE],
        [300 - at for at in MINUTE],
    ],
    ids=["saw-tooth", "wave", "noise", "plateau", "flat", "fall"],
)
def test_what_is_no_climb_is_not_thought_further(levels: list[float]) -> None:
    found = trend_of(floors(course(levels)), 298.0)
    assert found.per_s is None or found.per_s <= 0 or found.is_level


def test_a_leak_with_teeth_counts_by_its_lowest_values() -> None:
    found = trend_of(floors(course([100 + at + 40 * (at % 20) / 20 for at in MINUTE])), 298.0)
    assert not found.is_noise
    assert found.per_s is not None
    assert found.per_s > 0
