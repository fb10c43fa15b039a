"""Works a little in one named function, then all the time in another one once the file it was given is there."""

import sys
import time
from pathlib import Path


def steady_work(until: float) -> int:
    total = 0
    while time.monotonic() < until:
        for i in range(2000):
            total += i
    return total


def guilty_loop(until: float) -> int:
    total = 0
    while time.monotonic() < until:
        for i in range(2000):
            total += i * i
    return total


signal = Path(sys.argv[1])
end = time.monotonic() + 300
while time.monotonic() < end:
    if signal.exists():
        guilty_loop(time.monotonic() + 0.5)
    else:
        steady_work(time.monotonic() + 0.004)
        time.sleep(0.1)
