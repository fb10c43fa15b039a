"""`capture PID`: a profile by hand, with or without a running daemon, kept like any other incident."""

from __future__ import annotations

import getpass
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitord.cli.context import CliContext, JsonFlag, OutputFlag, log_to_stderr, wants_json
from monitord.cli.rows import recent_table
from monitord.cli.script_run import SignalCounter, show_progress
from monitord.cli.terminal import emit, say, width
from monitord.cli.times import parse_duration
from monitord.errors import MonitordError, NotFoundError, PermissionDeniedError, UsageError
from monitord.export.encoding import json_text
from monitord.export.shapes import row
from monitord.model import (
    Alert,
    Capture,
    CapturePlan,
    CaptureStatus,
    Incident,
    ProcessDetails,
    ProcessKey,
    ProfilerName,
)
from monitord.redaction import printable
from monitord.storage.ids import short_id

if TYPE_CHECKING:
    from monitord.capture import ProfileCaptureService

_LONGEST_S = 300.0
_OBSERVE_S = 0.3
_STOP_WITHIN_S = 10.0


def capture(
    context: CliContext,
    pid: Annotated[int, typer.Argument(metavar="PID", min=1, help="The process to profile.")],
    duration: Annotated[
        str | None, typer.Option("--duration", metavar="TIME", help='How long: "10s", "1min".')
    ] = None,
    rate: Annotated[int | None, typer.Option("--rate", min=1, max=1000, help="Samples a second.")] = None,
    profiler: Annotated[ProfilerName, typer.Option("--profiler", help="Which tool.")] = "auto",
    output: OutputFlag = None,
    json: JsonFlag = False,
) -> None:
    """Profile a process now and keep what it was doing. Ctrl-C ends early and keeps what there is."""
    as_json = wants_json(output, json)
    settings = context.config().settings
    plan = CapturePlan(
        profiler=profiler,
        duration_s=_seconds(duration) if duration else settings.capture.duration_s,
        rate_hz=rate or settings.capture.rate_hz,
    )
    incident, ended_by = _take_and_keep(context, _target(pid), plan)
    _show(context, incident, as_json)
    if ended_by:
        raise typer.Exit(128 + ended_by)
    _complain_if_empty(incident)


def _seconds(text: str) -> float:
    seconds = parse_duration(text).total_seconds()
    if not 0.5 <= seconds <= _LONGEST_S:
        raise UsageError(f'--duration "{text}" must be between 0.5 s and {_LONGEST_S:.0f} s')
    return seconds


def _target(pid: int) -> ProcessKey:
    """The process that burns: the one named, or a descendant that does its work."""
    from monitord.capture import find_burning
    from monitord.sampling import key_of

    if key_of(pid) is None:
        raise NotFoundError(f"no process {pid}; `ps -e` lists what runs")
    target = find_burning(pid)
    if target.pid != pid:
        say(f"pid {pid} itself is idle; its descendant {target.pid} does the work and is profiled")
    return target


def _take_and_keep(context: CliContext, target: ProcessKey, plan: CapturePlan) -> tuple[Incident, int]:
    """The incident as it was stored, and the signal that ended the capture early (0: none did)."""
    from monitord import procfs
    from monitord.capture import ProfileCaptureService
    from monitord.recorder.artefact_stores import open_local_store
    from monitord.recorder.from_settings import consent, retention_limits
    from monitord.recorder.locks import CAPTURE_LOCK, hold
    from monitord.recorder.retention_store import Saving
    from monitord.storage import new_correlation_id, open_store

    settings, data_dir = context.config().settings, context.data_dir()
    log_to_stderr()
    store = open_store(data_dir, open_artefacts=open_local_store(settings))
    saving = Saving(store, retention_limits(settings))  # makes room within the budget
    correlation_id = new_correlation_id()
    service = ProfileCaptureService(
        consent(settings),
        grace_s=settings.capture.grace_s,
        reads_sources=settings.capture.read_sources,
    )
    busy = "another capture is running; try again in some seconds"
    try:
        with hold(data_dir / CAPTURE_LOCK, busy), _spool(data_dir, correlation_id) as folder:
            asked_at = datetime.now(UTC)
            details, cpu_percent = _describe(target)
            captures, ended_by = _run(service, target, _consented(plan, details, data_dir), folder)
            incident = Incident(
                correlation_id=correlation_id,
                alert=_alert(target, details, cpu_percent, asked_at),
                process=details,
                captures=tuple(captures),
                boot_id=procfs.boot_id(),
            )
            saving.save(incident)
    finally:
        store.close()
    return incident, ended_by


