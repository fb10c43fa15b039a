"""A profile of a process now, with or without a recorder that runs, kept like any other incident."""

from __future__ import annotations

import getpass
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.actions.workspace import Workspace
from monitord.errors import MonitordError, NotFoundError, PermissionDeniedError, UsageError
from monitord.model import (
    Alert,
    Capture,
    CapturePlan,
    CaptureStatus,
    Incident,
    ProcessDetails,
    ProcessKey,
    ProfilerName,
    TriggerMetric,
    in_words,
)
from monitord.redaction import printable

if TYPE_CHECKING:
    from monitord.capture import ProfileCaptureService
    from monitord.config import Settings

_SHORTEST_S, _LONGEST_S = 0.5, 300.0
_OBSERVE_S = 0.3
_STOP_WITHIN_S = 10.0
GoesOn = Callable[[float, float], bool]  # elapsed seconds, seconds in all → whether to go on


@dataclass(frozen=True, slots=True)
class CaptureRequest:
    """How to profile; None: as configured. `again_for`: the incident whose process is profiled again.

    `started_ticks`: when the process began that is meant; another that got its pid is refused.
    """

    profiler: ProfilerName = "auto"
    duration_s: float | None = None
    rate_hz: int | None = None
    again_for: str | None = None
    started_ticks: int | None = None


def capture_now(workspace: Workspace, pid: int, request: CaptureRequest, goes_on: GoesOn) -> Incident:
    """Profile a process, or the descendant that does its work, and store the incident that comes of it.

    `goes_on` is asked ten times a second; when it says no, what there is by then is kept. Raises
    NotFoundError for no such process, BusyError while another capture runs, StorageError when it can't be
    stored.
    """
    from monitord import procfs
    from monitord.pipeline.causes import Causes
    from monitord.recorder import from_settings
    from monitord.recorder.locks import CAPTURE_LOCK, hold
    from monitord.recorder.retention_store import Saving
    from monitord.storage import new_correlation_id

    settings = workspace.settings
    plan = _plan(request, from_settings.plan(settings))
    target = _target(workspace, pid, request.started_ticks)
    correlation_id = new_correlation_id()
    busy = "cannot capture: another capture runs; try again in some seconds"
    with (
        workspace.store(create=True) as store,
        hold(workspace.data_dir / CAPTURE_LOCK, busy),
        _spool(workspace.data_dir, correlation_id) as folder,
    ):
        asked_at = datetime.now(UTC)
        details, cpu_percent = _describe(target)
        plan = _consented(plan, details, workspace.data_dir)
        service = _service(settings)
        causes = Causes(lambda look, place: service.observe(look, plan, place), service.explain, folder)
        observed = causes.observe(TriggerMetric.MANUAL, target)
        captures = _capture(service, target, plan, folder, goes_on)
        incident = Incident(
            correlation_id=correlation_id,
            alert=_alert(target, details, cpu_percent, asked_at, request.again_for),
            process=details,
            captures=tuple(captures),
            boot_id=procfs.boot_id(),
        )
        incident = causes.explained(incident, (None, observed), folder)
        causes.close()
        # Makes room within the budget.
        Saving(store, from_settings.retention_limits(settings)).save(incident)
    return incident


def worker_sentence(pid: int, worker: int) -> str:
    """Say that the process that was named is not the one that was profiled."""
    return f"pid {pid} itself is idle; its descendant {worker} does the work and is profiled"


def require_profile(incident: Incident) -> None:
    """Raise the reason why a capture has no profile, with its fix; return when it has one."""
    profiles = [capture for capture in incident.captures if capture.role == "profile"]
    if any(capture.status.has_evidence for capture in profiles):
        return
    failed = [capture for capture in incident.captures if not capture.status.has_evidence]
    if not profiles and not failed:
        raise MonitordError(
            "cannot profile: no profiler was tried; `monitord doctor` says which ones there are"
        )
    worst = (profiles or failed)[-1]
    fix = f"; {worst.fix}" if worst.fix else ""
    text = printable(
        f"no profile of pid {worst.target.pid}: {in_words(worst.status)}: {worst.reason or ''}{fix}"
    )
    if worst.status in (CaptureStatus.PERMISSION_DENIED, CaptureStatus.REFUSED):
        raise PermissionDeniedError(text)
    if worst.status in (CaptureStatus.TARGET_GONE, CaptureStatus.TARGET_REPLACED):
        raise NotFoundError(text)
    raise MonitordError(text)


