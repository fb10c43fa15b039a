"""What installing, upgrading or removing the service would write, run and advise: decided, not done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from monitord import __version__
from monitord.errors import MonitordError, NotFoundError
from monitord.ownership import fitness, lasting_path, line_for_all, python_for_all
from monitord.service.accounts import require_system_account, static_uid, sysusers_file, sysusers_text
from monitord.service.environment import BuildEnvironment, InstallInto, StartOrGoBack, UseVersion
from monitord.service.paths import (
    LABELS,
    SERVICE_USER,
    ServicePaths,
    require_fit,
    require_own_home,
    require_rights,
    require_service_manager,
)
from monitord.service.steps import Command, CommandLink, Folder, PlannedFile, ShareStore, Step
from monitord.service.templates import render_plist, render_unit

_UNIT = "monitord.service"


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """Everything in its order; `hints` are for people.

    `source` is what root's environment is made of, where that is not this installation.
    """

    verb: str
    is_system: bool
    place: ServicePaths
    steps: tuple[Step, ...] = ()
    hints: tuple[str, ...] = ()
    source: str | None = None

    @property
    def files(self) -> tuple[PlannedFile, ...]:
        """The files that are written."""
        return tuple(step for step in self.steps if isinstance(step, PlannedFile))

    def obstacles(self) -> Iterator[MonitordError]:
        """Why it can't be carried out here, each with the fix: NotFoundError or PermissionDeniedError."""
        checks: list[Callable[[], None]] = [lambda: require_service_manager(self.place)]
        if self.is_system and self.verb != "uninstall":
            if self.source is None:
                checks.append(lambda: require_fit(self.place))  # first: `sudo` alone would not mend that
            checks.append(lambda: require_system_account(SERVICE_USER))
        checks.append(lambda: require_rights(self.place, self.verb, system=self.is_system))
        if not self.is_system:
            checks.append(lambda: require_own_home(self.place, self.verb))
        if self.verb == "upgrade":
            checks.append(lambda: _require_installed(self.place, system=self.is_system))
        for check in checks:
            try:
                check()
            except MonitordError as error:
                yield error

    def text(self) -> str:
        """What `--print` shows: files with their contents, commands and hints; nothing is changed."""
        return (
            "\n".join([*(step.text() for step in self.steps), *(f"# {hint}" for hint in self.hints)]) + "\n"
        )


def plan_install(
    system: bool,
    place: ServicePaths,
    *,
    source: str | None = None,
    verb: str = "install",
    now: datetime | None = None,
) -> ServicePlan:
    """Install and start, or bring an installed service up to date: running it twice does no harm.

    The machine's service runs from an environment of root's own, unless this program is root's already. It is
    made of this installation, or by pip of `source`: a wheel, a folder of wheels, or a requirement.
    """
    made: tuple[Step, ...] = ()
    program = tuple(map(lasting_path, place.program))
    if system:
        made, program = _environment(place, source, now or datetime.now(UTC))
        if program[0] == str(place.current_program):
            made += (CommandLink(place.command_link, place.current_program),)
    rest = _install_launchd if place.is_mac else _install_systemd
    steps, hints = rest(system, place, program)
    return ServicePlan(verb, system, place, (*made, *steps), hints, source)


def systemctl(system: bool) -> tuple[str, ...]:
    return ("systemctl",) if system else ("systemctl", "--user")


def launchctl(verb: str, place: ServicePaths, system: bool) -> tuple[str, ...]:
    return ("launchctl", verb, f"{place.domain(system=system)}/{LABELS[system]}")


