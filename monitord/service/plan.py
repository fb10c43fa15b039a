"""What installing or removing the service would write, run and advise: decided, not done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from monitord.errors import MonitordError
from monitord.ownership import line_for_all
from monitord.service.paths import (
    LABELS,
    ServicePaths,
    require_fit,
    require_rights,
    require_service_manager,
)
from monitord.service.templates import render_plist, render_unit


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file as it is to be."""

    path: Path
    content: str
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Command:
    """One command; `may_fail` where a failure means that it was not there."""

    argv: tuple[str, ...]
    may_fail: bool = False

    def __str__(self) -> str:
        return " ".join(self.argv)


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """Everything in its order: `before`, folders, files, removals, `commands`; `hints` are for people.

    `purge` is a data directory to be removed with all incidents in it; None keeps it.
    """

    verb: str
    is_system: bool
    place: ServicePaths
    before: tuple[Command, ...] = ()
    folders: tuple[Path, ...] = ()
    files: tuple[PlannedFile, ...] = ()
    remove: tuple[Path, ...] = ()
    commands: tuple[Command, ...] = ()
    purge: Path | None = None
    hints: tuple[str, ...] = ()

    def obstacles(self) -> Iterator[MonitordError]:
        """Why it can't be carried out here, each with the fix: NotFoundError or PermissionDeniedError."""
        checks: list[Callable[[], None]] = [lambda: require_service_manager(self.place)]
        if self.verb == "install" and self.is_system:
            checks.append(lambda: require_fit(self.place))  # first: `sudo` alone would not mend that
        checks.append(lambda: require_rights(self.place, self.verb, system=self.is_system))
        for check in checks:
            try:
                check()
            except MonitordError as error:
                yield error

    def text(self) -> str:
        """What `--print` shows: files with their contents, then commands and hints; nothing is changed."""
        parts = [f"$ {command}" for command in self.before]
        parts += [f"# folder {folder}" for folder in self.folders]
        for file in self.files:
            parts.append(f"# file {file.path} (mode {file.mode:04o})\n{file.content.rstrip()}\n")
        parts += [f"# remove {path}" for path in self.remove]
        parts += [f"# remove {self.purge} and every incident in it"] if self.purge else []
        parts += [f"$ {command}" for command in self.commands]
        parts += [f"# {hint}" for hint in self.hints]
        return "\n".join(parts) + "\n"


def plan_install(system: bool, place: ServicePaths) -> ServicePlan:
    """Install and start, or bring an installed service up to date: running it twice changes nothing more."""
    return _install_launchd(system, place) if place.is_mac else _install_systemd(system, place)


def plan_uninstall(system: bool, place: ServicePaths, *, purge: Path | None = None) -> ServicePlan:
    """Stop and remove the service. The data stays, unless `purge` names its directory."""
    keeps = () if purge else ("the recorded incidents stay; --purge removes them too",)
    unit = place.unit_path(system=system)
    if place.is_mac:
        before: tuple[Command, ...] = (Command(_launchctl("bootout", place, system), may_fail=True),)
        return ServicePlan("uninstall", system, place, before, remove=(unit,), purge=purge, hints=keeps)
    manager = systemctl(system)
    before = (Command((*manager, "disable", "--now", "monitord.service"), may_fail=True),)
    return ServicePlan(
        "uninstall",
        system,
        place,
        before=before,
        remove=(unit,),
        commands=(Command((*manager, "daemon-reload")),),
        purge=purge,
        hints=keeps,
    )


def systemctl(system: bool) -> tuple[str, ...]:
    return ("systemctl",) if system else ("systemctl", "--user")


def _install_systemd(system: bool, place: ServicePaths) -> ServicePlan:
    name = "systemd/monitord.service" if system else "systemd/monitord-user.service"
    unit = place.unit_path(system=system)
    manager = systemctl(system)
    hints: tuple[str, ...] = (f"logs: monitord logs -f{' --system' if system else ''}",)
    if not system:
        hints += (
            f"to let it run while you are logged out: loginctl enable-linger {place.user}",
            _for_everybody(place),
        )
    return ServicePlan(
        "install",
        system,
        place,
        folders=(unit.parent, *((place.root / "etc/monitord",) if system else ())),
        files=(PlannedFile(unit, render_unit(name, place.program)),),
        commands=(
            Command((*manager, "daemon-reload")),
            Command((*manager, "enable", "monitord.service")),
            Command((*manager, "reset-failed", "monitord.service"), may_fail=True),
            Command((*manager, "restart", "monitord.service")),
        ),
        hints=hints,
    )


def _install_launchd(system: bool, place: ServicePaths) -> ServicePlan:
    unit, log = place.unit_path(system=system), place.log_path(system=system)
    content = render_plist(f"launchd/{LABELS[system]}.plist", place.program, log)
    hints: tuple[str, ...] = (f"log: {log}",)
    if not system:
        hints += (_for_everybody(place),)
    return ServicePlan(
        "install",
        system,
        place,
        folders=(unit.parent, log.parent),
        files=(PlannedFile(unit, content),),
        commands=(
            Command(_launchctl("bootout", place, system), may_fail=True),
            Command(("launchctl", "bootstrap", place.domain(system=system), str(unit))),
        ),
        hints=hints,
    )


def _for_everybody(place: ServicePaths) -> str:
    return (
        f"it profiles your own processes; for everybody's: {line_for_all(place.program, place.interpreter)}"
    )


def _launchctl(verb: str, place: ServicePaths, system: bool) -> tuple[str, ...]:
    return ("launchctl", verb, f"{place.domain(system=system)}/{LABELS[system]}")
