"""Runs one tool so that nothing of it outlives its time: limits, drained pipes, stop ladder, sweep, SIGCONT.

Started in an interpreter of its own that is given this code by its stdin (running.py), so that only this
child, never the daemon, becomes a subreaper. The errand is the next line of stdin, packed; stdin stays open
as a lifeline: "stop" ends early, its end means that the daemon died. Two lines answer, packed the same way.
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
    from typing import Any

    # In this process their code has been run before ours (running.py sends both).
    from monitord.rights import STRANGER, keep_only, refuse_calls, replace_in_tmp, write_only_in
else:
    import _signal as signal  # `signal` makes its numbers enums, which costs more than all the rest

SPEW_LIMIT = 16 * 1024 * 1024  # a tool that writes more than this to its pipes is ended: draining costs CPU
FILES_LIMIT = 10_000  # in the folder of one tool
FAST_STOP = (1.0, 0.3)  # waits of the stop ladder when somebody waits for us
LOOK_S = 0.1
SWEEP_S = 2.0
_RTLD_NOW = 2
_OWN_TMP = ".own-tmp"
_SIGNS_OF_A_STOP = (b"State:", b"SigPnd:", b"ShdPnd:")
_REGULAR = 0o10  # S_IFREG, without importing stat
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_ON_LINUX = sys.platform == "linux"


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
    """
    try:
        return any(
            _thread_stops(f"/proc/{pid}/task/{thread}/status") for thread in _names(f"/proc/{pid}/task")
        )
    except OSError:
        return False


