"""Runs one tool, or one script of the user's, so that nothing of it outlives its time or its owner.

Started in an interpreter of its own that is given this code by its lifeline (`monitord.supervision`), so that
only this child, never the daemon, becomes a subreaper. The order is the next line of the lifeline, packed;
then a word on it ends early, and its end means that the owner died. Two lines answer, packed the same way.
(A first look waits for it: modules written in C only, also in place of json, signal and ctypes, start in half
the time. One file of more than 400 lines, because code that runs isolated can import nothing of ours.)
"""

from __future__ import annotations

import binascii
import itertools
import marshal
import os
import resource
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import Any

    # In this process their code has been run before ours (both are sent).
    from monitord.rights import STRANGER, keep_only, refuse_calls, replace_in_tmp, write_only_in
else:
    import _signal as signal  # `signal` makes its numbers enums, which costs more than all the rest

OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024  # a tool that writes more to its pipes is ended: draining costs CPU
FILES_LIMIT = 10_000  # in the folder of one tool
PROFILE_LIMIT_BYTES = 48 * 1024 * 1024  # of a script
FAST_STOP = (1.0, 0.3)  # waits of the escalation when somebody waits for us
LOOK_S = 0.1
SWEEP_S = 2.0
LAST_WORDS_S = 15.0  # a launcher may be gone while the script it started still writes its profile
LEAVING_S = 0.5
# The longest end once the owner is gone: escalation, giving up, helpers that are asked to end, sweep.
LAST_END_S = sum(FAST_STOP) + SWEEP_S + LEAVING_S + FAST_STOP[0] + SWEEP_S
_RTLD_NOW = 2
_OWN_TMP = ".own-tmp"
_PENDING_SIGNALS = (b"SigPnd:", b"ShdPnd:")
_REGULAR = 0o10  # S_IFREG, without importing stat
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_ON_LINUX = sys.platform == "linux"
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def packed(value: dict[str, Any]) -> bytes:
    """Pack plain values into one line, for another process of this very interpreter."""
    return binascii.b2a_base64(marshal.dumps(value))


def unpacked(line: bytes) -> dict[str, Any]:
    """Unpack what `packed` made; raises ValueError. Only ever given what our own process wrote."""
    try:
        return dict(marshal.loads(binascii.a2b_base64(line)))  # noqa: S302 - no tool writes to this pipe
    except (EOFError, TypeError, ValueError) as error:
        raise ValueError(str(error)) from None