def _consented(plan: CapturePlan, details: ProcessDetails | None, data_dir: Path) -> CapturePlan:
    """What was asked for, with the consent of the capture plan that is set for this process."""
    from monitord.recorder.capture_plans import Planner
    from monitord.sampling import known_users

    adapted = Planner(data_dir, known_users).adapt(plan, lambda: details)
    return replace(plan, consent=adapted.consent, named=adapted.named)


@contextmanager
def _spool(data_dir: Path, name: str) -> Iterator[Path]:
    """A folder for the profilers' files, gone afterwards."""
    folder = data_dir / "spool" / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise MonitordError(f"{folder.parent}: can't be written: {error.strerror}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _describe(target: ProcessKey) -> tuple[ProcessDetails | None, float]:
    """Who it is, and what it uses now in percent of one core."""
    from monitord.sampling import Sampler, observe

    sampler = Sampler()
    try:
        details = sampler.details(target)
    finally:
        sampler.close()
    rates = observe(target.pid, _OBSERVE_S)
    return details, (rates.cpu_percent if rates else None) or 0.0


def _alert(
    target: ProcessKey, details: ProcessDetails | None, cpu_percent: float, asked_at: datetime
) -> Alert:
    name = details.name if details else f"pid {target.pid}"
    reason = f"asked for by hand by {getpass.getuser()}; it used {cpu_percent:.0f} % of one core"
    return replace(Alert.unraised("manual", target, name, cpu_percent, asked_at), reason=reason)


@dataclass(slots=True)
class _Work:
    """The capture on its thread: what came of it."""

    captures: list[Capture] = field(default_factory=list)
    error: BaseException | None = None


def _run(
    service: ProfileCaptureService, target: ProcessKey, plan: CapturePlan, folder: Path
) -> tuple[list[Capture], int]:
    """Capture on a thread while this one shows progress and hears what would end it."""
    work = _Work()

    def capture_there() -> None:
        try:
            work.captures = service.capture(target, plan, folder)
        except BaseException as error:  # noqa: BLE001 - handed to the main thread, which raises it
            work.error = error

    thread = threading.Thread(target=capture_there, name="capture", daemon=True)
    with SignalCounter(says="") as counter:
        heard = counter.numbers
        thread.start()
        started = time.monotonic()
        while thread.is_alive() and not heard:
            thread.join(0.1)
            show_progress(f"capturing {time.monotonic() - started:4.1f} of {plan.duration_s:.0f} s")
        if heard:
            service.stop()
            thread.join(_STOP_WITHIN_S)
        show_progress("")
    if work.error is not None:
        raise work.error
    if thread.is_alive():
        raise MonitordError("the profiler did not stop; nothing was kept")
    return work.captures, heard[0] if heard else 0


def _show(context: CliContext, incident: Incident, as_json: bool) -> None:
    """The row it made: the incident's best evidence."""
    with context.reader() as reader:
        record = reader.find(incident.correlation_id)
    if as_json:
        emit(json_text(row(record)) + "\n")
        return
    lines = recent_table(
        [record],
        now=datetime.now(UTC),
        utc=False,
        width=width(),
        style=context.style(),
        header=True,
    )
    for line in lines:
        emit(f"{line}\n")
    sys.stdout.flush()
    say(f"see it with: monitord show {short_id(record.correlation_id)}")


def _complain_if_empty(incident: Incident) -> None:
    """A capture without a profile is a failure for scripts; the reason and the fix for people."""
    profiles = [capture for capture in incident.captures if capture.role == "profile"]
    if any(capture.status.has_evidence for capture in profiles):
        return
    failed = [capture for capture in incident.captures if not capture.status.has_evidence]
    if not profiles and not failed:
        raise MonitordError("no profiler was tried; `monitord doctor` says which ones there are")
    worst = (profiles or failed)[-1]
    fix = f"; {worst.fix}" if worst.fix else ""
    text = printable(f"no profile of pid {worst.target.pid}: {worst.status.value}: {worst.reason or ''}{fix}")
    if worst.status in (CaptureStatus.PERMISSION_DENIED, CaptureStatus.REFUSED):
        raise PermissionDeniedError(text)
    if worst.status in (CaptureStatus.TARGET_GONE, CaptureStatus.TARGET_REPLACED):
        raise NotFoundError(text)
    raise MonitordError(text)
