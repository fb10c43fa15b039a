"""A service manager that remembers what it was told."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence


class Manager:
    """A service manager that remembers what it was told, and fails when told to."""

    def __init__(self, fails: str | None = None, says: str = "no such unit\nmore") -> None:
        self.told: list[str] = []
        self.fails = fails
        self.says = says

    def __call__(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        self.told.append(" ".join(argv))
        is_failing = self.fails is not None and self.fails in argv
        return subprocess.CompletedProcess(argv, int(is_failing), "", self.says if is_failing else "")
