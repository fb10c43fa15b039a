"""Every part of the daemon, made and joined in one place. Only here are settings turned into parts."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from monitord import procfs
from monitord.capture import ProfileCaptureService
from monitord.capture.before import RingNames
from monitord.config import Settings
from monitord.daemon.baselining import BaselineLimits, BaselineRecorder
from monitord.daemon.errands import Errands
from monitord.daemon.job_runner import Tidying
from monitord.daemon.journal import Journal, Messages
from monitord.daemon.selfwatch import SelfWatch
from monitord.daemon.storage_health import use_backup, watch
from monitord.detection import Detector
from monitord.errors import StorageError
from monitord.jobs import health_job
from monitord.logs import get_logger
from monitord.model import CapturePlan, Incident, ProcessKey
from monitord.pipeline import (
    CaptureBudget,
    CaptureLimits,
    Causes,
    ExcludeSelf,
    Failures,
    FirstLooks,
    IncidentWorker,
    PendingIncidents,
    Pipeline,
    Ring,
)
from monitord.pipeline.before import Before, KeptBySystem
from monitord.pipeline.protocols import BeforeProtocol
from monitord.pipeline.snapshots import SnapshotAccess, Snapshots
from monitord.recorder.artefact_stores import keyring_look, needs_uploader, open_local_store
from monitord.recorder.capture_plans import Planner
from monitord.recorder.from_settings import consent, plan, retention_limits
from monitord.recorder.locks import CAPTURE_LOCK, hold, holder
from monitord.recorder.persistence import Historian, Memory, remembered
from monitord.recorder.requests import RequestServer
from monitord.recorder.retention_store import Saving
from monitord.sampling import Sampler, known_users
from monitord.scripts.registry import StandbyRegistry
from monitord.stacks.box import BlackBox
from monitord.stacks.opening import BoxSettings
from monitord.storage import SQLiteProfileStore, Writer, new_correlation_id, open_store
from monitord.storage.artefacts.monitor import StorageMonitor

if TYPE_CHECKING:
    from monitord.daemon.upload_supervisor import UploadSupervisor

_TALKERS_OVER_S = 1.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What the loop works with and what must be stopped at the end."""

    sampler: Sampler
    detector: Detector
    service: ProfileCaptureService
    first_looks: FirstLooks
    causes: Causes
    worker: IncidentWorker
    pipeline: Pipeline
    store: SQLiteProfileStore
    saving: Saving
    pending: PendingIncidents
    writer: Writer
    historian: Historian
    memory: Memory
    tidying: Tidying
    journal: Journal
    monitor: StorageMonitor
    selfwatch: SelfWatch
    baselines: BaselineRecorder
    uploads: UploadSupervisor | None
    messages: Messages
    errands: Errands
    box: BlackBox
    box_failures: Failures
    snapshots: Snapshots
    requests: RequestServer


