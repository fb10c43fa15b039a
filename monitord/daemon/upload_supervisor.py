"""Starts an uploader when something waits for a remote provider, one at a time, and ends it.

Trouble is said once, and its end once; in between it is tried again after 5 s, 10 s … 5 min.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from monitord.children import own_command
from monitord.logs import get_logger
from monitord.recorder.artefact_stores import ARCHIVE_DELETIONS_NAME, DELETIONS_NAME
from monitord.recorder.uploader_status import read_uploader_status
from monitord.storage.artefacts.keys import has_no_row
from monitord.storage.schema import ARTEFACTS_NAME

MORE = 10  # the uploader's exit status when its life was over before its work
# obstore would start a thread a core, which on a large machine is more than the service may have.
_FEW_THREADS = {"TOKIO_WORKER_THREADS": "2"}
ARCHIVING_EVERY_S = 3600.0
_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 300.0


class UploadSupervisor:
    """Belongs to the loop's thread, but for `notify`, which any thread may call."""

    def __init__(
        self,
        data_dir: Path,
        config_path: Path | None,
        *,
        uploads: bool,
        archives: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """With `uploads` what lies here goes elsewhere; with `archives` what is old does, each hour."""
        words = [*own_command("monitord.daemon.uploader"), "--while-stdin"]
        words += ["--data-dir", str(data_dir)]
        self._words = words + (["--config", str(config_path)] if config_path is not None else [])
        self._data_dir = data_dir
        self._clock = clock
        self._child: subprocess.Popen[bytes] | None = None
        self._is_wanted = True  # an earlier run may have left something
        self._folders = [ARTEFACTS_NAME, DELETIONS_NAME] if uploads else []
        self._folders += [ARCHIVE_DELETIONS_NAME] if archives else []
        self._left: frozenset[str] = frozenset()
        self._archiving_due_s = clock() if archives else float("inf")
        self._is_archiving = False
        self._not_before_s = float("-inf")
        self._pause_s = 0.0
        self.trouble: str | None = None

    def notify(self) -> None:
        """Something was stored or deleted."""
        self._is_wanted = True

    def check(self) -> None:
        """Notice what waits that was not left by an uploader that had nothing more to do."""
        self._is_wanted = self._is_wanted or self._is_archiving_due or not self._waiting() <= self._left

    def poll(self) -> None:
        """Start an uploader if one is wanted, and hear how the last one ended; never waits."""
        if self._child is not None:
            status = self._child.poll()
            if status is None:
                return
            self._let_go()
            self._note_end(status)
        if self._is_wanted and self._clock() >= self._not_before_s:
            self._is_wanted = False
            if self._is_archiving_due or self._waiting():
                self._start()

    @property
    def _is_archiving_due(self) -> bool:
        return self._clock() >= self._archiving_due_s

    def close(self, within_s: float) -> None:
        """End the uploader, which leaves everything in good order wherever it is."""
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(within_s)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._let_go()

    def _start(self) -> None:
        self._is_archiving = self._is_archiving_due
        try:
            self._child = subprocess.Popen(
                [*self._words, *(["--archive"] if self._is_archiving else [])],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env={**os.environ, **_FEW_THREADS},
            )
        except OSError as error:
            self._fail(f"cannot start the uploader: {error.strerror}")

    def _let_go(self) -> None:
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()
        self._child = None

    def _note_end(self, status: int) -> None:
        if status in (0, MORE):
            self._pause_s = 0.0
            if self._is_archiving:
                self._archiving_due_s = self._clock() + ARCHIVING_EVERY_S
            self._left = self._waiting() if status == 0 else frozenset()
            self._is_wanted = self._is_wanted or status == MORE
            if self.trouble is not None:
                get_logger().info("uploader.recovered")
            self.trouble = None
            return
        written = read_uploader_status(self._data_dir)
        self._fail((written.last_error if written else None) or f"the uploader ended with status {status}")

    def _fail(self, reason: str) -> None:
        self._is_wanted = True
        self._pause_s = min(max(_FIRST_PAUSE_S, 2 * self._pause_s), _LONGEST_PAUSE_S)
        self._not_before_s = self._clock() + self._pause_s
        if self.trouble is None:
            get_logger().warning("uploader.failing", reason=reason)
        self.trouble = reason

    def _waiting(self) -> frozenset[str]:
        """Names in the folders that an uploader is to empty."""
        found: set[str] = set()
        for folder in self._folders:
            with contextlib.suppress(OSError):
                names = os.listdir(self._data_dir / folder)  # noqa: PTH208  names are all that is wanted
                found.update(f"{folder}/{name}" for name in names if name[0] != "." and not has_no_row(name))
        return frozenset(found)
