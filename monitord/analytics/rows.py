"""The rows of each table in `tables`, read from the store: one function a table, columns in its order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial

from monitord.analytics.tables import EVENTS, HOTSPOTS, INCIDENTS, MACHINE_MINUTES, PROCESS_MINUTES, Table
from monitord.export.verdicts import value_unit, verdict_of
from monitord.model import BEFORE, ONLY_WAITED, PYTHON_NOT_READ, Hotspot, ProcessRates, Rates
from monitord.redaction.naming import display_name
from monitord.storage.answers import is_baseline
from monitord.storage.past import PastReader
from monitord.storage.views import IncidentView

VersionOf = Callable[[IncidentView], str | None]
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2109, 12, 31, tzinfo=UTC)  # what events can hold
_ROW_REACHES = timedelta(hours=2)  # no row of history holds more, and they come by when they begin
_SAMPLES_UNKNOWN = 50  # what a profile counts whose samples an older monitord did not note


def version_unknown(_view: IncidentView) -> str | None:
    return None


def rows_of(
    reader: PastReader,
    table: Table,
    since: datetime | None,
    until: datetime | None,
    host_id: str,
    version_of: VersionOf = version_unknown,
) -> Iterator[tuple[object, ...]]:
    """Yield the store's rows of a table whose time is in [since, until); None sets no end.

    Times are aware UTC datetimes. Damaged rows are left out, and the reader's `on_damage` is told. The
    version of an incident's program is what `version_of` says. Raises as the reader does.
    """
    span = (since or _FIRST, until or _LAST)
    makers: Mapping[str, Callable[[], Iterator[tuple[object, ...]]]] = {
        INCIDENTS.name: partial(_incidents, reader, *span, version_of),
        EVENTS.name: partial(_events, reader, *span),
        HOTSPOTS.name: partial(_hotspots, reader, *span, version_of),
        PROCESS_MINUTES.name: partial(_process_minutes, reader, *span),
        MACHINE_MINUTES.name: partial(_machine_minutes, reader, *span),
    }
    return ((host_id, *row) for row in makers[table.name]())


def _incidents(
    reader: PastReader, since: datetime, until: datetime, version_of: VersionOf
) -> Iterator[tuple[object, ...]]:
    return (_incident(view, version_of(view)) for view in reader.each_incident(since, until))


def _incident(view: IncidentView, version: str | None) -> tuple[object, ...]:
    leading, process, cause = view.record, view.process, view.cause
    return (
        *(view.correlation_id, view.raised_at, view.crossed_at, _ended_at(view)),
        *(view.rule, view.metric.value, view.value, view.threshold.value if view.threshold else None),
        *(value_unit(view), view.window_s, view.severity),
        *(display_name(leading.process_name, leading.command_line), leading.pid or None),
        *(" ".join(leading.command_line) or None, process.executable if process else None),
        *(leading.user, process.unit if process else None, process.container_id if process else None),
        *(version, *_hottest(view)),
        *((cause.kind, cause.sentence) if cause else (None, None)),
        *(verdict_of(view), view.reason, leading.profiler, leading.status.value),
        *(len(view.captures), view.late, view.pinned),
    )


def _ended_at(view: IncidentView) -> datetime:
    return max(view.raised_at, view.record.captured_at + timedelta(seconds=view.record.duration_seconds))


def _hottest(view: IncidentView) -> tuple[object, ...]:
    """Function, module, func_id, file, line, self_share and the statement's id."""
    spot = next(iter(view.hotspots), None)
    if spot is None or spot.function == PYTHON_NOT_READ:
        return (None,) * 7
    return spot.function, spot.module, spot.func_id, spot.file, spot.line, spot.self_share, spot.stmt_id


def _events(reader: PastReader, since: datetime, until: datetime) -> Iterator[tuple[object, ...]]:
    for event in reader.each_event(since, until):
        yield (
            *(event.id, event.taken_at, event.event_type.value, event.pid, event.process_name),
            *(event.module, event.function, event.arity, event.correlation_id, event.ast_node_id),
            json.dumps(event.payload, separators=(",", ":")) if event.payload else None,
        )


# ------------------------------------------------------------------------------------------ hotspots


class _Tally:
    """What one function took in one hour, summed over the incidents in which it was hot."""

    __slots__ = ("incidents", "self_samples", "spot", "total_samples")

    def __init__(self, spot: Hotspot) -> None:
        self.spot = spot
        self.incidents = 0
        self.self_samples = self.total_samples = 0.0

    def add(self, spots: Iterable[Hotspot], samples: int) -> None:
        self.incidents += 1
        for spot in spots:
            self.self_samples += spot.self_share * samples
            self.total_samples += spot.total_share * samples


