"""Whether the service was tried and failed: asked of systemd, which answers everybody."""

from __future__ import annotations

import subprocess

from monitord.children import own_environment, system_program
from monitord.service.paths import ServicePaths
from monitord.service.plan import systemctl

_LIMIT_S = 3.0
_UNIT = "monitord.service"
_ASKED = "ActiveState,SubState,Result,ExecMainStatus"


def unit_failure(place: ServicePaths, *, system: bool) -> str | None:
    """Return what systemd says of a unit that failed; None when it did not, or there is nobody to ask."""
    program = system_program("systemctl")
    if place.is_mac or program is None or not (place.root / "run/systemd/system").is_dir():
        return None
    command = [program, *systemctl(system)[1:], "show", _UNIT, "-p", _ASKED]
    environment = own_environment() | ({} if system else {"XDG_RUNTIME_DIR": f"/run/user/{place.uid}"})
    try:
        said = subprocess.run(
            command, cwd="/", env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=_LIMIT_S, check=False,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return words_of(dict(line.split("=", 1) for line in said.splitlines() if "=" in line))


def words_of(told: dict[str, str]) -> str | None:
    """Make one clause of what `systemctl show` told; None when the unit did not fail."""
    how = told.get("Result", "")
    if how == "exit-code":
        how = f"exit status {told.get('ExecMainStatus', '?')}"
    if told.get("ActiveState") == "failed":
        return f"{_UNIT} failed ({how}), and systemd does not start it again"
    if told.get("SubState") == "auto-restart":
        return f"{_UNIT} failed ({how}), and systemd will start it again"
    return None
