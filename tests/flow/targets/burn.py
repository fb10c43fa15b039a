"""Burns CPU in one named function; `duty` percent of the time, for as many seconds as are asked for, or long."""

import sys
import time


def guilty_loop(until: float) -> int:
    total = 0
    while time.monotonic() < until:
        for i in range(2000):
            total += i * i
    return total


duty = float(sys.argv[1]) / 100
end = time.monotonic() + (float(sys.argv[2]) if len(sys.argv) > 2 else 300)
while time.monotonic() < end:
    start = time.monotonic()
    guilty_loop(start + 0.1 * duty)
    time.sleep(max(0.0, start + 0.1 - time.monotonic()) if duty < 1 else 0)
