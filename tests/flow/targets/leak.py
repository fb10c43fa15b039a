"""Grows by `step` MiB every 100 ms up to `limit` MiB, then holds it."""

import sys
import time

step, limit = int(sys.argv[1]), int(sys.argv[2])
held: list[bytes] = []


def guilty_leak() -> None:
    held.append(bytes(bytearray(b"x" * (step << 20))))


while True:
    if len(held) * step < limit:
        guilty_leak()
    time.sleep(0.1)
