"""Which scripts stand by under Scalene: registered by the command that starts them, found by the daemon."""

from __future__ import annotations

import json
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.capture.target import start_of
from monitord.errors import MonitordError
from monitord.logs import get_logger
from monitord.model import ProcessKey
from monitord.scripts.standby import Standby, is_folder_name

if TYPE_CHECKING:
    from monitord.capture.session import Profiler
    from monitord.storage.state import Storage

FOLDER = "standby"
_PREFIX = "profile.standby."


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
            raise MonitordError(f"cannot write {self._folder}: {error.strerror}") from error
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
        """Remove the process from the register."""
        self._state.delete(None, _name(key))

    def profiler_of(self, key: ProcessKey) -> Profiler | None:
        """The profiler that this process stands by under; None when it is not registered."""
        standby = self.find(key)
        if standby is None:
            return None
        from monitord.scripts.profiler import StandbyProfiler  # what it reads is of use to nobody else

        return StandbyProfiler(standby)

    def find(self, key: ProcessKey) -> Standby | None:
        """Return the registered process with this pid and start time, or None."""
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
