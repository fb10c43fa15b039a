"""A real store for what the daemon does with one."""

from __future__ import annotations

from tests.recorder.conftest import store

__all__ = ["store"]
