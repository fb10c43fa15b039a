"""Who used the CPU, with the hottest function of each: the table of `top` and of snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import Style
from monitord.model import counted
from monitord.profiles.consumers import Consumer

_COLUMNS = (
    Column("PID", right=True),
    Column("CPU", right=True),
    Column("PROCESS", least=8, good=16),
    Column("HOT", right=True, gives_way=2),
    Column("HOTTEST FUNCTION", least=12, good=30),
    Column("FILE", least=8, good=16, gives_way=1),
)


SHOWN = 8
"""How many of an incident's."""


def more_than(consumers: Sequence[Consumer], shown: int) -> str:
    """Say how many are not among the first so many; empty when they all are."""
    left_out = len(consumers) - shown
    return f"(and {counted(left_out, 'process')} that used less)" if left_out > 0 else ""


def consumers_table(consumers: Sequence[Consumer], columns: int, style: Style) -> Iterator[str]:
    """Yield the table's lines."""
    rows = [
        [
            Cell(str(one.pid)),
            Cell(f"{one.cpu_percent:.0f} %", ("red",) if one.cpu_percent >= 50 else ()),
            Cell(f"{one.name or '?'}{' (ended)' if one.is_ended else ''}", ("bold",)),
            Cell(f"{one.share * 100:.0f} %"),
            Cell(one.function, ("bold",)),
            Cell(one.file or ""),
        ]
        for one in consumers
    ]
    yield from draw(_COLUMNS, rows, width=columns, style=style)
