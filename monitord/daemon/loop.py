"""The daemon: look, judge, act, remember, tell the watchdog, wait. And how it begins and ends.

Whatever fails in it costs that step of that pass: it is counted and told, and the next one is tried.
"""

from __future__ import annotations

import faulthandler
import gc
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import monitord
from monitord import config, logs
from monitord.config import LoadedConfig
from monitord.daemon import wiring
from monitord.daemon.reloading import Reloading
from monitord.daemon.reporting import Reporter
from monitord.daemon.signals import Signals
from monitord.daemon.storage_health import use_backup, use_floor
from monitord.daemon.unread import drop_unread
from monitord.logs import QueuedStream, get_logger
from monitord.model import DetectionResult, Rates, counted
from monitord.pipeline import Failures
from monitord.recorder import from_settings
from monitord.recorder.artefact_stores import check_storage
from monitord.recorder.locks import DAEMON_LOCK, Held, hold
from monitord.recorder.notify import Notifier
from monitord.recorder.status import StatusWriter
from monitord.storage import check_data_dir

_MIGRATION_S = 600.0
_STOP_WITHIN_S = 4.5  # of the five that SIGTERM may take
_CAPTURE_STOPS_WITHIN_S = 2.5  # of these
_UPLOADER_STOPS_WITHIN_S = 0.5  # and of these; it may be killed at any moment
_SENDER_STOPS_WITHIN_S = 0.3  # and of these; what it has not told is told later
_ERRAND_STOPS_WITHIN_S = 0.2  # and of these; what it has not done is done later
_BOX_STOPS_WITHIN_S = 0.5  # and of these; the kernel takes its rings back with us
_STATUS_WITHIN_S = 0.3  # and of these
_FOLLOWED, _BUSY_PERCENT = 8, 5.0  # by the black box, where it can't see everybody
_LONGEST_NAP_S = 5.0  # a reload and the watchdog must not wait for a beat that may be an hour away


def run(config_path: Path | None, data_dir: Path, log: QueuedStream) -> None:
    """Record until SIGTERM or SIGINT. Raises MonitordError when it may not start, or can't go on."""
    loaded = config.load(config_path)
    check_storage(loaded)
    logs.configure(loaded.settings.log.level, loaded.settings.log.style, log)
    check_data_dir(data_dir, create=True, owners_alone="monitord run")
    with hold(data_dir / DAEMON_LOCK, f"cannot record into {data_dir}: monitord does already") as lock:
        try:
            daemon = Daemon(loaded, config_path, lock, log)
        except SystemExit:
            get_logger().info("daemon.stopped", passes=0)
            raise
        daemon.run()


