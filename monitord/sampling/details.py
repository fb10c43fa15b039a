"""Who a suspect is: user, program, command line (redacted here, as it is read), unit, container.

On Linux everything is read through one descriptor of /proc/PID, which belongs to the process and not
to its number, and the identity is checked before and after.
"""

# mypy: allow-untyped-calls
# (psutil ships no types)

from __future__ import annotations

import os
import pwd
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import psutil

from monitord.model import ProcessDetails, ProcessKey
from monitord.procfs import age_s, arguments, count_descriptors, living_folder, owner, path, start_ticks
from monitord.procfs.cgroups import best_path, container_in, unit_in
from monitord.redaction import redact_argv, redact_name
from monitord.sampling.entries import Entry

_Value = TypeVar("_Value")

_ARGV_BYTES = 65536
"""A command line may be 2 MiB; redaction keeps 4 kB of it."""


def details(key: ProcessKey) -> ProcessDetails | None:
    """None when the process is gone, or its number belongs to somebody else by now."""
    return _from_proc(key) if sys.platform == "linux" else _from_psutil(key)


def unit_of(pid: int) -> str | None:
    """The systemd unit of a process; None outside systemd and on other platforms."""
    if sys.platform != "linux":
        return None
    try:
        folder = _open_folder(pid)
    except OSError:
        return None
    try:
        return unit_in_membership(os.fsdecode(_read_at(folder, "cgroup")))
    except OSError:
        return None
    finally:
        os.close(folder)


def unit_in_membership(text: str) -> str | None:
    """The systemd unit in the text of /proc/PID/cgroup, without secrets."""
    return _hidden(best_path(text), unit_in)


def _from_proc(key: ProcessKey) -> ProcessDetails | None:
    try:
        folder = _open_folder(key.pid)
    except OSError:
        return None
    try:
        before = _read_at(folder, "stat")
        if start_ticks(before) != key.start_ticks:
            return None
        entry = Entry(str(key.pid), -1, before)
        program = _living(folder, entry)
        argv = arguments(_read_or_empty(folder, f"{program}cmdline"))
        cgroup = best_path(os.fsdecode(_read_or_empty(folder, "cgroup")))
        executable = _link_at(folder, f"{program}exe")
        fd_count, uid = count_descriptors(key.pid), owner(entry.path)
        _read_at(folder, "stat")  # refused when the process ended meanwhile: then nothing above may be kept
    except (OSError, ValueError, IndexError):
        return None
    finally:
        os.close(folder)
    return ProcessDetails(
        key=key,
        name=entry.name,
        parent_pid=entry.parent_pid,
        started_at=datetime.fromtimestamp(time.time() - age_s(key.start_ticks), UTC),
        uid=uid,
        user=user_name(uid),
        executable=executable and redact_name(executable),
        command_line=redact_argv(argv),
        cgroup=cgroup and redact_name(cgroup),
        unit=_hidden(cgroup, unit_in),
        container_id=_hidden(cgroup, container_in),
        thread_count=entry.thread_count,
        fd_count=fd_count,
    )


def _hidden(cgroup: str | None, find: Callable[[str], str | None]) -> str | None:
    """What is found in a group's path, without secrets."""
    found = find(cgroup) if cgroup is not None else None
    return found and redact_name(found)


def _living(folder: int, entry: Entry) -> str:
    """What goes before the names of its files: a thread's folder where the main thread has ended."""
    if entry.state != "Z":
        return ""
    living = living_folder(entry.key.pid)
    return f"task/{living.rpartition('/')[2]}/" if "/task/" in living else ""


def _from_psutil(key: ProcessKey) -> ProcessDetails | None:
    """What psutil can tell; on macOS program and command line of other users need root."""
    from monitord.sampling import portable

    try:
        process = psutil.Process(key.pid)
        if portable.key_of(key.pid) != key:
            return None
        with process.oneshot():
            found = ProcessDetails(
                key=key,
                name=redact_name(process.name()),
                parent_pid=process.ppid() or 0,
                started_at=datetime.fromtimestamp(process.create_time(), UTC),
                uid=process.uids().effective,
                user=user_name(process.uids().effective),
                executable=redact_name(_allowed(process.exe) or "") or None,
                command_line=redact_argv(_allowed(process.cmdline) or ()),
                thread_count=_allowed(process.num_threads),
                fd_count=_allowed(process.num_fds),
            )
        return found if process.is_running() else None
    except (psutil.Error, OSError):
        return None


def _allowed(read: Callable[[], _Value]) -> _Value | None:
    """One psutil reading that may be refused without spoiling the others."""
    try:
        return read()
    except (psutil.AccessDenied, psutil.ZombieProcess, NotImplementedError):
        return None


def user_name(uid: int | None) -> str | None:
    """The account's name; the number itself where no account has it."""
    if uid is None:
        return None
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def known_users() -> dict[str, int]:
    """The uid of every account of this machine, by name: what a rule's `match.users` is read with."""
    return {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}


def _open_folder(pid: int) -> int:
    return os.open(path(pid), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _read_at(folder: int, name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.read(fd, _ARGV_BYTES)
    finally:
        os.close(fd)


def _read_or_empty(folder: int, name: str) -> bytes:
    """For files that may be refused while the process lives (its end is noticed by the last stat)."""
    try:
        return _read_at(folder, name)
    except OSError:
        return b""


def _link_at(folder: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return None
