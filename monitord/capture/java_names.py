"""Asks a Java process, in HotSpot's own attach protocol, to write the names of its compiled code for perf.

`java_names.py PID START_TICKS`, an isolated child that runs as the target's own user: all it does is what
`jcmd PID Compiler.perfmap` does, but no program that a user could have written is run. Nothing is signalled
that does not catch SIGQUIT (another program would end). Prints nothing; a reason on stderr, 1 when it failed.
(OpenJDK: src/hotspot/os/linux/attachListener_linux.cpp; the command exists since 17.)
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import time

_LIMIT_S = 4
_WAIT_S = 2.5
_REQUEST = b"1\0jcmd\0Compiler.perfmap\0\0\0"
_FOLDER = os.O_DIRECTORY | os.O_CLOEXEC


class CannotAskError(Exception):
    """The JVM can't be asked for its names: the reason, in words."""


def status_of(pid: int) -> dict[str, str]:
    """Return the fields of /proc/PID/status by name."""
    with open(f"/proc/{pid}/status", errors="replace") as file:
        lines = (line.partition(":") for line in file)
        return {name: value.strip() for name, _colon, value in lines}


def _check(pid: int, start_ticks: int) -> str:
    """The pid by which it knows itself; raises when it is another process, or would die of the signal."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        if int(file.read().rpartition(b")")[2].split()[19]) != start_ticks:
            raise CannotAskError("it is another process by now")
    status = status_of(pid)
    if not int(status.get("SigCgt", "0"), 16) & 1 << (signal.SIGQUIT - 1):
        raise CannotAskError("it does not listen (java -Xrs)")
    return status.get("NSpid", str(pid)).split()[-1]


def _socket_of(folder: int, name: str) -> int | None:
    """The socket itself, held open: another user of that folder could put a link in its place."""
    try:
        held = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    found = os.fstat(held)
    if stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid():
        return held
    os.close(held)
    return None


def _wake(pid: int, start_ticks: int, folder: int, inner: str) -> int:
    """Make it listen, and give its socket: a file of the right name, then SIGQUIT."""
    process, name = os.pidfd_open(pid), f".attach_pid{inner}"
    _check(pid, start_ticks)
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder))
    try:
        signal.pidfd_send_signal(process, signal.SIGQUIT)
        end = time.monotonic() + _WAIT_S
        while (held := _socket_of(folder, f".java_pid{inner}")) is None:
            if time.monotonic() > end:
                raise CannotAskError("it did not answer (-XX:+DisableAttachMechanism?)")
            time.sleep(0.02)
        return held
    finally:
        os.unlink(name, dir_fd=folder)
        os.close(process)


def ask(pid: int, start_ticks: int) -> None:
    """Have the names written to its /tmp/perf-PID.map; raises CannotAskError or OSError."""
    inner = _check(pid, start_ticks)
    root = os.open(f"/proc/{pid}/root", _FOLDER | os.O_PATH)
    folder = os.open("tmp", _FOLDER | os.O_NOFOLLOW, dir_fd=root)
    held = _socket_of(folder, f".java_pid{inner}")
    if held is None:
        held = _wake(pid, start_ticks, folder, inner)
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(_WAIT_S)
        link.connect(f"/proc/self/fd/{held}")
        link.sendall(_REQUEST)
        answer = b""
        while len(answer) < 4096 and (piece := link.recv(4096)):
            answer += piece
    if not answer.startswith(b"0\n"):
        raise CannotAskError("it does not know the command (Java 17 does)")


def main() -> int:
    signal.alarm(_LIMIT_S)
    try:
        ask(int(sys.argv[1]), int(sys.argv[2]))
    except (CannotAskError, OSError, ValueError, IndexError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
