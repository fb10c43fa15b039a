"""Starts children for work that is too heavy for the recorder, one at a time, and hears how each ended.

To add an errand: one line in `ERRANDS`, and a module whose last line on stdout is JSON with `outcome` and
`detail`, as `TaskResult` has them. It is started as `python -m MODULE WORDS… --data-dir DIR [--config FILE]`,
reads the configuration itself, and ends soon when its stdin closes. It may be killed at any moment, and run
once too often.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from monitord.children import own_command
from monitord.config import Settings
from monitord.logs import get_logger
from monitord.scheduling import TaskOutcome

_ANSWER_AT_MOST = 16 << 10  # what `children.answer` says is shorter
_RETRY_S = 600.0
# Client libraries would start a thread a core, which on a large machine is more than the service may have.
_FEW_THREADS = {"TOKIO_WORKER_THREADS": "2", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Errand:
    """One kind of child: due `first_after_s` after the start, then every so often, when it `is_wanted`.

    With `after_incident_s` it is also due so long after an incident has all that it will get.
    """

    name: str
    command: tuple[str, ...]
    every_s: float
    first_after_s: float
    deadline_s: float
    is_wanted: Callable[[Settings], bool]
    after_incident_s: float | None = None


ERRANDS: tuple[Errand, ...] = (
    Errand(
        name="backup",
        command=("monitord.actions.backup_errand",),
        every_s=3600.0,  # it asks itself whether a backup is due
        first_after_s=60.0,
        deadline_s=1800.0,
        is_wanted=lambda settings: bool(settings.backup.folder),
    ),
    Errand(
        name="duckdb file",
        command=("monitord.actions.companion_errand",),
        every_s=3600.0,  # it asks itself whether it is due
        first_after_s=300.0,
        deadline_s=900.0,
        is_wanted=lambda settings: bool(settings.analytics.duckdb_file),
    ),
    Errand(
        name="events",
        command=("monitord.actions.event_copy",),
        every_s=600.0,  # a child's start costs half a second of CPU
        first_after_s=30.0,
        deadline_s=600.0,
        is_wanted=lambda settings: bool(settings.events.url),
        after_incident_s=5.0,
    ),
    Errand(
        name="metrics textfile",
        command=("monitord.actions.metrics_errand", "textfile"),
        every_s=60.0,
        first_after_s=10.0,
        deadline_s=60.0,
        is_wanted=lambda settings: bool(settings.metrics.textfile),
    ),
    Errand(
        name="own policies",
        command=("monitord.actions.own_policies",),
        every_s=3600.0,
        first_after_s=120.0,
        deadline_s=60.0,  # somebody else's code: while it hangs the others wait
        is_wanted=lambda settings: bool(settings.retention.policies),
    ),
    Errand(
        name="ship",
        command=("monitord.actions.shipping",),
        every_s=3600.0,
        first_after_s=60.0,
        deadline_s=900.0,
        is_wanted=lambda settings: bool(settings.ship.url),
        after_incident_s=5.0,
    ),
    Errand(
        name="tiering",
        command=("monitord.analytics.tiering",),
        every_s=3600.0,
        first_after_s=5.0,  # before retention's first pass
        deadline_s=1800.0,
        is_wanted=lambda settings: settings.analytics.warm_mb > 0,
    ),
    Errand(
        name="otlp",
        command=("monitord.actions.metrics_errand", "otlp"),
        every_s=60.0,
        first_after_s=15.0,
        deadline_s=300.0,
        is_wanted=lambda settings: bool(settings.otlp.endpoint),
    ),
)


class Errands:
    """Belongs to the loop's thread, but for `settled`, which any thread may call."""

    def __init__(
        self,
        data_dir: Path,
        config_path: Path | None,
        note: Callable[[TaskOutcome], object],
        clock: Callable[[], float] = time.monotonic,
        errands: tuple[Errand, ...] | None = None,
    ) -> None:
        self._places = ["--data-dir", str(data_dir)]
        self._places += ["--config", str(config_path)] if config_path is not None else []
        self._note = note
        self._clock = clock
        self._all = ERRANDS if errands is None else errands
        self._wanted: dict[str, Errand] = {}
        self._due_s: dict[str, float] = {}
        self._told: dict[str, TaskOutcome] = {}
        self._current: _Running | None = None

    def use(self, settings: Settings) -> None:
        """Take over a configuration: what it newly wants comes first, what it no longer wants not again."""
        now_s, before = self._clock(), self._due_s
        self._wanted = {each.name: each for each in self._all if each.is_wanted(settings)}
        self._due_s = {
            name: before.get(name, now_s + each.first_after_s) for name, each in self._wanted.items()
        }
        self._told = {name: told for name, told in self._told.items() if name in self._wanted}

    def settled(self) -> None:
        """An incident has all that it will get."""
        for name, each in self._wanted.items():
            if each.after_incident_s is not None:
                due_s = self._clock() + each.after_incident_s
                self._due_s[name] = min(self._due_s.get(name, due_s), due_s)

    def poll(self) -> None:
        """Start what is due, and hear how the last one ended; never waits."""
        if self._current is not None:
            outcome = self._current.ended(self._clock())
            if outcome is None:
                return
            self._hear(self._current.errand, outcome)
            self._current = None
        due = [(at_s, name) for name, at_s in self._due_s.items() if at_s <= self._clock()]
        if due:
            self._start(self._wanted[min(due)[1]])

    def close(self, within_s: float) -> None:
        """End the one that runs; what it has not done the next run does."""
        if self._current is not None:
            self._current.end(within_s)
            self._current = None

    def table(self) -> Mapping[str, object]:
        """Return each wanted errand's last run and outcome; None where it never ran."""
        running = self._current.errand.name if self._current else None
        return {name: _line(self._told.get(name), is_running=name == running) for name in self._wanted}

    def complaints(self) -> list[str]:
        """Return what does not go well, in words."""
        return [f"{name}: {told.detail}" for name, told in self._told.items() if told.outcome != "ok"]

    def _start(self, errand: Errand) -> None:
        self._due_s[errand.name] = self._clock() + errand.every_s
        try:
            child = subprocess.Popen(
                [*own_command(errand.command[0]), *errand.command[1:], *self._places],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                cwd="/",
                env={**os.environ, **_FEW_THREADS},
            )
        except OSError as error:
            reason = f"cannot start it: {error.strerror}"
            self._hear(errand, TaskOutcome(errand.name, "failed", reason, datetime.now(UTC), 0.0))
            return
        self._current = _Running(errand, child, self._clock(), datetime.now(UTC))

    def _hear(self, errand: Errand, outcome: TaskOutcome) -> None:
        before = self._told.get(errand.name)
        if errand.name in self._wanted:
            self._told[errand.name] = outcome
            if outcome.outcome != "ok":
                retry_s = self._clock() + min(_RETRY_S, errand.every_s)
                self._due_s[errand.name] = min(self._due_s[errand.name], retry_s)
        if before is None or before.outcome != outcome.outcome:  # trouble is said once, and its end once
            tell = get_logger().info if outcome.outcome == "ok" else get_logger().warning
            tell("errand.ended", errand=errand.name, outcome=outcome.outcome, detail=outcome.detail)
            self._note(outcome)