def _plan(request: CaptureRequest, configured: CapturePlan) -> CapturePlan:
    duration_s = request.duration_s
    if duration_s is not None and not _SHORTEST_S <= duration_s <= _LONGEST_S:
        raise UsageError(f"invalid duration {duration_s:g} s, expected {_SHORTEST_S:g} s to {_LONGEST_S:g} s")
    return replace(
        configured,
        profiler=request.profiler,
        duration_s=duration_s or configured.duration_s,
        rate_hz=request.rate_hz or configured.rate_hz,
    )


def _target(workspace: Workspace, pid: int, started_ticks: int | None) -> ProcessKey:
    """The process that burns: the one named, or a descendant that does its work."""
    from monitord.capture import find_burning
    from monitord.sampling import key_of

    if key_of(pid) is None:
        raise NotFoundError(f"cannot find process {pid}; `ps -e` lists what runs")
    target = find_burning(pid)
    if started_ticks is not None and key_of(pid) != ProcessKey(pid, started_ticks):
        raise NotFoundError(f"cannot capture process {pid}: it ended meanwhile; `ps -e` lists what runs")
    if target.pid != pid:
        workspace.tell(worker_sentence(pid, target.pid))
    return target


def _consented(plan: CapturePlan, details: ProcessDetails | None, data_dir: Path) -> CapturePlan:
    """What was asked for, with the consent of the capture plan that is set for this process."""
    from monitord.recorder.capture_plans import Planner
    from monitord.sampling import known_users

    adapted = Planner(data_dir, known_users).adapt(plan, lambda: details)
    return replace(plan, consent=adapted.consent, named=adapted.named)


@contextmanager
def _spool(data_dir: Path, name: str) -> Iterator[Path]:
    """A folder for the profilers' files, gone afterwards; root's is not in a service's directory."""
    folder = data_dir / "spool" / name
    if os.geteuid() == 0 and data_dir.stat().st_uid != 0:  # who could lead us elsewhere by a link
        folder = Path(tempfile.mkdtemp(prefix="monitord-capture-"))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise MonitordError(f"cannot write {folder.parent}: {error.strerror}") from error
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
    target: ProcessKey,
    details: ProcessDetails | None,
    cpu_percent: float,
    asked_at: datetime,
    again_for: str | None,
) -> Alert:
    name = details.name if details else f"pid {target.pid}"
    again = f", again for incident {again_for}" if again_for else ""
    reason = f"asked for by hand by {getpass.getuser()}{again}; it used {cpu_percent:.0f} % of one core"
    return replace(Alert.unraised("manual", target, name, cpu_percent, asked_at), reason=reason)


@dataclass(slots=True)
class _Work:
    """The capture on its thread: what came of it."""

    captures: list[Capture] = field(default_factory=list)
    error: BaseException | None = None


def _capture(
    service: ProfileCaptureService, target: ProcessKey, plan: CapturePlan, folder: Path, goes_on: GoesOn
) -> list[Capture]:
    """Capture on a thread while this one asks whether to go on."""
    work = _Work()

    def capture_there() -> None:
        try:
            work.captures = service.capture(target, plan, folder)
        except BaseException as error:  # noqa: BLE001 - handed to the other thread, which raises it
            work.error = error

    thread = threading.Thread(target=capture_there, name="capture", daemon=True)
    thread.start()
    started_s = time.monotonic()
    while thread.is_alive():
        thread.join(0.1)
        if not goes_on(time.monotonic() - started_s, plan.duration_s):
            service.stop()
            thread.join(_STOP_WITHIN_S)
            break
    if work.error is not None:
        raise work.error
    if thread.is_alive():
        raise MonitordError("cannot stop the profiler; nothing was kept")
    return work.captures


def _service(settings: Settings) -> ProfileCaptureService:
    from monitord.capture import ProfileCaptureService
    from monitord.recorder.from_settings import consent

    return ProfileCaptureService(
        consent(settings), grace_s=settings.capture.grace_s, reads_sources=settings.capture.read_sources
    )