def _thread_stops(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            facts = dict(line.split()[:2] for line in file if line.startswith(_SIGNS_OF_A_STOP))
    except (OSError, ValueError):
        return False  # it has ended meanwhile
    pending = int(facts.get(b"SigPnd:", b"0"), 16) | int(facts.get(b"ShdPnd:", b"0"), 16)
    return facts.get(b"State:") == b"T" or bool(pending & (1 << (signal.SIGSTOP - 1)))


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


class Supervisor:
    """One errand from fork to the last reaped descendant."""

    def __init__(self, errand: dict[str, Any]) -> None:
        self.errand = errand
        self.target_pid: int = errand["target_pid"]
        self.target_fd: int = errand["target_fd"]
        self.kept: dict[int, bytearray] = {}
        self.drained = 0
        self.truncated = False
        self.ended = "exited"
        self.ladder: list[tuple[float, int]] = []
        self.exit_status: int | None = None
        self.measured_at = 0.0
        self.given_up = False
        self.attached = False
        self.target_alive = True
        self.first_look: tuple[float, int] | None = None
        self.last_look: tuple[float, int] | None = None
        stat = read_stat(self.target_pid)
        self.was_stopped = stat is not None and stat[0] in "Tt"

    def run(self) -> dict[str, Any]:
        """Start the tool, watch it to its end, leave nothing behind, and say how it went."""
        started = time.monotonic()
        wake_read, wake_write = os.pipe()
        for fd in (wake_read, wake_write):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._begin_end("stopped", FAST_STOP))
        failure = self._start()
        if failure is None:
            _say({"started": self.pid})
            if self.errand["is_hurried"] and self.errand["cgroup"]:
                self._enclose()
            self._watch(wake_read, started)
        left_behind = self._sweep()
        if self.errand["own_tmp"]:
            _remove_folder(f"{self.errand['folder']}/{_OWN_TMP}")
        self._drain_rest()
        self._look_at_target()
        woken = False
        if _ON_LINUX and self.target_fd >= 0 and self.target_alive and not self.was_stopped:
            woken = continue_if_stopped(self.target_pid, self.target_fd)
        return self._report(failure, time.monotonic() - started, left_behind, woken)

    # ------------------------------------------------------------------------------------------ start

    def _start(self) -> str | None:
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        fail_read, fail_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._become_the_tool(out_write, err_write, fail_write)
        for fd in (out_write, err_write, fail_write):
            os.close(fd)
        self.out, self.err = out_read, err_read
        for fd in (out_read, err_read):
            os.set_blocking(fd, False)
            self.kept[fd] = bytearray()
        failure = os.read(fail_read, 1024).decode()
        os.close(fail_read)
        if failure:
            os.waitpid(self.pid, 0)
        return failure or None

    def _become_the_tool(self, out: int, err: int, fail: int) -> None:
        errand = self.errand
        try:
            os.setsid()
            os.umask(0o077)
            self._limit()
            os.chdir(errand["folder"])
            null = os.open(os.devnull, os.O_RDONLY)
            fail = os.dup2(fail, 20, inheritable=False)
            for source, fd in ((null, 0), (out, 1), (err, 2)):
                os.dup2(source, fd)
            kept = [2, 20, *sorted(errand["descriptors"]), 65536]
            for last, following in itertools.pairwise(kept):
                os.closerange(last + 1, following)
            self._give_up_rights()
            _tell_kernel(_SET_PDEATHSIG, signal.SIGKILL)  # a change of user or capabilities would undo it
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            os.execve(errand["argv"][0], errand["argv"], errand["environment"])  # noqa: S606 - no shell: wanted
        except OSError as error:
            os.write(fail, (error.strerror or "cannot be started").encode())
        except Exception as error:  # noqa: BLE001 - what failed here must be told, and nothing may be executed
            os.write(fail, f"cannot be started: {type(error).__name__}: {error}".encode())
        finally:
            os._exit(127)

    def _limit(self) -> None:
        if self.errand["cgroup"] and not self.errand["is_hurried"]:
            _write(f"{self.errand['cgroup']}/cgroup.procs", "0")
        _write("/proc/self/oom_score_adj", "1000")  # when memory runs out, the tool goes first
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for limit, value in (
            (resource.RLIMIT_FSIZE, self.errand["file_cap_bytes"]),
            (resource.RLIMIT_AS, self.errand["memory_cap_bytes"]),
            (resource.RLIMIT_CPU, self.errand["cpu_cap_s"]),
            (resource.RLIMIT_NOFILE, self.errand["open_files_cap"]),
        ):
            hard = resource.getrlimit(limit)[1]
            cap = value if hard == resource.RLIM_INFINITY else min(value, hard)
            try:
                resource.setrlimit(limit, (cap, cap))
            except (OSError, ValueError):
                pass  # macOS refuses RLIMIT_AS

    def _give_up_rights(self) -> None:
        """What the tool's work does not need. The folder, and what lies in it, belong to whom it runs as."""
        errand = self.errand
        if errand["own_tmp"]:
            os.mkdir(_OWN_TMP, 0o700)  # noqa: PTH102 - no pathlib
            layer = f"{errand['folder']}/{_OWN_TMP}"
            replace_in_tmp(errand["own_tmp"], layer, 2 * errand["file_cap_bytes"])
        if errand["folder_owner"] is not None:
            _hand_over_folder(*errand["folder_owner"])
        keep_only(tuple(errand["capabilities"]), errand["user"])
        if errand["is_reader"]:
            write_only_in((".",))
        refuse_calls(profiles=not errand["is_reader"])

    def _enclose(self) -> None:
        """Put a tool that did not wait for it into its cgroup, with all that it may have forked meanwhile.

        The kernel takes 10 ms and more for a move, half of a stack dump. What is forked later is born inside;
        what forks away faster than this ends in the sweep, as it does without any cgroup.
        """
        moved: set[int] = set()
        end = time.monotonic() + LOOK_S
        while time.monotonic() < end and (outside := descendants(os.getpid()) - moved):
            for pid in outside:
                _write(f"{self.errand['cgroup']}/cgroup.procs", str(pid))
            moved |= outside

    # ------------------------------------------------------------------------------------------ watch

    def _watch(self, wake: int, started: float) -> None:
        poller = select.poll()
        for fd in (self.out, self.err, wake, 0):
            poller.register(fd, select.POLLIN)
        if self.target_fd >= 0 and self.errand["watch_target"]:
            poller.register(self.target_fd, select.POLLIN)
        deadline = started + self.errand["deadline_s"]
        while self.exit_status is None and not self.given_up:
            for fd, _ in poller.poll(self._pause_ms(deadline)):
                if not self._heard(fd, wake):
                    poller.unregister(fd)
            self._look_at_target()
            self._look_at_folder()
            self._reap()
            if time.monotonic() >= deadline:
                self._begin_end("timeout", tuple(self.errand["grace_periods_s"]))
            self._climb()

    def _pause_ms(self, deadline: float) -> float:
        next_event = min([deadline] + [at for at, _ in self.ladder[:1]])
        return max(0.0, min(LOOK_S, next_event - time.monotonic())) * 1000 + 1

    def _heard(self, fd: int, wake: int) -> bool:
        """Deal with one readable descriptor; False when it has nothing more to say."""
        if fd == wake:
            os.read(wake, 512)
            return True
        if fd == self.target_fd:
            self.target_alive = False
            self._begin_end("target_gone", tuple(self.errand["grace_periods_s"]))
            return False
        if fd == 0:
            word = os.read(0, 64)
            self._begin_end("stopped" if word else "orphaned", FAST_STOP)
            return bool(word)
        return self._drain(fd)

    def _drain(self, fd: int) -> bool:
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return True
        self.drained += len(data)
        room = self.errand["output_cap_bytes"] - len(self.kept[fd])
        self.kept[fd] += data[: max(room, 0)]
        self.truncated = self.truncated or len(data) > room
        if self.drained > SPEW_LIMIT:
            self._begin_end("spewed", FAST_STOP)
        return bool(data)

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
        if now - self.measured_at < LOOK_S / 2 or self.ended == "spewed":
            return
        self.measured_at = now
        if _is_beyond(self.errand["folder"], self.errand["folder_cap_bytes"]):
            self.ended = "spewed"
            self.ladder = [(now, signal.SIGKILL)]

    def _has_attached(self) -> bool:
        text, link = self.errand["attached_text"], self.errand["attached_link"]
        if text:
            return text.encode() in self.kept.get(self.out, b"")
        if not link or self.exit_status is not None:
            return False
        folder = f"/proc/{self.pid}/fd"
        try:
            return any(link in os.readlink(f"{folder}/{fd}") for fd in _names(folder))  # noqa: PTH115 - no pathlib
        except OSError:
            return False

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.exit_status = os.waitstatus_to_exitcode(status)

    # -------------------------------------------------------------------------------------------- end

    def _begin_end(self, reason: str, grace_periods_s: tuple[float, ...]) -> None:
        """SIGINT first: py-spy and perf write what they have on it, and nothing on SIGTERM."""
        now = time.monotonic()
        if not self.ladder and self.ended == "exited":
            self.ended = reason
            self.ladder = [(now, signal.SIGINT)]
            self.ladder += [
                (now + grace_periods_s[0], signal.SIGTERM),
                (now + sum(grace_periods_s), signal.SIGKILL),
            ]
        elif grace_periods_s == FAST_STOP:
            sooner: dict[int, float] = {
                signal.SIGTERM: now + FAST_STOP[0],
                signal.SIGKILL: now + sum(FAST_STOP),
            }
            self.ladder = [(min(at, sooner.get(number, at)), number) for at, number in self.ladder]

    def _climb(self) -> None:
        if not self.ladder or time.monotonic() < self.ladder[0][0] or self.exit_status is not None:
            return
        _, number = self.ladder.pop(0)
        if number == 0:
            self.given_up = True  # not even SIGKILL ends it: it hangs in the kernel
        elif number == signal.SIGINT:
            _signal(self.pid, number)
        else:
            _signal(-self.pid, number)
        if number == signal.SIGKILL:
            self._kill_all()
            self.ladder.append((time.monotonic() + SWEEP_S, 0))

    def _kill_all(self) -> None:
        if self.errand["cgroup"]:
            kill_cgroup(self.errand["cgroup"])
        for pid in direct_children(os.getpid()):
            _signal(pid, signal.SIGKILL)

    def _sweep(self) -> int:
        """Kill and reap until no descendant is left: orphans come to us, so killing children is enough."""
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

    def _drain_rest(self) -> None:
        for fd in self.kept:
            before = -1
            while before != self.drained <= 2 * SPEW_LIMIT:
                before = self.drained
                self._drain(fd)

    def _report(self, failure: str | None, took_s: float, left: int, woken: bool) -> dict[str, Any]:
        first, last = self.first_look, self.last_look
        return {
            "failure": failure,
            "exit_status": self.exit_status,
            "ended": "left_behind" if self.given_up else self.ended,
            "stdout": bytes(self.kept.get(self.out, b"")),
            "stderr": bytes(self.kept.get(self.err, b"")),
            "truncated": self.truncated,
            "attached": self.attached,
            "target_alive": self.target_alive,
            "target_woken": woken,
            "left_behind": left,
            "took_s": took_s,
            "cpu_ticks": last[1] - first[1] if first and last else None,
            "cpu_window_s": last[0] - first[0] if first and last else 0.0,
        }


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


def _remove_folder(path: str) -> None:
    try:
        os.rmdir(path)  # noqa: PTH106 - no pathlib; what was mounted there ended with the tool
    except OSError:
        pass


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


def _say(value: dict[str, Any]) -> None:
    line = packed(value)
    while line:
        try:
            line = line[os.write(1, line) :]
        except OSError:
            return  # the daemon is gone: nobody listens


def main() -> int:
    """Read the errand, run it, report."""
    data = b""
    while b"\n" not in data:
        piece = os.read(0, 65536)
        if not piece:
            return 1
        data += piece
    line, _, word = data.partition(b"\n")
    errand = unpacked(line)
    if word:
        errand["deadline_s"] = 0.0  # told to stop before it began
    _tell_kernel(_SET_CHILD_SUBREAPER, 1)  # orphans of the tool become our children instead of init's
    _say(Supervisor(errand).run())
    return 0


if __name__ == "__main__":
    os._exit(main())  # the first look waits for this: no time for tidying up an interpreter
