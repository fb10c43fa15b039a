"""Which functions a profile blames."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from monitord.model import Hotspot, Statement
from monitord.profiles.idle_calls import is_background
from monitord.profiles.limits import MAX_DEPTH
from monitord.profiles.locations import func_id_of, module_of
from monitord.profiles.representation import OUTER_LEFT_OUT, UNKNOWN, Frame, Profile, Thread

_ADDRESS = re.compile(r"0x[0-9a-f]{1,16}")
_Function = tuple[str, str | None, str | None, str]
Stacks = Mapping[tuple[Thread, tuple[int, ...]], int | float]
_STATEMENTS = 4
_STATEMENTS_FROM = 0.01  # of the samples: below that a line is noise
_REAL_SHARE = 0.05
_Z = 1.96  # 95 % of a normal distribution lie within


@dataclass(slots=True)
class _Tally:
    """One function: its values, its hottest lines, and how near to a leaf it ever was."""

    own: float = 0.0
    total: float = 0.0
    from_leaf: int = MAX_DEPTH + 1
    own_lines: Counter[int] = field(default_factory=Counter)
    total_lines: Counter[int] = field(default_factory=Counter)

    def hottest_line(self) -> int | None:
        lines = self.own_lines or self.total_lines
        return min(lines, key=lambda line: (-lines[line], line)) if lines else None


def hotspots(profile: Profile, limit: int = 20) -> tuple[Hotspot, ...]:
    """Give the functions with the highest self share, then total share (0 to 1 of the busy samples).

    Among equals the one nearer to the leaf comes first. A function that is on a stack several times
    counts once for it. Stacks that only waited are left out, unless all of them waited: then they are
    what there is to say (a hang). `line` is where the function itself was seen most often, or, if it
    never was the leaf, the line it called from most often; `statements` are its hottest lines. What counts as
    a stack's leaf says `Profile.own_frame`.
    """
    busy = {key: value for key, value in profile.stacks.items() if not key[0].is_idle}
    stacks = busy or profile.stacks
    whole = float(sum(stacks.values()))
    if whole <= 0:
        return ()
    tallies = _tallied(profile, stacks)
    background = _background(tallies, whole)
    ranked = sorted(
        tallies.items(),
        key=lambda item: (
            item[0] in background,
            -item[1].own,
            -item[1].total,
            item[1].from_leaf,
            *map(str, item[0]),
        ),
    )
    looks = _looks(profile, whole)
    return tuple(_hotspot(function, tally, whole, looks) for function, tally in ranked[: max(0, limit)])


def _background(tallies: Mapping[_Function, _Tally], whole: float) -> set[_Function]:
    """What only waits or imports, where something else was hot: it comes after everything else."""
    found = {function for function in tallies if is_background(function[0], function[1])}
    if any(tally.own >= _REAL_SHARE * whole for function, tally in tallies.items() if function not in found):
        return found
    return set()


def share_error(share: float, samples: float) -> float:
    """How far a share of so many samples may be off: to the farther end of Wilson's 95 % interval (1927).

    The usual 1.96·√(p(1−p)/n) says ±0 of what was seen always or never, however few the samples. The middle
    of Wilson's interval lies nearer to a half than the share: half its width is too little on that side.
    """
    whole = 1 + _Z * _Z / samples
    spread = share * (1 - share) / samples + _Z * _Z / (4 * samples * samples)
    middle = (share + _Z * _Z / (2 * samples)) / whole
    return float(abs(middle - share) + _Z * math.sqrt(max(0.0, spread)) / whole)


def _looks(profile: Profile, whole: float) -> float | None:
    """How many looks these shares are of; None where they are not counts."""
    if profile.unit != "samples":
        return None
    return whole if profile.looks is None else min(whole, profile.looks)


def _hotspot(function: _Function, tally: _Tally, whole: float, looks: float | None) -> Hotspot:
    name, file, module, kind = function
    share = min(1.0, tally.own / whole)
    hottest = sorted(tally.own_lines.items(), key=lambda item: (-item[1], item[0]))[:_STATEMENTS]
    return Hotspot(
        function=name,
        file=file,
        line=tally.hottest_line(),
        self_share=share,
        total_share=min(1.0, tally.total / whole),
        kind=kind,
        module=module_of(file) if kind == "python" and file and not module else module,
        share_error=None if looks is None else round(share_error(share, looks), 4),
        func_id=func_id_of(name, file, module, kind),
        statements=tuple(
            Statement(line, round(value / whole, 4))
            for line, value in hottest
            if kind == "python" and value / whole >= _STATEMENTS_FROM
        ),
    )


def _function_name(frame: Frame) -> str:
    """Addresses without a function are one piece of unknown code of their binary."""
    return UNKNOWN if frame.kind == "native" and _ADDRESS.fullmatch(frame.name) else frame.name


def _tallied(profile: Profile, stacks: Stacks) -> dict[_Function, _Tally]:
    """One tally a function; what is done for each of a million frames is done by number."""
    frames = profile.frames
    functions: dict[_Function, int] = {}
    of_frame = [
        functions.setdefault((_function_name(frame), frame.file, frame.module, frame.kind), len(functions))
        for frame in frames
    ]
    tallies = [_Tally() for _ in functions]
    own, total = [0.0] * len(frames), [0.0] * len(frames)
    for (_thread, stack), value in stacks.items():
        own[profile.own_frame(stack)] += value
        for index in set(stack):
            total[index] += value
        for number in {of_frame[index] for index in stack}:
            tallies[number].total += value
        for depth, index in enumerate(reversed(stack)):
            tally = tallies[of_frame[index]]
            if depth < tally.from_leaf:
                tally.from_leaf = depth
    for index, frame in enumerate(frames):
        tally = tallies[of_frame[index]]
        tally.own += own[index]
        if frame.line is not None:
            tally.total_lines[frame.line] += total[index]  # type: ignore[assignment]  # a Counter of floats works
            if own[index]:
                tally.own_lines[frame.line] += own[index]  # type: ignore[assignment]
    return {
        function: tallies[number]
        for function, number in functions.items()
        if tallies[number].total and function[0] != OUTER_LEFT_OUT
    }
