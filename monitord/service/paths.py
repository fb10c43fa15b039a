"""Where a service is to live: which platform, whose, started by which program, and what stands in the way."""

from __future__ import annotations

import getpass
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from monitord.children import own_command
from monitord.errors import NotFoundError, PermissionDeniedError
from monitord.ownership import (
    MACHINE_DATA_DIR,
    MACHINE_GROUP,
    fitness,
    how_to_install_for_all,
    lasting_path,
    why_untrusted,
)
from monitord.service.environment import CURRENT

LABELS = {False: "dev.monitord.agent", True: "dev.monitord.daemon"}
SERVICE_USER = MACHINE_GROUP  # and its group of the same name


@dataclass(frozen=True, slots=True)
class ServicePaths:
    """The machine and the user as the service files need to know them.

    `program` starts monitord: one absolute path, or an interpreter with its words. `interpreter` is
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
    def here(cls) -> ServicePaths:
        """Describe this machine, this user and this program."""
        home = Path.home()
        script = Path(sys.executable).parent / "monitord"
        return cls(
            platform="darwin" if sys.platform == "darwin" else "linux",
            program=(str(script),) if script.exists() else own_command("monitord"),
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

    @property
    def data_dir(self) -> Path:
        """Where the machine's service records."""
        return self.root / MACHINE_DATA_DIR.relative_to("/")

    @property
    def own_environments(self) -> Path:
        """Where root makes environments for the machine's service, one for each version."""
        return self.root / "opt/monitord/versions"

    @property
    def current_program(self) -> Path:
        """The program of the environment that is in use."""
        return self.own_environments.parent / CURRENT / "bin/monitord"

    @property
    def command_link(self) -> Path:
        """Where every user finds that program."""
        return self.root / "usr/local/bin/monitord"

    @property
    def version(self) -> Path | None:
        """The environment of root's that this program belongs to; None: it lies elsewhere."""
        program = Path(self.program[0])
        is_own = program.is_relative_to(self.own_environments)
        return program.parents[1] if is_own and len(program.parents) > 1 else None

    def domain(self, *, system: bool) -> str:
        """launchd's name for where the job lives."""
        return "system" if system else f"gui/{self.uid}"


def require_service_manager(place: ServicePaths) -> None:
    """Say in one line that there is nobody to hand the service to."""
    if not place.is_mac and not (place.root / "run/systemd/system").is_dir():
        raise NotFoundError(
            "cannot use systemd: it does not run here (no /run/systemd/system);"
            " start `monitord run` from whatever supervises this machine or container"
        )


def require_rights(place: ServicePaths, verb: str, *, system: bool) -> None:
    """A system service belongs to root; say the line that works."""
    if system and place.uid != 0:
        line = shlex.join(("sudo", *map(lasting_path, place.program), "service", verb, "--system"))
        raise PermissionDeniedError(f"cannot {verb} the machine's service without root; try `{line}`")


def require_own_home(place: ServicePaths, verb: str) -> None:
    """Refuse to write as root where an ordinary user, whose HOME root was left with, can put links."""
    for path in (place.unit_path(system=False), *([place.log_path(system=False)] if place.is_mac else [])):
        reason = why_untrusted(path.parent) if place.uid == 0 else None
        if reason is not None:
            raise PermissionDeniedError(
                f"cannot {verb} root's own service below {path.parent}: {reason};"
                f" for the machine's try --system, for root's `HOME={_home_of_root()}`"
            )


def _home_of_root() -> str:
    import pwd

    return pwd.getpwuid(0).pw_dir


def require_fit(place: ServicePaths) -> None:
    """Refuse what root can make nothing of: others than root and sudo's caller could change it."""
    reason = fitness(Path(place.program[0]), place.interpreter).refused
    if reason is not None:
        raise PermissionDeniedError(
            f"cannot make this monitord the machine's service: {reason};"
            f" install it where only root can write and everybody can execute: {how_to_install_for_all()}"
        )
