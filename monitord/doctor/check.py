"""A check's answer, what checks are given, and how this distribution installs a tool."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from monitord.config.telling import ReceiverSettings
from monitord.ownership import line_for_all
from monitord.stacks.rings import DEFAULT_BYTES, DEFAULT_RATE_HZ, Rings, Scope

TOOL_FOLDERS = ("/usr/bin", "/bin", "/usr/sbin", "/usr/local/bin")
OK, WARNING, FAILURE = "ok", "warning", "failure"


@dataclass(frozen=True, slots=True)
class Check:
    """One answer: `outcome` is ok, warning (less evidence) or failure (monitord can't do its work).

    `detail` says what was found, `fix` the exact words to type, or None when nothing is to be done.
    """

    name: str
    outcome: str
    detail: str
    fix: str | None = None


def default_search_path() -> str:
    """Where tools are looked for, as a capture does: beside this Python (py-spy), never in PATH."""
    return os.pathsep.join((str(Path(sys.executable).parent), *TOOL_FOLDERS))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the checks look at. Everything has the running machine's value as its default.

    `units` maps the path of each service file to what this version would write there. `root` is where
    /proc, /sys and /etc begin.
    """

    data_dir: Path
    version: str
    max_total_bytes: int = 50_000_000
    min_free_disk_bytes: int = 200_000_000
    backup_folder: Path | None = None
    backup_every_h: float = 24.0
    is_remote: bool = False  # artefacts go to a remote provider, and are counted as the rows tell it
    units: Mapping[Path, str] = field(default_factory=dict)
    receivers: tuple[ReceiverSettings, ...] = ()
    ship_url: str = ""
    warm_bytes: int = 0  # what the warm tier may take; 0: there is none
    has_black_box: bool = True
    ring_rate_hz: int = DEFAULT_RATE_HZ
    ring_bytes: int = DEFAULT_BYTES
    open_rings: Callable[[int, int, Scope], Rings] = Rings.open
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    root: Path = Path("/")
    platform: str = sys.platform
    uid: int = field(default_factory=os.geteuid)
    search_path: str = field(default_factory=default_search_path)
    executable: Path = Path(sys.executable)

    @property
    def is_linux(self) -> bool:
        return self.platform.startswith("linux")

    @property
    def is_mac(self) -> bool:
        return self.platform == "darwin"

    @property
    def system_install(self) -> str:
        """The line that installs the system service; sudo's PATH need not know where monitord lies."""
        return line_for_all(interpreter=self.executable)

    def read(self, name: str) -> str | None:
        """Read a file below `root`, stripped; None when it can't be had."""
        try:
            return (self.root / name).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None


_INSTALLERS = {
    "debian": "sudo apt-get install -y",
    "ubuntu": "sudo apt-get install -y",
    "fedora": "sudo dnf install -y",
    "suse": "sudo zypper install -y",
    "arch": "sudo pacman -S --noconfirm",
    "alpine": "sudo apk add",
}
_PACKAGES = {
    "perf": {"debian": "linux-perf", "ubuntu": "linux-tools-common linux-tools-$(uname -r)"},
    "elfutils": {},
}
_FAMILIES = (
    ("ubuntu", ("ubuntu",)),
    ("debian", ("debian",)),
    ("fedora", ("fedora", "rhel", "centos")),
    ("suse", ("suse", "opensuse", "sles")),
    ("arch", ("arch",)),
    ("alpine", ("alpine",)),
)


def install_line(here: Surroundings, package: str) -> str:
    """What to type to install `perf` or `elfutils` on this distribution."""
    family = _family(here)
    if family is None:
        return f"install {package} with this system's package manager"
    return f"{_INSTALLERS[family]} {_PACKAGES[package].get(family, package)}"


def _family(here: Surroundings) -> str | None:
    release = here.read("etc/os-release") or ""
    fields = dict(line.split("=", 1) for line in release.splitlines() if "=" in line)
    names = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split()
    words = {word for name in names for word in (name, name.partition("-")[0])}
    return next((family for family, ids in _FAMILIES if words.intersection(ids)), None)