class _Running:
    """A child at work."""

    def __init__(
        self, errand: Errand, child: subprocess.Popen[bytes], started_s: float, started_at: datetime
    ) -> None:
        self.errand = errand
        self._child = child
        self._started_s = started_s
        self._started_at = started_at
        self._said = b""
        assert child.stdout is not None  # noqa: S101  a pipe; tells mypy
        os.set_blocking(child.stdout.fileno(), False)

    def ended(self, now_s: float) -> TaskOutcome | None:
        """How it ended; None while it works. One that works beyond its deadline is ended."""
        status = self._child.poll()
        self._listen()
        took_s = now_s - self._started_s
        if status is None and took_s <= self.errand.deadline_s:
            return None
        said = self.end(0.0)
        if status is None:
            outcome, detail = "failed", f"ended after {took_s:.0f} s without a result"
        else:
            outcome, detail = said or ("failed", f"ended with status {status}")
        return TaskOutcome(self.errand.name, outcome, detail, self._started_at, took_s)

    def end(self, within_s: float) -> tuple[str, str] | None:
        """Close its stdin, wait, and kill it and what it started when it is still there."""
        assert self._child.stdin is not None  # noqa: S101  a pipe; tells mypy
        self._child.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(within_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, 9)
        self._child.wait()
        return self._answer()

    def _listen(self) -> None:
        """Keep the end of what it said: a full pipe would stop it."""
        assert self._child.stdout is not None  # noqa: S101  a pipe; tells mypy
        self._said = (self._said + (self._child.stdout.read() or b""))[-_ANSWER_AT_MOST:]

    def _answer(self) -> tuple[str, str] | None:
        assert self._child.stdout is not None  # noqa: S101  a pipe; tells mypy
        self._listen()
        self._child.stdout.close()
        try:
            said = json.loads(self._said.splitlines()[-1])
            return str(said["outcome"]), str(said["detail"])
        except (IndexError, ValueError, KeyError, TypeError, RecursionError):
            return None


def _line(told: TaskOutcome | None, *, is_running: bool) -> dict[str, object]:
    return {
        "last_run": told.started_at.isoformat() if told else None,
        "outcome": told.outcome if told else None,
        "detail": told.detail if told else None,
        "running": is_running,
    }
