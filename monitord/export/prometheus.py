"""What the daemon reports of itself and its storage, as Prometheus reads it.

Labels are provider, operation, class of error, check and part: each has a handful of values. No key, no name
of a process and no path is one. Percentages become ratios, as Prometheus wants base units.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

# Key in the report, name, help.
_BASICS = (
    ("process_count", "monitord_processes", "Processes seen in the last pass."),
    ("own_rss_bytes", "monitord_resident_memory_bytes", "What the daemon itself takes."),
    ("queue_depth", "monitord_unsaved_incidents", "Incidents that wait to be saved."),
    ("interval_s", "monitord_interval_seconds", "Time between two looks."),
)
_RATIOS = (
    ("own_cpu_percent", "monitord_cpu_ratio", "What the daemon itself takes, of one core."),
    ("machine_percent", "monitord_machine_busy_ratio", "How busy the machine is, of all cores."),
)
_MOMENTS = (
    ("started_at", "monitord_start_time_seconds", "When the daemon began."),
    ("taken_at", "monitord_last_pass_time_seconds", "When it looked last."),
)
_COUNTERS = (
    ("reads", "monitord_storage_reads", "Artefacts read."),
    ("writes", "monitord_storage_writes", "Artefacts written."),
    ("deletes", "monitord_storage_deletes", "Artefacts deleted."),
    ("read_bytes", "monitord_storage_read_bytes", "Bytes read, as stored."),
    ("write_bytes", "monitord_storage_written_bytes", "Bytes written, as stored."),
    ("cache_hits", "monitord_storage_cache_hits", "Artefacts that were in memory."),
    ("cache_misses", "monitord_storage_cache_misses", "Artefacts that had to be read."),
)
_BLACK_BOX = (
    ("read", "monitord_black_box_python_stacks", "Python stacks read from outside."),
    ("lost", "monitord_black_box_lost", "Records that the kernel could not write."),
    ("unreadable", "monitord_black_box_unreadable", "Python stacks that could not be read."),
    ("impossible", "monitord_black_box_impossible", "Python stacks without a root, which were dropped."),
)
_UPLOADER = (
    ("moved", "monitord_courier_moved_artefacts", "Artefacts brought to the remote provider."),
    ("moved_bytes", "monitord_courier_moved_bytes", "Their bytes."),
    ("deleted", "monitord_courier_deletions", "Deletions passed on."),
)
_WAITING = (
    (
        "waiting_artefacts",
        "monitord_courier_waiting_artefacts",
        "Artefacts that wait to be uploaded.",
    ),
    ("waiting_bytes", "monitord_courier_waiting_bytes", "Their bytes."),
    ("waiting_deletions", "monitord_courier_waiting_deletions", "Deletions that wait."),
)
_PARTS = ("database", "wal", "artefact", "set_aside", "other")  # together what counts against the budget


def metrics_text(report: Mapping[str, Any], usage: Mapping[str, int]) -> str:
    """Write Prometheus text. `report` is the daemon's status with `is_running`; what it lacks is left out."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    _Told(report, usage).register_in(registry)
    return generate_latest(registry).decode("utf-8")


class _Told:
    """A collector of numbers that somebody else counted."""

    def __init__(self, report: Mapping[str, Any], usage: Mapping[str, int]) -> None:
        self._report, self._usage = report, usage

    def register_in(self, registry: CollectorRegistry) -> None:
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        is_running = bool(self._report.get("is_running"))
        yield _gauge("monitord_up", "Whether the daemon records.", float(is_running))
        yield from self._store()
        if not is_running:
            return
        yield _labelled_gauge(
            "monitord_build_info", "The version that records.", ["version"],
            [([str(self._report.get("version", ""))], 1.0)],
        )  # fmt: skip
        yield from self._basics()
        yield from _black_box(_table(self._report.get("black_box")))
        yield from _storage(_table(self._report.get("storage")))
        yield from _uploader(_table(self._report.get("courier")))

    def _store(self) -> Iterator[Metric]:
        parts = [([part], float(self._usage[f"{part}_bytes"])) for part in _PARTS]
        yield _labelled_gauge("monitord_store_bytes", "What the store takes on this disk.", ["part"], parts)
        budget = float(self._usage["budget_bytes"])
        yield _gauge("monitord_store_budget_bytes", "What it may take.", budget)

    def _basics(self) -> Iterator[Metric]:
        report = self._report
        yield from _gauges(report, _BASICS)
        yield from _gauges(report, _RATIOS, scale=0.01)
        for key, name, words in _MOMENTS:
            moment = _moment(report.get(key))
            if moment is not None:
                yield _gauge(name, words, moment.timestamp())
        degraded = report.get("degraded")
        if isinstance(degraded, Sequence):
            yield _gauge("monitord_degraded_reasons", "What the daemon complains of.", float(len(degraded)))
        yield from _counters(
            {"passes": report.get("passes")}, (("passes", "monitord_passes", "Looks taken."),)
        )
        counts = _table(report.get("counts"))
        names = (
            (each, f"monitord_{each}", f"Incidents: {each}.") for each in ("alerts", "suppressed", "dropped")
        )
        yield from _counters(counts, names)