class Daemon:
    """One recorder on the data directory whose lock it holds."""

    def __init__(self, loaded: LoadedConfig, config_path: Path | None, lock: Held, log: QueuedStream) -> None:
        self._lock = lock
        self._log = log
        self._data_dir = lock.path.parent
        # Before anything slow: a SIGHUP during a migration must not end us, and SIGTERM must, at once
        # (the migration's child is killed with us: it is one transaction).
        self._signals = Signals()
        self._notifier = Notifier()
        self._notifier.extend_timeout(_MIGRATION_S)
        self._pace = Ticker(loaded.settings.sampling.interval_s)
        self._failures = Failures()
        self._try = self._failures.run
        self._parts = wiring.build(loaded.settings, self._data_dir, config_path, self._failures)
        self._reloading = Reloading(loaded, config_path, self._parts.journal)
        self._reporter = Reporter(self._data_dir, self._parts, self._reloading, self._failures)
        self._status = StatusWriter(self._data_dir)
        self._signals.is_ready = True
        self._rates: Rates | None = None
        self._is_ready_told = False
        self._reported_s = float("-inf")
        self._reported_capture: tuple[object, object] = None, ()

    def run(self) -> None:
        """Record until asked to stop. Raises MonitordError when recording has become impossible."""
        self._begin()
        try:
            while not self._signals.asked_to_stop:
                self._reload_if_asked()
                seen = self._try("pass", self._parts.pipeline.run_pass)
                if seen is not None:
                    self._remember(*seen)
                self._notifier.watchdog()
                self._try("report", partial(self._report_if_due, seen))
                self._keep_lock()
                self._wait()
        finally:
            self._finish()

    def _begin(self) -> None:
        faulthandler.enable(file=2)  # SIGABRT from the watchdog shows where every thread hangs
        # What is loaded stays. Else the collector would wait until there is a quarter as much of garbage in
        # cycles, which SQLAlchemy leaves at every save: megabytes.
        drop_unread()
        gc.collect()
        gc.freeze()
        self._try("jobs", self._parts.tidying.start)
        self._try("black box", self._parts.box.start)
        self._try("requests", self._parts.requests.open)
        self._parts.journal.daemon("started", monitord.__version__)
        self._parts.selfwatch.begin()
        get_logger().info(
            "daemon.started",
            version=monitord.__version__,
            data_dir=str(self._data_dir),
            interval_s=self._pace.interval_s,
            rules=len(self._reloading.loaded.settings.rules),
        )

    def _wait(self) -> None:
        """Until the next beat, or until there is something else to do."""
        beat_s = time.monotonic() + self._pace.wait_s()
        self._poll()
        while (left_s := beat_s - time.monotonic()) > 0:
            self._signals.wait(min(left_s, _LONGEST_NAP_S))
            if self._signals.asked_to_stop or self._signals.asked_to_reload:
                return
            self._notifier.watchdog()
            self._poll()

    def _poll(self) -> None:
        if self._parts.uploads is not None:
            self._try("uploader", self._parts.uploads.poll)
        self._try("messages", self._parts.messages.poll)
        self._try("errands", self._parts.errands.poll)

    def _remember(self, rates: Rates, verdict: DetectionResult) -> None:
        self._rates = rates
        parts = self._parts
        self._try("history", lambda: parts.historian.note(rates, verdict))
        self._try("memory", lambda: parts.memory.note(rates, verdict))
        self._try("baselines", lambda: parts.baselines.note(rates))
        self._try("black box", lambda: self._tend_box(rates, verdict))
        if rates.gap == "clock jump":
            self._try("jobs", parts.tidying.realign)

    def _tend_box(self, rates: Rates, verdict: DetectionResult) -> None:
        for arming in verdict.armed:
            if arming.target is not None:
                self._parts.box.watch(arming.target.pid)
        self._parts.box.tend(busiest(rates))

    def _keep_lock(self) -> None:
        """When the folder was removed or renamed: go on in a new one, unless it is somebody else's by now."""
        if not self._lock.is_lost():
            return
        get_logger().error("lock.lost", path=str(self._lock.path))
        check_data_dir(self._data_dir, create=True, owners_alone="monitord run")
        self._lock.take_again()
        self._try("requests", self._parts.requests.open)
        get_logger().warning("lock.taken_again", path=str(self._lock.path))
        self._parts.journal.trouble("data directory replaced", f"{self._data_dir} was removed or renamed")

    def _report_if_due(self, seen: tuple[Rates, DetectionResult] | None) -> None:
        """At each heartbeat and whenever something crossed, fired or failed."""
        now_s = time.monotonic()
        is_due = now_s - self._reported_s >= self._reloading.loaded.settings.sampling.heartbeat_s
        worker = self._parts.worker
        capture, self._reported_capture = self._reported_capture, (worker.current, worker.pending)
        has_capture_news = capture != self._reported_capture
        has_news = seen is not None and _has_news(seen[1])
        if not (is_due or has_news or has_capture_news or seen is None):
            return
        if not self._is_ready_told:
            self._is_ready_told = True
            self._notifier.ready()
        if is_due:
            self._reported_s = now_s
            self._beat_heart()
        if seen is not None:
            rates = seen[0]
            self._try("explain", lambda: self._reporter.explain_if_due(rates, has_news=has_news))
        self._try("status", self._put_status)

    def _beat_heart(self) -> None:
        """What is looked after now and then."""
        parts = self._parts
        self._try("selfwatch", parts.selfwatch.read)
        interval_s = self._reloading.loaded.settings.sampling.interval_s
        self._pace.interval_s = interval_s * parts.selfwatch.stretch
        self._try("retry", parts.pending.retry)
        if parts.uploads is not None:
            self._try("uploader", parts.uploads.check)
        if self._rates is not None:
            self._notifier.status(f"watching {counted(self._rates.process_count, 'process')}")

    def _put_status(self) -> None:
        self._status.put(self._reporter.status(self._reloading.loaded, self._pace.interval_s, self._rates))

    def _reload_if_asked(self) -> None:
        if not self._signals.take_reload():
            return
        self._notifier.reloading()
        self._try("reload", lambda: self._reloading.attempt(self._apply))
        self._reported_s = float("-inf")
        self._notifier.ready()

    def _apply(self, loaded: LoadedConfig) -> None:
        settings = loaded.settings
        logs.configure(settings.log.level, settings.log.style, self._log)
        self._pace = Ticker(settings.sampling.interval_s * self._parts.selfwatch.stretch)
        self._parts.detector.replace_rules(settings.rules)
        self._reporter.forget_standings()
        self._parts.worker.use(from_settings.plan(settings))
        self._parts.baselines.use(wiring.baseline_limits(settings))
        self._parts.service.consent = from_settings.consent(settings)
        self._parts.pipeline.budget.limits = wiring.limits(settings)
        self._parts.box.use(wiring.box_settings(settings))
        limits = from_settings.retention_limits(settings)
        self._parts.saving.use(limits)
        self._parts.messages.use(settings)
        self._parts.errands.use(settings)
        use_floor(self._parts.monitor, self._data_dir, settings.retention.min_free_disk_bytes)
        use_backup(self._parts.monitor, self._data_dir, settings.backup)

    def _finish(self) -> None:
        """Within five seconds: end the capture with what it has, save everything, say so."""
        self._signals.is_heard()
        deadline = time.monotonic() + _STOP_WITHIN_S
        self._notifier.stopping()
        for step, call in self._last_steps(deadline):
            self._try(f"{step} at the end", call)
        waiting = self._parts.pending.waiting_count
        if waiting:
            get_logger().error("incidents.unsaved", count=waiting)
        self._try("status at the end", self._put_last_status)
        get_logger().info("daemon.stopped", passes=self._parts.pipeline.counts.passes)

    def _last_steps(self, deadline: float) -> list[tuple[str, Callable[[], object]]]:
        """In their order: who starts work ends first, then the workers, then who writes for them."""
        parts = self._parts
        uploads = parts.uploads
        return [
            ("jobs", parts.tidying.stop),
            ("uploader", lambda: uploads.close(_UPLOADER_STOPS_WITHIN_S) if uploads is not None else None),
            ("messages", lambda: parts.messages.close(_SENDER_STOPS_WITHIN_S)),
            ("errands", lambda: parts.errands.close(_ERRAND_STOPS_WITHIN_S)),
            ("capture", lambda: parts.worker.close(_CAPTURE_STOPS_WITHIN_S)),
            ("requests", parts.requests.close),
            ("snapshots", parts.snapshots.stop),
            ("first looks", parts.first_looks.close),
            ("causes", parts.causes.close),
            ("black box", lambda: parts.box.close(_BOX_STOPS_WITHIN_S)),
            ("history", parts.historian.flush),
            ("memory", lambda: parts.memory.save(datetime.now(UTC))),
            ("retry", parts.pending.retry),
            ("journal", lambda: parts.journal.daemon("stopped", monitord.__version__)),
            ("store", lambda: self._close_store(deadline)),
            ("sampler", parts.sampler.close),
        ]

    def _close_store(self, deadline: float) -> None:
        if self._parts.writer.close(max(0.5, deadline - time.monotonic())):
            self._parts.store.close()

    def _put_last_status(self) -> None:
        if self._rates is not None:
            self._reporter.explain_if_due(self._rates, has_news=True)
        self._put_status()
        self._status.close(_STATUS_WITHIN_S)


def busiest(rates: Rates) -> list[int]:
    """Processes that use most of a core: few, and none that does hardly anything."""
    used = [(one.cpu_percent or 0.0, one.key.pid) for one in rates.processes]
    return [pid for percent, pid in sorted(used, reverse=True)[:_FOLLOWED] if percent >= _BUSY_PERCENT]


def _has_news(verdict: DetectionResult) -> bool:
    return bool(verdict.armed or verdict.disarmed or verdict.alerts)


class Ticker:
    """Beats every `interval_s` seconds on the monotonic clock; beats that were missed are skipped."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._next_s = time.monotonic()

    def wait_s(self) -> float:
        """Return the seconds until the next beat; call it once after each pass."""
        now_s = time.monotonic()
        self._next_s += self.interval_s
        if self._next_s <= now_s:
            self._next_s = now_s + self.interval_s - (now_s - self._next_s) % self.interval_s
        return self._next_s - now_s
