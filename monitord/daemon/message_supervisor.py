"""Starts a sender of messages when something is to be told, one at a time, and ends it.

Every method may be called from any thread and waits for nothing but the start of a process. What the sender
is told here only makes it earlier: it finds by itself what was stored and not told (docs/decisions/0049).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitord.children import own_command
from monitord.durable import read_regular
from monitord.errors import BusyError
from monitord.logs import get_logger
from monitord.model import Incident, TriggerMetric
from monitord.recorder.status import MESSAGES_FILE, RECEIVER_FAILED, moment_of
from monitord.storage.artefacts.monitor import StorageAlert

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 300.0
_LINES_AT_MOST, _BYTES_AT_MOST = 64, 32 << 10  # an empty pipe takes twice as much
_TEXT_AT_MOST = 500


class MessageSupervisor:
    """One sender at a time for one data directory; `trouble` is why messages wait, in words."""

    def __init__(
        self,
        data_dir: Path,
        config_path: Path | None,
        after_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        words = [*own_command("monitord.notify"), "--data-dir", str(data_dir)]
        self._words = words + (["--config", str(config_path)] if config_path is not None else [])
        self._status = data_dir / MESSAGES_FILE
        self._after_s = after_s
        self._clock = clock
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._due_s = clock()  # an earlier run may have left something
        self._not_before_s = float("-inf")
        self._pause_s = 0.0
        self._untold: list[Mapping[str, Any]] = []
        self._told_first: list[Mapping[str, Any]] = []
        self._told_later: list[Mapping[str, Any]] = []  # it may have ended without reading them
        self._is_closed = False
        self.trouble: str | None = None

    def use(self, after_s: float) -> None:
        """Take over another configuration: a sender that runs ends with what it is at, the next reads it."""
        with self._lock:
            self._after_s, self._due_s = after_s, self._clock()
            self._not_before_s, self._pause_s = float("-inf"), 0.0
            if self._child is not None:
                _say_no_more(self._child)

    def saved(self, incident: Incident) -> None:
        """An incident is durable: it is told after a while, whatever comes."""
        if incident.alert.metric is not TriggerMetric.MANUAL:
            with self._lock:
                self._due_s = min(self._due_s, self._clock() + self._after_s)

    def settled(self, correlation_id: str) -> None:
        """An incident has all that it will get: it is told now."""
        self._say({"ready": [correlation_id]})

    def storage(self, alert: StorageAlert) -> None:
        """The storage is in trouble, or no longer."""
        said = {
            "check": alert.check,
            "level": alert.level.value,
            "message": alert.message[:_TEXT_AT_MOST],
            "fix": alert.fix and alert.fix[:_TEXT_AT_MOST],
            "at": (alert.recovered_at or alert.raised_at).isoformat(),
            "is_over": alert.recovered_at is not None,
        }
        self._say({"storage": said})

    def poll(self) -> None:
        """Start a sender if one is due, and hear how the last one ended; never waits."""
        if self._lock.acquire(blocking=False):  # else another thread is just at it
            try:
                self._go_on()
            finally:
                self._lock.release()

    def close(self, within_s: float) -> None:
        """Let the sender finish what it is at; what it does not finish is told by a later one."""
        with self._lock:
            self._is_closed = True
            child, self._child = self._child, None
        if child is None:
            return
        _say_no_more(child)
        try:
            child.wait(within_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _say(self, line: Mapping[str, Any]) -> None:
        with self._lock:
            self._untold = _bounded([*self._untold, line])
            self._go_on()

    def _go_on(self) -> None:
        if self._child is not None:
            status = self._child.poll()
            if status is None:
                self._tell(self._child)
                return
            self._note_end(self._child, status)
        now_s = self._clock()
        if (self._untold or now_s >= self._due_s) and now_s >= self._not_before_s and not self._is_closed:
            self._start()

    def _start(self) -> None:
        self._due_s = float("inf")
        try:
            child = subprocess.Popen(
                self._words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, cwd="/"
            )
        except OSError as error:
            self._fail(f"cannot start the sender: {error.strerror}")
            return
        assert child.stdin is not None  # noqa: S101  a pipe; tells mypy
        os.set_blocking(child.stdin.fileno(), False)
        self._child = child
        self._told_first, self._untold = self._untold, []
        _write(child, self._told_first)

    def _tell(self, child: subprocess.Popen[bytes]) -> None:
        """Hand on to a sender that runs what it can't know; again to the next one, should it miss it."""
        if self._untold and _write(child, self._untold):
            self._told_later += self._untold
            self._untold = []

    def _note_end(self, child: subprocess.Popen[bytes], status: int) -> None:
        _say_no_more(child)
        self._child = None
        first, later, self._told_first, self._told_later = self._told_first, self._told_later, [], []
        next_due, complaints = self._read()
        if status in (0, RECEIVER_FAILED):
            self._untold = [*later, *self._untold]
            self._pause_s = 0.0
            if next_due is not None:
                wait_s = (next_due - datetime.now(UTC)).total_seconds()
                self._due_s = min(self._due_s, self._clock() + max(0.0, wait_s))
            self._note_trouble("; ".join(complaints) or None)
            return
        self._untold = _bounded([*first, *later, *self._untold])
        if status == BusyError.exit_code:
            self._pause()  # one that outlived its recorder is just finishing
        else:
            self._fail("; ".join(complaints) or f"the sender ended with status {status}")

    def _fail(self, reason: str) -> None:
        self._pause()
        self._note_trouble(reason)

    def _pause(self) -> None:
        self._pause_s = min(max(_FIRST_PAUSE_S, 2 * self._pause_s), _LONGEST_PAUSE_S)
        self._not_before_s = self._due_s = self._clock() + self._pause_s

    def _note_trouble(self, reason: str | None) -> None:
        """Say it once when it begins, and once when it is over."""
        if reason and not self.trouble:
            get_logger().warning("messages.failing", reason=reason)
        if self.trouble and not reason:
            get_logger().info("messages.recovered")
        self.trouble = reason

    def _read(self) -> tuple[datetime | None, list[str]]:
        """When the sender wants to be started again, and what does not go well."""
        try:
            told = json.loads(read_regular(self._status))
            return moment_of(told.get("next_due_at")), [str(each) for each in told["complaints"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None, []


def _write(child: subprocess.Popen[bytes], lines: list[Mapping[str, Any]]) -> bool:
    """Whether it went whole into the pipe. A sender that got a part of it ends; the next one hears all."""
    assert child.stdin is not None  # noqa: S101  a pipe; tells mypy
    if child.stdin.closed:
        return False
    data = _packed(lines)
    try:
        is_whole = os.write(child.stdin.fileno(), data) == len(data)
    except OSError:
        return False
    if not is_whole:
        child.kill()
    return is_whole


def _packed(lines: Sequence[Mapping[str, Any]]) -> bytes:
    return json.dumps(lines).encode() + b"\n"


def _say_no_more(child: subprocess.Popen[bytes]) -> None:
    """It ends with what it is at."""
    assert child.stdin is not None  # noqa: S101  a pipe; tells mypy
    with contextlib.suppress(OSError):
        child.stdin.close()


def _bounded(lines: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The newest; incidents give way: the sender finds them by itself, the storage's trouble nowhere."""
    for line in [line for line in lines if "ready" in line][: max(0, len(lines) - _LINES_AT_MOST)]:
        lines.remove(line)
    kept = lines[-_LINES_AT_MOST:]
    while len(_packed(kept)) > _BYTES_AT_MOST:
        del kept[0]
    return kept
