"""What meters of the whole machine share that name who used it while the value was high."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from monitord.detection.consumers import Consumers, own_cpu
from monitord.detection.passes import Pass
from monitord.detection.readings import Reading, Target
from monitord.model import ProcessKey, ProcessRates


class ConsumersMeter:
    """Consumers are followed from the minimum on; the value is the meter's own."""

    def __init__(self, window_s: float, minimum: float) -> None:
        self._minimum = minimum
        self._consumers = Consumers(window_s / 2)

    def _follow(
        self,
        look: Pass,
        value: float,
        followed: Mapping[Target, ProcessRates | None],
        use_of: Callable[[ProcessRates], float | None] = own_cpu,
    ) -> None:
        """Take in a pass at or above the minimum; below it start anew, unless the rule is followed."""
        if value >= self._minimum:
            self._consumers.add(look, use_of)
        elif None not in followed:
            self._consumers.clear()

    def _reading(self, value: float) -> Reading:
        return Reading(None, None, value, subject="the machine", consumers=self._consumers)

    def forget(self, keys: Iterable[ProcessKey]) -> None:
        """Forget processes that ended; what they used or started still counts."""

    def restart(self) -> None:
        self._consumers.clear()

    def close_watch(self) -> Iterable[ProcessKey]:
        return ()
