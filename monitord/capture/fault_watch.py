"""Records page faults of a process while a rule about its memory is armed; loaded when one is."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Protocol

from monitord import procfs
from monitord.perf_events import faults, perf_event

_THREADS_READ = 256


class Watch(Protocol):
    """Page faults being recorded; its text tells a child where, or (a number) why they are not."""

    @property
    def descriptors(self) -> tuple[int, ...]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Unwatched:
    """The kernel's answer to who wanted to record page faults."""

    error: int
    descriptors: tuple[int, ...] = ()

    def __str__(self) -> str:
        return str(self.error)

    def close(self) -> None:
        """Nothing is open."""


def watch(pid: int) -> Watch:
    """Record page faults of the first thread, which starts most others, and of those with the most faults."""
    try:
        found = procfs.threads(pid)[:_THREADS_READ]
        threads = sorted(found, key=lambda one: (one != pid, -_minor_faults(pid, one)))
        return faults.Watch(threads, procfs.online_cpus(), lambda one: procfs.stat_of(pid, one) is not None)
    except perf_event.LockedMemoryError:
        return Unwatched(errno.ENOMEM)
    except OSError as error:
        return Unwatched(error.errno or 0)


def _minor_faults(pid: int, thread: int) -> int:
    try:
        return int(procfs.split_stat(procfs.read(procfs.path(pid, f"task/{thread}/stat"), 4096))[1][7])
    except (OSError, ValueError, IndexError):
        return -1  # it has ended
