"""Old evidence moves to the archive: reading it goes on, and it takes no room here any more."""

from __future__ import annotations

from datetime import timedelta

from monitord.scheduling import ScheduledTask
from monitord.storage.artefacts.lifecycle import KIND, ArchiveAfter, Inventory, LifecycleManager

_EVERY_S = 3600.0
_FIRST_AFTER_S = 120.0
_CAPTURE = "capture"


def archive_job(inventory: Inventory, after_s: float) -> ScheduledTask:
    """Make the job that archives captures older than `after_s`; what an incident says of itself stays here.

    A clock that is wrong archives too early or too late, and loses nothing. An archive that is away makes
    the job fail, and try again within the hour.
    """
    policies = {"archive": ArchiveAfter(timedelta(seconds=after_s), only={KIND: _CAPTURE})}
    return LifecycleManager(policies, inventory).task("archive", _EVERY_S, _FIRST_AFTER_S)
