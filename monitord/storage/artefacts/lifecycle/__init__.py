"""What may stay how long: policies that judge, a manager that carries out, tasks that say when.

To add a policy: one class in `policies.py` and its line in POLICIES there.
"""

from monitord.storage.artefacts.lifecycle.inventory import ArtefactInventory, Inventory
from monitord.storage.artefacts.lifecycle.manager import (
    Decision,
    Failure,
    LifecycleError,
    LifecycleManager,
    LifecycleReport,
    Verdict,
    carry_out,
    judge,
)
from monitord.storage.artefacts.lifecycle.policies import (
    POLICIES,
    ArchiveAfter,
    Cutting,
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
    PROCESS,
    RULE,
    SEVERITY,
    Cut,
    Holders,
    Item,
    LifecyclePolicy,
    Stock,
    StockView,
    Tally,
    is_pinned,
)

__all__ = [
    "LifecyclePolicy",
    "Item",
    "Cut",
    "Tally",
    "Holders",
    "Stock",
    "StockView",
    "is_pinned",
    "KIND",
    "PROCESS",
    "RULE",
    "SEVERITY",
    "POLICIES",
    "Cutting",
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
    "carry_out",
]
