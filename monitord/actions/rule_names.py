"""What is said of a rule that nobody knows, here or in a fleet: one sentence, with the rules there are."""

from __future__ import annotations

from collections.abc import Iterable

from monitord.errors import NotFoundError
from monitord.model import BASELINE_RULE, SNAPSHOT, TriggerMetric
from monitord.redaction import printable

OURS = frozenset({BASELINE_RULE, SNAPSHOT, TriggerMetric.MANUAL.value})
"""The names that incidents have which no rule raised: asked for by hand, or taken while nothing was wrong."""
_NAMED, _LONGEST = 40, 80


def unknown_rule(name: str | None, known: Iterable[str], where: str = "") -> NotFoundError | None:
    """Return what to say of a rule that is not among those known; None: it is, or nobody asked for one."""
    names = list(known)
    if name is None or name in names or name in OURS:
        return None
    return no_such_rule(name, names, where)


def no_such_rule(name: str, known: Iterable[str], where: str = "") -> NotFoundError:
    """Return the sentence about a name that is not among these."""
    names = list(dict.fromkeys(known))
    listed = ", ".join(printable(each)[:_LONGEST] for each in names[:_NAMED]) or "none"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return NotFoundError(f"cannot find rule {name!r}{where}; there are: {listed}{more}")
