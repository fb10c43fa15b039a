"""A spike to be caught: burns CPU for SECONDS, DUTY percent of the time, in a stack of twenty frames.

It calls itself bench-spike, so that a rule can be about it alone.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path


def count(until_s: float) -> int:
    total = 0
    while time.monotonic() < until_s:
        total += sum(range(500))
    return total


def descend(depth: int, until_s: float) -> int:
    return descend(depth - 1, until_s) if depth else count(until_s)


def main(seconds: float, duty: float) -> None:
    end_s = time.monotonic() + seconds
    while (now_s := time.monotonic()) < end_s:
        descend(18, now_s + 0.05 * duty)
        if duty < 1:
            time.sleep(0.05 * (1 - duty))


if __name__ == "__main__":
    Path("/proc/self/comm").write_text("bench-spike")
    main(float(sys.argv[1]), float(sys.argv[2]) / 100)
