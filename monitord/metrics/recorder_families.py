"""What the recorder, its uploader and its sender of messages told of themselves, as families.

What they did not tell is left out. Percentages become ratios, as Prometheus wants base units. Counters count
since the recorder started (`monitord_start_time_seconds`), the sender's and the uploader's since their file
was first written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from monitord.metrics.families import (
    Family,
    Kind,
    Point,
    counters,
    gauge,
    gauges,
    is_number,
    labelled,
    table,
)
from monitord.recorder.status import moment_of

Names = tuple[tuple[str, str, str], ...]
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
)
_BLACK_BOX = (
    ("read", "monitord_black_box_python_stacks", "Python stacks read from outside."),
    ("lost", "monitord_black_box_lost", "Records that the kernel could not write."),
    ("unreadable", "monitord_black_box_unreadable", "Python stacks that could not be read."),
    ("impossible", "monitord_black_box_impossible", "Python stacks without a root, which were dropped."),
)
_UPLOADER = (
    ("moved", "monitord_uploader_moved_artefacts", "Artefacts brought to the remote provider."),
    ("moved_bytes", "monitord_uploader_moved_bytes", "Their bytes."),
    ("deleted", "monitord_uploader_deletions", "Deletions passed on."),
)
_WAITING = (
    (
        "waiting_artefacts",
        "monitord_uploader_waiting_artefacts",
        "Artefacts that wait to be uploaded.",
    ),
    ("waiting_bytes", "monitord_uploader_waiting_bytes", "Their bytes."),
    ("waiting_deletions", "monitord_uploader_waiting_deletions", "Deletions that wait."),
)
_USED = ("storage_used_bytes", "monitord_storage_used_bytes", "What artefacts took at the last look.")
_PARTS = ("database", "wal", "artefact", "set_aside", "other")  # together what counts against the budget
_RECEIVER_COUNTERS = (
    ("sent", "monitord_notify_sent", "Messages that a receiver took."),
    ("failed", "monitord_notify_failed", "Tries that a receiver did not take."),
)
_RECEIVER_GAUGES = (
    ("waiting", "monitord_notify_waiting", "Messages that wait for their next try."),
    ("held", "monitord_notify_held", "Messages held by folding, quiet hours or the daily limit."),
)


def store_families(usage: Mapping[str, int]) -> Iterator[Family]:
    """Yield what the store takes on this disk, and may take."""
    parts = [Point((part,), float(usage[f"{part}_bytes"])) for part in _PARTS]
    yield labelled("monitord_store_bytes", "gauge", "What the store takes on this disk.", ["part"], parts)
    yield gauge("monitord_store_budget_bytes", "What it may take.", float(usage["budget_bytes"]))
    yield gauge("monitord_store_free_disk_bytes", "What its disk has left.", float(usage["free_disk_bytes"]))


def recorder_families(report: Mapping[str, Any]) -> Iterator[Family]:
    """Yield what a status tells, with `is_running`, and `uploader` and `messages` where there are any."""
    is_running = bool(report.get("is_running"))
    yield gauge("monitord_up", "Whether the daemon records.", float(is_running))
    yield from _messages(table(report.get("messages")))
    if not is_running:
        return
    version = [Point((str(report.get("version", "")),), 1.0)]
    yield labelled("monitord_build_info", "gauge", "The version that records.", ["version"], version)
    yield from _basics(report)
    yield from _black_box(table(report.get("black_box")))
    yield from _storage(table(report.get("storage")))
    yield from _runs("job", table(report.get("jobs")))
    yield from _runs("errand", table(report.get("errands")))
    uploader = table(report.get("uploader"))
    yield from (replace(each, is_since_start=False) for each in counters(uploader, _UPLOADER))
    yield from gauges(uploader, _WAITING)


def _basics(report: Mapping[str, Any]) -> Iterator[Family]:
    yield from gauges(report, _BASICS)
    yield from gauges(report, _RATIOS, scale=0.01)
    for key, name, words in _MOMENTS:
        moment = moment_of(report.get(key))
        if moment is not None:
            yield gauge(name, words, moment.timestamp())
    degraded = report.get("degraded")
    if isinstance(degraded, Sequence):
        yield gauge("monitord_degraded_reasons", "What the daemon complains of.", float(len(degraded)))
    passes = (
        ("passes", "monitord_passes", "Looks taken."),
        ("lost_passes", "monitord_lost_passes", "Looks that failed."),
    )
    yield from counters(report, passes)
    counts = table(report.get("counts"))
    names = (
        (each, f"monitord_{each}", f"Incidents: {each}.")
        for each in ("alerts", "suppressed", "folded", "dropped")
    )
    yield from counters(counts, names)


def _black_box(box: Mapping[str, Any]) -> Iterator[Family]:
    if not box:
        return
    yield gauge("monitord_black_box_up", "Whether stacks are kept.", float(box.get("state") == "on"))
    yield from gauges(box, (("kept_s", "monitord_black_box_kept_seconds", "How far back they go."),))
    yield from counters(box, _BLACK_BOX)


def _storage(storage: Mapping[str, Any]) -> Iterator[Family]:
    counted = table(storage.get("counters"))
    yield from counters(counted, _COUNTERS)
    yield from gauges(counted, (_USED,))
    words = ["provider", "operation", "error"]
    errors = [_point(each, words, "count") for each in _rows(counted.get("errors"), "count")]
    yield labelled("monitord_storage_errors", "counter", "Calls that failed.", words, errors)
    rows = _rows(counted.get("latency"), "count", "total_s", "longest_s")
    taken = [_point(each, words[:2], "total_s", int(each["count"])) for each in rows]
    name = "monitord_storage_operation_duration_seconds"
    yield labelled(name, "summary", "What calls took.", words[:2], taken)
    longest = [_point(each, words[:2], "longest_s") for each in rows]
    name = "monitord_storage_operation_longest_seconds"
    yield labelled(name, "gauge", "The longest of them.", words[:2], longest, max)
    checks = _rows(table(storage.get("health")).get("checks"))
    healthy = [Point((str(each.get("name", "")),), float(each.get("ok") is True)) for each in checks]
    yield labelled("monitord_storage_healthy", "gauge", "Whether a check was well.", ["check"], healthy, min)


def _runs(kind: str, tasks: Mapping[str, Any]) -> Iterator[Family]:
    """Yield when each job or errand ran last, and whether that went well; one that never ran is left out.

    Its label is not called job: that is Prometheus' own word for what it scrapes.
    """
    runs = {name: table(run) for name, run in tasks.items()}
    moments = [(name, moment_of(run.get("last_run"))) for name, run in runs.items()]
    last = [Point((name,), moment.timestamp()) for name, moment in moments if moment is not None]
    well = [Point((name,), float(run["outcome"] == "ok")) for name, run in runs.items() if run.get("outcome")]
    if last:
        name = f"monitord_{kind}_last_run_time_seconds"
        yield labelled(name, "gauge", f"When a {kind} ran last.", ["task"], last, max)
    if well:
        name = f"monitord_{kind}_healthy"
        yield labelled(name, "gauge", f"Whether the last run of a {kind} was well.", ["task"], well, min)


def _messages(told: Mapping[str, Any]) -> Iterator[Family]:
    receivers = {name: table(held) for name, held in table(told.get("receivers")).items()}
    if not receivers:
        return
    kinds: tuple[tuple[Kind, Names], ...] = (("counter", _RECEIVER_COUNTERS), ("gauge", _RECEIVER_GAUGES))
    for kind, named in kinds:
        for key, name, words in named:
            points = [
                Point((who,), float(held.get(key) or 0))
                for who, held in receivers.items()
                if is_number(held.get(key) or 0)
            ]
            yield replace(labelled(name, kind, words, ["receiver"], points), is_since_start=False)
    sent = [(who, moment_of(held.get("last_sent_at"))) for who, held in receivers.items()]
    last = [Point((who,), moment.timestamp()) for who, moment in sent if moment is not None]
    name = "monitord_notify_last_success_time_seconds"
    yield labelled(name, "gauge", "When a receiver took a message last.", ["receiver"], last, max)


def _point(row: Mapping[str, Any], labels: Sequence[str], value: str, count: int = 0) -> Point:
    return Point(tuple(str(row.get(name, "")) for name in labels), float(row[value]), count)


def _rows(value: object, *numbers: str) -> list[Mapping[str, Any]]:
    """The entries of a list that have all these numbers."""
    found = value if isinstance(value, list) else []
    return [
        each for each in found if isinstance(each, Mapping) and all(is_number(each.get(n)) for n in numbers)
    ]
