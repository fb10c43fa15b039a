"""Where a service is to live: which platform, whose, started by which program, and what stands in the way."""

from __future__ import annotations

import getpass
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from monitord.errors import NotFoundError, PermissionDeniedError

LABELS = {False: "dev.monitord.agent", True: "dev.monitord.daemon"}


@dataclass(frozen=True, slots=True)
class Place:
    """The machine and the user as the service files need to know them.

    `program` starts monitord: one absolute path, or an interpreter with `-m monitord`. `interpreter` is
    the Python behind it, resolved. `root` is / and something else only for trying things out.
    """

    platform: str
    program: tuple[str, ...]
    interpreter: Path
    home: Path
    user: str
    uid: int
    config_home: Path
    root: Path = Path("/")

    @classmethod
    def here(cls) -> Place:
        """This machine, this user, this program."""
        home = Path.home()
        script = Path(sys.executable).parent / "monitord"
        return cls(
            platform="darwin" if sys.platform == "darwin" else "linux",
            program=(str(script),) if script.exists() else (sys.executable, "-m", "monitord"),
            interpreter=Path(sys.executable).resolve(),
            home=home,
            user=getpass.getuser(),
            uid=os.geteuid(),
            config_home=Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config"),
        )

    @property
    def is_mac(self) -> bool:
        return self.platform == "darwin"

    def unit_path(self, *, system: bool) -> Path:
        """The file that the service manager reads."""
        if self.is_mac:
            folder = self.root / "Library/LaunchDaemons" if system else self.home / "Library/LaunchAgents"
            return folder / f"{LABELS[system]}.plist"
        folder = self.root / "etc/systemd/system" if system else self.config_home / "systemd/user"
        return folder / "monitord.service"

    def log_path(self, *, system: bool) -> Path:
        """Where launchd puts what the daemon says; systemd has its journal instead."""
        base = self.root if system else self.home
        return base / "Library/Logs/monitord/monitord.log"

    def domain(self, *, system: bool) -> str:
        """launchd's name for where the job lives."""
        return "system" if system else f"gui/{self.uid}"


def require_service_manager(place: Place) -> None:
    """Say in one line that there is nobody to hand the service to."""
    if not place.is_mac and not (place.root / "run/systemd/system").is_dir():
        raise NotFoundError(
            "systemd does not run here (no /run/systemd/system):"
            " start `monitord run` from whatever supervises this machine or container"
        )


def require_rights(place: Place, verb: str, *, system: bool) -> None:
    """A system service belongs to root; say the line that works."""
    if system and place.uid != 0:
        line = " ".join(("sudo", *place.program, "service", verb, "--system"))
        raise PermissionDeniedError(f"a system service needs root: {line}")


def require_reachable(place: Place) -> None:
    """Refuse a program that the unprivileged service user can't execute (systemd: status=203/EXEC)."""
    for path in (place.interpreter, Path(place.program[0]), Path(place.program[0]).resolve()):
        blocked = unreachable_component(path)
        if blocked is not None:
            raise PermissionDeniedError(
                f"the service has a user of its own, who can't enter {blocked} on the way to {path}."
                f" Install monitord where everybody can execute it: {move_to_opt()}"
            )


def move_to_opt() -> str:
    """What to type for an installation that every user can execute."""
    checkout = Path(__file__).parents[2]
    source = checkout if (checkout / "pyproject.toml").exists() else "monitord"
    return (
        f"sudo /usr/bin/python3 -m venv /opt/monitord && sudo /opt/monitord/bin/pip install {source}"
        " && sudo /opt/monitord/bin/monitord service install --system"
    )


def unreachable_component(path: Path) -> Path | None:
    """The first part of an absolute path that not everybody may execute or enter; None: all may.

    A missing part is unreachable too. Symbolic links in the path count as where they lead.
    """
    for part in (*reversed(path.parents), path):
        try:
            mode = part.stat().st_mode
        except OSError:
            return part
        if not mode & stat.S_IXOTH:
            return part
    return None
