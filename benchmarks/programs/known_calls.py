"""Calls that change as fast as they can, in a graph that is known: main, a, b, c, and again a or nothing.

known_calls.py SECONDS DEPTH        prints how many rounds a second of CPU it made
"""

import sys
import time


def c(left):
    return a(left - 1) if left else sum(range(30))


def b(left):
    return c(left)


def a(left):
    return b(left)


def main(seconds, depth):
    end, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        a(rounds % depth)
        rounds += 1
    return rounds


began = time.process_time()
made = main(float(sys.argv[1]), int(sys.argv[2]))
print(made / (time.process_time() - began), flush=True)
