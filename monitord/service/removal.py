"""What removing the service would do, and what a purge takes away besides: decided, not done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from monitord.service.accounts import static_uid, sysusers_file
from monitord.service.paths import SERVICE_USER, ServicePaths
from monitord.service.plan import ServicePlan, launchctl, systemctl
from monitord.service.steps import Command, RemoveData, RemoveFile, RemoveTree, Step, is_link_to

_UNIT = "monitord.service"


def plan_uninstall(
    system: bool, place: ServicePaths, *, purge: Path | None = None, config: Path | None = None
) -> ServicePlan:
    """Stop and remove the service. What it recorded stays, unless `purge` names the data directory.

    Then go, too: the `config` folder, drop-ins, and of the machine's service the environment, the user and
    the group that the install made.
    """
    steps = [*_stop(system, place), RemoveFile(place.unit_path(system=system))]
    if purge is not None:
        steps += [RemoveTree(each) for each in _drop_ins(system, place) if os.path.lexists(each)]
    steps += forget(system, place)
    if purge is not None:
        steps += _purge(system, place, purge, config)
    hints = (_kept(system, place),) if purge is None else tuple(_remains(system, place))
    return ServicePlan("uninstall", system, place, tuple(steps), hints)


def _stop(system: bool, place: ServicePaths) -> list[Step]:
    if place.is_mac:
        return [Command(launchctl("bootout", place, system), may_fail=True)]
    return [Command((*systemctl(system), "disable", "--now", _UNIT), may_fail=True)]


def forget(system: bool, place: ServicePaths) -> list[Step]:
    """Let the manager read its units again, and know of no failure."""
    if place.is_mac:
        return []
    reset = Command((*systemctl(system), "reset-failed", _UNIT), may_fail=True)
    return [Command((*systemctl(system), "daemon-reload")), reset]


def _drop_ins(system: bool, place: ServicePaths) -> Iterator[Path]:
    """What `systemctl edit` and `systemctl set-property` leave beside a unit."""
    if place.is_mac:
        yield place.log_path(system=system).parent
        return
    units = place.unit_path(system=system).parent
    yield units / f"{_UNIT}.d"
    yield units.with_name(f"{units.name}.control") / f"{_UNIT}.d"


def _purge(system: bool, place: ServicePaths, data: Path, config: Path | None) -> list[Step]:
    steps: list[Step] = [RemoveData(data)]
    if config is not None and config != data and os.path.lexists(config):
        steps.append(RemoveTree(config))
    return [*steps, *_of_the_machine(place)] if system else steps


def _of_the_machine(place: ServicePaths) -> Iterator[Step]:
    told = sysusers_file(place.root)
    if place.is_mac:
        yield Command(("dseditgroup", "-o", "delete", SERVICE_USER), may_fail=True)
    elif told.exists():  # else they were there before us
        if static_uid(SERVICE_USER) is not None:
            yield Command(("userdel", SERVICE_USER))
        yield Command(("groupdel", SERVICE_USER), may_fail=True)  # userdel removes one without members
        yield RemoveFile(told)
    if is_link_to(place.command_link, place.current_program):
        yield RemoveFile(place.command_link)
    environments = place.own_environments
    if environments.is_dir() or (environments.parent / "pyvenv.cfg").is_file():
        yield RemoveTree(environments.parent)  # last: this program may run from there


def _kept(system: bool, place: ServicePaths) -> str:
    return "the recorded incidents stay; --purge removes them too, with configuration" + (
        f", {place.own_environments.parent} and the group {SERVICE_USER}" if system else ""
    )


def _remains(system: bool, place: ServicePaths) -> Iterator[str]:
    """What is not ours to remove."""
    by_hand = [place.root / f"etc/{name}" for name in _BY_HAND] if system else []
    for path in by_hand:
        if path.exists():
            yield f"somebody made {path} by doctor's advice; it stays"
    if not place.is_mac:
        yield "the journal keeps what the service logged for as long as it keeps anything"
    program = Path(place.program[0])
    if not program.is_relative_to(place.own_environments.parent):
        yield f"the program stays: {program}; remove it as you installed it (pipx uninstall monitord, …)"


_BY_HAND = (
    "sysctl.d/60-monitord.conf",
    "sysctl.d/60-monitord-ptrace.conf",
    "security/limits.d/60-monitord.conf",
)
