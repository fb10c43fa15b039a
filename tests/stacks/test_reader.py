"""Whom the reader of Python stacks attaches to, and how often it asks again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from monitord import procfs
from monitord.stacks.cpython import Interpreter, NotPythonError, UnreadableError
from monitord.stacks.reader import PythonReader


@pytest.fixture
def burner() -> Iterator[int]:
    """One that has loaded all it needs: while it starts its memory grows."""
    process = subprocess.Popen(["sh", "-c", "echo; while :; do :; done"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process.pid
    process.kill()
    process.communicate()


class Asked:
    """What is asked for an interpreter: it refuses, and counts."""

    def __init__(self, error: type[Exception]) -> None:
        self.error, self.count = error, 0

    def __call__(self, _pid: int) -> Interpreter:
        self.count += 1
        raise self.error("no Python")


def ask(reader: PythonReader, pid: int, times: int) -> None:
    """Each time it is due."""
    for _ in range(times):
        if (known := reader._processes.get(pid)) is not None:
            known.due_s = 0.0
        assert reader.stack_of(pid, pid, 0.0) is None


def test_who_has_loaded_nothing_since_is_not_attached_to_again(burner: int) -> None:
    """To find that a burner in C has no Python costs as much as a hundred looks at the size of its memory."""
    asked = Asked(NotPythonError)
    reader = PythonReader(lambda _name, _executable: True, asked)
    ask(reader, burner, 5)
    assert (asked.count, reader.looked_count) == (1, 1)
    ask(reader, burner, 20)  # more than a minute by its own waits
    assert asked.count > 1


def test_who_has_grown_since_is_asked_again(burner: int) -> None:
    """It may have loaded one."""
    asked = Asked(NotPythonError)
    reader = PythonReader(lambda _name, _executable: True, asked)
    ask(reader, burner, 2)
    own = procfs.stat_of(os.getpid())
    assert own is not None
    known = reader._processes[burner]
    known.size_bytes = own.virtual_bytes  # as if it had had another size then
    ask(reader, burner, 1)
    assert asked.count == 2
    ask(reader, burner, 1)
    assert asked.count == 2


def test_who_could_not_be_read_is_asked_again_whatever_its_size(burner: int) -> None:
    """A Python that has just started is not ready yet."""
    asked = Asked(UnreadableError)
    reader = PythonReader(lambda _name, _executable: True, asked)
    ask(reader, burner, 4)
    assert asked.count == 4
