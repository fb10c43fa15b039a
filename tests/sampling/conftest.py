"""Waiting for what happens in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.patience import PATIENCE_S


@pytest.fixture
def until() -> Callable[..., object]:
    """Try until something true comes back; fail after a generous deadline."""

    def wait(attempt: Callable[[], object], pause_s: float = 0.05) -> object:
        end = time.monotonic() + PATIENCE_S
        while not (found := attempt()):
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(pause_s)
        return found

    return wait