def read_stat(pid: int) -> tuple[str, int, int] | None:
    """State, utime + stime and start time in ticks, from /proc/PID/stat; None: no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read(4096).rpartition(b")")[2].split()
        return fields[0].decode(), int(fields[11]) + int(fields[12]), int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


def continue_if_stopped(pid: int, target_fd: int) -> bool:
    """Wake a target that a profiler left stopped (py-spy #390, #587), by pidfd, so never another one."""
    for _ in range(3):
        stat = read_stat(pid)
        if stat is None or (stat[0] not in "Tt" and not _is_about_to_stop(pid)):
            return False
        time.sleep(0.03)  # a tracer that has just died is being cleaned up by the kernel
    try:
        signal.pidfd_send_signal(target_fd, signal.SIGCONT)
    except OSError:
        return False
    return True


def _is_about_to_stop(pid: int) -> bool:
    """A SIGSTOP is on its way, or a thread has stopped and the others had no turn on a CPU yet to follow.

    A tool that attaches thread by thread leaves it with a thread, and the first to take it stops them all.
    Where that thread was held for its tracer at this very signal, it has it as its exit code until its turn.
    """
    try:
        return any(_thread_stops(f"/proc/{pid}/task/{thread}") for thread in _names(f"/proc/{pid}/task"))
    except OSError:
        return False


def _thread_stops(folder: str) -> bool:
    """Whether it has SIGSTOP pending, in hand, or behind it: looked for in the order in which it moves on."""
    try:
        with open(f"{folder}/status", "rb") as file:
            pending = [int(line.split()[1], 16) for line in file if line.startswith(_PENDING_SIGNALS)]
        with open(f"{folder}/stat", "rb", buffering=0) as file:
            exit_code = file.read(4096).split()[-1]
            file.seek(0)  # the kernel writes it anew
            state = file.read(4096).rpartition(b")")[2].split()[0]
    except (OSError, IndexError, ValueError):
        return False  # it has ended meanwhile
    is_pending = any(mask & (1 << (signal.SIGSTOP - 1)) for mask in pending)
    return is_pending or int(exit_code) == signal.SIGSTOP or state == b"T"


def direct_children(parent: int) -> list[int]:
    """The processes whose parent is `parent` now, zombies included."""
    try:
        with open(f"/proc/{parent}/task/{parent}/children", "rb") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        pass  # a kernel without CONFIG_PROC_CHILDREN: look through all processes
    found = []
    for entry in _names("/proc") if _ON_LINUX else ():
        try:
            if entry.isdigit():
                with open(f"/proc/{entry}/stat", "rb") as file:
                    if int(file.read(4096).rpartition(b")")[2].split()[1]) == parent:
                        found.append(int(entry))
        except (OSError, IndexError, ValueError):
            continue  # vanished between the two reads
    return found


def descendants(parent: int) -> set[int]:
    """Return the pids of all that stem from `parent` now, zombies included."""
    children = direct_children(parent)
    return set(children).union(*(descendants(child) for child in children))


def kill_cgroup(folder: str) -> None:
    """Send SIGKILL to everything in a cgroup: at once by cgroup.kill (v2, kernel ≥ 5.14), else one by one."""
    try:
        with open(f"{folder}/cgroup.kill", "w") as file:
            file.write("1")
        return
    except OSError:
        pass
    try:
        with open(f"{folder}/cgroup.procs") as file:
            pids = [int(line) for line in file]
    except OSError:
        return
    for pid in pids:
        _signal(pid, signal.SIGKILL)


def _names(folder: str) -> list[str]:
    return os.listdir(folder)  # noqa: PTH208 - pathlib would double the start-up time


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        pass  # gone already


class Supervision:
    """One command from its fork to the last reaped descendant: what both modes have in common.

    The escalation: SIGINT first, since Scalene, py-spy and perf write what they have on it; then SIGTERM and
    SIGKILL, after `grace_periods_s`; 0 stands for giving up.
    """

    limit_word = "timeout"
    tick_s = LOOK_S
    stops_fast = True
    interrupts_group = False

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.lifeline: int = order["lifeline"]
        self.ended = "exited"
        self.escalation: list[tuple[float, int]] = []
        self.exit_status: int | None = None
        self.given_up = False
        self.stop_count = 0
        self.poller = select.poll()
        self.wake, self.wake_write = os.pipe()
        self.sources: dict[int, Callable[[], bool]] = {
            self.wake: self._drain_wake,
            self.lifeline: self._hear_owner,
        }

    def run(self) -> None:
        """Start it, watch it to its end, leave nothing behind, and say how it went."""
        started = time.monotonic()
        self._hear_signals()
        failure = self._start()
        if failure is None:
            self._say({"started": self.pid})
            self._watch(started)
        report = self._finish()
        self._say(
            {
                "failure": failure,
                "exit_status": self.exit_status,
                "ended": self.ended,
                "took_s": time.monotonic() - started,
                **report,
            }
        )

    def stop(self, reason: str, grace_periods_s: tuple[float, float]) -> None:
        """Begin the end; what is left of one that has begun comes sooner."""
        self.stop_count += 1
        if self.ended == "exited":
            self._begin_end(reason, grace_periods_s)
            return
        now = time.monotonic()
        sooner: dict[int, float] = {signal.SIGTERM: now + FAST_STOP[0], signal.SIGKILL: now + sum(FAST_STOP)}
        self.escalation = [(min(at, sooner.get(number, at)), number) for at, number in self.escalation]

    def stop_as_asked(self) -> None:
        self.stop("stopped", FAST_STOP if self.stops_fast else self.order["grace_periods_s"])

    def _hear_signals(self) -> None:
        for fd in (self.wake, self.wake_write):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in _ENDINGS:
            signal.signal(number, lambda *_: self.stop_as_asked())

    # ------------------------------------------------------------------------------------------ start

    def _start(self) -> str | None:
        fail_read, fail_write = os.pipe()
        supervisor = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            self._become_it(fail_write, supervisor)
        os.close(fail_write)
        failure = os.read(fail_read, 1024).decode()
        os.close(fail_read)
        if failure:
            os.waitpid(self.pid, 0)
        return failure or None

    def _become_it(self, fail: int, supervisor: int) -> None:
        order = self.order
        try:
            os.setsid()
            self._say(
                {"leader": os.getpid()}
            )  # first: if the supervisor is killed, its owner knows whose group to end
            self._prepare(fail)
            _tell_kernel(_SET_PDEATHSIG, signal.SIGKILL)  # a change of user or capabilities would undo it
            if os.getppid() != supervisor:
                os._exit(127)  # it was killed before the kernel knew
            signal.set_wakeup_fd(-1)
            for number in (*_ENDINGS, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            os.execve(order["argv"][0], order["argv"], order["environment"])  # noqa: S606 - no shell: wanted
        except OSError as error:
            os.write(fail, (error.strerror or "cannot be started").encode())
        except Exception as error:  # noqa: BLE001 - what failed here must be told, and nothing may be executed
            os.write(fail, f"cannot be started: {type(error).__name__}: {error}".encode())
        finally:
            os._exit(127)

    def _prepare(self, fail: int) -> None:
        """In the child, before it becomes the command; `fail` must stay open."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------ watch

    def _watch(self, started: float) -> None:
        for fd in self.sources:
            self.poller.register(fd, select.POLLIN)
        deadline = started + self.order["limit_s"]
        while self.exit_status is None and not self.given_up:
            self._hear(self._pause_ms(deadline))
            self._look()
            self._reap()
            if time.monotonic() >= deadline:
                self._begin_end(self.limit_word, self.order["grace_periods_s"])
            self._escalate()

    def _hear(self, pause_ms: float) -> None:
        for fd, _ in self.poller.poll(pause_ms):
            if not self.sources[fd]():
                self.poller.unregister(fd)
                del self.sources[fd]

    def _pause_ms(self, deadline: float) -> float:
        now = time.monotonic()
        events = [now + self.tick_s, *(at for at, _ in self.escalation[:1])]
        if self.ended == "exited":
            events.append(deadline)
        return max(0.0, min(events) - now) * 1000 + 1

    def _drain_wake(self) -> bool:
        os.read(self.wake, 512)
        return True

    def _hear_owner(self) -> bool:
        """Words of the owner's, or its end; False when it has nothing more to say."""
        words = os.read(self.lifeline, 64)
        self.hear_words(words)
        if not words:
            self.stop("orphaned", FAST_STOP)
        return bool(words)

    def hear_words(self, words: bytes) -> None:
        for _ in range(words.count(b"\n")):
            self.stop_as_asked()

    def _look(self) -> None:
        """What is looked at each `tick_s`, and whenever something happens."""

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

    # -------------------------------------------------------------------------------------------- end

    def _begin_end(self, reason: str, grace_periods_s: tuple[float, float]) -> None:
        if self.ended != "exited" or self.exit_status is not None:
            return
        now, (after_int, after_term) = time.monotonic(), grace_periods_s
        self.ended = reason
        self.escalation = [(now, signal.SIGINT), (now + after_int, signal.SIGTERM)]
        self.escalation.append((now + after_int + after_term, signal.SIGKILL))

    def _escalate(self) -> None:
        if not self.escalation or time.monotonic() < self.escalation[0][0] or self.exit_status is not None:
            return
        _, number = self.escalation.pop(0)
        if number == 0:
            self.given_up = True  # not even SIGKILL ends it: it hangs in the kernel
        elif number == signal.SIGINT and not self.interrupts_group:
            _signal(self.pid, number)
        else:
            _signal(-self.pid, number)
        if number == signal.SIGKILL:
            self._kill_all()
            self.escalation.append((time.monotonic() + SWEEP_S, 0))

    def _kill_all(self) -> None:
        for pid in direct_children(os.getpid()):
            _signal(pid, signal.SIGKILL)

    def _sweep(self) -> int:
        """Kill and reap until no descendant is left: orphans come to us, so killing children is enough.

        How many can't be killed.
        """
        end = time.monotonic() + SWEEP_S
        if not _ON_LINUX:
            _signal(-self.pid, signal.SIGKILL)
        while time.monotonic() < end:
            self._kill_all()
            self._reap()
            if not direct_children(os.getpid()):
                return 0
            time.sleep(0.005)
        return len(direct_children(os.getpid()))

    def _finish(self) -> dict[str, Any]:
        """End what is left and clear up; what this mode adds to the report."""
        raise NotImplementedError

    def _say(self, value: dict[str, Any]) -> None:
        line = memoryview(packed(value))
        while line:
            try:
                line = line[os.write(self.order["report"], line) :]
            except OSError:
                return  # the owner is gone: nobody listens


class ToolSupervision(Supervision):
    """A tool that is not trusted: within limits, with few rights, its output drained, its target watched."""

    def __init__(self, order: dict[str, Any]) -> None:
        super().__init__(order)
        self.target_pid: int = order["target_pid"]
        self.target_fd: int = order["target_fd"]
        self.kept: dict[int, bytearray] = {}
        self.drained_bytes = 0
        self.truncated = False
        self.measured_at = 0.0
        self.attached = False
        self.target_alive = True
        self.first_look: tuple[float, int] | None = None
        self.last_look: tuple[float, int] | None = None
        stat = read_stat(self.target_pid)
        self.was_stopped = stat is not None and stat[0] in "Tt"

    # ------------------------------------------------------------------------------------------ start

    def _start(self) -> str | None:
        (self.out, out), (self.err, err) = os.pipe(), os.pipe()
        self.its_output = (out, err)
        failure = super()._start()
        for fd in self.its_output:
            os.close(fd)
        for fd in (self.out, self.err):
            os.set_blocking(fd, False)
            self.kept[fd] = bytearray()
        self.sources[self.out] = lambda: self._drain(self.out)
        self.sources[self.err] = lambda: self._drain(self.err)
        if self.target_fd >= 0 and self.order["watch_target"]:
            self.sources[self.target_fd] = self._lost_target
        return failure

    def _prepare(self, fail: int) -> None:
        os.umask(0o077)
        self._limit()
        os.chdir(self.order["folder"])
        null = os.open(os.devnull, os.O_RDONLY)
        for fd, source in enumerate((null, *self.its_output)):
            os.dup2(source, fd)
        kept = [2, *sorted((fail, *self.order["descriptors"])), 65536]
        for last, following in itertools.pairwise(kept):
            os.closerange(last + 1, following)
        self._give_up_rights()

    def _limit(self) -> None:
        order = self.order
        if order["cgroup"] and not order["is_hurried"]:
            _write(f"{order['cgroup']}/cgroup.procs", "0")
        _write("/proc/self/oom_score_adj", "1000")  # when memory runs out, the tool goes first
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for limit, value in (
            (resource.RLIMIT_FSIZE, order["file_cap_bytes"]),
            (resource.RLIMIT_AS, order["memory_cap_bytes"]),
            (resource.RLIMIT_CPU, order["cpu_cap_s"]),
            (resource.RLIMIT_NOFILE, order["open_files_cap"]),
        ):
            hard = resource.getrlimit(limit)[1]
            cap = value if hard == resource.RLIM_INFINITY else min(value, hard)
            try:
                resource.setrlimit(limit, (cap, cap))
            except (OSError, ValueError):
                pass  # macOS refuses RLIMIT_AS

    def _give_up_rights(self) -> None:
        """What the tool's work does not need. The folder, and what lies in it, belong to whom it runs as."""
        order = self.order
        if order["own_tmp"]:
            os.mkdir(_OWN_TMP, 0o700)  # noqa: PTH102 - no pathlib
            layer = f"{order['folder']}/{_OWN_TMP}"
            replace_in_tmp(order["own_tmp"], layer, 2 * order["file_cap_bytes"])
        if order["folder_owner"] is not None:
            _hand_over_folder(*order["folder_owner"])
        keep_only(tuple(order["capabilities"]), order["user"])
        if order["is_reader"]:
            write_only_in((".",))
        refuse_calls(profiles=not order["is_reader"], sockets=order["asks_sockets"])

    def _watch(self, started: float) -> None:
        if self.order["is_hurried"] and self.order["cgroup"]:
            self._enclose()
        super()._watch(started)

    def _enclose(self) -> None:
        """Put a tool that did not wait for it into its cgroup, with all that it may have forked meanwhile.

        The kernel takes 10 ms and more for a move, half of a stack dump. What is forked later is born inside;
        what forks away faster than this ends in the sweep, as it does without any cgroup.
        """
        moved: set[int] = set()
        end = time.monotonic() + LOOK_S
        while time.monotonic() < end and (outside := descendants(os.getpid()) - moved):
            for pid in outside:
                _write(f"{self.order['cgroup']}/cgroup.procs", str(pid))
            moved |= outside

    # ------------------------------------------------------------------------------------------ watch

    def _drain(self, fd: int) -> bool:
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return True
        self.drained_bytes += len(data)
        room = self.order["output_cap_bytes"] - len(self.kept[fd])
        self.kept[fd] += data[: max(room, 0)]
        self.truncated = self.truncated or len(data) > room
        if self.drained_bytes > OUTPUT_LIMIT_BYTES:
            self.stop("output_limit_exceeded", FAST_STOP)
        return bool(data)

    def _lost_target(self) -> bool:
        self.target_alive = False
        self._begin_end("target_gone", self.order["grace_periods_s"])
        return False

    def _look(self) -> None:
        self._look_at_target()
        self._look_at_folder()

    def _look_at_target(self) -> None:
        """Note the target's CPU, and whether the tool took hold while the target was still alive."""
        if self.target_fd < 0:
            return
        stat = read_stat(self.target_pid)
        poller = select.poll()
        poller.register(self.target_fd, select.POLLIN)
        if poller.poll(0):
            self.target_alive = False
            return
        if stat is not None:
            self.last_look = (time.monotonic(), stat[1])
            self.first_look = self.first_look or self.last_look
        self.attached = self.attached or self._has_attached()

    def _look_at_folder(self) -> None:
        """RLIMIT_FSIZE bounds one file, nothing bounds many: a tool that fills the disk is killed at once."""
        now = time.monotonic()
        if now - self.measured_at < LOOK_S / 2 or self.ended == "output_limit_exceeded":
            return
        self.measured_at = now
        if _is_beyond(self.order["folder"], self.order["folder_cap_bytes"]):
            self.ended = "output_limit_exceeded"
            self.escalation = [(now, signal.SIGKILL)]

    def _has_attached(self) -> bool:
        text, link = self.order["attached_text"], self.order["attached_link"]
        if text:
            return text.encode() in self.kept.get(self.out, b"")
        if not link or self.exit_status is not None:
            return False
        folder = f"/proc/{self.pid}/fd"
        try:
            return any(link in os.readlink(f"{folder}/{fd}") for fd in _names(folder))  # noqa: PTH115 - no pathlib
        except OSError:
            return False

    # -------------------------------------------------------------------------------------------- end

    def _finish(self) -> dict[str, Any]:
        left_behind = self._sweep()
        if self.order["own_tmp"]:
            _remove_folder(f"{self.order['folder']}/{_OWN_TMP}")
        self._drain_rest()
        self._look_at_target()
        woken = False
        if _ON_LINUX and self.target_fd >= 0 and self.target_alive and not self.was_stopped:
            woken = continue_if_stopped(self.target_pid, self.target_fd)
        first, last = self.first_look, self.last_look
        return {
            "ended": "left_behind" if self.given_up else self.ended,
            "stdout": bytes(self.kept[self.out]),
            "stderr": bytes(self.kept[self.err]),
            "truncated": self.truncated,
            "attached": self.attached,
            "target_alive": self.target_alive,
            "target_woken": woken,
            "left_behind": left_behind,
            "cpu_ticks": last[1] - first[1] if first and last else None,
            "cpu_window_s": last[0] - first[0] if first and last else 0.0,
        }

    def _kill_all(self) -> None:
        if self.order["cgroup"]:
            kill_cgroup(self.order["cgroup"])
        super()._kill_all()

    def _drain_rest(self) -> None:
        for fd in self.kept:
            before = -1
            while before != self.drained_bytes <= 2 * OUTPUT_LIMIT_BYTES:
                before = self.drained_bytes
                self._drain(fd)


class ScriptSupervision(Supervision):
    """A script of the user's under Scalene: their rights, their streams, which are never touched.

    The profile is read once, here; its file is gone before anybody is told of it.
    """

    limit_word = "duration"
    tick_s = 3600.0
    stops_fast = False
    interrupts_group = True

    def _prepare(self, fail: int) -> None:
        if self.order["stdout_to_stderr"]:
            os.dup2(2, 1)
        for fd in (self.lifeline, self.order["report"]):
            os.close(fd)

    def _finish(self) -> dict[str, Any]:
        left_behind = self._let_finish()
        self._sweep()
        return {
            "cpu_s": sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]),
            "left_behind": left_behind,
            "profile": _read_file(self.order["profile"], PROFILE_LIMIT_BYTES),
            "kept_folder": self._clear_files(),
        }

    def _let_finish(self) -> int:
        """Let the last ones finish what they do, then ask them to end; how many of them nobody asked to."""
        is_awaited = self.lifeline in self.sources and self.exit_status not in (None, -signal.SIGKILL)
        is_writing = self.ended in ("stopped", "duration") and is_awaited
        if not self._has_children_after(LAST_WORDS_S if is_writing else LEAVING_S):
            return 0
        children = direct_children(os.getpid())
        for pid in (-self.pid, *children):
            _signal(pid, signal.SIGTERM)
        self._has_children_after(FAST_STOP[0])
        return len(children) if self.ended == "exited" else 0

    def _has_children_after(self, seconds: float) -> bool:
        """Whether some are left then, or as soon as one more stop is asked for or the owner dies."""
        end, stop_count = time.monotonic() + seconds, self.stop_count
        while self._reap():
            if self.stop_count > stop_count or time.monotonic() >= end:
                return True
            self._hear(10)
        return False

    def _clear_files(self) -> str | None:
        """Remove what is Scalene's and ours; where the script left something of its own in its $TMPDIR."""
        import shutil  # nobody waits for a script's supervisor

        temporary: str = self.order["temporary"]
        shutil.rmtree(self.order["folder"], ignore_errors=True)
        try:
            for name in _names(temporary):
                if name.startswith("scalene"):
                    shutil.rmtree(f"{temporary}/{name}", ignore_errors=True)
        except OSError:
            return None  # the script removed it
        return None if _remove_folder(temporary) else temporary


