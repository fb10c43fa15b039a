"""Which files a process reads and writes right now, by fanotify(7): pwrite and short-lived files included.

Takes CAP_SYS_ADMIN. Only mounts are watched that hold files of the target, for a second at most, and a
bounded number of events is read (21 µs each). Writes by a memory mapping raise no event.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from monitord import procfs

MOST_EVENTS = 8000
_BUFFER_BYTES = 4096  # 170 events, each with a descriptor
_NONBLOCK, _CLOEXEC = 0x2, 0x1
_O_LARGEFILE = 0o100000
_ADD, _MOUNT = 0x1, 0x10
ACCESS, MODIFY, _OVERFLOW = 0x1, 0x2, 0x4000
_AT_FDCWD = -100
_EVENT = struct.Struct("=IBBHQii")  # struct fanotify_event_metadata


@dataclass(slots=True)
class Seen:
    """Events by (path, is a write, pid). `is_cut`: there were more than are read."""

    files: Counter[tuple[str, bool, int]] = field(default_factory=Counter)
    events: int = 0
    is_cut: bool = False


def watch(places: Iterable[str], wants: Callable[[int], bool], over_s: float) -> Seen | None:
    """Events of wanted processes on the mounts that these paths lie on; None without the right."""
    libc = ctypes.CDLL(None, use_errno=True)
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOATIME | _O_LARGEFILE
    group = libc.fanotify_init(_NONBLOCK | _CLOEXEC, flags)
    if group < 0:
        return None
    try:
        mask = ctypes.c_uint64(ACCESS | MODIFY)
        marked = [
            libc.fanotify_mark(group, _ADD | _MOUNT, mask, _AT_FDCWD, os.fsencode(place)) for place in places
        ]
        return _read_all(group, wants, over_s) if 0 in marked else None
    finally:
        os.close(group)


def _read_all(group: int, wants: Callable[[int], bool], over_s: float) -> Seen:
    seen = Seen()
    poll = select.poll()
    poll.register(group, select.POLLIN)
    end_s = time.monotonic() + over_s
    while (left_s := end_s - time.monotonic()) > 0 and not seen.is_cut:
        if poll.poll(1000 * left_s):
            _read_some(group, wants, seen)
    return seen


def _read_some(group: int, wants: Callable[[int], bool], seen: Seen) -> None:
    data, at = os.read(group, _BUFFER_BYTES), 0
    while at + _EVENT.size <= len(data):
        length, _version, _reserved, _header, mask, descriptor, pid = _EVENT.unpack_from(data, at)
        at += max(length, _EVENT.size)
        seen.events += 1
        seen.is_cut = seen.is_cut or bool(mask & _OVERFLOW) or seen.events >= MOST_EVENTS
        if descriptor < 0:
            continue  # too many open files, or a queue that ran over
        try:
            if wants(pid):
                path = procfs.link(f"/proc/self/fd/{descriptor}")
                seen.files.update((path, is_write, pid) for is_write in _kinds(mask))
        except OSError:
            continue
        finally:
            os.close(descriptor)


def _kinds(mask: int) -> list[bool]:
    return [is_write for bit, is_write in ((ACCESS, False), (MODIFY, True)) if mask & bit]
