"""A failing check becomes one alert, said once, and its end is said once; flapping says nothing more.

What is critical is said at the first sight, a warning at the second in a row. It is over only after two
good looks in a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from monitord.errors import MonitordError
from monitord.logs import get_logger
from monitord.storage.artefacts.monitor.health import AlertLevel, Health, HealthCheck

_GOOD_LOOKS = 2
_BAD_LOOKS = {AlertLevel.WARNING: 2, AlertLevel.CRITICAL: 1}


@dataclass(frozen=True, slots=True)
class StorageAlert:
    """Trouble with the storage, from its first sight on; over when it has `recovered_at`."""

    check: str
    level: AlertLevel
    message: str
    fix: str | None
    raised_at: datetime
    recovered_at: datetime | None = None


@dataclass(slots=True)
class _Standing:
    """How one check stands: looks in a row that were bad, or good, and the alert in force."""

    bad: int = 0
    good: int = 0
    first_bad_at: datetime | None = None
    alert: StorageAlert | None = None


def _nobody(_alert: StorageAlert) -> None:
    """Tell nobody: the log lines are enough."""


class AlertManager:
    """Judges looks in their order; `tell` is given each alert twice: when it begins and when it is over."""

    def __init__(self, tell: Callable[[StorageAlert], object] = _nobody) -> None:
        self._tell = tell
        self._standings: dict[str, _Standing] = {}

    @property
    def active(self) -> tuple[StorageAlert, ...]:
        """Alerts in force, the oldest first."""
        found = [standing.alert for standing in self._standings.values() if standing.alert is not None]
        return tuple(sorted(found, key=lambda alert: alert.raised_at))

    def judge(self, health: Health) -> None:
        """Raise and end alerts by this look; a check that could not be made changes nothing."""
        for check in health.checks:
            standing = self._standings.setdefault(check.name, _Standing())
            if check.is_ok:
                self._good(standing, health.checked_at)
            else:
                self._bad(standing, check, health.checked_at)

    def _bad(self, standing: _Standing, check: HealthCheck, now: datetime) -> None:
        if standing.bad == 0 and standing.alert is None:
            standing.first_bad_at = now
        standing.bad, standing.good = standing.bad + 1, 0
        if standing.alert is not None:
            standing.alert = replace(standing.alert, message=check.detail, fix=check.fix)  # as it is by now
        elif standing.bad >= _BAD_LOOKS[check.level]:
            since = standing.first_bad_at or now
            standing.alert = StorageAlert(check.name, check.level, check.detail, check.fix, since)
            self.send_alert(standing.alert)

    def _good(self, standing: _Standing, now: datetime) -> None:
        standing.bad, standing.good = 0, standing.good + 1
        if standing.alert is not None and standing.good >= _GOOD_LOOKS:
            over, standing.alert = replace(standing.alert, recovered_at=now), None
            self.send_alert(over)

    def send_alert(self, alert: StorageAlert) -> None:
        """Log one line and call `tell`; what that can't do (no room for an event) is logged."""
        log = get_logger()
        facts = {"check": alert.check, "reason": alert.message}
        if alert.recovered_at is not None:
            log.info("storage.recovered", check=alert.check, since=alert.raised_at.isoformat())
        elif alert.level is AlertLevel.CRITICAL:
            log.error("storage.unhealthy", **facts, fix=alert.fix)
        else:
            log.warning("storage.unhealthy", **facts, fix=alert.fix)
        try:
            self._tell(alert)
        except MonitordError as error:
            log.warning("storage.alert_not_told", check=alert.check, reason=str(error))
