"""Functions with their shares as a table: how much, which one, where; the hottest with its source line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monitord.cli.terminal import Style, cut, cut_left, display_width, pad
from monitord.export.units import bar
from monitord.model import Hotspot
from monitord.redaction import printable

_LEAST_SHOWN = 0.005  # below that a share is 0 %
_SHORTEST_PLACE = 8  # columns below which the end of a path says nothing


def functions_table(spots: Sequence[Hotspot], columns: int, style: Style) -> Iterator[str]:
    """Yield the lines of at least one function; on a narrow screen bars, then total shares give way."""
    bar_width = 20 if columns >= 100 else 10 if columns >= 60 else 0
    has_total = columns >= 60
    errors = [_error(spot) for spot in spots]
    wide = max(map(len, errors))
    indent = 2 + (bar_width + 2 if bar_width else 0) + 5 + wide + (6 if has_total else 0) + 2
    names, places = [printable(spot.function) for spot in spots], [_place(spot) for spot in spots]
    name_width, place_width = _shared(columns - indent, names, places)
    head = f"  {'':{bar_width}}  " if bar_width else "  "
    yield style.paint(f"{head}{'self':>5}{'':{wide}}{' total' if has_total else ''}  function", "dim")
    for at, spot in enumerate(spots):
        drawn = f"  {style.paint(bar(spot.self_share, bar_width), 'red')}  " if bar_width else "  "
        share = f"{spot.self_share * 100:3.0f} %{style.paint(f'{errors[at]:{wide}}', 'dim')}"
        total = f" {spot.total_share * 100:3.0f} %" if has_total else ""
        shown = style.paint(pad(cut(names[at], name_width), name_width), "bold")
        place = f"  {cut_left(places[at], place_width)}" if place_width else ""
        yield f"{drawn}{share}{total}  {shown}{place}".rstrip()
        if spot.source_line and (at == 0 or spot.self_share >= _LEAST_SHOWN):
            # Kept only where the file was still what the process runs.
            text = cut(printable(spot.source_line), columns - indent - 2)
            yield " " * indent + style.paint(f"› {text}", "green")


def worth_showing(spots: Sequence[Hotspot]) -> list[Hotspot]:
    """Without rows of 0 %, unless there is nothing else."""
    return [spot for spot in spots if max(spot.self_share, spot.total_share) >= _LEAST_SHOWN] or list(spots)


def _shared(room: int, names: Sequence[str], places: Sequence[str]) -> tuple[int, int]:
    """How much of the room names and places get: the names come first, a place of nothing but dots never."""
    longest_name, longest_place = max(map(display_width, names)), max(map(display_width, places))
    name_width = min(longest_name, max(room // 2, room - longest_place - 2))
    place_width = min(longest_place, room - name_width - 2)
    if place_width < min(longest_place, _SHORTEST_PLACE):
        return min(longest_name, room), 0
    return name_width, place_width


def _error(spot: Hotspot) -> str:
    """How far the self share may be off, in whole percent; nothing where that is too little to see."""
    percent = round((spot.share_error or 0.0) * 100)
    return f" ±{percent}" if percent else ""


def _place(spot: Hotspot) -> str:
    if spot.file is None:
        return printable(f"({spot.module})" if spot.module else f"({spot.kind})")
    return printable(f"{spot.file}:{spot.line}" if spot.line else spot.file)
