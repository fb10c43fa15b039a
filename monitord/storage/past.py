"""Questions about a moment: the passes on both sides of it, and the incidents that went on.

An incident is a stretch of time: from its first crossing to the end of its leading evidence.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Literal

from monitord.errors import NotFoundError
from monitord.model import BASELINE_RULE, Event, Rates, TriggerMetric
from monitord.storage.asking import CAUSE, SHOWN, sound_event
from monitord.storage.cells import SENSELESS, Row, read_cells, text_cell, time_cell, time_of, whole
from monitord.storage.events import rows as events
from monitord.storage.events.identity import id_at
from monitord.storage.events.rows import COLUMNS
from monitord.storage.near_history import StoredRow, near_of
from monitord.storage.queries import StoreReader
from monitord.storage.records import StoredCapture, StoredIncident
from monitord.storage.thinning import unpack
from monitord.storage.views import IncidentSpan, IncidentView, NearHistory

_NEAR = timedelta(minutes=10)  # an incident is raised after its window, and its evidence ends after that
_OF_INCIDENT = (
    "correlation_id", "rule", "trigger_metric", "process_name", "pid", "reason", "cause", "crossed_at",
    "raised_at", "hotspots",
)  # fmt: skip
_OF_CAPTURE = ("captured_at", "duration_seconds", "profiler", "command_line")
_CHOSEN = ", ".join((*(f"i.{name}" for name in _OF_INCIDENT), *(f"c.{name}" for name in _OF_CAPTURE)))
_BASELINE = (BASELINE_RULE, TriggerMetric.MANUAL.value)
_ROW = "SELECT id, step_s, taken_from, taken_until, rates FROM history"
_NEAR_ROWS = (
    f"SELECT * FROM ({_ROW} WHERE taken_until < ? ORDER BY taken_until DESC LIMIT 2) UNION ALL "  # noqa: S608  our words
    f"SELECT * FROM ({_ROW} WHERE taken_until >= ? ORDER BY taken_until LIMIT 3)"
)
_EVENT_IDS = "SELECT id FROM event WHERE id >= ? AND id < ? ORDER BY id"
_EVENTS = f"SELECT {', '.join(COLUMNS)} FROM event WHERE id IN ({{ids}})"  # noqa: S608  our words
_IDS = (
    "SELECT correlation_id AS id, rule, trigger_metric FROM incident WHERE raised_at >= ? AND raised_at < ?"
)
_IDS_BY_TIME = f"{_IDS} AND state = 'active' ORDER BY raised_at, correlation_id"
# Per day (UTC) what changes with its rows, whatever their number; total() can't overflow, whatever a damaged
# cell holds. Rows of history are never changed in place, nor are samples.
_INCIDENT, _REASON, _HOTSPOTS, _CAUSE, _STATUS, _FUNCTION, _OF, _PAYLOAD = (
    f"CAST({name} AS BLOB)"
    for name in (
        *("i.correlation_id", "i.reason", "i.hotspots", "i.cause", "c.status"),
        *("function", "correlation_id", "payload"),
    )
)
_MARKS = {
    "incident": f"SELECT substr(i.raised_at, 1, 10) AS day, count(*), total(checksum({_INCIDENT}, i.pinned,"  # noqa: S608  our words
    f" i.is_summary, i.late, {_REASON}, {_HOTSPOTS}, {_CAUSE}, {_STATUS}, c.id, c.is_leading, c.sample_count,"
    " c.duration_seconds))"
    " FROM incident i LEFT JOIN profile_capture c ON c.correlation_id = i.correlation_id"
    " WHERE i.state = 'active' GROUP BY day",
    "event": "SELECT date(id / 2048000000, 'unixepoch') AS day, count(*), min(id), max(id),"  # noqa: S608  our words
    " total(id % 1048573), total(CASE WHEN event_type THEN"
    f" checksum(id, {_FUNCTION}, {_OF}, {_PAYLOAD}) END) FROM event GROUP BY day",
    "history": "SELECT day, count(*), max(id), total(step_s), total(length(rates)) FROM ("
    "SELECT substr(taken_from, 1, 10) AS day, id, step_s, rates FROM history UNION ALL "
    "SELECT substr(taken_until, 1, 10), id, step_s, rates FROM history"
    " WHERE substr(taken_until, 1, 10) > substr(taken_from, 1, 10)) GROUP BY day",
}
_SPANS = (
    f"SELECT {_CHOSEN} FROM incident i CROSS JOIN profile_capture c ON i.correlation_id = c.correlation_id "  # noqa: S608  our words
    "WHERE i.raised_at >= ? AND i.raised_at < ? AND i.crossed_at <= ? AND c.is_leading = 1 "
    f"AND {SHOWN} ORDER BY i.raised_at DESC LIMIT ?"
)

_NAMED = (
    "SELECT correlation_id FROM event"
    " WHERE +event_type = 3 AND function IN (SELECT value FROM json_each(:names))"
)
_ALIKE = (
    f"SELECT {_CHOSEN} FROM incident i CROSS JOIN profile_capture c ON i.correlation_id = c.correlation_id "  # noqa: S608  our words
    f"WHERE c.is_leading = 1 AND {SHOWN} AND (i.correlation_id IN ({_NAMED}) "
    f"OR (i.process_name = :process AND {CAUSE} = :cause)) ORDER BY i.raised_at DESC LIMIT :limit"
)


class PastReader(StoreReader):
    """A store's reader that also knows what is beside a moment."""

    def history_near(self, at: datetime) -> NearHistory:
        """Return the stored passes on both sides of a moment."""
        cell = time_cell(at)
        rows = list(self._sound(self._all(_NEAR_ROWS, [cell, cell]), _stored_row, "history"))
        try:
            return near_of(rows, at)
        except SENSELESS:  # rare: only now each row is read whole, to leave the damaged ones out
            return near_of(list(self._sound(rows, _checked, "history")), at)

    def passes(self, since: datetime, until: datetime) -> Iterator[tuple[Rates, float]]:
        """Yield the passes taken in [since, until), oldest first; each with how far apart they stand."""
        ids = "SELECT id FROM history WHERE taken_until >= ? AND taken_from < ? ORDER BY taken_from, id"
        rows = self._in_pages(ids, [time_cell(since), time_cell(until)], f"{_ROW} WHERE id IN ({{ids}})")
        stored = self._sound(rows, lambda row: (whole(row["step_s"]), unpack(row["rates"])), "history")
        for step_s, passes in stored:
            yield from ((rates, step_s) for rates in passes if since <= rates.taken_at < until)

    def each_incident(
        self, since: datetime, until: datetime, *, with_baselines: bool = False
    ) -> Iterator[IncidentView]:
        """Yield all that is kept of the incidents raised in [since, until), oldest first."""
        rows = self._all(_IDS_BY_TIME, [time_cell(since), time_cell(until)])
        wanted = (
            row["id"] for row in rows if with_baselines or (row["rule"], row["trigger_metric"]) != _BASELINE
        )
        views = self._sound(wanted, self._incident_or_none, "incidents")
        yield from (view for view in views if view is not None)

    def _incident_or_none(self, correlation_id: str) -> IncidentView | None:
        try:
            return self.incident(correlation_id)
        except NotFoundError:
            return None  # deleted meanwhile

    def each_event(self, since: datetime, until: datetime) -> Iterator[Event]:
        """Yield the events of [since, until), oldest first, a page at a time."""
        rows = self._in_pages(_EVENT_IDS, [id_at(since), id_at(until)], _EVENTS)
        yield from self._sound(rows, lambda row: sound_event([row[name] for name in COLUMNS]), "events")

    def incident_ids(self) -> frozenset[str]:
        """Return the ids of all incidents, baselines among them."""
        rows = self._all("SELECT correlation_id AS id FROM incident WHERE state = 'active'", [])
        return frozenset(str(row["id"]) for row in rows)

    def day_marks(self, kind: Literal["incident", "event", "history"]) -> dict[str, str]:
        """Return of each day (UTC) with rows of a kind a text that is another one once its rows changed."""
        self._opened().create_function("checksum", -1, _checksum, deterministic=True)
        rows = self._fetched(_MARKS[kind], [])
        return {
            str(row[0]): ",".join(f"{value:.17g}" for value in row[1:] if value is not None) for row in rows
        }

    def incident_spans(self, since: datetime, until: datetime, limit: int) -> list[IncidentSpan]:
        """Return the incidents that went on in [since, until], the newest first, at most so many."""
        near = [time_cell(since - _NEAR), time_cell(until + _NEAR), time_cell(until)]
        rows = self._all(_SPANS, [*near, limit])
        return [span for span in self._sound(rows, span_of, "incidents") if span.ends_at >= since]

    def alike(
        self, functions: Sequence[str], cause: str | None, process: str, limit: int
    ) -> list[IncidentSpan]:
        """Return the newest incidents in which one of these functions was hot, or with a process's cause."""
        names = [events.text_cell("function", events.clipped(name)) for name in functions if name]
        cells = {"cause": text_cell(cause), "process": text_cell(process)}
        asked = {"names": json.dumps(names), "limit": limit, **cells}
        return list(self._sound(self._all(_ALIKE, asked), span_of, "incidents"))

    def incident_beside(self, at: datetime, *, is_next: bool) -> datetime | None:
        """Return when the next incident after a moment was raised, or the last one before it."""
        beyond, order = (">", "ASC") if is_next else ("<", "DESC")
        sql = f"SELECT i.raised_at FROM incident i WHERE i.raised_at {beyond} ? AND {SHOWN}"  # noqa: S608  our words
        rows = self._all(f"{sql} ORDER BY i.raised_at {order} LIMIT 1", [time_cell(at)])
        with self._understood():
            return time_of(rows[0]["raised_at"]) if rows else None


def _checksum(*cells: object) -> int:
    return zlib.crc32(b"\0".join(each if isinstance(each, bytes) else repr(each).encode() for each in cells))


def _stored_row(row: Row) -> StoredRow:
    since, until = time_of(row["taken_from"]), time_of(row["taken_until"])
    return StoredRow(whole(row["id"]), whole(row["step_s"]), since, until, row["rates"])


def _checked(row: StoredRow) -> StoredRow:
    unpack(row.cell)
    return row


def span_of(row: Row) -> IncidentSpan:
    """Return one incident's stretch from its row."""
    incident = read_cells(StoredIncident, {name: row[name] for name in _OF_INCIDENT})
    capture = read_cells(StoredCapture, {name: row[name] for name in _OF_CAPTURE})
    evidence_ends = capture["captured_at"] + timedelta(seconds=capture["duration_seconds"] or 0)
    return IncidentSpan(
        **{name: incident[name] for name in _OF_INCIDENT},
        ends_at=max(incident["raised_at"], evidence_ends),
        profiler=capture["profiler"],
        command_line=capture["command_line"],
    )
