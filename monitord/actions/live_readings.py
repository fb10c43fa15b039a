"""What is live about `top`: looks at the machine, one after the other, and incidents of the last minute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Self

from monitord.actions.workspace import Workspace
from monitord.errors import MonitordError
from monitord.model import Demand, ProcessKey, ProcessRates, Rates
from monitord.storage.thinning import leaders
from monitord.storage.views import IncidentSpan

_LOOK_BACK = timedelta(minutes=1)
_INCIDENTS = 5
# Of every process what is cheap to read: nobody is above these levels, and so nobody is looked at closely.
_CHEAP = Demand(disk_bytes_per_s=float("inf"))


class LiveReadings:
    """A sampler of the caller's own. What did nothing in a look is as it was: it is not read anew."""

    def __init__(self, workspace: Workspace) -> None:
        from monitord.sampling import Sampler

        self._workspace = workspace
        self._sampler = Sampler(heartbeat_s=0.1)
        self._known: dict[ProcessKey, ProcessRates] = {}
        self.look()

    def look(self) -> Rates:
        """Return the machine since the last look, with those that lead."""
        rates = self._sampler.look(_CHEAP)
        for key in rates.exited:
            self._known.pop(key, None)
        idle = {
            key: replace(one, cpu_percent=0.0, disk_bytes_per_s=None, network_bytes_per_s=None)
            for key, one in self._known.items()
        }
        self._known = {**idle, **{one.key: one for one in rates.processes}}
        return replace(rates, processes=leaders(tuple(self._known.values())))

    def incidents(self) -> Sequence[IncidentSpan]:
        """Return those of the last minute, where there is a store that can be read."""
        now = datetime.now(UTC)
        try:
            with self._workspace.past() as reader:
                return reader.incident_spans(now - _LOOK_BACK, now, _INCIDENTS)[::-1]
        except MonitordError:
            return ()  # nobody records, or for others: `top` looks for itself

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._sampler.close()
