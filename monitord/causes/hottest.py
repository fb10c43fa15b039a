"""Which function a process spent its CPU on, by the profile that leads; or why none has a name. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from monitord.causes.facts import Facts
from monitord.causes.frame_classes import INTERPRETERS, NAMELESS, class_of, is_by_name_alone
from monitord.causes.shares import Shares
from monitord.causes.words import percent
from monitord.model import PYTHON_NOT_READ, Hotspot
from monitord.profiles.idle_calls import told_name
from monitord.profiles.ranking import hotspots
from monitord.profiles.representation import Profile

_SPOTS = 100
_MUCH = 0.35  # of the time
_RIVALS = 0.2


def running(facts: Facts) -> list[Profile]:
    """Profiles of what ran, those of the spike first."""
    taken = [*zip(facts.profiles, facts.taken, strict=False)]
    return [profile for profile, how in sorted(taken, key=lambda pair: pair[1].is_late)]


@dataclass(frozen=True, slots=True)
class Hottest:
    """The hottest function that may be its own, with its place; its share, and how far that may be off.

    `rival`: another one that may have taken as much, as far as the samples tell.
    """

    name: str
    share: float
    error: float
    is_interpreters: bool
    rival: tuple[str, float, float] | None = None


def hottest(facts: Facts, leaves: Shares, *, is_partly_named: bool) -> Hottest | None:
    """Of the leading evidence, else what the leaves were sampled for; None: nothing has a name."""
    own = [one for one in facts.hotspots if _may_be_own(one)]
    if not own:
        found = leaves.hottest()
        return Hottest(found[0][0], found[1], 0.0, is_interpreters=False) if found else None
    spot = own[0]
    if is_partly_named:  # of what the black box read now and then, another profiler knows the share
        same = [one for one in own if (one.function, one.file) == (spot.function, spot.file)]
        spot = max(same, key=lambda one: one.self_share - (one.share_error or 0.0))
    whole = spot.total_share if spot.self_share >= 0.2 else 0.0  # a function that calls itself, or small ones
    share, error = max(spot.self_share, whole), spot.share_error or 0.0
    is_interpreters = spot.kind == "native" and INTERPRETERS.match(_file_of(spot)) is not None
    return Hottest(_named(spot), share, error, is_interpreters, _rival(own, spot, share - error))


def _named(spot: Hotspot) -> str:
    where = f"{spot.file}:{spot.line}" if spot.file and spot.line else spot.module
    return f"{spot.function} ({where})" if where else spot.function


def _rival(own: Sequence[Hotspot], spot: Hotspot, least: float) -> tuple[str, float, float] | None:
    """The next one of the same evidence, if the first is not sure to have taken more."""
    others = [one for one in own if one.seen == spot.seen and one.function != spot.function]
    found = max(others, key=lambda one: one.self_share, default=None)
    if found is None or found.self_share < _RIVALS or found.self_share + (found.share_error or 0.0) < least:
        return None
    return _named(found), found.self_share, found.share_error or 0.0


def _may_be_own(spot: Hotspot) -> bool:
    if spot.function.startswith(NAMELESS):
        return False
    is_known = spot.kind == "native" and class_of(spot.function, spot.module) is not None
    return not is_known or is_by_name_alone(spot.function, spot.module)


def without_names(facts: Facts) -> tuple[str, float]:
    """What to say where much of what ran has no name, or was not read, and its share; "" where it has."""
    profile = next(iter(running(facts)), None)
    spots = hotspots(profile, _SPOTS) if profile else ()
    if (share := _not_read(spots)) >= _MUCH:
        return f"of {percent(share)} of its CPU time the Python functions were not read", share
    shares: defaultdict[str, float] = defaultdict(float)
    for spot in spots:
        if spot.function.startswith(NAMELESS) and spot.kind == "native":
            shares[_file_of(spot) or "code that was made while it ran"] += spot.self_share
    file, share = max(shares.items(), key=lambda item: item[1], default=("", 0.0))
    if share < _MUCH:
        return "", 0.0
    return f"{percent(share)} of its CPU time went to code without names, in {file}", share


def _not_read(spots: Sequence[Hotspot]) -> float:
    return sum(spot.self_share for spot in spots if told_name(spot.function) == PYTHON_NOT_READ)


def _file_of(spot: Hotspot) -> str:
    """Without its folders, and without what tells versions of it apart."""
    return (spot.module or "").rpartition("/")[2].partition(" ")[0]