def build(settings: Settings, data_dir: Path, config_path: Path | None, failures: Failures) -> Parts:
    """Join everything. Raises MonitordError when the store is not ours to use or of a newer schema."""
    kept = retention_limits(settings)
    monitor = watch(
        data_dir,
        lambda: store.usage(),  # noqa: PLW0108  opened below, with the monitor
        settings.retention.min_free_disk_bytes,
        lambda alert: journal.storage(alert),  # noqa: PLW0108  opened below, on the store
        keyring_look(settings.storage),
    )
    use_backup(monitor, data_dir, settings.backup)
    store = open_store(
        data_dir, open_artefacts=open_local_store(settings, monitor), budget_bytes=kept.max_total_bytes
    )
    _put_in_order(store)
    memory = _remembered(store)
    spool = _empty_spool(data_dir)
    writer = Writer()
    messages = Messages(data_dir, config_path, writer)
    messages.use(settings)
    journal = Journal(store, writer, messages)
    saving = Saving(store, kept, (health_job(monitor),))
    uploads = _uploads(settings, data_dir, config_path)
    errands = Errands(data_dir, config_path, journal.job)
    errands.use(settings)
    pending = PendingIncidents(_announced(saving.save, uploads, messages), writer.submit)
    sampler = Sampler(heartbeat_s=settings.sampling.heartbeat_s, backend=settings.sampling.backend)
    boot_id = procfs.boot_id()
    detector = Detector(
        settings.rules,
        _mapping(memory.get("detection")),
        uid_of=known_users(),
        same_boot=memory.get("boot_id") == boot_id,
    )
    service = ProfileCaptureService(
        consent(settings),
        grace_s=settings.capture.grace_s,
        reads_sources=settings.capture.read_sources,
        own_profiler=StandbyRegistry(store.state, data_dir).profiler_of,
    )
    planner = Planner(data_dir, known_users)
    box_failures = Failures()
    box = BlackBox(
        box_settings(settings),
        lambda name, executable: service.consent.permits(name, executable),  # noqa: PLW0108  a reload replaces it
        box_failures.run,
    )
    first_looks = FirstLooks(
        lambda target, folder: service.first_look(target, folder, _consented(planner, sampler, target)),
        lambda: sampler.traffic(_TALKERS_OVER_S),
        spool / "first-looks",
        is_enabled=settings.capture.first_look,
        is_recorded=box.is_recording,
    )
    causes = Causes(
        lambda look, folder: service.observe(look, _consented(planner, sampler, look.target), folder),
        service.explain,
        spool / "causes",
        observes_armings=settings.capture.first_look,
        starters=box.starters,
        ended_ns=box.ended_ns,
        watch=lambda look: service.watch(look, _consented(planner, sampler, look.target)),
    )
    worker = IncidentWorker(
        service,
        pending.keep,
        lambda: hold(data_dir / CAPTURE_LOCK, "a capture asked for by hand is running"),
        spool,
        plan(settings),
        before=_before(box, service),
        adapt=lambda plan, process: planner.adapt(plan, lambda: process),
        causes=causes,
        change=saving.amend_later(writer.submit),
        settled=_both(messages.settled, errands),
    )
    budget = CaptureBudget(limits(settings))
    budget.restore(_sequence(memory.get("captures")))
    pipeline = Pipeline(
        ExcludeSelf(sampler, os.getpid()),
        detector,
        first_looks,
        worker,
        budget,
        ring=Ring(settings.sampling.ring_s),
        new_id=new_correlation_id,
        boot_id=boot_id,
        failures=failures,
        causes=causes,
        on_repeat=journal.repeat,
    )
    if memory.get("boot_id") == boot_id:
        pipeline.rows.restore(_sequence(memory.get("rows")))

    baselines = BaselineRecorder(
        worker,
        budget,
        store,
        writer,
        sampler.details,
        lambda: detector.is_quiet,
        lambda name, executable: service.consent.refusal(name, executable) is None,
        limits=baseline_limits(settings),
        boot_id=boot_id,
    )

    snapshots = Snapshots(
        box,
        RingNames(),
        SnapshotAccess(procfs.key_of, sampler.details, service.read, pending.keep, boot_id),
        spool,
    )

    def remember() -> Mapping[str, object]:
        return {
            "detection": detector.remember(),
            "captures": budget.remember(),
            "rows": pipeline.rows.remember(),
            "boot_id": boot_id,
        }

    return Parts(
        sampler=sampler,
        detector=detector,
        service=service,
        first_looks=first_looks,
        causes=causes,
        worker=worker,
        pipeline=pipeline,
        store=store,
        saving=saving,
        pending=pending,
        writer=writer,
        historian=Historian(saving, writer, settings.sampling.heartbeat_s),
        memory=Memory(store, writer, remember),
        tidying=Tidying(store, saving, writer, lambda: worker.is_idle, journal),
        journal=journal,
        monitor=monitor,
        selfwatch=SelfWatch(),
        baselines=baselines,
        uploads=uploads,
        messages=messages,
        errands=errands,
        box=box,
        box_failures=box_failures,
        snapshots=snapshots,
        requests=RequestServer(data_dir, snapshots.take, snapshots.document),
    )


