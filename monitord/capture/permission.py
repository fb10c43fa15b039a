"""Why a process may not be looked at, and what to type so that it may, by what holds it back here."""

from __future__ import annotations

import os

from monitord import ownership, procfs, redaction

_SCOPE = "/proc/sys/kernel/yama/ptrace_scope"
_TO_ROOT = "give monitord CAP_SYS_PTRACE (it runs as root without it; in a container: --cap-add SYS_PTRACE)"


def permission_fix(pid: int) -> str:
    """What is true of this process: a tracer keeps every other one away, root's included."""
    tracer = procfs.status_of(pid).get("TracerPid", "0")
    if tracer.isdigit() and int(tracer):
        stat = procfs.stat_of(int(tracer))
        name = f" ({redaction.redact_name(stat.name)})" if stat else ""
        return f"end the tracer, process {tracer}{name}: one process at a time can trace another"
    if os.geteuid() == 0:
        return _TO_ROOT
    to_others = f"run monitord as root ({ownership.line_for_all()}) or give it CAP_SYS_PTRACE"
    return f"sudo sysctl kernel.yama.ptrace_scope=0, or {to_others}" if _read_scope() != "0" else to_others


def _read_scope() -> str:
    try:
        return procfs.read(_SCOPE, 16).decode().strip()
    except OSError:
        return "0"
