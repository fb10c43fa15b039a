"""Which functions a profile blames."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from monitord.model import Hotspot, Statement
from monitord.profiles.places import func_id_of, module_of
from monitord.profiles.representation import OUTER_LEFT_OUT, Frame, Profile

_Function = tuple[str, str | None, str | None, str]
_STATEMENTS = 4
_STATEMENTS_FROM = 0.01  # of the samples: below that a line is noise
_Z = 1.96  # 95 % of a normal distribution lie within


@dataclass(slots=True)
class _Tally:
    own: float = 0.0
    total: float = 0.0
    from_leaf: int = 1_000_000
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
    never was the leaf, the line it called from most often; `statements` are its hottest lines.
    """
    busy = {key: value for key, value in profile.stacks.items() if not key[0].is_idle}
    stacks = busy or profile.stacks
    whole = float(sum(stacks.values()))
    if whole <= 0:
        return ()
    tallies: defaultdict[_Function, _Tally] = defaultdict(_Tally)
    for (_thread, indices), value in stacks.items():
        _tally_stack(tallies, [profile.frames[index] for index in indices], value)
    ranked = sorted(
        tallies.items(),
        key=lambda item: (-item[1].own, -item[1].total, item[1].from_leaf, *map(str, item[0])),
    )
    samples = whole if profile.unit == "samples" else None
    return tuple(_hotspot(function, tally, whole, samples) for function, tally in ranked[: max(0, limit)])


def share_error(share: float, samples: float) -> float:
    """How far a share of so many samples may be off: half of Wilson's 95 % interval (1927).

    The usual 1.96·√(p(1−p)/n) says ±0 of what was seen always or never, however few the samples.
    """
    spread = share * (1 - share) / samples + _Z * _Z / (4 * samples * samples)
    return float(_Z * math.sqrt(max(0.0, spread)) / (1 + _Z * _Z / samples))


def _hotspot(function: _Function, tally: _Tally, whole: float, samples: float | None) -> Hotspot:
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
        share_error=None if samples is None else round(share_error(share, samples), 4),
        func_id=func_id_of(name, file, module, kind),
        statements=tuple(
            Statement(line, round(value / whole, 4))
            for line, value in hottest
            if kind == "python" and value / whole >= _STATEMENTS_FROM
        ),
    )


def _tally_stack(tallies: defaultdict[_Function, _Tally], frames: list[Frame], value: float) -> None:
    seen: set[_Function] = set()
    seen_lines: set[tuple[_Function, int]] = set()
    for position, frame in enumerate(frames, start=1):
        if frame.name == OUTER_LEFT_OUT:
            continue
        function = (frame.name, frame.file, frame.module, frame.kind)
        tally = tallies[function]
        tally.from_leaf = min(tally.from_leaf, len(frames) - position)
        if function not in seen:
            seen.add(function)
            tally.total += value
        if frame.line is not None and (function, frame.line) not in seen_lines:
            seen_lines.add((function, frame.line))
            tally.total_lines[frame.line] += value  # type: ignore[assignment]  # a Counter of floats works
    leaf = frames[-1]
    tally = tallies[(leaf.name, leaf.file, leaf.module, leaf.kind)]
    tally.own += value
    if leaf.line is not None:
        tally.own_lines[leaf.line] += value  # type: ignore[assignment]
