"""Tables of what a fleet answers: its rows as columns for people, and as plain values for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from textwrap import wrap
from typing import Any

from monitord.actions.fleet import Asked, plain_row
from monitord.cli.context import CliContext
from monitord.cli.listing import Listing, View
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import width
from monitord.cli.when import local_stamp
from monitord.export.units import quantity, unit_of
from monitord.model import TriggerMetric, in_words
from monitord.redaction import printable
from monitord.storage.ids import short_id

Row = dict[str, Any]
_Text = Callable[[Row], str]


class Shown:
    """A column of a table, and what stands in it."""

    def __init__(self, title: str, text: _Text, paint: tuple[str, ...] = (), **how: Any) -> None:
        self.column = Column(printable(title), **how)
        self.text = text
        self.paint = paint


def listing_of(
    context: CliContext,
    keys: Sequence[str],
    columns: Sequence[Shown],
    rows: Sequence[Row],
    view: View,
    nothing: str,
    whom: Asked | None = None,
) -> None:
    """Write the rows. What `whom` asked of is said above a table and where there is nothing."""
    heading = _period(whom, utc=view.utc) if whom is not None else ""

    def table(shown: Sequence[Row], view: View, header: bool) -> Iterable[str]:
        seen = [{**row, "_utc": view.utc} for row in shown]
        cells = [[Cell(printable(one.text(row)), one.paint) for one in columns] for row in seen]
        drawn = [one.column for one in columns]
        yield from wrap(heading, width())
        yield from draw(drawn, cells, width=width(), style=context.style(), header=header)

    further = f" {heading}; --since 30d looks further back" if heading else ""
    Listing(keys, plain_row, table, f"{nothing}{further}").answer(iter(rows), view)


def _period(whom: Asked, *, utc: bool) -> str:
    """In words, to the minute, with the zone once."""
    zone = UTC if utc else None
    since, until = (end and end.astimezone(zone) for end in (whom.since, whom.until))
    words = " to ".join(f"{end:%Y-%m-%d %H:%M}" for end in (since, until) if end)
    return f"{'from' if since and until else 'until' if until else 'since'} {words} {since or until:%Z}"


def stamp(key: str) -> _Text:
    def text(row: Row) -> str:
        value = row[key]
        now = datetime.now(UTC)
        if not isinstance(value, datetime):
            return "–"
        ahead = value - now
        mark = " (clock ahead)" if ahead > timedelta(minutes=10) else ""
        return f"{local_stamp(value, now, utc=row.get('_utc', False))}{mark}"

    return text


def percent(key: str) -> _Text:
    return lambda row: "–" if row[key] is None else f"{row[key]:.0f} %"


def share(key: str) -> _Text:
    return lambda row: "–" if row[key] is None else f"{row[key] * 100:.1f} %"


def where(row: Row) -> str:
    return f"{row['file'] or row['module'] or '–'}{':' + str(row['line']) if row['line'] else ''}"


def within_text(row: Row) -> str:
    return f"{(row['ended_at'] - row['began_at']).total_seconds():.0f} s"


def _value(row: Row) -> str:
    try:
        metric = TriggerMetric(row["trigger_metric"])
        return quantity(row["trigger_value"], unit_of(metric, row["trigger_value"]))
    except (ValueError, TypeError, KeyError):  # of a later version
        return "–" if row["trigger_value"] is None else f"{row['trigger_value']:g}"


def _what(row: Row) -> str:
    return ", ".join(text for text in (row["hottest_function"], row["cause"]) if text) or "–"


def any_text(value: object) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


RECENT = (
    Shown("ID", lambda row: short_id(row["correlation_id"] or "–"), paint=("cyan",)),
    Shown("HOST", lambda row: row["host_id"], least=8),
    Shown("WHEN", stamp("raised_at"), gives_way=1),
    Shown("PROCESS", lambda row: row["process_name"] or "–", paint=("bold",), least=8, good=12),
    Shown("TRIGGER", lambda row: in_words(row["trigger_metric"] or "–"), gives_way=3),
    Shown("VALUE", _value, right=True, gives_way=2),
    Shown("WHAT", _what, least=10, good=22),
)
PROCESSES = (
    Shown("PROCESS", lambda row: row["process_name"] or "–", paint=("bold",), least=12),
    Shown("PID", lambda row: str(row["pid"] or "–"), right=True, gives_way=2),
    Shown("CPU", percent("cpu_percent_max"), right=True),
    Shown("MEMORY", lambda row: quantity(row["rss_bytes_max"] or 0, "bytes"), right=True, gives_way=1),
)
MACHINE = (
    Shown("WHEN", stamp("taken_at")),
    Shown("CPU", percent("machine_percent"), right=True),
    Shown("MEMORY", percent("memory_percent"), right=True),
    Shown("LOAD", lambda row: "–" if row["load_1"] is None else f"{row['load_1']:.2f}", right=True),
    Shown("PROCESSES", lambda row: str(row["process_count"] or "–"), right=True, gives_way=1),
)
