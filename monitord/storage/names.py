"""How a process is asked for by name, everywhere: a part of it, or a shell pattern."""

from __future__ import annotations

import fnmatch


def fits_name(wanted: str, name: str) -> bool:
    """A part of the name, or a shell pattern for all of it; letter case does not matter."""
    folded, pattern = name.casefold(), wanted.casefold()
    if any(c in pattern for c in "*?["):
        return fnmatch.fnmatchcase(folded, pattern)
    return pattern in folded
