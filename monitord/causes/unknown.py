"""The cause that is not known: said plainly, with what would decide."""

from __future__ import annotations

from monitord.causes.facts import Facts
from monitord.model import NOT_KNOWN, UNKNOWN_CAUSE, Cause


def unknown(facts: Facts, why: str = "", decides: str | None = None, runner_up: str | None = None) -> Cause:
    """Make the cause of an incident that nothing speaks for clearly enough."""
    named = why or ("no evidence of it could be taken" if not facts.profiles else "nothing speaks for one")
    return Cause(UNKNOWN_CAUSE, f"{NOT_KNOWN}{named}", "unknown", runner_up, decides)
