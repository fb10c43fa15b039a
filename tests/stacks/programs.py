"""Programs for the black box: they burn a core in a function that is known, and end by themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE_S

# The rings are of the whole machine: whatever else starts programs writes to them, too.
BEAT_S = 0.05

# `burn` is entered through four functions; the program burns argv[1] milliseconds of CPU and ends.
BURNER = """
#include <stdlib.h>
#include <time.h>
volatile unsigned long sink;
static long used_ms(void) { struct timespec t; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); return t.tv_sec * 1000 + t.tv_nsec / 1000000; }
__attribute__((noinline, noclone)) void burn(long ms) { while (used_ms() < ms) for (unsigned long i = 0; i < 3000000; i++) sink += i * i; sink++; }
__attribute__((noinline, noclone)) void third(long ms) { burn(ms); sink++; }
__attribute__((noinline, noclone)) void second(long ms) { third(ms); sink++; }
__attribute__((noinline, noclone)) void first(long ms) { second(ms); sink++; }
int main(int argc, char **argv) { first(atol(argv[1])); return 0; }
"""


def burner(folder: Path, name: str = "burner") -> Path:
    """A program of C with frame pointers, that everybody may run."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed (apt-get install gcc)")
    source, program = folder / "burner.c", folder / name
    source.write_text(BURNER)
    flags = ("-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-no-pie")
    subprocess.run([compiler, *flags, "-o", program, source], check=True)
    return program


def functions_of(program: Path) -> dict[str, tuple[int, int]]:
    """Where each function lies in memory: it is linked to fixed addresses."""
    lines = subprocess.run(["nm", "-S", program], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in lines.splitlines()]
    return {row[3]: (int(row[0], 16), int(row[0], 16) + int(row[1], 16)) for row in rows if len(row) == 4}


def named(frames: tuple[int, ...], functions: dict[str, tuple[int, int]]) -> list[str]:
    """Names of those frames that are the program's own, leaf first."""
    names = [next((n for n, (begin, end) in functions.items() if begin <= ip < end), "") for ip in frames]
    return [name for name in names if name]


def one_cpu() -> int:
    return min(os.sched_getaffinity(0))


def until(is_met: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_met():
        assert time.monotonic() < deadline, f"waited in vain for {what}"


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def count_rings() -> int:
    """Descriptors of events that this process holds."""
    found = 0
    for fd in Path("/proc/self/fd").iterdir():
        try:
            found += "perf_event" in str(fd.readlink())
        except OSError:
            continue
    return found
