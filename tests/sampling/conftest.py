"""Waiting for what happens in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest


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
