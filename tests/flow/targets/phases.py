"""Burns in one function until a file is there, then in another one, or not at all."""

import sys
import time
from pathlib import Path

over, end = Path(sys.argv[1]), time.monotonic() + 300


def first_phase():
    total = 0
    while not over.exists() and time.monotonic() < end:
        total += sum(number * number for number in range(20000))
    return total


def second_phase():
    total = 0
    while time.monotonic() < end:
        total += sum(number * number for number in range(20000))
    return total


def rests():
    while time.monotonic() < end:
        time.sleep(0.1)


first_phase()
(second_phase if sys.argv[2] == "burns" else rests)()
