"""What each thread of a target waits for, and who holds it: read from outside, nothing is stopped.

What is found in the memory of the target is believed only where all of it fits, and never followed. A wait is
a plain dictionary, a part of an observation: `on` (one of ON), `what`, `holders`, `key` (of equal waits).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from monitord import procfs
from monitord.causes import ends, futexes, rlocks
from monitord.causes.ends import Process
from monitord.causes.threads import RUNNING, Waiting, read
from monitord.procfs import descriptors
from monitord.procfs.maps import mappings, python_version
from monitord.procfs.memory import Memory
from monitord.procfs.mounts import CAP_BYTES, MountPoint, mount_points
from monitord.procfs.system_calls import RECEIVES, SENDS
from monitord.redaction import redact_name

Wait = dict[str, Any]

ON = (
    *("mutex", "PI mutex", "RLock", "semaphore", "Python lock", "thread id", "futex"),
    *("file lock", "pipe", "socket", "file", "child", "idle", "running", "other", "unread"),
)
IDLE_CALLS = frozenset(
    (
        *("epoll_wait", "epoll_pwait", "poll", "ppoll", "select", "pselect6", "accept", "accept4"),
        *("nanosleep", "clock_nanosleep", "pause", "rt_sigtimedwait"),
    )
)
"""What a program does that has nothing to do; it may be right or wrong to have nothing to do."""

_PATH_ARGUMENT = dict.fromkeys(
    ("open", "stat", "lstat", "access", "rename", "mkdir", "rmdir", "unlink", "readlink", "execve"), 0
) | dict.fromkeys(
    (
        *("openat", "newfstatat", "statx", "unlinkat", "faccessat", "faccessat2", "readlinkat"),
        *("renameat", "renameat2"),
    ),
    1,
)
_SETLKW, _OFD_SETLKW = 7, 38
_MAPS_BYTES = 2 << 20
_PATH_BYTES = 256
_STACKS = 32
_RLOCKS = 64  # 2 ms each
_FRAMES = 6
_LIMIT_S = 0.5
_FORKING = ("vfork", "clone", "clone3")
_FOUR_GIB = 1 << 32
_DEPTH = 8
_NOBODY = (
    "nobody on this machine is seen to hold it: another machine of a network file system, or a process"
    " outside of this container"
)


class Reader:
    """Reads the waits of one process; keeps what several of them need."""

    def __init__(self, pid: int, threads: Sequence[Waiting]) -> None:
        self._pid = pid
        self._threads = threads
        self._maps = procfs.read_within(procfs.path(pid, "maps"), _LIMIT_S, _MAPS_BYTES) or b""
        self.python = python_version(self._maps)
        self._is_wide = any(mapping.begin >= _FOUR_GIB for mapping in mappings(self._maps))
        self._outer = _outer_ids(pid, threads)
        self._mounts: list[MountPoint] | None = None
        self._stacks_left = _STACKS
        self._rlocks_left = _RLOCKS
        self._known: dict[tuple[Any, ...], Wait] = {}
        waiting = (futexes.call_of(one.arguments) for one in threads if one.call == "futex")
        self._waiters = Counter(each.address for each in waiting if each)
        self._memory = Memory(pid)

    def wait_of(self, thread: Waiting) -> Wait:
        """What this thread waits for. Equal calls are looked into once."""
        found: Wait = {"state": thread.state, "call": thread.call} | self._looked_up(thread)
        if thread.state == "D" and self._stacks_left > 0:
            self._stacks_left -= 1
            found["stack"] = self._stack(thread.thread_id)
        return found

    def _looked_up(self, thread: Waiting) -> Wait:
        if thread.call in _FORKING and thread.state == "D":
            return self._child(None)
        if thread.call == RUNNING or thread.state == "R":
            return {"on": "running", "key": ""}
        if not thread.call:
            return {"on": "unread" if thread.state != "D" else "other", "key": ""}
        asked = (thread.call, thread.arguments[:3], thread.state == "D")
        if asked not in self._known:
            self._known[asked] = self._look(thread)
        return self._known[asked]

    def _look(self, thread: Waiting) -> Wait:
        call, arguments = thread.call, thread.arguments
        if call == "futex":
            return self._futex(arguments, thread.stack_at)
        if call == "flock":
            return self._file_lock(arguments[0], ("flock",), None) or self._file(arguments[0])
        if call == "fcntl" and arguments[1] in (_SETLKW, _OFD_SETLKW):
            kind = "fcntl" if arguments[1] == _SETLKW else "OFD"
            begin = ends.parsed_flock(self._peek(arguments[2], 32))
            return self._file_lock(arguments[0], (kind,), begin) or self._file(arguments[0])
        if call in ("wait4", "waitid"):
            return self._child(_signed(arguments[0]) if call == "wait4" else None)
        if call in IDLE_CALLS and thread.state != "D":
            return {"on": "idle", "key": call}
        if call in _PATH_ARGUMENT:
            return self._path(call, arguments)
        if thread.has_file:
            return self._end(call, arguments[0])
        return {"on": "other", "key": call}

    # ------------------------------------------------------------------------------ locks in memory

    def _futex(self, arguments: tuple[int, ...], stack_at: int) -> Wait:
        call = futexes.call_of(arguments)
        if call is None or not self._is_wide:
            said = "" if self._is_wide else "a program of 32 bits, whose locks are not read"
            return {"on": "futex", "key": f"{arguments[:1]}", "said": said}
        ids = {inner: inner for inner in self._outer}
        judged = futexes.judge(
            call, self._peek(call.address, futexes.MUTEX_BYTES), self._waiters[call.address], ids
        )
        is_pythons = judged.kind == "semaphore" and self.python is not None
        found: Wait = {
            "on": "Python lock" if is_pythons else judged.kind,
            "key": f"{call.address:#x}",
            "is_private": call.is_private or judged.kind == "thread id",
            "is_timed": call.is_timed,
        }
        if judged.owner is not None:
            found |= self._owner(judged, call)
        return found | self._rlock(call.address, stack_at) if is_pythons else found

    def _rlock(self, awaited: int, stack_at: int) -> Wait:
        """The owner, if it is an RLock. All that wait for it have one key, whatever words they wait at."""
        self._rlocks_left -= 1
        lock = rlocks.held(self._memory, awaited, stack_at, self._outer) if self._rlocks_left >= 0 else None
        if lock is None:
            return {}
        return {
            "on": "RLock",
            "key": f"{lock[0]:#x}",
            "holders": [_thread_row(self._pid, self._outer[lock[1]])],
        }

    def _owner(self, judged: futexes.Judged, call: futexes.Call) -> Wait:
        """Who the owner is; a thread of another process only where that one maps the same page."""
        owner = judged.owner or 0
        outer = self._outer.get(owner)
        if outer is not None:
            return {"holders": [_thread_row(self._pid, outer)]}
        if judged.kind == "thread id":
            return {"on": "futex"}
        if call.is_private:
            return {"holders": [], "lost_owner": owner, "said": self._lost(owner)}
        process = self._sharer(owner, call.address)
        return {"holders": [_process_row(process)]} if process else {"on": "futex"}

    def _lost(self, owner: int) -> str:
        """Say why no thread of this process owns the mutex."""
        if self._is_ours_namespace() and procfs.stat_of(owner) is not None:
            return "a thread of another process: it was locked when this one was forked"
        return "a thread that has ended without letting go of it"

    def _is_ours_namespace(self) -> bool:
        return all(inner == outer for inner, outer in self._outer.items())

    def _sharer(self, owner: int, address: int) -> Process | None:
        """The process of a thread that maps the same piece of the same file as the target has there."""
        if not self._is_ours_namespace():
            return None
        group = procfs.status_of(owner).get("Tgid", "")
        own = self._mapping_at(self._maps, address)
        if not group.isdigit() or own is None:
            return None
        theirs = procfs.read_within(procfs.path(int(group), "maps"), _LIMIT_S, _MAPS_BYTES) or b""
        shares = any((one.device, one.inode) == (own.device, own.inode) for one in mappings(theirs))
        return Process.of(int(group)) if shares else None

    @staticmethod
    def _mapping_at(maps: bytes, address: int) -> Any:
        for one in mappings(maps):
            begin, _, end = one.where.partition("-")
            if int(begin, 16) <= address < int(end, 16):
                return one
        return None

    # ------------------------------------------------------------------------- files, pipes, sockets

    def _file_lock(self, descriptor: int, kinds: tuple[str, ...], begin: int | None) -> Wait | None:
        try:
            lock = ends.lock_holders(self._pid, descriptor, kinds, begin)
        except OSError:
            return None
        if lock is None:
            return self._file(descriptor) | {
                "on": "file lock",
                "kind": kinds[0],
                "said": _NOBODY,
            }
        found = self._file(descriptor) | {"on": "file lock", "kind": lock.kind}
        found["holders"] = [_process_row(one) for one in lock.holders]
        if not lock.holders:
            found["said"] = "its holder can't be seen from here"
        elif lock.taken_by is not None:
            found["said"] = f"process {lock.taken_by} took it and handed the open file on"
        cycle = _cycle(self._pid, [one.pid for one in lock.holders])
        if cycle:
            found["cycle"] = [_process_row(one) for pid in cycle if (one := Process.of(pid)) is not None]
            found["is_sure"] = all(_is_single(pid) for pid in (self._pid, *cycle))
        return found

    def _end(self, call: str, descriptor: int) -> Wait:
        link = descriptors.link_of(self._pid, descriptor)
        if link is None:
            return {"on": "other", "key": call}
        is_reading = call in RECEIVES
        if link.startswith("pipe:") and (is_reading or call in SENDS):
            others = ends.pipe_ends(link, writing=is_reading)
            return {
                "on": "pipe", "key": link[:40], "what": "read" if is_reading else "write",
                "holders": [_process_row(one) for one in others],
            }  # fmt: skip
        if link.startswith("socket:"):
            end = ends.socket_end(self._pid, link)
            return {
                "on": "socket", "key": link[:40], "what": end.remote or "", "socket_state": end.state or "",
                "holders": [_process_row(one) for one in end.holders],
            }  # fmt: skip
        return self._file(descriptor)

    def _file(self, descriptor: int) -> Wait:
        link = descriptors.link_of(self._pid, descriptor) or ""
        info = descriptors.info_of(self._pid, descriptor)
        mount = next((one for one in self._mount_points() if info and one.mount_id == info.mount_id), None)
        return {"on": "file", "key": link[:200], "what": _shown(link)} | _mount_row(mount)

    def _path(self, call: str, arguments: tuple[int, ...]) -> Wait:
        """A file that is asked for by its name, which is read from the target's memory."""
        at = _PATH_ARGUMENT[call]
        raw = self._peek(arguments[at], _PATH_BYTES).split(b"\0")[0] if len(arguments) > at else b""
        path = os.fsdecode(raw)
        if path and not path.startswith("/"):
            folder = procfs.path(self._pid, "cwd")
            if at == 1 and _signed(arguments[0]) >= 0:
                folder = procfs.path(self._pid, f"fd/{arguments[0]}")
            try:
                path = f"{procfs.link(folder)}/{path}"
            except OSError:
                path = ""
        inside = [one for one in self._mount_points() if path and _is_below(path, one.point)]
        mount = max(inside, key=lambda one: len(one.point), default=None)
        return {"on": "file" if path else "other", "key": path or call, "what": _shown(path)} | _mount_row(
            mount
        )

    def _mount_points(self) -> list[MountPoint]:
        if self._mounts is None:
            text = procfs.text(procfs.path(self._pid, "mountinfo"), CAP_BYTES)
            self._mounts = list(mount_points(text))
        return self._mounts

    # -------------------------------------------------------------------------------------- children

    def _child(self, pid: int | None) -> Wait:
        """A child by its pid, or any of them. The pid is of the target's own namespace."""
        children = ends.children_of(self._pid)
        if pid is not None and pid > 0 and self._is_ours_namespace():
            children = [one for one in children if one[0] == pid]
        rows = [
            _process_row(Process(child, redact_name(stat.name)[:40]))
            for child, stat in children[:8]
            if stat.state != "Z"
        ]
        return {"on": "child", "key": str(pid), "holders": rows, "count": len(children)}

    # ---------------------------------------------------------------------------------------- memory

    def _peek(self, address: int, size: int) -> bytes:
        """Up to the end of the page: what lies behind it may not be mapped."""
        try:
            return self._memory.read(address, min(size, procfs.PAGE_BYTES - address % procfs.PAGE_BYTES))
        except OSError:
            return b""

    def _stack(self, thread_id: int) -> list[str]:
        """Functions of the kernel that the thread is in, the innermost first; empty without the right."""
        text = procfs.text(procfs.path(self._pid, f"task/{thread_id}/stack"), 4096)
        names = [line.partition("] ")[2].partition("+")[0] for line in text.split("\n")]
        wchan = procfs.text(procfs.path(self._pid, f"task/{thread_id}/wchan"), 64)
        return [name[:60] for name in names if name][:_FRAMES] or ([wchan] if wchan not in ("", "0") else [])


