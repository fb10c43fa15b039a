"""What to type to start, stop and look at the installed service: argv lists, run by the caller."""

from __future__ import annotations

from monitord.errors import UsageError
from monitord.service.paths import LABELS, ServicePaths, require_rights, require_service_manager
from monitord.service.plan import systemctl

_CHANGING = ("start", "stop", "restart")


def control(
    verb: str, place: ServicePaths, *, system: bool = False, follow: bool = False, lines: int = 100
) -> tuple[str, ...]:
    """Return the command for `verb`: start, stop, restart, status or logs.

    `follow` and `lines` matter to logs only. Raises what stands in the way, with the fix.
    """
    require_service_manager(place)
    if verb in _CHANGING:
        require_rights(place, verb, system=system)
    if verb == "logs":
        return _logs(place, system, ("-f",) if follow else (), str(lines))
    return _launchd(verb, place, system) if place.is_mac else _systemd(verb, system)


def _systemd(verb: str, system: bool) -> tuple[str, ...]:
    if verb in _CHANGING:
        return (*systemctl(system), verb, "monitord.service")
    if verb == "status":
        return (*systemctl(system), "status", "--no-pager", "monitord.service")
    raise UsageError(f"invalid service command: {verb}")


def _launchd(verb: str, place: ServicePaths, system: bool) -> tuple[str, ...]:
    name = f"{place.domain(system=system)}/{LABELS[system]}"
    table = {
        "start": ("kickstart", name),
        "stop": ("kill", "SIGTERM", name),  # ends with status 0, which KeepAlive leaves alone
        "restart": ("kickstart", "-k", name),
        "status": ("print", name),
    }
    if verb not in table:
        raise UsageError(f"invalid service command: {verb}")
    return ("launchctl", *table[verb])


def _logs(place: ServicePaths, system: bool, follow: tuple[str, ...], lines: str) -> tuple[str, ...]:
    if place.is_mac:
        return ("tail", "-n", lines, *follow, str(place.log_path(system=system)))
    whose = ("-u",) if system else ("--user", "-u")
    return (
        "journalctl",
        *whose,
        "monitord.service",
        "-n",
        lines,
        *follow,
        *(() if follow else ("--no-pager",)),
    )