def _environment(
    place: ServicePaths, source: str | None, now: datetime
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """The steps that make and choose the environment of the machine's service, and its program."""
    target = place.own_environments / f"{__version__}-{now:%Y%m%dT%H%M%S}"
    current = (str(place.current_program),)
    if source is not None:
        target = place.own_environments / f"{now:%Y%m%dT%H%M%S}"
        python = python_for_all() or Path("/usr/bin/python3")
        return (InstallInto(target, python, source), UseVersion(target)), current
    if place.version is not None:
        return (UseVersion(place.version),), current
    found = fitness(Path(place.program[0]), place.interpreter)
    if found.python is None:
        return (), place.program
    return (BuildEnvironment(target, found.python, found.owner), UseVersion(target)), current


def _install_systemd(
    system: bool, place: ServicePaths, program: tuple[str, ...]
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    name = "systemd/monitord.service" if system else "systemd/monitord-user.service"
    unit, manager = place.unit_path(system=system), systemctl(system)
    home = place.own_environments.parent if system else None
    steps: tuple[Step, ...] = (
        Folder(unit.parent),
        *(_account_and_store(place) if system else ()),
        PlannedFile(unit, render_unit(name, program)),
        Command((*manager, "daemon-reload")),
        Command((*manager, "enable", _UNIT)),
        Command((*manager, "reset-failed", _UNIT), may_fail=True),
        StartOrGoBack(Command((*manager, "restart", _UNIT)), home),
    )
    logs = f"logs: monitord logs -f{' --system' if system else ''}"
    return steps, (logs, *(_for_readers(place) if system else _for_one_user(place)))


def _account_and_store(place: ServicePaths) -> tuple[Step, ...]:
    """The service's user, who can read what an earlier version recorded, with a group that may read, too."""
    told, data = sysusers_file(place.root), place.data_dir
    makes = static_uid(SERVICE_USER) is None or told.exists()
    account: tuple[Step, ...] = (
        Folder(told.parent),
        PlannedFile(told, sysusers_text(SERVICE_USER, data)),
        Command(("systemctl", "stop", _UNIT), may_fail=True),  # an earlier version's user has the same name
        Command(("systemd-sysusers", str(told))),
    )
    store = ShareStore(data, SERVICE_USER)
    return (Folder(place.root / "etc/monitord", is_roots=True), *(account if makes else ()), store)


def _install_launchd(
    system: bool, place: ServicePaths, program: tuple[str, ...]
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    unit, log = place.unit_path(system=system), place.log_path(system=system)
    content = render_plist(f"launchd/{LABELS[system]}.plist", program, log)
    data = place.data_dir
    shared: tuple[Step, ...] = (
        Command(("dseditgroup", "-o", "create", SERVICE_USER), may_fail=True),
        Folder(data),
        Command(("chgrp", SERVICE_USER, str(data))),
        Command(("chmod", "2750", str(data))),
    )
    start = Command(("launchctl", "bootstrap", place.domain(system=system), str(unit)))
    steps: tuple[Step, ...] = (
        Folder(unit.parent),
        Folder(log.parent),
        *(shared if system else ()),
        PlannedFile(unit, content),
        Command(launchctl("bootout", place, system), may_fail=True),
        StartOrGoBack(start, place.own_environments.parent if system else None),
    )
    return steps, (f"log: {log}", *(_for_readers(place) if system else (_for_everybody(place),)))


def _for_one_user(place: ServicePaths) -> tuple[str, ...]:
    linger = f"to let it run while you are logged out: loginctl enable-linger {place.user}"
    return linger, _for_everybody(place)


def _for_everybody(place: ServicePaths) -> str:
    return (
        f"it profiles your own processes; for everybody's: {line_for_all(place.program, place.interpreter)}"
    )


def _for_readers(place: ServicePaths) -> tuple[str, ...]:
    add = f"sudo usermod -aG {SERVICE_USER} $USER"
    if place.is_mac:
        add = f"sudo dseditgroup -o edit -a $USER -t user {SERVICE_USER}"
    return (f"who may read what it records, of every user's processes: {add}   (then log in again)",)


def _require_installed(place: ServicePaths, *, system: bool) -> None:
    if not place.unit_path(system=system).exists():
        whose = " --system" if system else ""
        raise NotFoundError(f"cannot upgrade: no service is installed; try `monitord service install{whose}`")
