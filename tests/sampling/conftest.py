"""Real child processes for the tests of sampling: started, waited for, and gone at the end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a Python program; returns when it has printed its first line ("ready")."""
    children: list[subprocess.Popen[str]] = []

    def run(code: str, *arguments: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-u", "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return child

    yield run
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def until() -> Callable[..., object]:
    """Try until something true comes back; fail after a generous deadline."""

    def wait(attempt: Callable[[], object], deadline_s: float = 30.0, pause_s: float = 0.05) -> object:
        end = time.monotonic() + deadline_s
        while not (found := attempt()):
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(pause_s)
        return found

    return wait
