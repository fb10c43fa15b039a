"""Programs whose memory grows when they are told to, and the interpreters of Python that are here."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from monitord import procfs
from monitord.capture import fault_watch
from monitord.capture.fault_watch import Watch
from monitord.causes import OBSERVED_BYTES, memory
from monitord.causes.facts import Facts
from monitord.children import own_command, own_environment
from monitord.model import Alert, Cause, HistoryPoint
from tests.patience import PATIENCE_S
from tests.stacks.cpython.pythons import FROM_DEBIAN, from_debian

_STEPS = """
import sys
def step():
    print("ready", flush=True)
    sys.stdin.readline()
"""
_TRIES = 5
_NAME = re.compile(r"python3\.(\d+)")


@cache
def interpreters(oldest: int = 8) -> dict[str, tuple[str, ...]]:
    """How to start every CPython from 3.`oldest` on that the PATH, pyenv or Debian's newer packages have."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    folders += Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/*/bin")
    found = {f"3.{sys.version_info.minor}": (sys.executable,)}
    for folder in folders:
        for path in sorted(folder.glob("python3.*")):
            name = _NAME.fullmatch(path.name)
            if name and int(name[1]) >= oldest and f"3.{name[1]}" not in found:
                said = subprocess.run(
                    [str(path), "-c", "import sys; print(sys.version_info[1])"],
                    capture_output=True,
                    text=True,
                )
                if said.stdout.strip() == name[1]:  # pyenv's own stand-ins fail
                    found[f"3.{name[1]}"] = (str(path),)
    for path in sorted((FROM_DEBIAN / "usr/bin").glob("python3.*")):
        if _NAME.fullmatch(path.name) and (words := from_debian(path.name[6:])):
            found.setdefault(path.name[6:], words)
    return found


class Program:
    """A running program that waits at each `step()`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self.said = self._wait()

    def _wait(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def go_on(self) -> None:
        """Up to its next step."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.said = self._wait()

    def observe(self) -> dict[str, Any]:
        """What it holds; once more while pages of it are missing, which the kernel may move at any moment."""
        key = procfs.key_of(self.pid)
        assert key is not None
        for _try in range(_TRIES):
            # On a crowded machine the recorder's limit is reached before the end, and a part is counted and scaled.
            seen = memory.observe(key.pid, key.start_ticks, cpu_limit_s=PATIENCE_S)
            counted = seen.get("python")
            if counted is None or counted["read_bytes"] >= counted["resident_bytes"]:
                break
        return seen


@contextlib.contextmanager
def running(command: Sequence[str]) -> Iterator[Program]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Program(process)
        finally:
            process.kill()


def python(
    text: str, interpreter: Sequence[str] = (sys.executable,)
) -> contextlib.AbstractContextManager[Program]:
    return running([*interpreter, "-c", _STEPS + text + "\nstep()\n"])


def compiled(folder: Path, text: str) -> Path:
    """A C program, which waits at each `step()`."""
    compiler = shutil.which("gcc")
    assert compiler is not None, "needs gcc"
    (folder / "program.c").write_text(
        "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <sys/mman.h>\n"
        'static void step(void) { puts("ready"); fflush(stdout); getchar(); }\n' + text
    )
    subprocess.run([compiler, "-O1", "-o", folder / "program", folder / "program.c"], check=True)
    return folder / "program"


def facts(
    before: dict[str, Any] | None, after: dict[str, Any] | None, history: tuple[HistoryPoint, ...] = ()
) -> Facts:
    key = procfs.key_of(os.getpid())
    assert key is not None
    alert = Alert.unraised("memory-leak", key, "program", 0.0, datetime.now(UTC))
    return Facts(alert, before=before, after=after, history=history)


def grown(program: Program) -> Cause:
    """What is said of the growth from one step to the next."""
    before = program.observe()
    program.go_on()
    cause = memory.explain(facts(before, program.observe()))
    assert cause is not None
    return cause


def observed(pid: int, watch: Watch | None = None) -> dict[str, Any]:
    """What the child that observes memory says of a process."""
    key = procfs.key_of(pid)
    assert key is not None
    told = [str(watch)] if watch else []
    command = own_command("monitord.causes", "memory_growth", str(pid), str(key.start_ticks), *told)
    done = subprocess.run(
        command, env=own_environment(), capture_output=True, text=True, timeout=PATIENCE_S, cwd="/",
        pass_fds=watch.descriptors if watch else (),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) < OBSERVED_BYTES
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def grown_while_watched(program: Program, meanwhile: Callable[[], object] = lambda: None) -> Cause | None:
    """The same with the page faults from one step to the next; None: the kernel grants none."""
    watch = fault_watch.watch(program.pid)
    try:
        if isinstance(watch, fault_watch.Unwatched):
            return None
        before = observed(program.pid)
        program.go_on()
        meanwhile()
        return memory.explain(facts(before, observed(program.pid, watch)))
    finally:
        watch.close()