def _hand_over_folder(uid: int, gid: int) -> None:
    """The working folder and what tools made in it; never a link, or a file that has another name elsewhere.

    Nor one of another user: a file of somebody's that the one before could move in here is not for the next.
    """
    us = os.geteuid()
    if os.stat(".").st_mode & 0o077:  # noqa: PTH116 - no pathlib
        raise PermissionError(1, "cannot hand over a work folder that others may use; give it one of its own")
    os.chown(".", uid, gid)
    for name in _names("."):
        try:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        found = os.fstat(file)
        is_tools = found.st_uid == STRANGER or (uid in (STRANGER, us) and found.st_uid != us)
        if found.st_mode >> 12 == _REGULAR and found.st_nlink == 1 and is_tools:
            os.fchown(file, uid, gid)
        os.close(file)


def _is_beyond(folder: str, limit_bytes: int) -> bool:
    """Whether more lies below a folder than may; links are not followed."""
    total, count, folders = 0, 0, [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if total > limit_bytes or count > FILES_LIMIT:
                        return True
        except OSError:
            continue  # vanished between two looks
    return False


def _remove_folder(path: str) -> bool:
    """Remove an empty folder; what was mounted there ended with the tool."""
    try:
        os.rmdir(path)  # noqa: PTH106 - no pathlib
    except OSError:
        return False
    return True


def _read_file(path: str, limit_bytes: int) -> bytes:
    """What a plain file holds, up to one byte more than the limit; b"" of anything else."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with os.fdopen(fd, "rb") as file:
        is_file = os.fstat(fd).st_mode >> 12 == _REGULAR
        return file.read(limit_bytes + 1) if is_file else b""


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError:
        pass  # a protection that can't be had here; the sweep works without it


def _tell_kernel(option: int, value: int) -> None:
    """prctl(2), where there is one."""
    if _ON_LINUX:
        import _ctypes

        prctl = _ctypes.dlsym(_ctypes.dlopen(None, _RTLD_NOW), "prctl")  # type: ignore[arg-type]  # None: ourselves
        _ctypes.call_function(prctl, (option, value, 0, 0, 0))


def main() -> int:
    """Read the order from the lifeline, which is named in argv; run it, report."""
    lifeline = int(sys.argv[1])
    data = b""
    while b"\n" not in data:
        piece = os.read(lifeline, 65536)
        if not piece:
            return 1
        data += piece
    line, _, words = data.partition(b"\n")
    order = {**unpacked(line), "lifeline": lifeline}
    _tell_kernel(_SET_CHILD_SUBREAPER, 1)  # orphans become our children instead of init's
    supervision = ToolSupervision(order) if order["mode"] == "tool" else ScriptSupervision(order)
    supervision.hear_words(words)  # before it began
    supervision.run()
    return 0


if __name__ == "__main__":
    os._exit(main())  # the first look waits for this: no time for tidying up an interpreter
