"""The profilers: are they there, do they start, and which version."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from monitord.children import own_environment
from monitord.doctor.check import OK, WARNING, Check, Surroundings, install_line
from monitord.installation import reinstall_command
from monitord.ownership import is_privileged, why_untrusted

_TIMEOUT_S = 20.0


def check_py_spy(here: Surroundings) -> Iterator[Check]:
    """py-spy comes with monitord: a missing one means a broken installation."""
    fix = reinstall_command("py-spy")
    yield _tool(here, "py-spy", ("--version",), fix, "no stacks of Python processes")


def check_perf(here: Surroundings) -> Iterator[Check]:
    if here.is_linux:
        fix = install_line(here, "perf")
        yield _tool(here, "perf", ("--version",), fix, "native processes only by repeated eu-stack")


def check_eu_stack(here: Surroundings) -> Iterator[Check]:
    if here.is_linux:
        fix = install_line(here, "elfutils")
        yield _tool(here, "eu-stack", ("--version",), fix, "no native stacks where perf is refused")


def check_mac_tools(here: Surroundings) -> Iterator[Check]:
    """`sample` and `spindump` belong to macOS; only a damaged or stripped system lacks them."""
    if here.is_mac:
        for name in ("sample", "spindump"):
            path = shutil.which(name, path=f"{here.search_path}:/usr/bin:/usr/sbin")
            detail = f"at {path}" if path else "missing: no native stacks"
            fix = None if path else "softwareupdate --install --all"
            yield Check(name, OK if path else WARNING, detail, fix)


def _tool(here: Surroundings, name: str, arguments: Sequence[str], fix: str, without: str) -> Check:
    path = shutil.which(name, path=here.search_path)
    if path is None:
        return Check(name, WARNING, f"missing: {without}", fix)
    reason = why_untrusted(Path(path)) if is_privileged() else None
    if reason is not None:
        return Check(name, WARNING, f"monitord does not run {path} as root: {reason}: {without}", fix)
    try:
        result = subprocess.run(
            [path, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd="/",
            env=own_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(name, WARNING, f"{path} does not start: {error}", fix)
    said = (result.stdout.strip() or result.stderr.strip()).splitlines()
    if result.returncode != 0:
        words = said[0] if said else f"exit status {result.returncode}"
        return Check(name, WARNING, f"{path} does not work: {words}", fix)
    return Check(name, OK, f"{said[0] if said else 'present'} at {path}")
