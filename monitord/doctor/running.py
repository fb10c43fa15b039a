"""The daemon and its service: does it run, does it still answer, was it installed by this version."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

from monitord.doctor.check import OK, WARNING, Check, Surroundings
from monitord.durable import read_regular
from monitord.errors import PermissionDeniedError
from monitord.ownership import fitness, how_to_install_for_all
from monitord.recorder.status import moment_of, nobody_records, read_status, silent_for_s


def check_daemon(here: Surroundings) -> Iterator[Check]:
    """Somebody holds the lock, and its status is fresh."""
    try:
        reported = read_status(here.data_dir)
    except PermissionDeniedError as error:
        yield Check("daemon", WARNING, f"not known: {error}", "sudo monitord doctor")
        return
    if reported is None or not reported["is_running"]:
        is_installed = any(path.exists() for path in here.units)
        fix = "monitord service start" if is_installed else "monitord service install"
        yield Check("daemon", WARNING, nobody_records(f" ({here.data_dir})"), fix)
        return
    pid, taken_at = reported["pid"] or "unknown", moment_of(reported.get("taken_at"))
    silent_s = silent_for_s(reported, here.now)
    if taken_at is None:
        yield Check("daemon", WARNING, f"pid {pid} runs but has not reported yet", "monitord status")
    elif silent_s is not None:
        words = f"pid {pid} has been silent for {silent_s:.0f} s: it hangs or gets no CPU time"
        yield Check("daemon", WARNING, words, "monitord service restart")
    else:
        ago_s = max(0.0, (here.now - taken_at).total_seconds())
        yield Check("daemon", OK, f"pid {pid} runs, last report {ago_s:.0f} s ago")
    for trouble in _strings(reported.get("degraded")):
        yield Check("daemon trouble", WARNING, trouble, "monitord status")
    version = reported.get("version")
    if version is not None and version != here.version:
        words = f"the running daemon is version {version}, this is {here.version}"
        yield Check("daemon version", WARNING, words, "monitord service restart")


def check_units(here: Surroundings) -> Iterator[Check]:
    """An installed service file says what this version would write."""
    for path, wanted in here.units.items():
        try:
            found = read_regular(path).decode("utf-8", "replace")
        except OSError:
            continue
        system = str(path).startswith(("/etc", "/Library"))
        fix = here.system_install if system else "monitord service install"
        program = _program(found)
        if program is not None and not Path(program).exists():
            yield Check("service file", WARNING, f"{path} starts {program}, which is gone", fix)
        elif _without_program(found) != _without_program(wanted):
            yield Check(
                "service file", WARNING, f"{path} differs from what version {here.version} writes", fix
            )
        else:
            yield Check("service file", OK, f"{path} is up to date")


def check_interpreter(here: Surroundings) -> Iterator[Check]:
    """What `service install --system` would say: whether this is root's alone, and open to the service."""
    if not here.is_linux:
        return
    script = here.executable.parent / "monitord"
    programs = (here.executable, here.executable.resolve(), *((script,) if script.exists() else ()))
    found = fitness(*programs)
    if found.why_not_itself is None:
        yield Check(
            "interpreter", OK, f"only root can change {here.executable}, and every user can execute it"
        )
    elif found.refused is None:
        words = f"{found.why_not_itself}: `service install --system` makes an environment of root's own of it"
        yield Check("interpreter", OK, words)
    else:
        words = f"{found.refused}: `service install --system` would refuse this installation"
        yield Check("interpreter", WARNING, words, how_to_install_for_all())


_EXEC_START = re.compile(r'^ExecStart=(?:"((?:[^"\\]|\\.)*)"|(\S+)).*$', re.MULTILINE)
_EXEC = re.compile(r"^Exec(?:Start|Reload)=.*$", re.MULTILINE)
_ARGUMENTS = re.compile(
    r"<key>ProgramArguments</key>\s*<array>\s*<string>(.*?)</string>.*?</array>", re.DOTALL
)


def _program(text: str) -> str | None:
    """The program that a service file starts; None when it names none."""
    unit, plist = _EXEC_START.search(text), _ARGUMENTS.search(text)
    if unit:
        return (unit[1] or unit[2]).replace("%%", "%")
    return unescape(plist[1]) if plist else None


def _without_program(text: str) -> str:
    """The rest of a service file: an installation of the same version elsewhere is not stale."""
    return _ARGUMENTS.sub("", _EXEC.sub("", text))


def _strings(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
