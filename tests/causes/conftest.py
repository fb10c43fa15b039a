"""Programs in C and Python that show a cause, and what monitord makes of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from monitord import procfs
from tests.patience import PATIENCE_S

Started = tuple[subprocess.Popen[str], list[int]]
Run = Callable[..., Started]


@pytest.fixture(scope="session")
def built(
    tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]
) -> Callable[[str], str]:
    """Compile a program in C, each once."""
    folder = tmp_path_factory.mktemp("built")

    def build(source: str) -> str:
        program = folder / f"p{sha256(source.encode()).hexdigest()[:12]}"
        if not program.exists():
            program.with_suffix(".c").write_text(source, encoding="ascii")
            words = [require_tool("gcc"), "-w", "-O1", "-pthread", "-o", str(program), f"{program}.c"]
            subprocess.run(words, check=True, capture_output=True)
        return str(program)

    return build


@pytest.fixture
def run() -> Iterator[Run]:
    """Start a command; give it and the numbers in its "ready" line. All of its group is gone at the end."""
    started: list[subprocess.Popen[str]] = []

    def begin(*command: str) -> Started:
        words = [sys.executable, "-c", *command] if "\n" in command[0] else [*command]
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        assert process.stdout is not None
        said = process.stdout.readline().split()
        assert said[:1] == ["ready"], said
        return process, [int(word) for word in said[1:]]

    yield begin
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended, and all its children
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        process.wait()


def waits_in(pid: int, *calls: str) -> None:
    """Return when a thread of the process is in one of these system calls: it hangs now."""
    from monitord.causes import threads

    deadline = time.monotonic() + PATIENCE_S
    while not any(one.call in calls for one in threads.read_all(pid)[1]):
        assert time.monotonic() < deadline, f"process {pid} never came to {calls}"
        time.sleep(0.02)


def ticks(pid: int) -> int:
    """The start of a process, as an observation asks for it."""
    key = procfs.key_of(pid)
    assert key is not None
    return key.start_ticks


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An empty file to be locked."""
    path = tmp_path / "ledger.db"
    path.write_bytes(bytes(1000))
    return path
