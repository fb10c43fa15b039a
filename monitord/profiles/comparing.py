"""What is different between two profiles, function by function, and whether that is more than chance.

A share is a count out of so many samples: two shares differ when a two-proportion z test says that chance
alone would do so less than once in twenty times. What became of the code is known where both hotspots know
it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monitord.model import Hotspot
from monitord.profiles.locations import folded_name, func_id_of
from monitord.profiles.representation import OUTER_LEFT_OUT, Frame, Profile

_Z = 1.96
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shares:
    """A function's shares of all busy samples of a profile: in itself, and with what it called."""

    self_share: float = 0.0
    total_share: float = 0.0


@dataclass(frozen=True, slots=True)
class StatementDifference:
    """One statement of a function in both profiles; line and share are None where it was not a hot one."""

    stmt_id: str
    before_line: int | None
    after_line: int | None
    before_share: float | None
    after_share: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Difference:
    """One function in both profiles.

    `verdict` is hotter, cooler, same, new or gone, judged by the self share, or by the total share where only
    that moved. `is_noise`: what moved is less than chance explains. `code` is same, changed, renamed (then
    `was` is its former name) or unknown. `noise` is how far self shares of so few samples differ by chance.
    """

    function: str
    file: str | None
    kind: str
    func_id: str | None
    before: Shares
    after: Shares
    verdict: str
    is_noise: bool
    noise: float
    code: str = "unknown"
    was: str | None = None
    statements: tuple[StatementDifference, ...] = ()

    @property
    def delta(self) -> float:
        """How much the self share grew."""
        return self.after.self_share - self.before.self_share


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every function of either profile, what moved most first."""

    before_samples: int
    after_samples: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Tally:
    frame: Frame
    own: float = 0.0
    total: float = 0.0


def compare(
    before: Profile,
    after: Profile,
    before_spots: Sequence[Hotspot] = (),
    after_spots: Sequence[Hotspot] = (),
) -> Comparison:
    """Compare by function, then by statement where the hotspots have them.

    Threads that only waited are left out where others did not, as `hotspots` does.
    """
    tallies = _tallied(before), _tallied(after)
    keys = _shared_keys(*tallies)
    tables = _keyed(tallies[0], keys), _keyed(tallies[1], keys)
    spots = _spots_by_key(before_spots, keys), _spots_by_key(after_spots, keys)
    wholes = _whole(before), _whole(after)
    counts = _samples(before, wholes[0]), _samples(after, wholes[1])
    renamed = _renamed(tables, spots)
    found = []
    for key in dict.fromkeys([*tables[1], *tables[0]]):
        if key in renamed.values() and key not in tables[1]:
            continue  # said with its new name
        old = renamed.get(key, key)
        found.append(
            _difference(
                (tables[0].get(old), tables[1].get(key)), wholes, counts,
                (spots[0].get(old), spots[1].get(key)), is_renamed=old != key,
            )
        )  # fmt: skip
    ranked = sorted(
        found, key=lambda one: (one.is_noise, -abs(one.delta), -one.after.self_share, one.function)
    )
    notes = _notes(before, after, before_spots, after_spots)
    return Comparison(round(counts[0]), round(counts[1]), tuple(ranked), notes)


def _tallied(profile: Profile) -> dict[Key, _Tally]:
    """Own and total values by place and name; recursion counts once a stack."""
    busy = {key: value for key, value in profile.stacks.items() if not key[0].is_idle} or profile.stacks
    ids = [_full_key(frame) for frame in profile.frames]
    numbers: dict[Key, int] = {}
    of_frame = [numbers.setdefault(key, len(numbers)) for key in ids]
    own, total = [0.0] * len(numbers), [0.0] * len(numbers)
    for (_thread, stack), value in busy.items():
        own[of_frame[profile.own_frame(stack)]] += value
        for number in {of_frame[index] for index in stack}:
            total[number] += value
    frames = dict(zip(reversed(of_frame), reversed(profile.frames), strict=True))
    return {
        key: _Tally(frames[number], own[number], total[number])
        for key, number in numbers.items()
        if total[number] and frames[number].name != OUTER_LEFT_OUT
    }


def _full_key(frame: Frame) -> Key:
    return frame.kind, folded_name(frame.name), frame.file or frame.module or ""


def _shared_keys(*tables: Mapping[Key, _Tally]) -> dict[Key, Key]:
    """The key under which both profiles' functions meet: the function's id, unless it stands for several.

    Two files in folders of one name would share an id; then the whole path tells them apart.
    """
    keys: dict[Key, Key] = {}
    for table in tables:
        short = {key: _short_key(tally.frame) or key for key, tally in table.items()}
        several = {key for key, count in Counter(short.values()).items() if count > 1}
        keys.update({key: key if one in several else one for key, one in short.items() if key not in keys})
    return keys


def _short_key(frame: Frame) -> Key | None:
    func_id = func_id_of(frame.name, frame.file, frame.module, frame.kind)
    return (func_id,) if func_id else None


def _keyed(table: Mapping[Key, _Tally], keys: Mapping[Key, Key]) -> dict[Key, _Tally]:
    return {keys[key]: tally for key, tally in table.items()}


def _spots_by_key(spots: Sequence[Hotspot], keys: Mapping[Key, Key]) -> dict[Key, Hotspot]:
    found: dict[Key, Hotspot] = {}
    for spot in spots:
        key = (spot.kind, folded_name(spot.function), spot.file or spot.module or "")
        found.setdefault(keys.get(key, key), spot)
    return found


def _renamed(
    tables: tuple[Mapping[Key, _Tally], ...], spots: tuple[Mapping[Key, Hotspot], ...]
) -> dict[Key, Key]:
    """New functions that have the very code of a function that is gone: new key → old key."""
    gone = {_code_of(spots[0][key]): key for key in tables[0] if key not in tables[1] and key in spots[0]}
    new = {key: _code_of(spots[1][key]) for key in tables[1] if key not in tables[0] and key in spots[1]}
    return {key: gone[code] for key, code in new.items() if code is not None and code in gone}


def _code_of(spot: Hotspot) -> tuple[str, str] | None:
    return (spot.func_hash, spot.ast_version) if spot.func_hash and spot.ast_version else None


def _whole(profile: Profile) -> float:
    busy = sum(value for (thread, _stack), value in profile.stacks.items() if not thread.is_idle)
    return float(busy or profile.total)


def _samples(profile: Profile, whole: float) -> float:
    """How many samples the shares are of: values are that already, unless they are bytes or the like."""
    return whole if profile.unit == "samples" else float(profile.sample_count)


def _difference(
    tallies: tuple[_Tally | None, _Tally | None],
    wholes: tuple[float, float],
    counts: tuple[float, float],
    spots: tuple[Hotspot | None, Hotspot | None],
    *,
    is_renamed: bool,
) -> Difference:
    before, after = (_shares(tally, whole) for tally, whole in zip(tallies, wholes, strict=True))
    shown = tallies[1] or tallies[0]
    assert shown is not None  # noqa: S101 - a key is of one of the two; tells mypy
    verdict, is_noise = _verdict(tallies, before, after, counts)
    frame = shown.frame
    return Difference(
        function=folded_name(frame.name),
        file=frame.file or frame.module,
        kind=frame.kind,
        func_id=func_id_of(frame.name, frame.file, frame.module, frame.kind),
        before=before,
        after=after,
        verdict=verdict,
        is_noise=is_noise,
        noise=noise(before.self_share, after.self_share, counts),
        code="renamed" if is_renamed else _code(*spots),
        was=folded_name(tallies[0].frame.name) if is_renamed and tallies[0] else None,
        statements=_statements(*spots, counts),
    )


def _shares(tally: _Tally | None, whole: float) -> Shares:
    return Shares(tally.own / whole, tally.total / whole) if tally and whole else Shares()


def _verdict(
    tallies: tuple[_Tally | None, _Tally | None], before: Shares, after: Shares, counts: tuple[float, float]
) -> tuple[str, bool]:
    own = _is_real(before.self_share, after.self_share, counts)
    moved = own or _is_real(before.total_share, after.total_share, counts)
    if tallies[0] is None or tallies[1] is None:
        return ("new" if tallies[0] is None else "gone"), not moved
    if not moved:
        return "same", before != after
    grew = after.self_share > before.self_share if own else after.total_share > before.total_share
    return ("hotter" if grew else "cooler"), False


def noise(before: float, after: float, counts: tuple[float, float]) -> float:
    """How far two shares of so many samples may lie apart by chance (95 %), both being the same in truth."""
    if not all(counts):
        return 1.0
    pooled = (before * counts[0] + after * counts[1]) / sum(counts)
    # Half a sample more on either side: what was seen never is not known to be impossible.
    pooled = min(1 - 0.5 / sum(counts), max(0.5 / sum(counts), pooled))
    return _Z * math.sqrt(pooled * (1 - pooled) * (1 / counts[0] + 1 / counts[1]))


def _is_real(before: float, after: float, counts: tuple[float, float]) -> bool:
    return abs(after - before) > noise(before, after, counts)


def _code(before: Hotspot | None, after: Hotspot | None) -> str:
    """Whether the function's code is the same, as far as both sources were read with one grammar."""
    if before is None or after is None or not before.func_hash or not after.func_hash:
        return "unknown"
    if before.ast_version != after.ast_version:
        return "unknown"
    return "same" if before.func_hash == after.func_hash else "changed"


