"""Processes that stand by under Scalene, switched off: which they are, and how one is switched on and off.

On is SIGILL and off is SIGBUS, which kill whatever does not expect them. So they go only to a process that
was registered, through a pidfd, and only when everything that is known of it still holds at that moment: the
start time, the image (another one after any exec), the user, the command line, its launcher, and that it
catches both signals.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.capture import procfs
from monitord.capture.target import Target, start_of
from monitord.errors import MonitordError
from monitord.logs import get_logger
from monitord.model import ProcessKey
from monitord.scripts.run import PROFILE_NAME

if TYPE_CHECKING:
    from monitord.capture.session import Profiler
    from monitord.storage.state import Storage

FOLDER = "standby"
_PREFIX = "profile.standby."
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


class StandbyRegistry:
    """The standby processes of one data directory; those that are gone are forgotten when somebody looks."""

    def __init__(self, state: Storage, data_dir: Path) -> None:
        self._state = state
        self._folder = data_dir / FOLDER

    def new_folder(self) -> Path:
        """A private folder (0700) for a process that is to stand by."""
        self._forget_the_gone()
        folder = self._folder / secrets.token_hex(6)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise MonitordError(f"{self._folder}: can't be written: {error.strerror}") from error
        return folder

    def register(self, standby: Standby) -> None:
        """Write it down; from now on an alert about it switches Scalene on."""
        value = {
            "pid": standby.key.pid, "start_ticks": standby.key.start_ticks,
            "launcher_pid": standby.launcher.pid, "launcher_start_ticks": standby.launcher.start_ticks,
            "image": standby.image, "folder": standby.folder.name, "root": standby.root,
            "script": standby.script, "scalene_version": standby.scalene_version,
        }  # fmt: skip
        self._state.set(_name(standby.key), json.dumps(value).encode("ascii"))

    def forget(self, key: ProcessKey) -> None:
        """Strike it out."""
        self._state.delete(None, _name(key))

    def profiler_of(self, key: ProcessKey) -> Profiler | None:
        """The profiler that this process stands by under; None when it is not registered."""
        standby = self.find(key)
        if standby is None:
            return None
        from monitord.scripts.profiler import StandbyProfiler  # what it reads is of use to nobody else

        return StandbyProfiler(standby)

    def find(self, key: ProcessKey) -> Standby | None:
        """The registered process with this pid and start time; None when there is none."""
        item = self._state.get(_name(key))
        return self._standby(item.data) if item is not None else None

    def _forget_the_gone(self) -> None:
        """Strike out processes that have ended, and remove the folders that nobody cleared up."""
        names = [name for name in self._state.keys() if name.startswith(_PREFIX)]  # noqa: SIM118  no mapping
        gone, folders = [], set()
        for name, item in self._state.get_many(names).items():
            standby = self._standby(item.data)
            if standby is None or start_of(standby.key.pid) != standby.key.start_ticks:
                gone.append(name)
            if standby is not None and name in gone:
                folders.add(standby.folder)
        if gone:
            self._state.delete_many(gone)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _standby(self, data: bytes) -> Standby | None:
        try:
            value = json.loads(data)
            if not is_folder_name(value["folder"]):
                raise ValueError("a folder's name leads somewhere else")
            return Standby(
                ProcessKey(int(value["pid"]), int(value["start_ticks"])),
                ProcessKey(int(value["launcher_pid"]), int(value["launcher_start_ticks"])),
                (int(value["image"][0]), int(value["image"][1])),
                self._folder / value["folder"], str(value["root"]), str(value["script"]),
                str(value["scalene_version"]),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, IndexError) as error:
            get_logger().warning("standby.unreadable", reason=str(error))
            return None


def _name(key: ProcessKey) -> str:
    return f"{_PREFIX}{key.pid}.{key.start_ticks}"


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
        data = procfs.read(f"/proc/{pid}/cmdline", _ARGUMENTS_CAP)
    except OSError:
        return []
    return [os.fsdecode(part) for part in data.split(b"\0")[:-1]]


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in procfs.read(f"/proc/{pid}/task/{pid}/children").split()]
    except (OSError, ValueError):
        return []
