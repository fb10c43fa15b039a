"""Shells under a supervisor, in both of its modes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from monitord.supervision import Supervised
from tests.capture.targets import stat_fields
from tests.patience import PATIENCE_S

Mode = Literal["tool", "script"]
MODES: tuple[Mode, ...] = ("tool", "script")
LIMIT_WORDS = {"tool": "timeout", "script": "duration"}
HIDES_CHILDREN = (
    "(trap '' INT TERM; exec setsid sleep 300) &\n((trap '' INT TERM; exec setsid sleep 300) &)\n"
)
READY = '\n: >"$READY"\n'
HANGS = "trap '' INT TERM\n" + HIDES_CHILDREN + READY + "sleep 300; sleep 300"
OF_A_TOOL: dict[str, Any] = {
    "descriptors": (), "target_pid": -1, "target_fd": -1, "watch_target": False, "attached_text": "",
    "attached_link": "", "is_hurried": False, "cgroup": "", "output_cap_bytes": 1 << 18,
    "file_cap_bytes": 1 << 26, "folder_cap_bytes": 1 << 27, "memory_cap_bytes": 1 << 32, "cpu_cap_s": 20,
    "open_files_cap": 256, "own_tmp": {}, "folder_owner": None, "user": None, "capabilities": (),
    "is_reader": False, "asks_sockets": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Commands:
    """Starts shells under a supervisor; each is known by what stands in its environment."""

    mode: Mode
    folder: Path

    @property
    def ready(self) -> Path:
        return self.folder / "ready"

    def order(self, text: str, **changes: Any) -> dict[str, Any]:
        for name in ("own", "temporary"):
            (self.folder / name).mkdir(exist_ok=True)
        own = OF_A_TOOL if self.mode == "tool" else {}
        return {
            "argv": ("/bin/bash", "-c", text), "folder": str(self.folder / "own"),
            "environment": {"PATH": "/usr/bin:/bin", "READY": str(self.ready)},
            "temporary": str(self.folder / "temporary"), "profile": str(self.folder / "own" / "profile"),
            "limit_s": 300.0, "grace_periods_s": (0.2, 0.2), "stdout_to_stderr": False, **own, **changes,
        }  # fmt: skip

    def run(self, text: str, **changes: Any) -> dict[str, Any]:
        """The report of a command that ends by itself, or at its limit."""
        with Supervised(self.mode, self.order(text, **changes)) as command:
            return report_of(command)

    def living(self) -> list[int]:
        """Everything that was started, the supervisor excepted."""
        mark, found = f"READY={self.ready}\0".encode(), []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found


def report_of(command: Supervised) -> dict[str, Any]:
    for _ in command.messages(limit_s=PATIENCE_S):
        pass
    assert command.report is not None, command.complaint
    return command.report


def wait_until_ready(command: Supervised, commands: Commands) -> None:
    """It has done what it does first, and is listened to meanwhile."""
    for _ in command.messages(tick_s=0.01, limit_s=PATIENCE_S):
        if commands.ready.exists():
            return
    raise AssertionError("waited in vain for the command to be ready")


def leader_of(command: Supervised) -> int:
    return next(message["started"] for message in command.messages(limit_s=PATIENCE_S) if message)


def supervisor_of(command: Supervised) -> int:
    return int(stat_fields(leader_of(command))[1])
