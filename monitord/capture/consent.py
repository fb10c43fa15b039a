"""Who may be looked at. Deny is stronger than allow; a refusal says what to change.

A process chooses its own name, so a pattern on the name is a convenience, not a fence: a deny list that
must hold names the executable's path. (Even that does not hold against root.)
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Consent:
    """`mode`: auto (all but `deny`), listed (only `allow`, less `deny`), never. Patterns as in the shell."""

    mode: str = "auto"
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    def refusal(self, name: str, executable: str | None) -> tuple[str, str] | None:
        """(reason, fix) when a process of this name and executable may not be profiled, else None."""
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
