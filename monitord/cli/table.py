"""Columns for people: aligned by what the eye sees, never wider than the screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from monitord.cli.terminal import Style, cut, cut_left, display_width, pad
from monitord.redaction import printable

_GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """One column, and what becomes of it when the screen is narrow.

    First the columns with a `gives_way` are left out, the highest first, until each of the others can be as
    wide as it needs, or as is `good`. Then those with a `least` width are cut down to it, and in the end all
    but those that are `whole`. What is cut keeps its beginning, or with `keeps_end` its end.
    """

    title: str
    right: bool = False
    least: int | None = None
    good: int | None = None
    gives_way: int = 0
    keeps_end: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a column and how it is painted."""

    text: str
    paint: tuple[str, ...] = ()


def draw(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    *,
    width: int,
    style: Style,
    header: bool = True,
) -> Iterator[str]:
    """Yield the table's lines; what stands in a cell is made printable, on one line."""
    rows = [[Cell(printable(cell.text), cell.paint) for cell in row] for row in rows]
    shown = _shown(columns, rows, width, header=header)
    columns, rows = [columns[i] for i in shown], [[row[i] for i in shown] for row in rows]
    widths = fit(columns, rows, width, header=header)
    if header:
        titles = [Cell(column.title, ("dim",)) for column in columns]
        yield _line(titles, columns, widths, style)
    for row in rows:
        yield _line(row, columns, widths, style)


def _shown(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int, *, header: bool
) -> list[int]:
    """Which columns there is room for."""
    natural = _natural(columns, rows, header=header)
    wanted = [
        needed if column.whole else min(needed, column.good or column.least or needed)
        for needed, column in zip(natural, columns, strict=True)
    ]
    shown = list(range(len(columns)))
    while _over(wanted, shown, width) > 0:
        index = max(shown, key=lambda i: columns[i].gives_way)
        if not columns[index].gives_way:
            break
        shown.remove(index)
    return shown


def fit(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int, *, header: bool = True
) -> list[int]:
    """How wide each column gets: as wide as it needs, the widest flexible ones giving way first."""
    widths = _natural(columns, rows, header=header)
    for least in ([column.least or needed for needed, column in zip(widths, columns, strict=True)], None):
        excess = _over(widths, range(len(columns)), width)
        while excess > 0:
            spare = [
                (0 if columns[i].whole else needed - (least[i] if least else 1), i)
                for i, needed in enumerate(widths)
            ]
            most, index = max(spare)
            if most <= 0:
                break
            widths[index] -= 1
            excess -= 1
    return widths


def _natural(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, header: bool) -> list[int]:
    return [
        max([display_width(column.title) if header else 0, *(display_width(row[i].text) for row in rows)])
        for i, column in enumerate(columns)
    ]


def _over(widths: Sequence[int], shown: Sequence[int], width: int) -> int:
    """By how much these columns are wider than the screen."""
    return sum(widths[i] for i in shown) + len(_GAP) * (len(shown) - 1) - width


def _line(cells: Sequence[Cell], columns: Sequence[Column], widths: Sequence[int], style: Style) -> str:
    parts = []
    for cell, column, columns_wide in zip(cells, columns, widths, strict=True):
        text = (cut_left if column.keeps_end else cut)(cell.text, columns_wide)
        shown = pad(text, columns_wide, right=column.right)
        parts.append(style.paint(shown, *cell.paint))
    return _GAP.join(parts).rstrip()
