"""`status`: whether the recorder runs, what it costs, how full the store is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitord.cli.context import CliContext, JsonFlag, OutputFlag, wants_json
from monitord.cli.recorder import silent_for_s
from monitord.cli.terminal import LABEL, Style, cut, emit, fact, width
from monitord.cli.when import local_stamp, moment_of
from monitord.errors import ConfigError, NotFoundError, UnreachableError
from monitord.export.encoding import json_text
from monitord.export.units import age, quantity, span
from monitord.model import counted
from monitord.recorder.status import read_status
from monitord.recorder.uploader_status import read_uploader_status
from monitord.redaction import printable
from monitord.storage.ids import short_id
from monitord.storage.usage import usage_of as measure
from monitord.storage.views import Usage


def status(context: CliContext, output: OutputFlag = None, json: JsonFlag = False) -> None:
    """Say whether monitord records here, what it costs, and how full its store is."""
    as_json = wants_json(output, json)
    folder = context.data_dir()
    told: dict[str, Any] = {"is_running": False, **(read_status(folder) or {})}
    sent = read_uploader_status(folder)
    if sent is not None:
        told["courier"] = asdict(sent)
    # A broken configuration may be why nothing runs: say the rest all the same.
    used = usage_of(context, folder, told) if as_json or told["is_running"] else {}
    if as_json:
        running = told.pop("is_running")
        shown = {"running": running, **told, "data_dir": str(folder), "usage": used}
        emit(json_text(shown) + "\n")
        told["is_running"] = running
    elif told["is_running"]:
        for line in _lines(folder, told, used, context.style(), width()):
            emit(line + "\n")
    _complain(context, told, folder)


def usage_of(context: CliContext, folder: Path, told: Mapping[str, Any]) -> dict[str, int]:
    """What the store takes and the disk has left, in bytes, beside the budget that is in force.

    A running daemon told its budget; only without one is the configuration asked, which may be broken.
    """
    try:
        found = measure(folder, is_remote=_is_far(context))
    except OSError:  # no directory yet
        found = Usage(0, 0, 0, 0)
    budget = told.get("budget_bytes") if told["is_running"] else None
    if not isinstance(budget, int) or budget <= 0:
        budget = context.config().settings.retention.max_total_bytes
    return {**asdict(found), "total_bytes": found.total_bytes, "budget_bytes": budget}


def _is_far(context: CliContext) -> bool:
    try:
        return bool(context.config().settings.storage.url)
    except ConfigError:
        return False


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
        "far away": uploader_line(told.get("courier"), now),
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


def _complain(context: CliContext, told: Mapping[str, Any], folder: Path) -> None:
    """Nobody records, or somebody holds the lock and says nothing: scripts shall see that."""
    if not told["is_running"]:
        failure, flag = _unit_failure(folder)
        if failure is not None:
            see = f"`monitord service logs{flag}` says why, `monitord service start{flag}` starts it"
            raise NotFoundError(f"not running on {folder}: {failure}; {see}")
        try:
            context.config()
        except ConfigError as error:
            raise NotFoundError(f"not running on {folder}, and can't be started: {error}") from error
        raise NotFoundError(
            f"not running on {folder}; start it with `monitord run` or `monitord service install`"
        )
    pid, taken = told.get("pid") or "unknown", moment_of(told.get("taken_at"))
    troubles = "; ".join(printable(str(each)) for each in told.get("degraded") or ())
    if "unreadable" in told:
        raise UnreachableError(f"pid {pid} cannot tell how it is: {printable(told['unreadable'])}")
    if taken is None and troubles:
        raise UnreachableError(f"pid {pid} has not finished a pass: {troubles}")
    if taken is None:
        raise UnreachableError(f"pid {pid} has reported nothing yet; see `monitord service logs`")
    silent_s = silent_for_s(told, datetime.now(UTC))
    if silent_s is not None:
        raise UnreachableError(
            f"pid {pid} has reported nothing for {span(silent_s)}; see `monitord service logs`, "
            "then `monitord service restart`"
        )


def _unit_failure(folder: Path) -> tuple[str | None, str]:
    """Why the service that records into this folder does not run, if it failed, and its commands' flag."""
    from monitord.config.places import SYSTEM_DATA_DIR, resolve_data_dir
    from monitord.service import ServicePaths, unit_failure

    here = ServicePaths.here()
    is_system = folder in (SYSTEM_DATA_DIR, SYSTEM_DATA_DIR.resolve())
    if not is_system and folder != resolve_data_dir(None, {}):
        return None, ""  # another recorder's: no service of ours
    return unit_failure(here, system=is_system), " --system" if is_system else ""


def _is_number(told: Mapping[str, Any], key: str) -> bool:
    return isinstance(told.get(key), int | float)