def _hotspots(
    reader: PastReader, since: datetime, until: datetime, version_of: VersionOf
) -> Iterator[tuple[object, ...]]:
    """Rows of one hour after the other; incidents come by time."""
    hour, views = _FIRST, list[IncidentView]()
    for view in reader.each_incident(since, until, with_baselines=True):
        if hour_of(view) != hour:
            yield from hotspot_rows(hour, views, version_of)
            hour, views = hour_of(view), []
        views.append(view)
    yield from hotspot_rows(hour, views, version_of)


def hour_of(view: IncidentView) -> datetime:
    return view.raised_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def hotspot_rows(
    hour: datetime, views: Iterable[IncidentView], version_of: VersionOf
) -> Iterator[tuple[object, ...]]:
    samples_of: dict[tuple[str, str | None, str], int] = {}
    tallies: dict[tuple[tuple[str, str | None, str], tuple[object, ...]], _Tally] = {}
    for view in (one for one in views if ONLY_WAITED not in (one.record.notes or {})):
        whose = (display_name(view.process_name, view.record.command_line), version_of(view), _source(view))
        samples = view.record.sample_count or _SAMPLES_UNKNOWN
        samples_of[whose] = samples_of.get(whose, 0) + samples
        found: dict[tuple[object, ...], list[Hotspot]] = {}
        for spot in view.hotspots:
            found.setdefault((spot.function, spot.module, spot.func_id, spot.func_hash), []).append(spot)
        for what, spots in found.items():
            tallies.setdefault((whose, what), _Tally(spots[0])).add(spots, samples)
    for (whose, what), tally in tallies.items():
        process, version, source = whose
        yield (
            *(hour, process, version, *what, tally.spot.file, tally.spot.line, source),
            *(tally.incidents, round(tally.self_samples), round(tally.total_samples), samples_of[whose]),
        )


def _source(view: IncidentView) -> str:
    if is_baseline(view):
        return "baseline"
    return "ring" if view.record.role == BEFORE else "capture"


# ------------------------------------------------------------------------------------------- minutes


def _minutes(reader: PastReader, since: datetime, until: datetime) -> Iterator[Rates]:
    """Yield of each minute the pass that thinning lets stand for it, however fine the store still is."""
    best: dict[datetime, Rates] = {}
    for rates, _step_s in reader.passes(since, until):
        if rates.gap is not None:
            continue
        minute = rates.taken_at.replace(second=0, microsecond=0)
        other = best.get(minute)
        if other is None:
            yield from _ripe(best, minute - _ROW_REACHES)
        if other is None or _rank(rates) > _rank(other):
            best[minute] = rates
    yield from _ripe(best, _LAST)


def _ripe(best: dict[datetime, Rates], before: datetime) -> Iterator[Rates]:
    for minute in sorted(minute for minute in best if minute < before):
        yield best.pop(minute)


def _rank(rates: Rates) -> tuple[bool, float]:
    return bool(rates.processes), rates.system.machine_percent


def _process_minutes(reader: PastReader, since: datetime, until: datetime) -> Iterator[tuple[object, ...]]:
    for rates in _minutes(reader, since, until):
        # A pid may be given again within one pass: of two with one pid and name the busier one counts.
        by_name: dict[tuple[int, str], ProcessRates] = {}
        for process in sorted(rates.processes, key=lambda each: each.cpu_percent or 0.0):
            by_name[process.key.pid, process.name] = process
        for (pid, name), process in by_name.items():
            yield (
                *(rates.taken_at, name, pid, process.cpu_percent, process.rss_bytes),
                *(process.thread_count, process.fd_count),
                *(_whole(process.disk_bytes_per_s), _whole(process.network_bytes_per_s)),
            )


def _machine_minutes(reader: PastReader, since: datetime, until: datetime) -> Iterator[tuple[object, ...]]:
    for rates in _minutes(reader, since, until):
        system = rates.system
        total, free = system.memory_total_bytes, system.memory_available_bytes
        disks, interfaces = system.disk_bytes_per_s.values(), system.network_bytes_per_s.values()
        yield (
            *(rates.taken_at, system.machine_percent),
            *(round(100 - 100 * free / total, 1) if total else None, free, system.swap_used_bytes),
            *(_whole(sum(disks)) if disks else None, _whole(max(interfaces)) if interfaces else None),
            *(system.load_1, rates.process_count, system.cpu_count),
        )


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
