"""Opens files or starts threads: `at_once` of them, then `step` more every 100 ms, up to 600."""

import os
import sys
import threading
import time

what, at_once, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
held: list[int] = []


def guilty_growth(count: int) -> None:
    for _ in range(count):
        if what == "files":
            held.append(os.open(os.devnull, os.O_RDONLY))
        else:
            threading.Thread(target=threading.Event().wait, daemon=True).start()


guilty_growth(at_once)
print("ready", flush=True)
for _ in range(at_once, 600, step or 600):
    guilty_growth(step)
    time.sleep(0.1)
threading.Event().wait()
