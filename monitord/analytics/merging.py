"""The rows of one day: what the store has, and of the day's file what the store no longer has.

The unit is what the store lets go at once: an incident, an event, an hour's incidents, a minute.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from monitord.analytics.rows import VersionOf, hotspot_rows, hour_of, rows_of, version_unknown
from monitord.analytics.tables import EVENTS, HOTSPOTS, INCIDENTS, Table
from monitord.model import EventType
from monitord.storage.past import PastReader
from monitord.storage.views import IncidentView

Row = tuple[object, ...]
# These events are written with their incident, so its other ones are those of an earlier state of it. Samples
# are not among them: the store lets them go before the incident.
_REWRITTEN = frozenset({EventType.ALERT, EventType.CAPTURE, EventType.HOTSPOT, EventType.NOTE})
HOURS = "hours"
"""The note of a file of hotspots that says which incidents are counted in each hour, as JSON."""
_UNKNOWN = "?"  # no incident's id: that of those which a file counts without a note, and no store has

Clean = Callable[[Table, Iterable[Row]], Iterable[Row]]


def as_they_are(_table: Table, rows: Iterable[Row]) -> Iterable[Row]:
    """Clean nothing."""
    return rows


class Merge:
    """Brings a day's file up to date; `forgotten` are the incidents that a person deleted.

    What the store has is told as `clean` leaves it, from `not_before` on.
    """

    def __init__(
        self,
        reader: PastReader,
        host_id: str,
        forgotten: frozenset[str] = frozenset(),
        version_of: VersionOf = version_unknown,
        clean: Clean = as_they_are,
        not_before: datetime | None = None,
    ) -> None:
        self._reader = reader
        self._clean = clean
        self._not_before = not_before
        self._host_id = host_id
        self._forgotten = forgotten
        self._version_of = version_of
        self._incidents: frozenset[str] | None = None

    @property
    def data_dir(self) -> Path:
        """Where the store and the warm tier lie."""
        return self._reader.data_dir

    def day(
        self,
        table: Table,
        day: str,
        base: Iterable[Row],
        notes: Mapping[str, str],
        known_versions: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[Iterator[Row], dict[str, str]]:
        """Return the day's rows, and the notes of its file; `base` and `notes` are the file's so far.

        An incident of `known_versions` (by correlation id) keeps that version once its mark is gone.
        """

        def version_of(view: IncidentView) -> str | None:
            return self._version_of(view) or known_versions.get(view.correlation_id)

        begins = datetime.fromisoformat(day).replace(tzinfo=UTC)
        until = begins + timedelta(days=1)
        since = max(begins, self._not_before or begins)
        if table is HOTSPOTS:
            return self._hotspots(since, until, base, notes, version_of)
        rows = rows_of(self._reader, table, since, until, self._host_id, version_of)
        fresh = iter(self._clean(table, rows))
        merges: dict[str, Callable[[Iterator[Row], Iterable[Row]], Iterator[Row]]] = {
            INCIDENTS.name: self._of_incidents,
            EVENTS.name: self._of_events,
        }
        return merges.get(table.name, self._of_minutes(table))(fresh, base), {}

    def _of_incidents(self, fresh: Iterator[Row], base: Iterable[Row]) -> Iterator[Row]:
        at = _index(INCIDENTS, "correlation_id")
        known = set(self._forgotten)
        for row in fresh:
            known.add(str(row[at]))
            yield row
        yield from (row for row in base if row[at] not in known)

    def _of_events(self, fresh: Iterator[Row], base: Iterable[Row]) -> Iterator[Row]:
        event_id, kind, incident = (
            _index(EVENTS, name) for name in ("event_id", "event_type", "correlation_id")
        )
        if self._incidents is None:
            self._incidents = self._reader.incident_ids()
        known: set[object] = set()
        for row in fresh:
            known.add(row[event_id])
            yield row
        for row in base:
            is_replaced = row[kind] in _REWRITTEN and row[incident] in self._incidents
            if row[event_id] not in known and row[incident] not in self._forgotten and not is_replaced:
                yield row

    def _of_minutes(self, table: Table) -> Callable[[Iterator[Row], Iterable[Row]], Iterator[Row]]:
        at = _index(table, table.at)
        span = self._reader.history_span()
        # Of the oldest minute the store may have lost the beginning, and with it the pass that stands for it.
        oldest = _minute(span[0]) if span else None

        def merged(fresh: Iterator[Row], base: Iterable[Row]) -> Iterator[Row]:
            kept = list(base)
            held = {_minute(row[at]) for row in kept}
            known = set()
            for row in fresh:
                minute = _minute(row[at])
                if minute == oldest and minute in held:
                    continue
                known.add(minute)
                yield row
            yield from (row for row in kept if _minute(row[at]) not in known)

        return merged

    def _hotspots(
        self,
        since: datetime,
        until: datetime,
        base: Iterable[Row],
        notes: Mapping[str, str],
        version_of: VersionOf,
    ) -> tuple[Iterator[Row], dict[str, str]]:
        """An hour of which the store has all incidents is counted anew; else those are added that are new."""
        at = _index(HOTSPOTS, HOTSPOTS.at)
        base = [row for row in base if isinstance(row[at], datetime)]
        counted = hours_in(notes)
        untold = {_hour(row[at]) for row in base} - counted.keys()
        views: dict[str, list[IncidentView]] = {}
        for view in self._reader.each_incident(since, until, with_baselines=True):
            views.setdefault(hour_of(view).isoformat(), []).append(view)
        fresh: list[Row] = []
        kept_hours: set[str] = set()
        for hour in {*views, *counted, *untold}:
            before = counted.get(hour, frozenset())
            here = views.get(hour, [])
            ids = frozenset(view.correlation_id for view in here)
            if hour in untold:  # of a file that `fleet compact` made: it counts all that there was
                before = ids | {_UNKNOWN}
            if before - ids - self._forgotten:
                kept_hours.add(hour)
                here = [view for view in here if view.correlation_id not in before]
            rows = hotspot_rows(datetime.fromisoformat(hour), here, version_of)
            fresh += self._clean(HOTSPOTS, [(self._host_id, *row) for row in rows])
            counted[hour] = (before | ids) - self._forgotten if hour in kept_hours else ids
        kept = [row for row in base if _hour(row[at]) in kept_hours]
        said = {hour: sorted(ids) for hour, ids in sorted(counted.items()) if ids}
        return _summed(kept, fresh), {HOURS: json.dumps(said)}


def hours_in(notes: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """Return which incidents a file of hotspots counts, by hour; none where its notes make no sense."""
    try:
        said = json.loads(notes.get(HOURS, "{}"))
        return {str(datetime.fromisoformat(hour).isoformat()): frozenset(ids) for hour, ids in said.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _summed(kept: list[Row], fresh: list[Row]) -> Iterator[Row]:
    """One row a key, counts added; the samples of a process are the same in all its rows of an hour."""
    found: dict[tuple[object, ...], list[Any]] = {}
    samples: dict[tuple[object, ...], int] = {}
    for rows in (kept, fresh):
        here: dict[tuple[object, ...], int] = {}
        for row in rows:
            own = tuple(row[at] for at in _KEY)
            whose = tuple(row[at] for at in _WHOSE)
            here[whose] = max(here.get(whose, 0), _count(row[_SAMPLES]))
            if own in found:
                for at in _COUNTS:
                    found[own][at] = _count(found[own][at]) + _count(row[at])
            else:
                found[own] = [*row]
        samples = {whose: samples.get(whose, 0) + here.get(whose, 0) for whose in {*samples, *here}}
    for held in found.values():
        held[_SAMPLES] = samples[tuple(held[at] for at in _WHOSE)]
        yield tuple(held)


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _index(table: Table, name: str) -> int:
    return [column for column, _kind in table.columns].index(name)


def _minute(moment: Any) -> datetime | None:
    return moment.replace(second=0, microsecond=0) if isinstance(moment, datetime) else None


def _hour(moment: Any) -> str:
    return str(moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0).isoformat())


_KEY = tuple(_index(HOTSPOTS, name) for name in HOTSPOTS.key)
_WHOSE = tuple(_index(HOTSPOTS, name) for name in ("hour", "process", "version", "taken_from"))
_COUNTS = tuple(_index(HOTSPOTS, name) for name in ("incidents", "self_samples", "total_samples"))
_SAMPLES = _index(HOTSPOTS, "process_samples")
