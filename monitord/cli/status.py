"""`status`: whether the recorder runs, what it costs, how full the store is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitord.actions import recorder
from monitord.cli.context import CliContext
from monitord.cli.terminal import LABEL, Style, cut, emit, emit_json, fact, width
from monitord.cli.when import local_stamp
from monitord.export.units import age, quantity, span
from monitord.model import counted
from monitord.recorder.status import moment_of
from monitord.redaction import printable
from monitord.storage.ids import short_id


def status(context: CliContext, as_json: bool = False) -> None:
    """Say whether monitord records here, what it costs, and how full its store is."""
    workspace = context.workspace
    told = recorder.status(workspace)
    # A broken configuration may be why nothing runs: say the rest all the same.
    used = recorder.usage(workspace, told) if as_json or told["is_running"] else {}
    if as_json:
        facts = {name: held for name, held in told.items() if name != "is_running"}
        emit_json(
            {"running": told["is_running"], **facts, "data_dir": str(workspace.data_dir), "usage": used}
        )
    elif told["is_running"]:
        for line in _lines(workspace.data_dir, told, used, context.style(), width()):
            emit(line + "\n")
    if (error := recorder.why_not_recording(workspace, told)) is not None:
        raise error


def _lines(
    folder: Path, told: Mapping[str, Any], usage: Mapping[str, int], style: Style, columns: int
) -> Iterator[str]:
    now = datetime.now(UTC)
    version = cut(printable(str(told.get("version", ""))), LABEL)
    yield style.paint(f"monitord {version} records", "green") + f" (pid {told.get('pid') or 'unknown'})"
    facts = {
        "since": _since(told.get("started_at"), now),
        "data": str(folder),
        "config": ", ".join(map(str, told.get("config_paths") or ())) or "defaults",
        "watching": _looks(told, now),
        "without": _missing(told.get("missing_sources")),
        "own cost": _cost(told),
        "store": store_line(usage),
        "artefacts": artefact_counts(told.get("storage")),
        "remote": uploader_line(told.get("courier"), now),
        "so far": _counts(told),
        "capturing": _capture(told.get("capture"), now),
        "last": _last(told.get("last_incident")),
    }
    for name, text in facts.items():
        if text:
            yield from fact(name, text, columns)
    for reason in told.get("degraded") or ():
        yield from (style.paint(line, "yellow") for line in fact("degraded", str(reason), columns))
    for text in _jobs(told.get("jobs") or {}, now):
        yield from fact("job", text, columns)


def _since(started_at: object, now: datetime) -> str:
    moment = moment_of(started_at)
    return f"{local_stamp(moment, now)}, {age(moment, now)}" if moment else ""


def _looks(told: Mapping[str, Any], now: datetime) -> str:
    taken = moment_of(told.get("taken_at"))
    machine = quantity(told["machine_percent"], "percent") if _is_number(told, "machine_percent") else None
    parts = [
        f"every {span(float(told['interval_s']))}" if "interval_s" in told else "",
        f"as of {age(taken, now)}" if taken else "",
        f"{counted(told['process_count'], 'process')}" if "process_count" in told else "",
        f"machine at {machine}" if machine else "",
        f"{counted(told['lost_passes'], 'pass')} lost" if told.get("lost_passes") else "",
    ]
    return ", ".join(part for part in parts if part)


def _missing(sources: object) -> str:
    """What the looks go without, because this machine does not tell it."""
    if not isinstance(sources, Mapping):
        return ""
    return ", ".join(f"{name} ({reason})" for name, reason in sources.items())


def _cost(told: Mapping[str, Any]) -> str:
    parts = []
    if _is_number(told, "own_cpu_percent"):
        parts.append(f"{told['own_cpu_percent']:.2f} % of one core")
    if _is_number(told, "own_rss_bytes"):
        parts.append(quantity(told["own_rss_bytes"], "bytes"))
    return ", ".join(parts)


def store_line(usage: Mapping[str, int]) -> str:
    total, budget = usage["total_bytes"], usage["budget_bytes"]
    line = f"{total / 1e6:.1f} of {budget / 1e6:,.0f} MB ({total / budget * 100:.0f} %)"
    if usage["set_aside_bytes"]:
        line += f", {usage['set_aside_bytes'] / 1e6:.1f} MB of it in databases set aside (monitord.db.*)"
    return line


def artefact_counts(storage: object) -> str:
    """What went in and out since the daemon began."""
    counters = storage.get("counters") if isinstance(storage, Mapping) else None
    if not isinstance(counters, Mapping):
        return ""
    parts = [f"{counters.get(name, 0):,} {name}" for name in ("writes", "reads", "deletes")]
    failed = sum(error.get("count", 0) for error in counters.get("errors") or ())
    return ", ".join([*parts, *([f"{failed:,} errors"] if failed else [])])


def uploader_line(sent: Mapping[str, Any] | None, now: datetime) -> str:
    """What has gone to a remote provider, and what waits for it."""
    if sent is None:
        return ""
    when = moment_of(sent["last_success_at"])
    parts = [f"{sent['moved']:,} sent to {printable(str(sent['url']))}"] if sent["url"] else []
    parts += [f"archive: {printable(str(sent['archiving']))}"] if sent["archiving"] else []
    parts += [f"last {age(when, now)}"] if when else []
    if sent["waiting_artefacts"] or sent["waiting_deletions"]:
        size = quantity(sent["waiting_bytes"], "disk_bytes")
        parts.append(f"{sent['waiting_artefacts']:,} waiting ({size})")
    if sent["last_error"]:
        parts.append(printable(str(sent["last_error"])))
    parts += [f"stays here: {printable(str(reason))}" for reason in sent["refused"]]
    return ", ".join(parts)


def _counts(told: Mapping[str, Any]) -> str:
    counts = told.get("counts") or {}
    return ", ".join(f"{number:,} {name}" for name, number in counts.items() if isinstance(number, int))


def _capture(capture: object, now: datetime) -> str:
    if not isinstance(capture, Mapping):
        return ""
    since = moment_of(capture.get("since"))
    return short_id(str(capture.get("correlation_id"))) + (f", began {age(since, now)}" if since else "")


def _last(incident: object) -> str:
    return f"monitord show {short_id(str(incident))}" if incident else ""


def _jobs(jobs: Mapping[str, Any], now: datetime) -> Iterator[str]:
    for name, job in jobs.items():
        if not isinstance(job, Mapping):
            continue
        last, next_run = moment_of(job.get("last_run")), moment_of(job.get("next_run"))
        ran = f"ran {age(last, now)}" if last else "not yet run"
        outcome = f" ({job['outcome']})" if job.get("outcome") else ""
        yield f"{name}: {ran}{outcome}{_next(next_run, now)}"


def _next(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return ""
    return f", next {age(moment, now)}" if moment > now else ", next due now"


def _is_number(told: Mapping[str, Any], key: str) -> bool:
    return isinstance(told.get(key), int | float)
