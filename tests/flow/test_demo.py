"""`make demo` on a crowded machine: the function is named, and what the page suggests can be typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.burners import burn_command
from tests.patience import PATIENCE_S

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"
BURNERS_PER_CORE = 2


@contextmanager
def crowd() -> Iterator[int | None]:
    """Burners on one core, which is given (on Linux): who shares it has as little as on any core of a crowd.

    In sessions of their own, because the kernel shares the CPU out by session first. The other cores are left
    to the other tests.
    """
    core = max(os.sched_getaffinity(0)) if sys.platform == "linux" else None
    command = on_core(core, *burn_command(280))
    count = BURNERS_PER_CORE * (1 if core is not None else os.cpu_count() or 1)
    burners = [subprocess.Popen(command, start_new_session=True) for _ in range(count)]
    try:
        yield core
    finally:
        for one in burners:
            one.kill()
            one.wait()


def on_core(core: int | None, *words: str) -> list[str]:
    return [*words] if core is None else ["taskset", "--cpu-list", str(core), *words]


def test_the_demo_names_the_function_in_a_crowd_and_keeps_its_recording(tmp_path: Path) -> None:
    """Exit status 0, nothing left running, and the suggested commands work where it says that they do."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "120"}
    with crowd() as core:
        demo = subprocess.Popen(
            on_core(core, sys.executable, str(DEMO)),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        told, progress = demo.communicate(timeout=500)
    assert demo.returncode == 0, told + progress
    assert "The guilty function was named: price_basket" in told
    assert processes_of(demo.pid) == []
    (exports,) = re.findall(r"^  (export MONITORD_DATA_DIR=.*)$", told, re.MULTILINE)
    suggested = re.findall(r"^  (monitord \S+.*?)  ", told, re.MULTILINE)
    assert len(suggested) >= 3
    for command in suggested:
        done = subprocess.run(
            ["sh", "-c", f"{exports}; {command}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, (command, done.stderr)
    (remove,) = re.findall(r"^  (rm -r .*)$", told, re.MULTILINE)
    subprocess.run(["sh", "-c", remove], check=True)
    assert not list(tmp_path.glob("monitord-demo-*"))


def processes_of(session: int) -> list[str]:
    """Who is still there of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            found.append(stat.parent.name)
    return found
