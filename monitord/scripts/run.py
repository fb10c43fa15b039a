"""A run of a script under Scalene as plain values: how it is wanted, where it writes, how it went."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.model import ProcessKey

if TYPE_CHECKING:
    from monitord.scripts.request import Program
    from monitord.scripts.result import ProfileResult

PROFILE_NAME = "profile.json"
_GRACE_PERIODS_S = (10.0, 10.0)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """How a script is run. `limit_s` None: until its own end. `folder`: a private one for its profile,
    removed at the end (None: a temporary one). `grace_periods_s`: waits after SIGINT and SIGTERM.
    """

    memory: bool = False
    is_off: bool = False
    limit_s: float | None = None
    stdout_to_stderr: bool = False
    folder: Path | None = None
    grace_periods_s: tuple[float, float] = _GRACE_PERIODS_S


@dataclass(frozen=True, slots=True)
class RunFolders:
    """The two private folders of a run: ours, and the script's $TMPDIR, where Scalene makes folders of its
    own.
    """

    folder: Path
    temporary: Path

    @property
    def profile(self) -> Path:
        return self.folder / PROFILE_NAME


@dataclass(frozen=True, slots=True)
class Run:
    """How a run ended. `ended`: exited, duration, stopped (it was told to).

    `exit_status` is the script's, negative for a signal, None when nothing could end it; `cpu_s` is what it
    and its children used. `profile` is Scalene's JSON, b"" when it wrote none. `target` is Scalene's first
    process. `left_behind` counts processes of the script that had to be ended; `kept_folder` is where it
    left files.
    """

    ended: str
    exit_status: int | None
    profile: bytes
    target: ProcessKey
    began_at: datetime
    duration_s: float
    cpu_s: float = 0.0
    left_behind: int = 0
    kept_folder: str | None = None


class Watcher:
    """Hears what happens while a script runs."""

    def stop_requests(self) -> int:
        """How often somebody has asked for the end so far; each further time hastens it."""
        return 0

    def started(self, leader: int, folders: RunFolders) -> None:
        """Hear that it runs: `leader` is the pid of Scalene's first process."""

    def tick(self, elapsed_s: float) -> None:
        """Hear that time has passed, at each turn of the loop that waits."""


@dataclass(slots=True)
class ScriptRun:
    """A run and what it was of; `result` is None when Scalene saw nothing."""

    program: Program
    run: Run
    result: ProfileResult | None = None
