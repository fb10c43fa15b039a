"""Burns in one function for so many seconds, then in another one, or not at all."""

import sys
import time


def first_phase(end):
    total = 0
    while time.monotonic() < end:
        total += sum(number * number for number in range(200))
    return total


def second_phase(end):
    total = 0
    while time.monotonic() < end:
        total += sum(number * number for number in range(200))
    return total


def rests(end):
    while time.monotonic() < end:
        time.sleep(0.1)


first_s = float(sys.argv[1])
now = time.monotonic()
first_phase(now + first_s)
(second_phase if sys.argv[2] == "burns" else rests)(now + 90)
