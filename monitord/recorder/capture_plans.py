"""Capture plans at work: what was set at run time is read when a process crosses or fires, never per pass.

Read through a connection of its own, so that no look waits for a save.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from monitord.detection.matching import Matcher
from monitord.errors import MonitordError
from monitord.logs import get_logger
from monitord.model import CapturePlan, NamedPlan, ProcessDetails
from monitord.storage.plans import list_capture_plans
from monitord.storage.queries import StoreReader


class Planner:
    """Gives a capture the first plan, by name, that matches its process. From any thread."""

    def __init__(self, data_dir: Path, users: Callable[[], Mapping[str, int]]) -> None:
        self._data_dir = data_dir
        self._users = users
        self._known: Sequence[NamedPlan] = ()
        self.reads = 0

    def adapt(self, plan: CapturePlan, describe: Callable[[], ProcessDetails | None]) -> CapturePlan:
        """Return the plan for one process, which is described only when a plan could match it."""
        plans = self._read()
        process = describe() if plans else None
        if process is None:
            return plan
        uid_of = self._users() if any(named.match.users for named in plans) else {}
        for named in plans:
            if Matcher(named.match, uid_of).hits(process):
                return named.applied_to(plan)
        return plan

    def _read(self) -> Sequence[NamedPlan]:
        """The plans as they stand now; those last seen while the store can't be read."""
        self.reads += 1
        try:
            with StoreReader(self._data_dir) as reader:
                self._known = list_capture_plans(reader.storage, skip=_skipped)
        except MonitordError as error:
            get_logger().warning("plans.not_read", reason=str(error))
        return self._known


def _skipped(error: MonitordError) -> None:
    get_logger().warning("plan.skipped", reason=str(error))
