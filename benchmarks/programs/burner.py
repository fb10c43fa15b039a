"""A Python program that spikes in a known function: `burner.py SHAPE WORK [--idle N] [--title NAME]`.

Says "ready", waits for a line on stdin, then prints "PID ROUNDS" ten times a second. SIGUSR1 is its turn: the
next phase begins. It ends by itself after a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import works

LIFE_S = 60.0
REPORT_S = 0.1
turned = threading.Event()


def burn(work: Callable[[], object]) -> None:
    """Work until the turn or the end; the work itself is where nearly all the time goes."""
    end_s = time.monotonic() + LIFE_S
    rounds, next_s = 0, 0.0
    while (now_s := time.monotonic()) < end_s and not turned.is_set():
        work()
        rounds += 1
        if now_s >= next_s:
            os.write(1, b"%d %d\n" % (os.getpid(), rounds))
            next_s = now_s + REPORT_S


def wait_for_work() -> None:
    time.sleep(LIFE_S)


def start_idle(count: int) -> None:
    """Threads that wait, half of them as the workers of a pool do."""
    if count:
        pool = ThreadPoolExecutor(count - count // 2)
        for _ in range(count - count // 2):
            pool.submit(time.sleep, 0.05)
    for _ in range(count // 2):
        threading.Thread(target=threading.Event().wait, daemon=True).start()


def named(work: str) -> None:
    burn(works.WORKS[work])


# ---------------------------------------------------------------------------------------- shapes


def in_main(work: str) -> None:
    named(work)


def in_a_thread(work: str) -> None:
    worker = threading.Thread(target=named, args=(work,), daemon=True)
    worker.start()
    worker.join()


def in_a_thread_pool(work: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        pool.submit(named, work).result()


def in_a_process_pool(work: str, start: str) -> None:
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context(start)) as pool:
        pool.submit(named, work).result()


def in_asyncio(work: str) -> None:
    async def serve() -> None:
        async def tick() -> None:
            while True:
                await asyncio.sleep(0.01)

        other = asyncio.create_task(tick())
        await handle()
        other.cancel()

    async def handle() -> None:
        end_s = time.monotonic() + LIFE_S
        rounds = 0
        while time.monotonic() < end_s:
            works.WORKS[work]()
            rounds += 1
            os.write(1, b"%d %d\n" % (os.getpid(), rounds))
            await asyncio.sleep(0)

    asyncio.run(serve())


def native_thread(library: str) -> None:
    """A thread of C code in a process whose Python only sleeps."""
    worker = ctypes.CDLL(library).planted_native
    threading.Thread(target=worker, args=(int(LIFE_S),), daemon=True).start()
    wait_for_work()


def extension_in_a_pool(library: str) -> None:
    """Compiled code submitted as it is: the only Python frames are those of the pool."""
    worker = ctypes.PyDLL(library).planted_native
    with ThreadPoolExecutor(4) as pool:
        pool.submit(worker, int(LIFE_S)).result()


def then_another(work: str) -> None:
    """Burns in planted_first; from the turn on in planted_second."""
    burn(works.planted_first)
    turned.clear()
    burn(works.planted_second)


def then_waits(work: str) -> None:
    named(work)
    wait_for_work()


def ends(work: str) -> None:
    named(work)


SHAPES: dict[str, Callable[[str], None]] = {
    "main": in_main,
    "thread": in_a_thread,
    "thread-pool": in_a_thread_pool,
    "fork-pool": lambda work: in_a_process_pool(work, "fork"),
    "spawn-pool": lambda work: in_a_process_pool(work, "spawn"),
    "asyncio": in_asyncio,
    "native-thread": native_thread,
    "extension": extension_in_a_pool,
    "phases": then_another,
    "then-waits": then_waits,
    "ends": ends,
}


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("shape", choices=list(SHAPES))
    options.add_argument("work")
    options.add_argument("--idle", type=int, default=0)
    options.add_argument("--title")
    arguments = options.parse_args()
    signal.signal(signal.SIGUSR1, lambda *_: turned.set())
    if arguments.title:
        Path("/proc/self/comm").write_text(arguments.title)
    start_idle(arguments.idle)
    os.write(1, b"ready\n")
    sys.stdin.readline()
    SHAPES[arguments.shape](arguments.work)


if __name__ == "__main__":
    main()
