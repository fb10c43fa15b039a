"""A process that tiers once, and is killed (as by kill -9) at the system call of one number that changes a file.

Run: python tier_process.py DATA_DIR COLD_URL KILL_AT     KILL_AT 0 only counts; prints how many there were.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from monitord.analytics.tiering import Tiering, TierLimits

CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.link")


def main() -> None:
    data_dir, cold_url, kill_at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
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
    print(seen)


main()
