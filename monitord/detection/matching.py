"""Which processes a rule is about. Names come from the process itself: they are only data here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import translate

from monitord.model import Match, ProcessDetails, ProcessRates


class Matcher:
    """A match, made ready: every list that is given must hit, and `not_names` must not.

    Patterns are shell patterns (`fnmatch`), upper and lower case matter. A user is a number, or a name
    that `uid_of` knows; an unknown name matches nobody. A process of unknown uid or unit does not match.
    """

    __slots__ = ("_names", "_not_names", "_pids", "_uids", "_units", "is_everything")

    def __init__(self, match: Match, uid_of: Mapping[str, int]) -> None:
        self._names = _pattern(match.names)
        self._not_names = _pattern(match.not_names)
        self._units = _pattern(match.units)
        self._pids = frozenset(match.pids)
        self._uids = frozenset(_uids(match.users, uid_of)) if match.users else None
        self.is_everything = match == Match()

    def hits(self, process: ProcessRates | ProcessDetails) -> bool:
        if self.is_everything:
            return True
        if self._pids and process.key.pid not in self._pids:
            return False
        if self._uids is not None and process.uid not in self._uids:
            return False
        if self._units is not None and (process.unit is None or not self._units.match(process.unit)):
            return False
        if self._names is not None and not self._names.match(process.name):
            return False
        return self._not_names is None or not self._not_names.match(process.name)


def _pattern(patterns: Iterable[str]) -> re.Pattern[str] | None:
    """One expression for all patterns; `fnmatch` makes them so that no name can blow them up."""
    parts = [f"(?:{translate(each)})" for each in patterns]
    return re.compile(_numbered(parts)) if parts else None


def _numbered(parts: list[str]) -> str:
    # Python 3.11's translate() may name its groups g0, g1, … in each pattern; joined they must differ.
    return "|".join(
        re.sub(r"(\(\?P[<=])g(\d+)", rf"\g<1>p{index}_\g<2>", part) for index, part in enumerate(parts)
    )


def _uids(users: Iterable[str], uid_of: Mapping[str, int]) -> Iterable[int]:
    for user in users:
        if user.isdecimal():
            yield int(user)
        elif user in uid_of:
            yield uid_of[user]
