"""Who may be looked at. Deny is stronger than allow; a refusal says what to change.

A process chooses its own name, so a pattern on the name is a convenience, not a fence: a deny list that
must hold names the executable's path. (Even that does not hold against root.)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from monitord import ownership, procfs, redaction
from monitord.model import CapturePlan

_SCOPE = "/proc/sys/kernel/yama/ptrace_scope"
_DENIALS = ("permission denied", "operation not permitted")
_KERNEL_STACK = "/stack"
_TO_ROOT = "give monitord CAP_SYS_PTRACE (it runs as root without it; in a container: --cap-add SYS_PTRACE)"


@dataclass(frozen=True, slots=True)
class Consent:
    """Which processes may be profiled: auto (all but `deny`), listed (`allow` less `deny`) or never."""

    mode: str = "auto"
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    def refusal(
        self, name: str, executable: str | None, plan: CapturePlan | None = None
    ) -> tuple[str, str] | None:
        """(reason, fix) when a process of this name and executable may not be profiled, else None.

        A plan set at run time may stand in for `mode`; nothing stands in for `deny`.
        """
        if plan is not None and plan.consent == "never":
            return (
                f"the capture plan {plan.named!r} refuses it",
                f"remove or change the plan: `monitord plan delete {plan.named}`",
            )
        if plan is not None and plan.consent == "always":
            return replace(self, mode="auto").refusal(name, executable)
        denied = _first_match(self.deny, name, executable)
        if self.mode == "never":
            return (
                "profiling is switched off",
                'set capture.consent = "auto" (or "listed") in the configuration',
            )
        if denied is not None:
            return f"the deny list refuses it: {denied}", f"remove {denied!r} from capture.deny"
        if self.mode == "listed" and _first_match(self.allow, name, executable) is None:
            return "it is not on the list of processes that may be profiled", (
                "add its name or the path of its executable to capture.allow"
            )
        return None

    def permits(self, name: str, executable: str | None) -> bool:
        """Whether it may be profiled by what is known of it; an empty name, and no executable: not known.

        Of a process that is gone that can be little: it may be one that is denied.
        """
        is_open = any(
            (not name and "/" not in pattern) or (executable is None and pattern[:1] in "/*?[")
            for pattern in self.deny
        )
        return not is_open and self.refusal(name, executable) is None


def _first_match(patterns: tuple[str, ...], name: str, executable: str | None) -> str | None:
    for pattern in patterns:
        if fnmatchcase(name, pattern) or fnmatchcase(executable or "", pattern):
            return pattern
    return None


def permission_fix(pid: int) -> str:
    """What to type so that a process may be looked at, by what holds it back here.

    A tracer keeps every other one away, root's included.
    """
    tracer = procfs.status_of(pid).get("TracerPid", "0")
    if tracer.isdigit() and int(tracer):
        stat = procfs.stat_of(int(tracer))
        name = f" ({redaction.redact_name(stat.name)})" if stat else ""
        return f"end the tracer, process {tracer}{name}: one process at a time can trace another"
    if os.geteuid() == 0:
        return _TO_ROOT
    to_others = f"run monitord as root ({ownership.line_for_all()}) or give it CAP_SYS_PTRACE"
    return f"sudo sysctl kernel.yama.ptrace_scope=0, or {to_others}" if _read_scope() != "0" else to_others


def unread_fix(pid: int, not_readable: Mapping[str, str]) -> str | None:
    """The same for files of /proc that it was refused, by path; None where no right is missing.

    Kernel stacks take more than a look at the process does, and the machine's service has that not either.
    """
    denied = [path for path, why in not_readable.items() if why in _DENIALS]
    fixes = [] if all(path.endswith(_KERNEL_STACK) for path in denied) else [permission_fix(pid)]
    if any(path.endswith(_KERNEL_STACK) for path in denied):
        shown_by = f"sudo cat {procfs.path(pid, f'task/*{_KERNEL_STACK}')}"
        fixes.append(f"{shown_by} shows kernel stacks, or give monitord CAP_SYS_ADMIN")
    return "; ".join(fixes) or None


def _read_scope() -> str:
    try:
        return procfs.read(_SCOPE, 16).decode().strip()
    except OSError:
        return "0"
