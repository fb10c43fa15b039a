"""Burns two fifths of a core and rests in turn, so that one process makes one incident after the other."""

import sys
import time

burn_s, rest_s = float(sys.argv[1]), float(sys.argv[2])


def guilty_pulse(until: float) -> int:
    total = 0
    while (now := time.monotonic()) < until:
        while time.monotonic() < now + 0.008:
            total += sum(range(1000))
        time.sleep(0.012)
    return total


while True:
    guilty_pulse(time.monotonic() + burn_s)
    time.sleep(rest_s)
