"""monitord as a service of systemd or launchd: what would be written and run, then doing it.

A plan says everything before anything is done, so `--print` and the real thing can't differ.
"""

from monitord.service.apply import apply
from monitord.service.commands import control
from monitord.service.failure import unit_failure
from monitord.service.paths import ServicePaths
from monitord.service.plan import ServicePlan, plan_install
from monitord.service.removal import plan_uninstall
from monitord.service.steps import Command, PlannedFile

__all__ = [
    "ServicePaths",
    "PlannedFile",
    "Command",
    "ServicePlan",
    "plan_install",
    "plan_uninstall",
    "apply",
    "control",
    "unit_failure",
]
