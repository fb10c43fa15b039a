"""The daemon: look, judge, act, remember, tell the watchdog, wait. And how it reloads and ends."""

from __future__ import annotations

import faulthandler
import gc
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import monitord
from monitord import config, logs
from monitord.config import LoadedConfig
from monitord.daemon import wiring
from monitord.daemon.holdings import check_storage
from monitord.daemon.locks import DAEMON_LOCK, hold
from monitord.daemon.notify import Notifier
from monitord.daemon.pace import Pace
from monitord.daemon.signals import Signals
from monitord.daemon.status import write_status
from monitord.daemon.watching import use_floor
from monitord.errors import ConfigError
from monitord.logs import get_logger
from monitord.model import Rates, Verdict
from monitord.storage import check_data_dir

_MIGRATION_S = 600.0
_STOP_WITHIN_S = 4.5  # of the five that SIGTERM may take
_CAPTURE_STOPS_WITHIN_S = 2.5  # of these
_COURIER_STOPS_WITHIN_S = 0.5  # and of these; it may be killed at any moment
_EXPLAINED_EVERY_S = 60.0  # without news, how near the quiet rules are to anybody is told this often
_LONGEST_NAP_S = 5.0  # a reload and the watchdog must not wait for a beat that may be an hour away


def run(config_path: Path | None, data_dir: Path) -> None:
    """Record until SIGTERM or SIGINT. Raises MonitordError when it may not start."""
    loaded = config.load(config_path)
    check_storage(loaded)
    logs.configure(loaded.settings.log.level, loaded.settings.log.style)
    check_data_dir(data_dir, create=True, root_may=False)
    with hold(data_dir / DAEMON_LOCK, f"monitord already records into {data_dir}"):
        try:
            daemon = Daemon(loaded, config_path, data_dir)
        except SystemExit:
            get_logger().info("daemon.stopped", passes=0)
            raise
        daemon.run()


