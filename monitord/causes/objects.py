"""Which types of Python objects grew between two censuses, and what it says of the memory that grew. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitord.causes import words
from monitord.causes.observed import Objects
from monitord.model import counted

EXPLAINS_SHARE = 0.5
"""Of the growth that a type's bytes must reach to be named as its cause."""
_COMPANION_SHARE = 0.1
"""Of the growth from which on another type is worth a word."""
_RIVAL_SHARE = 0.5
"""Of the first one's bytes from which on a second type is named beside it: nothing tells them apart."""
_TIMES_TOLERANCE = 0.1
_LEAST_COUNT = 100
"""Of fewer objects it is chance that others are as many."""
_COMPANIONS_TOLD = 3
_BYTES = ("str", "bytes", "bytearray")
_LEAVES = ("int", "float", *_BYTES)
_CONTAINERS = ("tuple", "list", "dict", "set", "frozenset")
_TIMES = {1: "as many", 2: "twice as many", 3: "3 times as many", 4: "4 times as many"}


@dataclass(frozen=True, slots=True)
class Row:
    """What one type gained, or holds. `is_user`: a class of the program or an extension, no built-in one."""

    name: str
    count: int
    size: int
    is_user: bool


@dataclass(frozen=True, slots=True)
class Lead:
    """The types that a growth is attributed to, what came along with them, and the bytes of all of these."""

    types: tuple[Row, ...]
    companions: tuple[Row, ...]
    size: int

    def described(self, *, is_gain: bool) -> str:
        """ "+66,115 shop.Order with as many list and str"."""
        said = " and ".join(_counted(row, is_gain) for row in self.types)
        along: dict[str, list[str]] = {}
        told = [row for row in self.companions if row.count > 0][:_COMPANIONS_TOLD]
        for row in told:
            many = _times_word(row.count, self.types[0].count, is_gain)
            along.setdefault(many, []).append(row.name)
        groups = [f"{many} {_listed(names)}" for many, names in along.items()]
        return f"{said} with {_listed(groups)}" if groups else said


def rows_of(after: Objects, before: Objects | None = None) -> list[Row]:
    """What each type gained, or holds when there is nothing before; most bytes first, losses left out."""
    known, own = before.get("types", {}) if before is not None else {}, set(after.get("user_types", ()))
    rows = []
    for name, (count, size) in after.get("types", {}).items():
        count_before, size_before = known.get(name, (0, 0))
        if size > size_before:
            rows.append(Row(name, count - count_before, size - size_before, name in own))
    return sorted(rows, key=lambda row: -row.size)


def lead_of(rows: Sequence[Row], growth_bytes: float) -> Lead | None:
    """The types to name: the program's own with what grew in step with them, else the largest.

    None: nothing grew. Whether it explains the growth, its bytes say.
    """
    own = [_with_companions(row, rows) for row in rows if row.is_user and row.count >= _LEAST_COUNT]
    own.sort(key=lambda lead: (-lead.size, -lead.types[0].size))
    if own and own[0].size >= EXPLAINS_SHARE * growth_bytes:
        return _with_rivals(own)
    if not rows:
        return None
    holding = _holders_of(rows, growth_bytes)
    if holding is not None:
        return holding
    first, least = rows[0], _COMPANION_SHARE * growth_bytes
    along = tuple(row for row in rows[1:] if row.size >= least)
    return Lead((first,), along, first.size + sum(row.size for row in along))


def _with_companions(row: Row, rows: Sequence[Row]) -> Lead:
    along = tuple(one for one in rows if one is not row and not one.is_user and _times(one.count, row.count))
    return Lead((row,), along, row.size + sum(one.size for one in along))


def _holders_of(rows: Sequence[Row], growth_bytes: float) -> Lead | None:
    """The containers that grew in step with numbers or texts, which lie in them: a tuple of three, say."""
    if rows[0].name not in _LEAVES:
        return None
    least = _COMPANION_SHARE * growth_bytes
    found = [
        _with_companions(row, rows)
        for row in rows[1:]
        if row.name in _CONTAINERS and row.size >= least and _times(rows[0].count, row.count)
    ]
    return found[0] if found and found[0].size >= EXPLAINS_SHARE * growth_bytes else None


def _with_rivals(leads: Sequence[Lead]) -> Lead:
    """All that may be it as well as the first: what grew in step with several can't be told apart."""
    first = leads[0]
    rivals = [
        one
        for one in leads[1:]
        if one.types[0].size >= _RIVAL_SHARE * first.types[0].size or one.size >= first.size
    ][:2]
    if not rivals:
        return first
    types = (first.types[0], *(one.types[0] for one in rivals))
    along = {row.name: row for lead in (first, *rivals) for row in lead.companions}
    size = sum(row.size for row in types) + sum(row.size for row in along.values())
    return Lead(types, tuple(sorted(along.values(), key=lambda row: -row.size)), size)


def _times(count: int, of: int) -> int:
    """How many times as many, if it is a small whole number of times; 0: it is not."""
    times = round(count / of) if of > 0 else 0
    is_near = abs(count - times * of) <= _TIMES_TOLERANCE * times * of
    return times if times in _TIMES and is_near else 0


def _counted(row: Row, is_gain: bool) -> str:
    if row.count <= 0:
        return f"larger, not more, {row.name} objects"
    return f"{'+' if is_gain else ''}{row.count:,} {row.name}"


def _times_word(count: int, of: int, is_gain: bool) -> str:
    if times := _times(count, of):
        return _TIMES[times]
    return f"{count:+,}" if is_gain else f"{count:,}"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def container_that_grew(before: Objects, after: Objects, lead: Lead) -> str | None:
    """The one container that took in at least half of the new objects; None: there is no such one.

    Of bytes: the one that grew itself.
    """
    known = {at: length for at, _name, length in before.get("large", ())}
    first = lead.types[0]
    grown = [
        (length - known.get(at, 0), name, known.get(at), length)
        for at, name, length in after.get("large", ())
        if name not in _BYTES or (first.count <= 0 and name == first.name)
    ]
    gain, name, length_before, length = max(grown, default=(0, "", None, 0), key=lambda row: row[0])
    if gain < max(1, EXPLAINS_SHARE * first.count):
        return None
    was = f" from {length_before:,}" if length_before is not None else ""
    return f"one {name} grew{was} to {counted(length, 'byte' if name in _BYTES else 'element')}"


def table(rows: Sequence[Row], *, is_gain: bool, limit: int = 6) -> str:
    """The first of them on one line."""
    if is_gain:
        return "; ".join(f"{words.grown(row.size)} {row.name} ({row.count:+,})" for row in rows[:limit])
    return "; ".join(f"{words.size(row.size)} {row.name} ({row.count:,})" for row in rows[:limit])
