"""Writes to a file at about `rate` MB/s, rewinding every 64 MB so that the disk does not fill."""

import os
import sys
import time

path, rate = sys.argv[1], float(sys.argv[2])
block = os.urandom(1 << 20)


def guilty_write(file: int, offset: int) -> None:
    os.pwrite(file, block, offset)
    os.fdatasync(file)


file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
offset = 0
while True:
    start = time.monotonic()
    guilty_write(file, offset)
    offset = (offset + len(block)) % (64 << 20)
    time.sleep(max(0.0, start + 1 / rate - time.monotonic()))
