"""Tiers once in a child for each line on stdin, killed (as by kill -9) at a system call that changes a file.

A line is JSON: data directory, address of the bucket, number of the call; 0: of none. Answers with the wait status
and how many calls there were. One process for all of them: its libraries take a second of CPU to load.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pyarrow

from monitord.analytics.tiering import Tiering, TierLimits

CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.link")


def tier(data_dir: Path, cold_url: str, kill_at: int) -> int:
    seen = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        is_write = event != "open" or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if event in CHANGES and is_write and str(data_dir.parent) in str(arguments[0]):
            seen += 1
            if seen == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    Tiering(data_dir, TierLimits(1_000_000_000, 1, cold_url)).run()
    return seen


def in_child(data_dir: str, cold_url: str, kill_at: int) -> tuple[int, int]:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, str(tier(Path(data_dir), cold_url, kill_at)).encode())
            os._exit(0)
        except BaseException:  # noqa: BLE001  whatever it is, it must not go on as the parent
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as told:
        steps = int(told.read() or 0)
    return os.waitpid(child, 0)[1], steps


if __name__ == "__main__":
    pyarrow.array([])  # at its first array it loads what there is for it: not in each child anew
    importlib.import_module("pyarrow.parquet")
    for line in sys.stdin:
        print(json.dumps(in_child(*json.loads(line))), flush=True)
