"""How the keeping of artefacts goes: counts, health, and an alert once when something fails.

Requirements draw a health check at each write. Here a scheduler asks for it: a probe is a write itself, and a
disk that is full would be asked, and complained about, at every capture.
"""

from monitord.storage.artefacts.monitor.alerts import AlertManager, StorageAlert
from monitord.storage.artefacts.monitor.health import (
    AlertLevel,
    Health,
    HealthCheck,
    HealthChecker,
    HealthLimits,
)
from monitord.storage.artefacts.monitor.metrics import StorageMetrics
from monitord.storage.artefacts.monitor.monitor import StorageMonitor

__all__ = [
    "StorageMonitor",
    "StorageMetrics",
    "HealthChecker",
    "HealthLimits",
    "HealthCheck",
    "Health",
    "AlertManager",
    "AlertLevel",
    "StorageAlert",
]
