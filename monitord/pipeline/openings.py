"""What an alert hands over to be made an incident, and what then waits for its profile."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from monitord.model import Alert, CapturePlan, HistoryPoint, Incident, ProcessDetails, ProcessKey
from monitord.pipeline.causes import Observed
from monitord.pipeline.first_looks import FirstLook


@dataclass(frozen=True, slots=True)
class Opening:
    """An alert as the loop hands it over: everything that must be read at that moment is in it.

    `refusal` says why no profile may be taken of it; the incident is kept all the same. `give_back`
    returns its part of the budget when no profile was taken after all; `is_lasting` says whether what it is
    about still goes on, for who had to wait. `before` was observed at the crossing. `own_plan` and `ended`
    are for `open_quietly`: how to take it, and whom to tell what became of it (None: it was not kept).
    """

    correlation_id: str
    alert: Alert
    process: ProcessDetails | None
    history: tuple[HistoryPoint, ...]
    first_look: Future[FirstLook] | None
    describe: Callable[[ProcessKey], ProcessDetails | None]
    give_back: Callable[[], None]
    is_lasting: Callable[[], bool] = lambda: True
    boot_id: str | None = None
    refusal: str | None = None
    before: Observed | None = None
    own_plan: CapturePlan | None = None
    ended: Callable[[Incident, Future[object] | None], None] | None = None

    @property
    def wants_profile(self) -> bool:
        return self.refusal is None and self.alert.profiler != "none"

    def bare_incident(self) -> Incident:
        """What the loop knew of it, without evidence."""
        return Incident(
            correlation_id=self.correlation_id,
            alert=self.alert,
            process=self.process,
            history=self.history,
            boot_id=self.boot_id,
        )


@dataclass(frozen=True, slots=True)
class Waiting:
    """An incident that waits for the turn of its profile. `after` was observed at its alert."""

    opening: Opening
    incident: Incident
    since_s: float
    after: Observed | None = None

    @property
    def severity(self) -> float:
        return self.opening.alert.severity


@dataclass(frozen=True, slots=True)
class Unexplained:
    """A stored incident that has all it will get but its cause."""

    opening: Opening
    incident: Incident
    after: Observed | None = None