def _uploads(settings: Settings, data_dir: Path, config_path: Path | None) -> UploadSupervisor | None:
    """What has artefacts uploaded to the configured providers; None when they stay here."""
    if not needs_uploader(settings):
        return None
    from monitord.daemon.upload_supervisor import UploadSupervisor

    storage = settings.storage
    return UploadSupervisor(
        data_dir, config_path, uploads=bool(storage.url), archives=bool(storage.archive_url)
    )


def _announced(
    save: Callable[[Incident], object], uploads: UploadSupervisor | None, messages: Messages
) -> Callable[[Incident], object]:
    """Saving, after which an uploader is wanted, and somebody is told."""

    def save_and_announce(incident: Incident) -> object:
        saved = save(incident)
        if uploads is not None:
            uploads.notify()
        messages.saved(incident)
        return saved

    return save_and_announce


def _before(box: BlackBox, service: ProfileCaptureService) -> BeforeProtocol:
    """What knows what ran before an alert: macOS has a recorder of its own."""
    if sys.platform == "darwin":
        return KeptBySystem(service.kept_by_system, service.stop)
    return Before(box, RingNames(), service.read)


def _both(told: Callable[[str], object], errands: Errands) -> Callable[[str], object]:
    def settled(correlation_id: str) -> None:
        told(correlation_id)
        errands.settled()
        gc.collect()  # saving leaves cycles, for which the collector would wait until they are megabytes

    return settled


def _consented(planner: Planner, sampler: Sampler, target: ProcessKey | None) -> CapturePlan:
    """A plan of which only the consent counts."""
    return planner.adapt(CapturePlan(), lambda: sampler.details(target) if target else None)


def limits(settings: Settings) -> CaptureLimits:
    """When no capture is taken."""
    return CaptureLimits(
        settings.capture.max_per_hour,
        settings.capture.min_available_memory_percent,
        settings.capture.max_load_per_cpu,
    )


def baseline_limits(settings: Settings) -> BaselineLimits:
    """How a program is profiled while nothing is wrong; not at all when that is switched off."""
    wanted = settings.baselines
    return BaselineLimits(
        wanted.per_day if wanted.enabled else 0,
        wanted.duration_s,
        wanted.rate_hz,
        wanted.max_machine_percent,
    )


def box_settings(settings: Settings) -> BoxSettings:
    """How the black box is to be; none where nobody may be profiled."""
    wanted = settings.black_box
    is_enabled = wanted.enabled and settings.capture.consent != "never"
    return BoxSettings(wanted.rate_hz, wanted.bytes_per_cpu, is_enabled)


def _put_in_order(store: SQLiteProfileStore) -> None:
    """Finish what an earlier run could not: half-done deletions, artefacts without rows, damage."""
    try:
        adopted = store.adopt()
    except StorageError as error:
        get_logger().warning("store.not_checked", reason=str(error))
        return
    if adopted:
        get_logger().warning("store.adopted", artefacts=adopted)


def _remembered(store: SQLiteProfileStore) -> Mapping[str, object]:
    """What an earlier run left; a store that can't be read now is a degraded start, not an end."""
    try:
        return remembered(store.get_state)
    except StorageError as error:
        get_logger().warning("memory.not_restored", reason=str(error))
        return {}


def _empty_spool(data_dir: Path) -> Path:
    """Where running captures write; what an earlier run left there belongs to nobody."""
    spool = data_dir / "spool"
    if holder(data_dir / CAPTURE_LOCK) is None:  # else somebody captures by hand at this moment
        shutil.rmtree(spool, ignore_errors=True)
    with contextlib.suppress(OSError):  # a disk that can't take it: captures are refused, sampling goes on
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    return spool


def _mapping(value: object) -> Mapping[str, object] | None:
    return value if isinstance(value, Mapping) else None


def _sequence(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []
