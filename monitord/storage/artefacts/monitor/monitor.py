"""StorageMonitor: what wrappers tell of each call, what a look at the health finds, and both to be shown."""

from __future__ import annotations

from monitord.errors import StorageError
from monitord.storage.artefacts.monitor.alerts import AlertManager
from monitord.storage.artefacts.monitor.health import Health, HealthChecker
from monitord.storage.artefacts.monitor.metrics import StorageMetrics


class StorageMonitor:
    """Watches one provider, as the wrappers' `Recorder`. Without a checker it only counts."""

    def __init__(
        self,
        metrics: StorageMetrics | None = None,
        health_checker: HealthChecker | None = None,
        alert_manager: AlertManager | None = None,
        *,
        provider: str = "file",
    ) -> None:
        self.metrics = metrics or StorageMetrics()
        self.health_checker = health_checker
        self.alert_manager = alert_manager or AlertManager()
        self.provider = provider
        self.health: Health | None = None

    def record_read(self, size: int) -> None:
        """Bytes that were read."""
        self.metrics.record_read(size)

    def record_write(self, size: int) -> None:
        """Bytes that are stored."""
        self.metrics.record_write(size)

    def record_delete(self) -> None:
        """Count a deleted artefact."""
        self.metrics.record_delete()

    def record_error(self, operation: str, error: StorageError) -> None:
        """Count a call that failed; only the error's class is kept."""
        self.metrics.record_error(self.provider, operation, type(error).__name__)

    def record_latency(self, operation: str, seconds: float) -> None:
        """What a call took."""
        self.metrics.record_latency(self.provider, operation, seconds)

    def check_storage(self) -> Health | None:
        """Look now, and let the alerts be judged by it; None without a checker."""
        if self.health_checker is None:
            return None
        self.health = self.health_checker.check_storage()
        if self.health.used_bytes is not None:
            self.metrics.storage_used = self.health.used_bytes
        self.alert_manager.judge(self.health)
        return self.health

    def complaints(self) -> list[str]:
        """Return the alerts in force, one line each."""
        return [f"storage, {alert.check}: {alert.message}" for alert in self.alert_manager.active]

    def as_json(self) -> dict[str, object]:
        """Return what the daemon's status tells: counts, the last look, the alerts in force."""
        return {
            "provider": self.provider,
            "counters": self.metrics.as_json(),
            "health": _health_as_json(self.health) if self.health else None,
            "alerts": [
                {
                    "check": alert.check,
                    "level": alert.level.value,
                    "message": alert.message,
                    "fix": alert.fix,
                    "raised_at": alert.raised_at.isoformat(),
                }
                for alert in self.alert_manager.active
            ],
        }


def _health_as_json(health: Health) -> dict[str, object]:
    return {
        "checked_at": health.checked_at.isoformat(),
        "ok": health.is_ok,
        "checks": [
            {"name": check.name, "ok": check.is_ok, "detail": check.detail, "fix": check.fix}
            for check in health.checks
        ],
    }
