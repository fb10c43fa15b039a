"""A timeline on one line: how busy it was, and behind each stretch the function that was hottest in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any

from monitord.cli.terminal import Style, cut, display_width
from monitord.export.units import span
from monitord.redaction import printable

_BLOCKS = "▁▂▃▄▅▆▇█"
_NOTHING = "·"
_LEAST_BLOCKS = 20  # columns that names leave to what they are names of
_LONGEST_NAME = 40
_OTHERS = "…"
Steps = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Steps in a row with one hottest function; None: nothing ran, "…": several, too short to be named."""

    name: str | None
    levels: tuple[float, ...]

    @property
    def label(self) -> str:
        return f" {self.name} " if self.name else ""


def strip_title(steps: Steps, *, is_snapshot: bool) -> tuple[str, str]:
    """Say what the strip is of; then its time, and how long a step is."""
    first, last = steps[0]["at_s"], steps[-1]["at_s"]
    step_s = (last - first) / (len(steps) - 1) if len(steps) > 1 else -last if last > -2 else 1.0
    title, time = "What ran before the alert", f"from {span(-first)} before it"
    if is_snapshot:
        title, time = "What ran", span(-first)
    return title, f"({time}, {span(step_s)} a step: the hottest function of each)"


def strip(steps: Steps, columns: int, style: Style) -> str:
    """Draw the steps in at most `columns`: `▁▁▂ load_orders ▅▇▇ price_basket`.

    A full block is the busiest step, or one whole core where none was that busy. Where not all names fit,
    those of the stretches that used most are kept.
    """
    stretches = _fitting(_stretches(steps), columns)
    if not stretches:
        return ""
    room = columns - sum(display_width(one.label) for one in stretches)
    scale = min(1.0, (room - len(stretches)) / sum(len(one.levels) for one in stretches))
    top = max(100.0, *(level for one in stretches for level in one.levels))
    drawn = (
        _blocks(one.levels, max(1, int(len(one.levels) * scale)), top) + style.paint(one.label, "bold")
        for one in stretches
    )
    return "".join(drawn).rstrip()


def _stretches(steps: Steps) -> list[_Stretch]:
    """Neighbouring steps of one function; one step of another in its midst is chance, and belongs to it."""
    names = [step["function"] and cut(printable(step["function"]), _LONGEST_NAME) for step in steps]
    for at in range(1, len(names) - 1):
        if names[at] and names[at - 1] == names[at + 1]:
            names[at] = names[at - 1]
    levels = iter([float(step["cpu_percent"]) for step in steps])
    return [_Stretch(name, tuple(next(levels) for _ in same)) for name, same in groupby(names)]


def _fitting(stretches: list[_Stretch], columns: int) -> list[_Stretch]:
    """Those that used least lose their names, one after the other, until blocks and names fit."""
    least_blocks = min(_LEAST_BLOCKS, columns // 2, sum(len(one.levels) for one in stretches))
    found = stretches
    for light in sorted((one for one in stretches if one.name), key=lambda one: sum(one.levels)):
        if _least_width(found, least_blocks) <= columns:
            return found
        found = _folded([replace(one, name=_OTHERS) if one is light else one for one in found])
    if _least_width(found, least_blocks) <= columns:
        return found
    return [_Stretch(_OTHERS, tuple(level for one in found for level in one.levels))]


def _least_width(stretches: Sequence[_Stretch], least_blocks: int) -> int:
    labels = sum(display_width(one.label) for one in stretches)
    return labels + max(least_blocks, 2 * len(stretches))


def _folded(stretches: Sequence[_Stretch]) -> list[_Stretch]:
    """Neighbours without a name of their own are one."""
    found: list[_Stretch] = []
    for one in stretches:
        if found and one.name == found[-1].name == _OTHERS:
            found[-1] = replace(one, levels=(*found[-1].levels, *one.levels))
        else:
            found.append(one)
    return found


def _blocks(levels: Sequence[float], columns: int, top: float) -> str:
    """One character for as many levels as must share it, drawn by the highest of them."""
    return "".join(_block(max(levels[start:end]), top) for start, end in _shared(len(levels), columns))


def _shared(count: int, columns: int) -> Iterator[tuple[int, int]]:
    edges = [round(at * count / columns) for at in range(columns + 1)]
    return pairwise(edges)


def _block(level: float, top: float) -> str:
    return _BLOCKS[min(7, int(level / top * 7.999))] if level > 0 else _NOTHING
