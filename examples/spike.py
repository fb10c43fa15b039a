"""A small program that behaves, and then does not: `price_basket` goes quadratic. The demo catches it.

`spike.py [SECONDS] [--when-told]`: how long it burns; whether it waits for a line on stdin before it begins.
"""

import contextlib
import ctypes
import sys
import time


def price_basket(size: int) -> int:
    """The guilty one: compares every item with every other."""
    total = 0
    for i in range(size):
        for j in range(size):
            total += (i * j) % 7
    return total


def serve_requests(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        price_basket(300)


def wait_for_work(seconds: float) -> None:
    time.sleep(seconds)


if __name__ == "__main__":
    # Where Yama guards ptrace, a process may let others of the same user look at it: PR_SET_PTRACER, any.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)
    words = [word for word in sys.argv[1:] if word != "--when-told"]
    if "--when-told" in sys.argv:
        sys.stdin.readline()
    wait_for_work(2.0)
    serve_requests(float(words[0]) if words else 30.0)
