"""Waits, then burns CPU for so many seconds: SECONDS_OF_QUIET SECONDS_OF_BURNING."""

import sys
import time


def guilty_loop() -> int:
    total = 0
    for number in range(20000):
        total += number * number
    return total


if __name__ == "__main__":
    time.sleep(float(sys.argv[1]))
    end = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < end:
        guilty_loop()
