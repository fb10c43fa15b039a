"""Supervises one profiled script: starts it, hears its owner, leaves no process and no file of the profiler
behind.

Started by its path (`python -I -S`), standard library only, in a session of its own: it outlives
a monitord that was killed, and then ends the script. The script's streams are its caller's, never touched.
The profile is read once, here; its file is gone before anybody is told of it. On the report pipe: a line of
JSON when it has started, and at the end one more, followed by the profile's bytes. The end of the lifeline
means that the owner died; a word on it means: end it, and every further one: sooner.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import shutil
import signal
import stat
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROFILE_LIMIT_BYTES = 48 * 1024 * 1024
FAST_STOP = (1.0, 0.5)
LAST_WORDS_S = 15.0  # a launcher may be gone while the script it started still writes its profile
LEAVING_S = 0.5
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_ON_LINUX = sys.platform == "linux"
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class ScriptSupervisor:
    """One script from its start to the last of its descendants."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.lifeline: int = order["lifeline"]
        self.ended = "exited"
        self.exit_status: int | None = None
        self.ladder: list[tuple[float, int]] = []
        self.left_behind = 0

    def run(self) -> None:
        """Start it, wait for its end, clear up, report."""
        wake, wake_write = os.pipe()
        for fd in (wake, wake_write):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in _ENDINGS:
            signal.signal(number, lambda *_: self._begin_end("stopped"))
        failure = self._start()
        if failure is None:
            self._tell({"started": self.pid})
            self._watch(wake)
            self._clear_processes()
        profile = self._read_profile()
        kept = self._clear_files()
        self._tell(
            {
                "ended": self.ended,
                "exit_status": self.exit_status,
                "failure": failure,
                "cpu_s": sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]),
                "left_behind": self.left_behind,
                "kept_folder": kept,
                "profile_bytes": len(profile),
            },
            profile,
        )

    # ------------------------------------------------------------------------------------------ start

    def _start(self) -> str | None:
        fail_read, fail_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._become_the_script(fail_write)
        os.close(fail_write)
        failure = os.read(fail_read, 1024).decode()
        os.close(fail_read)
        if failure:
            os.waitpid(self.pid, 0)
        return failure or None

    def _become_the_script(self, fail: int) -> None:
        try:
            os.setsid()
            _tell_kernel(_SET_PDEATHSIG, signal.SIGKILL)
            if self.order["stdout_to_stderr"]:
                os.dup2(2, 1)
            for fd in (self.lifeline, self.order["report"]):
                os.close(fd)
            signal.set_wakeup_fd(-1)
            for number in (*_ENDINGS, signal.SIGCHLD, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            argv = self.order["argv"]
            os.execve(argv[0], argv, {**os.environ, **self.order["environment"]})  # noqa: S606 - no shell: wanted
        except OSError as error:
            os.write(fail, (error.strerror or "can't be started").encode())
        finally:
            os._exit(127)

    # ------------------------------------------------------------------------------------------ watch

    def _watch(self, wake: int) -> None:
        poller = select.poll()
        for fd in (wake, self.lifeline):
            poller.register(fd, select.POLLIN)
        limit_s = self.order["limit_s"]
        deadline = None if limit_s is None else time.monotonic() + limit_s
        while True:
            self._reap()
            if self.exit_status is not None:
                return
            for fd, _ in poller.poll(self._pause_ms(deadline)):
                if fd == wake:
                    os.read(wake, 512)
                elif not self._heard():
                    poller.unregister(fd)
            if deadline is not None and time.monotonic() >= deadline:
                deadline = None
                self._begin_end("duration")
            self._climb()

    def _pause_ms(self, deadline: float | None) -> float | None:
        times = [at for at, _ in self.ladder[:1]] + ([deadline] if deadline is not None else [])
        return max(0.0, min(times) - time.monotonic()) * 1000 + 1 if times else None

    def _heard(self) -> bool:
        """One word, or the end, of the lifeline; False when it has nothing more to say."""
        word = os.read(self.lifeline, 64)
        self._begin_end("stopped" if word else "orphaned")
        if not word:
            self._stop_fast()
        return bool(word)

    def _begin_end(self, reason: str) -> None:
        """SIGINT first: Scalene writes its profile on it."""
        if self.ladder or self.ended != "exited":
            self._stop_fast()
            return
        now, (after_int, after_term) = time.monotonic(), self.order["grace_periods_s"]
        self.ended = reason
        self.ladder = [(now, signal.SIGINT), (now + after_int, signal.SIGTERM)]
        self.ladder.append((now + after_int + after_term, signal.SIGKILL))

    def _stop_fast(self) -> None:
        """What is left of the ladder, at once."""
        now = time.monotonic()
        sooner: dict[int, float] = {signal.SIGTERM: now + FAST_STOP[0], signal.SIGKILL: now + sum(FAST_STOP)}
        self.ladder = [(min(at, sooner.get(number, at)), number) for at, number in self.ladder]

    def _climb(self) -> None:
        if not self.ladder or time.monotonic() < self.ladder[0][0]:
            return
        _, number = self.ladder.pop(0)
        _signal(-self.pid, number)
        if number == signal.SIGKILL:
            self._kill_children()

    # -------------------------------------------------------------------------------------------- end

    def _reap(self) -> bool:
        """Collect what has ended; False when there is no child any more."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.pid:
                self.exit_status = os.waitstatus_to_exitcode(status)

    def _clear_processes(self) -> None:
        """Let the last ones finish what they do, then end them: orphans come to us, so none gets away."""
        if not self._wait(LAST_WORDS_S if self.ended in ("stopped", "duration") else LEAVING_S):
            return
        self.left_behind = len(direct_children()) if self.ended == "exited" else 0
        for pid in direct_children():
            _signal(pid, signal.SIGTERM)
        _signal(-self.pid, signal.SIGTERM)
        self._wait(FAST_STOP[0])
        while self._reap():
            self._kill_children()
            time.sleep(0.01)

    def _wait(self, seconds: float) -> bool:
        """Whether there still are children after so long."""
        end = time.monotonic() + seconds
        while self._reap():
            if time.monotonic() >= end:
                return True
            time.sleep(0.01)
        return False

    def _kill_children(self) -> None:
        _signal(-self.pid, signal.SIGKILL)
        for pid in direct_children():
            _signal(pid, signal.SIGKILL)

    def _read_profile(self) -> bytes:
        try:
            fd = os.open(self.order["profile"], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return b""
        with os.fdopen(fd, "rb") as file:
            is_file = stat.S_ISREG(os.fstat(fd).st_mode)
            return file.read(PROFILE_LIMIT_BYTES + 1) if is_file else b""

    def _clear_files(self) -> str | None:
        """Remove what is Scalene's and ours; what the script itself left in its $TMPDIR stays, and is
        named.
        """
        temporary = self.order["temporary"]
        shutil.rmtree(self.order["folder"], ignore_errors=True)
        for name in _names(temporary):
            if name.startswith("scalene"):
                shutil.rmtree(os.path.join(temporary, name), ignore_errors=True)  # noqa: PTH118 - no pathlib
        try:
            os.rmdir(temporary)  # noqa: PTH106
        except OSError:
            return str(temporary)
        return None

    def _tell(self, value: dict[str, Any], data: bytes = b"") -> None:
        rest = memoryview(json.dumps(value).encode() + b"\n" + data)
        while rest:
            try:
                rest = rest[os.write(self.order["report"], rest) :]
            except OSError:
                return  # nobody listens any more


def direct_children() -> list[int]:
    """Return the pids of our children now, zombies included."""
    own = os.getpid()
    try:
        with open(f"/proc/{own}/task/{own}/children", "rb") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []  # not Linux, or no CONFIG_PROC_CHILDREN: the group is signalled all the same


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - no pathlib: it would double the start-up time
    except OSError:
        return []


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        pass  # gone already


def _tell_kernel(option: int, value: int) -> None:
    """prctl(2), where there is one."""
    if _ON_LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    _tell_kernel(_SET_CHILD_SUBREAPER, 1)  # orphans of the script become our children instead of init's
    ScriptSupervisor(json.loads(sys.argv[1])).run()
    os._exit(0)
