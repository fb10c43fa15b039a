"""What a meter gives to a rule: one value of one target; and what every meter can do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from monitord.detection.consumers import Consumers
from monitord.detection.growth import Climb
from monitord.detection.passes import Pass
from monitord.model import ProcessKey, ProcessRates, SystemRates

Target = ProcessKey | None


class Killed(NamedTuple):
    """Processes killed for lack of memory, the group they were in, and who it likeliest was, if known."""

    kills: int
    group: str | None
    victim: ProcessRates | None


class Reading(NamedTuple):
    """One value of one target (None: the machine).

    `is_held` is None where the window must be counted sample by sample; a metric that looks back by
    itself (growth, hang) says with it whether its window is satisfied. `subject` is what a sentence
    about a machine-wide value starts with. `waited` is the part of a CPU value that was not used but
    waited for; `consumers` are those who share a machine-wide one; `killed` says what its number counts.
    """

    target: Target
    process: ProcessRates | None
    value: float
    is_held: bool | None = None
    climb: Climb | None = None
    subject: str | None = None
    waited: float = 0.0
    consumers: Consumers | None = None
    killed: tuple[Killed, ...] = ()


class Meter(Protocol):
    """Reads one rule's metric. `followed` gives the last look at each target the rule is busy with."""

    def readings(self, look: Pass, followed: Mapping[Target, ProcessRates | None]) -> Iterator[Reading]: ...
    def peek(self, process: ProcessRates | None, now_s: float, system: SystemRates) -> float | None: ...
    def forget(self, keys: Iterable[ProcessKey]) -> None: ...
    def restart(self) -> None: ...
    def close_watch(self) -> Iterable[ProcessKey]: ...
