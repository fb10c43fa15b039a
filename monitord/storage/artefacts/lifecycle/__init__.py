"""What may stay how long: policies that judge, a manager that carries out, tasks that say when.

To add a policy: one class in `policies.py` and its line in POLICIES there.
"""

from monitord.scheduling import (
    ScheduledTask,
    SchedulerError,
    StateStore,
    TaskExecutor,
    TaskOutcome,
    TaskResult,
    TaskScheduler,
)
from monitord.storage.artefacts.lifecycle.inventory import ArtefactInventory, Inventory
from monitord.storage.artefacts.lifecycle.judging import Decision, Verdict, judge
from monitord.storage.artefacts.lifecycle.manager import (
    Failure,
    LifecycleError,
    LifecycleManager,
    LifecycleReport,
)
from monitord.storage.artefacts.lifecycle.policies import (
    POLICIES,
    ArchiveAfter,
    FreeDiskFloor,
    MaxAge,
    MaxAgeBySeverity,
    MaxCount,
    MaxTotalBytes,
    QuotaPerTag,
    ShareWhenFull,
    Tagged,
)
from monitord.storage.artefacts.lifecycle.policy import (
    KIND,
    PINNED,
    PROCESS,
    SEVERITY,
    LifecyclePolicy,
    Stock,
    is_pinned,
)

__all__ = [
    "LifecyclePolicy",
    "Stock",
    "is_pinned",
    "KIND",
    "PINNED",
    "PROCESS",
    "SEVERITY",
    "POLICIES",
    "ArchiveAfter",
    "FreeDiskFloor",
    "MaxAge",
    "MaxAgeBySeverity",
    "MaxCount",
    "MaxTotalBytes",
    "QuotaPerTag",
    "ShareWhenFull",
    "Tagged",
    "Decision",
    "Verdict",
    "judge",
    "Inventory",
    "ArtefactInventory",
    "Failure",
    "LifecycleError",
    "LifecycleManager",
    "LifecycleReport",
    "ScheduledTask",
    "SchedulerError",
    "StateStore",
    "TaskExecutor",
    "TaskOutcome",
    "TaskResult",
    "TaskScheduler",
]