def _black_box(box: Mapping[str, Any]) -> Iterator[Metric]:
    if not box:
        return
    yield _gauge("monitord_black_box_up", "Whether stacks are kept.", float(box.get("state") == "on"))
    yield from _gauges(box, (("kept_s", "monitord_black_box_kept_seconds", "How far back they go."),))
    yield from _counters(box, _BLACK_BOX)


def _storage(storage: Mapping[str, Any]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, SummaryMetricFamily

    counters = _table(storage.get("counters"))
    yield from _counters(counters, _COUNTERS)
    used = counters.get("storage_used_bytes")
    if isinstance(used, int | float):
        yield _gauge("monitord_storage_used_bytes", "What artefacts took at the last look.", float(used))
    errors = CounterMetricFamily(
        "monitord_storage_errors", "Calls that failed.", labels=["provider", "operation", "error"]
    )
    for each in _rows(counters.get("errors"), "count"):
        errors.add_metric(_words(each, "provider", "operation", "error"), float(each["count"]))
    yield errors
    taken = SummaryMetricFamily(
        "monitord_storage_operation_duration_seconds", "What calls took.", labels=["provider", "operation"]
    )
    longest = []
    for each in _rows(counters.get("latency"), "count", "total_s", "longest_s"):
        words = _words(each, "provider", "operation")
        taken.add_metric(words, int(each["count"]), float(each["total_s"]))
        longest.append((words, float(each["longest_s"])))
    yield taken
    name = "monitord_storage_operation_longest_seconds"
    yield _labelled_gauge(name, "The longest of them.", ["provider", "operation"], longest)
    checks = _rows(_table(storage.get("health")).get("checks"), "ok")
    healthy = [(_words(each, "name"), float(bool(each["ok"]))) for each in checks]
    yield _labelled_gauge("monitord_storage_healthy", "Whether a check was well.", ["check"], healthy)


def _uploader(uploader: Mapping[str, Any]) -> Iterator[Metric]:
    yield from _counters(uploader, _UPLOADER)
    yield from _gauges(uploader, _WAITING)


def _gauges(
    held: Mapping[str, Any], names: Iterable[tuple[str, str, str]], *, scale: float = 1.0
) -> Iterator[Metric]:
    for key, name, words in names:
        if _is_number(held.get(key)):
            yield _gauge(name, words, held[key] * scale)


def _counters(held: Mapping[str, Any], names: Iterable[tuple[str, str, str]]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily

    for key, name, words in names:
        if _is_number(held.get(key)):
            yield CounterMetricFamily(name, words, value=float(held[key]))


def _gauge(name: str, words: str, value: float) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, words, value=value)


def _labelled_gauge(
    name: str, words: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]
) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, words, labels=labels)
    for held, value in values:
        family.add_metric(held, value)
    return family


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _rows(value: object, *numbers: str) -> list[Mapping[str, Any]]:
    """The entries of a list that have all these numbers."""
    found = value if isinstance(value, list) else []
    return [
        each for each in found if isinstance(each, Mapping) and all(_is_number(each.get(n)) for n in numbers)
    ]


def _words(row: Mapping[str, Any], *names: str) -> list[str]:
    return [str(row.get(name, "")) for name in names]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _moment(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None
