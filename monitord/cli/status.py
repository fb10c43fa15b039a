"""`status`: whether the recorder runs, what it costs, how full the store is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitord.actions import recorder
from monitord.actions.workspace import Workspace
from monitord.cli.context import CliContext
from monitord.cli.terminal import LABEL, Style, cut, emit, emit_json, fact, width, wrap
from monitord.cli.when import local_stamp
from monitord.errors import ConfigError
from monitord.export.units import age, quantity, span
from monitord.model import counted
from monitord.recorder.status import NOBODY, moment_of
from monitord.redaction import printable
from monitord.storage.ids import short_id

_LOST_SHOWN = 3


def status(context: CliContext, as_json: bool = False) -> None:
    """Say whether monitord records here, what ails it, what it costs, and how full its store is."""
    workspace = context.workspace
    reported = recorder.status(workspace)
    error = recorder.why_not_recording(workspace, reported)
    wal = recorder.wal_of(workspace, reported)
    used = _usage(workspace, reported, must_know=as_json or reported["is_running"])
    if as_json:
        facts = {name: held for name, held in reported.items() if name != "is_running"}
        emit_json(
            {
                "running": reported["is_running"],
                **facts,
                "data_dir": str(workspace.data_dir),
                "usage": used,
                "long_wal": wal and asdict(wal),
            }
        )
    elif reported["is_running"] or os.access(workspace.data_dir, os.R_OK | os.X_OK):
        for line in _lines(
            workspace.data_dir, reported, used, context.style(), width(), is_silent=error is not None
        ):
            emit(line + "\n")
        for line in fact("WAL", f"{wal.detail}; {wal.fix}", width()) if wal else ():
            emit(context.style().paint(line, "yellow") + "\n")
    sys.stdout.flush()
    if error is not None:
        raise error


def _usage(workspace: Workspace, reported: Mapping[str, Any], *, must_know: bool) -> Mapping[str, int]:
    """How full the store is. A broken configuration may be why nothing runs: the rest is said even so."""
    try:
        return recorder.usage(workspace, reported)
    except ConfigError:
        if must_know:
            raise
        return {}


def _lines(
    folder: Path,
    reported: Mapping[str, Any],
    usage: Mapping[str, int],
    style: Style,
    columns: int,
    *,
    is_silent: bool,
) -> Iterator[str]:
    now = datetime.now(UTC)
    if not reported["is_running"]:
        yield style.paint(NOBODY, "red")
        yield from _facts({**_kept(folder, usage), "last look": _ago(reported.get("taken_at"), now)}, columns)
        return
    version = cut(printable(str(reported.get("version", ""))), LABEL)
    troubles = [str(reason) for reason in reported.get("degraded") or ()]
    mark = f", with {counted(len(troubles), 'trouble')}" if troubles else ""
    does = "runs, but does not report" if is_silent else "records"
    head = f"monitord {version} {does}{mark} (pid {reported.get('pid') or 'unknown'})"
    colour = "red" if is_silent else "yellow" if troubles else "green"
    yield from (style.paint(line, colour) for line in wrap(head, columns))
    for reason in troubles:
        yield from (style.paint(line, "yellow") for line in fact("degraded", reason, columns))
    yield from _facts(_running(folder, reported, usage, now), columns)
    for text in _jobs(reported.get("jobs") or {}, now):
        yield from fact("job", text, columns)
    if troubles:
        yield from fact("fixes", "monitord doctor", columns)


def _facts(facts: Mapping[str, str], columns: int) -> Iterator[str]:
    for name, text in facts.items():
        if text:
            yield from fact(name, text, columns)


def _kept(folder: Path, usage: Mapping[str, int]) -> dict[str, str]:
    return {"data": str(folder), "store": store_line(usage) if usage else ""}


def _running(
    folder: Path, reported: Mapping[str, Any], usage: Mapping[str, int], now: datetime
) -> dict[str, str]:
    pending = reported.get("pending")
    return {
        "since": _since(reported.get("started_at"), now),
        "service": recorder.service_of(reported),
        "data": str(folder),
        "config": ", ".join(map(str, reported.get("config_paths") or ())) or "defaults",
        "watching": _looks(reported, now),
        "without": _missing(reported.get("missing_sources")),
        "own cost": _cost(reported),
        "black box": black_box_line(reported.get("black_box")),
        "store": store_line(usage),
        "artefacts": artefact_counts(reported.get("storage")),
        "remote": uploader_line(reported.get("uploader"), now),
        "fleet": ship_line(reported.get("ship"), now),
        "messages": message_line(reported.get("messages"), now),
        "so far": _counts(reported),
        "capturing": _capture(reported.get("capture"), now),
        "waiting": f"{counted(len(pending), 'profile')}" if isinstance(pending, list) and pending else "",
        "last": _last(reported.get("last_incident")),
    }


def _ago(moment: object, now: datetime) -> str:
    found = moment_of(moment)
    return age(found, now) if found else ""


def _since(started_at: object, now: datetime) -> str:
    moment = moment_of(started_at)
    return f"{local_stamp(moment, now)}, {age(moment, now)}" if moment else ""


def _looks(reported: Mapping[str, Any], now: datetime) -> str:
    taken = moment_of(reported.get("taken_at"))
    machine = (
        quantity(reported["machine_percent"], "percent") if _is_number(reported, "machine_percent") else None
    )
    parts = [
        f"every {span(float(reported['interval_s']))}" if "interval_s" in reported else "",
        f"as of {age(taken, now)}" if taken else "",
        f"{counted(reported['process_count'], 'process')}" if "process_count" in reported else "",
        f"machine at {machine}" if machine else "",
        f"{counted(reported['lost_passes'], 'pass')} lost" if reported.get("lost_passes") else "",
    ]
    return ", ".join(part for part in parts if part)


def _missing(sources: object) -> str:
    """What the looks go without, because this machine does not tell it."""
    if not isinstance(sources, Mapping):
        return ""
    return ", ".join(f"{name} ({reason})" for name, reason in sources.items())


def _cost(reported: Mapping[str, Any]) -> str:
    parts = []
    if _is_number(reported, "own_cpu_percent"):
        parts.append(f"{reported['own_cpu_percent']:.2f} % of one core")
    if _is_number(reported, "own_rss_bytes"):
        parts.append(quantity(reported["own_rss_bytes"], "bytes"))
    return ", ".join(parts)


def black_box_line(box: object) -> str:
    """Whether stacks from before an alert are kept, of which processes, for how long, and what was lost."""
    if not isinstance(box, Mapping):
        return ""
    reason = printable(str(box.get("reason") or ""))
    if box.get("state") != "on":
        return f"off: {reason or 'not yet open'}"
    scope = {"machine": ", of the machine", "own processes": ", of own processes", "dumps": ", without rings"}
    parts = [
        "on" + scope.get(str(box.get("scope")), "") + (f" ({reason})" if reason else ""),
        f"{span(float(box['kept_s']))} kept" if _is_number(box, "kept_s") else "",
        counted(box["python_stacks"], "Python stack") if _is_number(box, "python_stacks") else "",
    ]
    for name in ("lost", "unreadable", "impossible"):
        if _is_number(box, name) and box[name]:
            parts.append(f"{box[name]:,} {name}")
    versions = box.get("unknown_versions")
    if isinstance(versions, list):
        parts += [printable(str(version)) for version in versions]
    return ", ".join(part for part in parts if part)


def store_line(usage: Mapping[str, int]) -> str:
    total, budget = usage["total_bytes"], usage["budget_bytes"]
    used, allowed = quantity(total, "disk_bytes"), quantity(budget, "disk_bytes")
    line = f"{used} of {allowed} ({total / budget * 100:.0f} %)"
    if usage["set_aside_bytes"]:
        aside = quantity(usage["set_aside_bytes"], "disk_bytes")
        line += f", {aside} of it in databases set aside (monitord.db.*)"
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


def ship_line(told: Mapping[str, Any] | None, now: datetime) -> str:
    """What went to the bucket of a fleet and under which name, what waits for it, and what was lost."""
    if told is None:
        return ""
    when = moment_of(told["last_success_at"])
    parts = [
        f"{counted(told['puts'], 'object')} to {printable(str(told['url']))}",
        f"as {printable(str(told['host_id']))}",
    ]
    parts += [f"last {age(when, now)}"] if when else []
    if told["waiting_files"]:
        size = quantity(told["waiting_bytes"], "disk_bytes")
        parts.append(f"{counted(told['waiting_files'], 'file')} waiting ({size})")
    if told["waiting_artefacts"]:
        parts.append(f"evidence of {counted(told['waiting_artefacts'], 'incident')} waiting")
    parts += [printable(str(told[key])) for key in ("last_error", "fix") if told[key]]
    parts += [printable(str(note)) for note in told["notes"]]
    parts += [f"lost: {printable(str(lost))}" for lost in told["lost"][-_LOST_SHOWN:]]
    return ", ".join(parts)


def message_line(told: Mapping[str, Any] | None, now: datetime) -> str:
    """What each receiver was told, and what waits, is held back for later, or was given up."""
    receivers = (told or {}).get("receivers")
    if not isinstance(receivers, Mapping):
        return ""
    found = []
    for name, held in receivers.items():
        if not isinstance(held, Mapping):
            continue
        when = moment_of(held.get("last_sent_at"))
        parts = [f"last {age(when, now)}"] if when else []
        words = (("sent", "sent"), ("waiting", "waiting"), ("held", "held for later"), ("failed", "given up"))
        parts += [f"{held[key]:,} {word}" for key, word in words if _is_number(held, key) and held[key]]
        parts += [printable(str(held["last_error"]))] if held.get("last_error") else []
        found.append(f"{printable(str(name))}: {', '.join(parts) or 'nothing yet'}")
    return "; ".join(found)


def _counts(reported: Mapping[str, Any]) -> str:
    counts = reported.get("counts") or {}
    return ", ".join(f"{number:,} {name}" for name, number in counts.items() if isinstance(number, int))


def _capture(capture: object, now: datetime) -> str:
    if not isinstance(capture, Mapping):
        return ""
    since = moment_of(capture.get("since"))
    return short_id(str(capture.get("correlation_id"))) + (f", began {age(since, now)}" if since else "")


def _last(incident: object) -> str:
    return f"monitord show {short_id(str(incident))}" if incident else ""


def _jobs(jobs: Mapping[str, Any], now: datetime) -> Iterator[str]:
    idle = []
    for name, job in jobs.items():
        if not isinstance(job, Mapping):
            continue
        last, next_run = moment_of(job.get("last_run")), moment_of(job.get("next_run"))
        if last is None:
            idle.append(f"{name}{_next(next_run, now)}")
            continue
        outcome = f" ({job['outcome']})" if job.get("outcome") else ""
        yield f"{name}: ran {age(last, now)}{outcome}{_next(next_run, now)}"
    if idle:
        yield f"not yet run: {'; '.join(idle)}"


def _next(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return ""
    return f", next {age(moment, now)}" if moment > now else ", next due now"


def _is_number(reported: Mapping[str, Any], key: str) -> bool:
    return isinstance(reported.get(key), int | float)