class Daemon:
    """One recorder on one data directory, the lock already held."""

    def __init__(self, loaded: LoadedConfig, config_path: Path | None, data_dir: Path) -> None:
        self._loaded = loaded
        self._config_path = config_path
        self._data_dir = data_dir
        # Before anything slow: a SIGHUP during a migration must not end us, and SIGTERM must, at once
        # (the migration's child is killed with us: it is one transaction).
        self._signals = Signals()
        self._notifier = Notifier()
        self._notifier.extend_timeout(_MIGRATION_S)
        self._started_at = datetime.now(UTC)
        self._pace = Pace(loaded.settings.sampling.interval_s)
        self._parts = wiring.build(loaded.settings, data_dir, config_path)
        self._signals.is_ready = True
        self._rates: Rates | None = None
        self._reported_s = float("-inf")
        self._explained_s = float("-inf")
        self._standings: dict[str, object] = {}
        self._reported_capture: tuple[str, datetime] | None = None

    def run(self) -> None:
        """The loop of the daemon."""
        self._begin()
        try:
            while not self._signals.asked_to_stop:
                self._reload_if_asked()
                rates, verdict = self._parts.pipeline.run_pass()
                self._remember(rates, verdict)
                self._notifier.watchdog()
                self._report_if_due(rates, verdict)
                self._wait()
        finally:
            self._finish()

    def _begin(self) -> None:
        faulthandler.enable()  # SIGABRT from the watchdog shows where every thread hangs
        # What is loaded stays. Else the collector would wait until there is a quarter as much of garbage in
        # cycles, which SQLAlchemy leaves at every save: megabytes.
        gc.collect()
        gc.freeze()
        self._parts.tidying.start()
        self._parts.journal.daemon("started", monitord.__version__)
        get_logger().info(
            "daemon.started",
            version=monitord.__version__,
            data_dir=str(self._data_dir),
            interval_s=self._pace.interval_s,
            rules=len(self._loaded.settings.rules),
        )

    def _wait(self) -> None:
        """Until the next beat, or until there is something else to do."""
        beat_s = time.monotonic() + self._pace.wait_s()
        self._tend_sender()
        while (left_s := beat_s - time.monotonic()) > 0:
            self._signals.wait(min(left_s, _LONGEST_NAP_S))
            if self._signals.asked_to_stop or self._signals.asked_to_reload:
                return
            self._notifier.watchdog()
            self._tend_sender()

    def _tend_sender(self) -> None:
        if self._parts.sender is not None:
            self._parts.sender.tend()

    def _remember(self, rates: Rates, verdict: Verdict) -> None:
        self._rates = rates
        self._parts.historian.note(rates, verdict)
        self._parts.memory.note(rates, verdict)
        self._parts.baselines.note(rates)
        if rates.gap == "clock jump":
            self._parts.tidying.realign()

    def _report_if_due(self, rates: Rates, verdict: Verdict) -> None:
        """At each heartbeat and whenever something crossed or fired."""
        is_due = rates.monotonic_s - self._reported_s >= self._loaded.settings.sampling.heartbeat_s
        capture, self._reported_capture = self._reported_capture, self._parts.worker.current
        has_news = verdict.armed or verdict.disarmed or verdict.alerts or capture != self._reported_capture
        if not (is_due or has_news):
            return
        if self._parts.pipeline.counts.passes == 1:
            self._notifier.ready()
        if is_due:
            self._parts.selfwatch.read()
            self._pace.interval_s = self._loaded.settings.sampling.interval_s * self._parts.selfwatch.stretch
            self._parts.keeper.retry()
            if self._parts.sender is not None:
                self._parts.sender.look()
            self._notifier.status(f"watching {rates.process_count} processes")
            self._reported_s = rates.monotonic_s
        if has_news or rates.monotonic_s - self._explained_s >= _EXPLAINED_EVERY_S:
            self._explain(rates)
        write_status(self._data_dir, self._status(rates))

    def _explain(self, rates: Rates) -> None:
        """How the rules stand: the dearest part of the status, as it goes through every process."""
        self._standings = {"rules": self._parts.detector.explain(), "rules_taken_at": rates.taken_at}
        self._explained_s = rates.monotonic_s

    def _status(self, rates: Rates) -> dict[str, object]:
        parts, counts = self._parts, self._parts.pipeline.counts
        capture = parts.worker.current
        return {
            "version": monitord.__version__,
            "pid": os.getpid(),
            "started_at": self._started_at,
            "data_dir": str(self._data_dir),
            "config_paths": [str(path) for path in self._loaded.sources],
            "interval_s": self._pace.interval_s,
            "taken_at": rates.taken_at,
            "passes": counts.passes,
            "process_count": rates.process_count,
            "machine_percent": rates.system.machine_percent,
            "own_cpu_percent": parts.selfwatch.cost.cpu_percent,
            "own_rss_bytes": parts.selfwatch.cost.rss_bytes,
            "degraded": self._degraded(),
            "budget_bytes": wiring.retention_limits(self._loaded.settings).max_total_bytes,
            "queue_depth": parts.keeper.waiting_count,
            "capture": {"correlation_id": capture[0], "since": capture[1]} if capture else None,
            **self._standings,
            "jobs": parts.tidying.table,
            "storage": parts.monitor.as_json(),
            "counts": {
                "alerts": counts.alerts,
                "suppressed": counts.suppressed,
                "dropped": parts.keeper.dropped,
            },
            "last_incident": counts.last_incident,
        }

    def _degraded(self) -> list[str]:
        sender = self._parts.sender
        not_sent = f"artefacts wait here: {sender.trouble}" if sender and sender.trouble else None
        troubles = (self._parts.store.degraded_reason, self._parts.keeper.trouble, not_sent)
        complaints = [*self._parts.monitor.complaints(), *self._parts.selfwatch.complaints()]
        return list(dict.fromkeys(filter(None, troubles))) + complaints

    def _reload_if_asked(self) -> None:
        """SIGHUP: a good configuration replaces the old one; a bad one is refused, said, and forgotten."""
        if not self._signals.take_reload():
            return
        self._notifier.reloading()
        try:
            loaded = config.load(self._config_path)
            check_storage(loaded)
        except ConfigError as error:
            get_logger().error("config.refused", reason=str(error))
        else:
            self._apply(loaded)
        self._notifier.ready()

    def _apply(self, loaded: LoadedConfig) -> None:
        waiting = wiring.needs_restart(self._loaded.settings, loaded.settings)
        self._loaded = loaded
        settings = loaded.settings
        logs.configure(settings.log.level, settings.log.style)
        self._pace = Pace(settings.sampling.interval_s * self._parts.selfwatch.stretch)
        self._parts.detector.replace_rules(settings.rules)
        self._explained_s = float("-inf")
        self._parts.worker.use(wiring.plan(settings))
        self._parts.baselines.use(wiring.baseline_limits(settings))
        self._parts.service.consent = wiring.consent(settings)
        self._parts.pipeline.budget.limits = wiring.limits(settings)
        limits = wiring.retention_limits(settings)
        self._parts.saving.use(limits)
        use_floor(self._parts.monitor, limits.min_free_disk_bytes)
        get_logger().info("config.reloaded", rules=len(settings.rules))
        if waiting:
            get_logger().warning("config.needs_restart", keys=", ".join(waiting))

    def _finish(self) -> None:
        """Within five seconds: end the capture with what it has, save everything, say so."""
        deadline = time.monotonic() + _STOP_WITHIN_S
        self._notifier.stopping()
        parts = self._parts
        parts.tidying.stop()
        if parts.sender is not None:
            parts.sender.close(_COURIER_STOPS_WITHIN_S)
        parts.worker.close(_CAPTURE_STOPS_WITHIN_S)
        parts.first_looks.close()
        parts.historian.flush()
        parts.memory.save(datetime.now(UTC))
        parts.keeper.retry()
        parts.journal.daemon("stopped", monitord.__version__)
        if parts.writer.close(max(0.5, deadline - time.monotonic())):
            parts.store.close()
        parts.sampler.close()
        if parts.keeper.waiting_count:
            get_logger().error("incidents.unsaved", count=parts.keeper.waiting_count)
        if self._rates is not None:
            self._explain(self._rates)
            write_status(self._data_dir, self._status(self._rates))
        get_logger().info("daemon.stopped", passes=parts.pipeline.counts.passes)
