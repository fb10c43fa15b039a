"""Who may be looked at. Deny is stronger than allow; a refusal says what to change.

A process chooses its own name, so a pattern on the name is a convenience, not a fence: a deny list that
must hold names the executable's path. (Even that does not hold against root.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from monitord.model import CapturePlan


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


def _first_match(patterns: tuple[str, ...], name: str, executable: str | None) -> str | None:
    for pattern in patterns:
        if fnmatchcase(name, pattern) or fnmatchcase(executable or "", pattern):
            return pattern
    return None
