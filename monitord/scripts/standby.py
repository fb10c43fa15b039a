"""Processes that stand by under Scalene, switched off: which they are, and how one is switched on and off.

On is SIGILL and off is SIGBUS, which kill whatever does not expect them. So they go only to a process that
was registered, through a pidfd, and only when everything that is known of it still holds at that moment: the
start time, the image (another one after any exec), the user, the command line, its launcher, and that it
catches both signals.
"""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from monitord import procfs
from monitord.capture.target import Target
from monitord.model import ProcessKey
from monitord.scripts.run import PROFILE_NAME

_EARLIER_NAME = "earlier.json"
_CAUGHT = 1 << (signal.SIGILL - 1) | 1 << (signal.SIGBUS - 1)
_ARGUMENTS_CAP = 65_536
_FOLDER = re.compile(r"[a-z0-9]{4,40}")


@dataclass(frozen=True, slots=True)
class Standby:
    """A process under Scalene, switched off, and the launcher that started it.

    `image` is where its code and stack begin (`procfs.Stat`); `folder` is the private one that Scalene writes
    into; `root` the folder of its script.
    """

    key: ProcessKey
    launcher: ProcessKey
    image: tuple[int, int]
    folder: Path
    root: str
    script: str
    scalene_version: str = ""

    @property
    def profile(self) -> Path:
        return self.folder / PROFILE_NAME

    @property
    def earlier(self) -> Path:
        """What Scalene had counted when it was last read: it adds up for as long as the process lives."""
        return self.folder / _EARLIER_NAME


def is_folder_name(name: str) -> bool:
    """Whether this can be the name of a standby process's folder: nothing that leads anywhere else."""
    return _FOLDER.fullmatch(name) is not None


def find_standby(leader: int, folder: Path, root: str, script: str, version: str) -> Standby | None:
    """The process that Scalene's launcher started, once it can be switched; None: not yet.

    Between fork and exec it has the launcher's command line and handlers; it is Scalene's only when its image
    is another one than the launcher's.
    """
    launcher = procfs.stat_of(leader)
    argv = _arguments(leader)
    for pid in _children(leader) if launcher is not None and argv else ():
        stat = procfs.stat_of(pid)
        if stat is not None and launcher is not None and _arguments(pid) == argv and _catches(pid):
            key, parent = ProcessKey(pid, stat.start_ticks), ProcessKey(leader, launcher.start_ticks)
            found = Standby(key, parent, stat.image, folder, root, script, version)
            with Target(found.key) as target:
                return found if why_not(found, target) is None else None
    return None


def why_not(standby: Standby, target: Target) -> str | None:
    """Why this process must not be sent a signal; None when all that is known of it holds now."""
    pid = standby.key.pid
    stat, launcher = procfs.stat_of(pid), procfs.stat_of(standby.launcher.pid)
    argv = _arguments(pid)
    if target.key != standby.key or target.fd is None:
        return "it is not the process that was registered"
    if stat is None or stat.start_ticks != standby.key.start_ticks:
        return "its pid belongs to another process"
    if stat.image != standby.image or not all(stat.image):
        return "it runs another program now"
    if procfs.status_of(pid).get("Uid", "").split()[1:2] != [str(os.geteuid())]:
        return "it belongs to another user"
    if "scalene" not in argv or str(standby.profile) not in argv:
        return "its command line is not that of Scalene"
    if launcher is None or launcher.start_ticks != standby.launcher.start_ticks:
        return "the launcher of Scalene is gone"
    if stat.image == launcher.image:
        return "it is still the launcher's own copy: Scalene has not started in it"
    if stat.parent_pid != standby.launcher.pid or _arguments(standby.launcher.pid) != argv:
        return "it was not started by Scalene's launcher"
    if not _catches(pid):
        return "it does not catch the signals that switch Scalene"
    return None if target.is_alive() else "it has ended"


def switch(standby: Standby, target: Target, *, on: bool) -> str | None:
    """Send the signal if it may be sent, by the target's pidfd; else why not."""
    refusal = why_not(standby, target)
    if refusal is not None or target.fd is None:
        return refusal
    try:
        signal.pidfd_send_signal(target.fd, signal.SIGILL if on else signal.SIGBUS)
    except OSError as error:
        return f"it can't be signalled: {error.strerror}"
    return None


def _catches(pid: int) -> bool:
    try:
        return int(procfs.status_of(pid).get("SigCgt", "0"), 16) & _CAUGHT == _CAUGHT
    except ValueError:
        return False


def _arguments(pid: int) -> list[str]:
    try:
        data = procfs.read(procfs.path(pid, "cmdline"), _ARGUMENTS_CAP)
    except OSError:
        return []
    return [os.fsdecode(part) for part in data.split(b"\0")[:-1]]


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in procfs.read(procfs.path(pid, f"task/{pid}/children")).split()]
    except (OSError, ValueError):
        return []