def _statements(
    before: Hotspot | None, after: Hotspot | None, counts: tuple[float, float]
) -> tuple[StatementDifference, ...]:
    """The hot statements of both, matched by id; nothing where one side's source is not known."""
    if before is None or after is None or not before.func_hash or before.ast_version != after.ast_version:
        return ()
    old, new = _by_statement(before), _by_statement(after)
    found = []
    for stmt_id in dict.fromkeys([*new, *old]):
        (before_line, before_share), (after_line, after_share) = (
            old.get(stmt_id, _NONE),
            new.get(stmt_id, _NONE),
        )
        known = before_share is not None and after_share is not None
        if known and not _is_real(before_share or 0, after_share or 0, counts):
            verdict = "same"
        else:
            verdict = "hotter" if (after_share or 0) > (before_share or 0) else "cooler"
            verdict = verdict if known else ("new" if before_share is None else "gone")
        found.append(
            StatementDifference(stmt_id, before_line, after_line, before_share, after_share, verdict)
        )
    return tuple(found)


_NONE: tuple[int | None, float | None] = (None, None)


def _by_statement(spot: Hotspot) -> dict[str, tuple[int | None, float | None]]:
    """Line and share of each statement; several hot lines of one statement add up."""
    found: dict[str, tuple[int | None, float | None]] = {}
    for one in spot.statements:
        if one.stmt_id is not None:
            line, share = found.get(one.stmt_id, (one.line, 0.0))
            found[one.stmt_id] = line, (share or 0.0) + one.self_share
    return found


def _notes(
    before: Profile, after: Profile, before_spots: Sequence[Hotspot], after_spots: Sequence[Hotspot]
) -> tuple[str, ...]:
    found = []
    if before.unit != after.unit:
        found.append(
            f"the first is in {before.unit}, the second in {after.unit}: shares compare, amounts do not"
        )
    if before.tool != after.tool:
        found.append(
            f"taken by different tools, {before.tool} and {after.tool}: they see different functions"
        )
    versions = {spot.ast_version for spot in (*before_spots, *after_spots) if spot.ast_version}
    if len(versions) > 1:
        found.append(
            f"sources were read with Python {' and '.join(sorted(versions))}: code can't be compared"
        )
    return tuple(found)