def _outer_ids(pid: int, threads: Iterable[Waiting]) -> dict[int, int]:
    """The thread ids that the process itself knows, each with ours."""
    if len(procfs.status_of(pid).get("NSpid", "").split()) < 2:
        return {one.thread_id: one.thread_id for one in threads}
    inner = [(one.thread_id, procfs.status_of(pid, one.thread_id).get("NSpid", "")) for one in threads]
    return {int(ids.split()[-1]): thread_id for thread_id, ids in inner if ids}


def _cycle(pid: int, holders: list[int]) -> list[int]:
    """The processes between this one and itself, each waiting for a file lock of the next; empty: none."""
    for holder in holders:
        way, seen = [holder], {holder}
        while len(way) <= _DEPTH:
            following = ends.waits_for(way[-1])
            if pid in following:
                return way
            further = next((one for one in following if one not in seen), None)
            if further is None:
                break
            way.append(further)
            seen.add(further)
    return []


def _is_single(pid: int) -> bool:
    stat = procfs.stat_of(pid)
    return stat is not None and stat.thread_count == 1


def _thread_row(pid: int, thread_id: int) -> dict[str, Any]:
    stat = procfs.stat_of(pid, thread_id)
    return {"pid": pid, "thread_id": thread_id, "name": redact_name(stat.name)[:40] if stat else ""}


def _process_row(process: Process) -> dict[str, Any]:
    """With what its main thread does now."""
    thread = read(process.pid, process.pid)
    does = "" if thread is None else RUNNING if thread.state == "R" else thread.call
    return {"pid": process.pid, "name": process.name, "container": process.container, "call": does[:40]}


def _mount_row(mount: MountPoint | None) -> Wait:
    if mount is None:
        return {}
    return {"mount": _shown(mount.point), "mount_kind": mount.kind[:40], "mount_source": _shown(mount.source)}


def _shown(path: str) -> str:
    return redact_name(path)[:200]


def _is_below(path: str, point: str) -> bool:
    return point == "/" or path == point or path.startswith(f"{point}/")


def _signed(argument: int) -> int:
    """A C int, which the kernel prints as a register."""
    low = argument & 0xFFFFFFFF
    return low - (1 << 32) if low >= 1 << 31 else low
