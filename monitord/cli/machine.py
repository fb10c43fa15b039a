"""The machine on one screen, live or in the past: totals, incidents, who led and in which function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from monitord.actions.moment_incidents import MomentFunction, MomentIncident
from monitord.actions.moments import Leader, Moment, MomentTotals
from monitord.actions.unknown_stretches import UnknownStretch
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import Style, cut, display_width, wrap
from monitord.cli.when import full_stamp, local_stamp
from monitord.export.units import quantity
from monitord.model import UNKNOWN_CAUSE, counted
from monitord.redaction import printable

ROWS_IN_A_FILE = 20
_STALL_PERCENT = 1.0
_UNSEEN_PERCENT = 5.0
_BUSY_PERCENT = 50.0
_LEAST_SHARE = 0.005  # less would be shown as 0 %
_HEAD_SHARE = 3  # of a screen: notes and incidents take at most a third of it each
_FIRST = (
    Column("PID", right=True),
    Column("CPU", right=True),
    Column("MEMORY", right=True, gives_way=3),
    Column("DISK", right=True, gives_way=5),
    Column("NET", right=True, gives_way=6),
    Column("PROCESS", least=8, good=16),
)
_FUNCTIONS = (
    Column("HOT", right=True, gives_way=2),
    Column("HOTTEST FUNCTION", least=12, good=30),
    Column("FILE", least=8, good=16, gives_way=4),
)


def screen_lines(
    moment: Moment, columns: int, height: int | None, style: Style, *, utc: bool = False, length: str = ""
) -> list[str]:
    """Return the lines, at most `height` of them; None: of a file, as many as there are, but 20 leaders.

    `length` is said beside the time: over how long was looked.
    """
    head = list(_head(moment, columns, style, utc=utc, length=length))
    share = None if height is None else max(1, height // _HEAD_SHARE)
    incidents = [_incident_line(one, moment.at, columns, style, utc=utc) for one in moment.incidents][:share]
    notes = [line for note in moment.notes for line in wrap(printable(note), columns)][:share]
    functions = _function_lines(moment, columns)
    taken = len(head) + len(incidents) + len(notes) + 1
    if height is not None and taken + len(functions) + len(moment.leaders) > height:
        functions = functions[: max(0, height - taken - min(len(moment.leaders), height // 2))]
    room = ROWS_IN_A_FILE if height is None else max(1, height - taken - len(functions))
    table = _leader_lines(moment.leaders[:room], columns, style) if moment.leaders else []
    return [*head, *incidents, *table, *functions, *(style.paint(note, "yellow") for note in notes)][:height]


def _head(moment: Moment, columns: int, style: Style, *, utc: bool, length: str) -> Iterator[str]:
    stamp = full_stamp(moment.taken_at or moment.at, utc=utc)
    parts = [f"{stamp}{length}", *(_load_parts(moment.totals) if moment.totals else [])]
    yield from (style.paint(line, "bold") for line in flowed(parts, columns))
    if moment.totals is not None:
        yield from flowed(_level_parts(moment.totals), columns)
    if moment.unknown is not None:
        told = unknown_words(moment.unknown, moment.at, utc=utc)
        yield from (style.paint(line, "yellow") for line in wrap(told, columns))


def unknown_words(unknown: UnknownStretch, at: datetime, *, utc: bool) -> str:
    """Say of which stretch nothing is known, and why."""
    ends = [
        f"{word} {local_stamp(when, at, utc=utc)}"
        for word, when in (("from", unknown.since), ("until", unknown.until))
        if when is not None
    ]
    return " ".join(["unknown", *ends]) + f": {printable(unknown.reason)}"


def _load_parts(totals: MomentTotals) -> list[str]:
    cores = counted(totals.cpu_count, "core")
    percent = totals.machine_percent
    used = "CPU unknown" if percent is None else f"CPU {quantity(percent, 'percent')} of {cores}"
    return [used, f"load {totals.load_1:.1f}", counted(totals.process_count, "process")]


def _level_parts(totals: MomentTotals) -> Iterator[str]:
    used, whole = (quantity(one, "bytes") for one in (totals.memory_used_bytes, totals.memory_total_bytes))
    yield f"memory {used} of {whole}"
    if totals.swap_used_bytes:
        yield f"swap {quantity(totals.swap_used_bytes, 'bytes')}"
    for name, rate in (("disk", totals.disk_bytes_per_s), ("net", totals.network_bytes_per_s)):
        if rate is not None:
            yield f"{name} {quantity(rate, 'bytes_per_s')}"
    stalls = {
        name.removesuffix("_some"): percent
        for name, percent in totals.pressure_percent.items()
        if name.endswith("_some") and percent >= _STALL_PERCENT
    }
    if stalls:
        yield "stalled: " + ", ".join(
            f"{printable(name)} {quantity(percent, 'percent')}" for name, percent in stalls.items()
        )
    if (unseen := totals.unattributed_cpu_percent or 0.0) >= _UNSEEN_PERCENT:
        yield f"too short-lived to be seen: {quantity(unseen, 'percent')} of a core"


def flowed(parts: Sequence[str] | Iterator[str], columns: int) -> list[str]:
    """Put parts beside each other, as many a line as fit."""
    lines: list[str] = []
    for part in parts:
        if lines and display_width(lines[-1]) + 2 + display_width(part) <= columns:
            lines[-1] += f"  {part}"
        else:
            lines += wrap(part, columns)
    return lines


def _incident_line(one: MomentIncident, now: datetime, columns: int, style: Style, *, utc: bool) -> str:
    cause = f" ({one.cause})" if one.cause and one.cause != UNKNOWN_CAUSE else ""
    why = one.reason.removeprefix(f"{one.process_name.partition(' ')[0]} ")  # its name is there already
    told = f"{one.id}  {local_stamp(one.raised_at, now, utc=utc)}  {one.process_name}{cause}: {why}"
    return style.paint(cut(printable(told), columns), "red")


def _leader_lines(leaders: Sequence[Leader], columns: int, style: Style) -> list[str]:
    with_functions = any(one.function for one in leaders)
    shown = (*_FIRST, *_FUNCTIONS) if with_functions else _FIRST
    rows = [[*_cells(one), *(_function_cells(one) if with_functions else [])] for one in leaders]
    return list(draw(shown, rows, width=columns, style=style))


def _cells(one: Leader) -> list[Cell]:
    is_busy = (one.cpu_percent or 0.0) >= _BUSY_PERCENT
    return [
        Cell(str(one.pid)),
        Cell("?" if one.cpu_percent is None else f"{one.cpu_percent:.0f} %", ("red",) if is_busy else ()),
        Cell(_known(one.rss_bytes, "bytes")),
        Cell(_known(one.disk_bytes_per_s, "bytes_per_s")),
        Cell(_known(one.network_bytes_per_s, "bytes_per_s")),
        Cell(f"{one.name or '?'}{' (ended)' if one.is_ended else ''}", ("bold",)),
    ]


def _function_cells(one: Leader) -> list[Cell]:
    share = "" if one.share is None else f"{one.share * 100:.0f} %"
    return [Cell(share), Cell(one.function or "", ("bold",)), Cell(one.file or "")]


def _known(value: float | None, unit: str) -> str:
    return "" if value is None else quantity(value, unit)


def _function_lines(moment: Moment, columns: int) -> list[str]:
    """The functions of the incidents' evidence, the hottest of each first."""
    shown = (one for one in moment.functions if one.self_share >= _LEAST_SHARE)
    return [cut(printable(_function_words(one)), columns) for one in shown]


def _function_words(one: MomentFunction) -> str:
    place = f" ({one.file}{'' if one.line is None else f':{one.line}'})" if one.file else ""
    return f"{one.incident}  {one.self_share * 100:3.0f} %  {one.function}{place} of {one.process_name}"
