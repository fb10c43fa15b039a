"""Where the tools are: absolute paths, found once, never through the caller's PATH.

py-spy is the one that was installed with monitord (beside the interpreter); the others come from the system's
own folders. A path may be given by hand; then nothing else is tried.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from monitord.capture.tool_runner import Runner, ToolRun
from monitord.installation import reinstall_command
from monitord.ownership import is_privileged, why_untrusted

_FOLDERS = ("/usr/bin", "/bin", "/usr/sbin", "/usr/local/bin")
_VERSION = re.compile(rb"(?<![0-9])[0-9]{1,9}(?:\.[0-9]{1,9})+")
INSTALL = {
    "py-spy": reinstall_command("py-spy"),
    "perf": "apt install linux-perf (Debian), linux-tools-$(uname -r) (Ubuntu), dnf install perf (Fedora)",
    "eu-stack": "apt install elfutils, dnf install elfutils",
    "sample": "sample is part of macOS; xcode-select --install",
    "spindump": "spindump is part of macOS: /usr/sbin/spindump",
    "tailspin": "sudo tailspin enable",
}


class Toolbox:
    """Paths by tool name, and the versions behind them (asked once, when there is time)."""

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self._paths = {name: _find(name) for name in INSTALL} | dict(given or {})
        self._versions: dict[str, str | None] = {}

    def path(self, name: str) -> str | None:
        """Return an absolute path to something executable, or None."""
        path = self._paths.get(name)
        return (
            path if path and Path(path).is_absolute() and _is_program(path) and not _distrust(path) else None
        )

    def missing(self, name: str) -> str:
        """Why `path` gave nothing, in words."""
        path = self._paths.get(name)
        if not path:
            return f"{name} is not installed"
        if (reason := _distrust(path)) is not None:
            return f"{path} is not run: {reason}"
        return f"{path} is not an executable file" if Path(path).exists() else f"{path} does not exist"

    def version(self, name: str) -> str | None:
        """What is known of its version, without asking."""
        return self._versions.get(name)

    def learn_version(self, name: str, runner: Runner, folder: Path) -> None:
        """Ask `TOOL --version` once; a tool that does not answer within a second has no version."""
        path = self.path(name)
        if path is None or name in self._versions or runner.is_stopped:
            return
        outcome = runner.run(ToolRun((path, "--version"), folder, limit_s=1.0, grace_periods_s=(0.1, 0.1)))
        found = _VERSION.search(outcome.stdout) if outcome.exit_status == 0 else None
        self._versions[name] = found[0].decode() if found else None


def _find(name: str) -> str | None:
    own = (str(Path(sys.executable).parent),) if name == "py-spy" else ()
    places = (f"{folder}/{name}" for folder in (*own, *_FOLDERS))
    return next((path for path in places if _is_program(path)), None)


@cache
def _distrust(path: str) -> str | None:
    """Why a monitord with rights does not run this program; an ordinary user may run what they like."""
    return why_untrusted(Path(path)) if is_privileged() else None


def _is_program(path: str) -> bool:
    return Path(path).is_file() and os.access(path, os.X_OK)
