"""monitord never reports itself: it and whatever it starts are hidden from every rule, only here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from monitord.model import Demand, ProcessDetails, ProcessKey, ProcessRates, Rates
from monitord.pipeline.protocols import SamplerProtocol


class ExcludeSelf:
    """A sampler that sees everything but the process `own_pid` and its descendants."""

    def __init__(self, sampler: SamplerProtocol, own_pid: int) -> None:
        self._sampler = sampler
        self._own_pid = own_pid
        self._family: dict[int, ProcessKey] = {}

    def look(self, demand: Demand) -> Rates:
        """One pass over the others. Children are known by their parent, and stay known when it ends."""
        rates = self._sampler.look(demand)
        for key in rates.exited:
            if self._family.get(key.pid) == key:
                del self._family[key.pid]
        self._adopt(rates.processes)
        others = tuple(process for process in rates.processes if not self._is_own(process))
        return replace(rates, processes=others) if len(others) < len(rates.processes) else rates

    def details(self, key: ProcessKey) -> ProcessDetails | None:
        """Who a suspect is."""
        return self._sampler.details(key)

    def heaviest(self) -> ProcessRates | None:
        """Return the process with the most memory; None when it is ours, which must not be profiled."""
        found = self._sampler.heaviest()
        return None if found is not None and self._is_own(found) else found

    def _adopt(self, processes: Iterable[ProcessRates]) -> None:
        strangers = [process for process in processes if not self._is_own(process)]
        while True:
            parents = {self._own_pid, *self._family}
            children = [process for process in strangers if process.parent_pid in parents]
            if not children:
                return
            self._family.update((child.key.pid, child.key) for child in children)
            strangers = [process for process in strangers if process not in children]

    def _is_own(self, process: ProcessRates) -> bool:
        return process.key.pid == self._own_pid or self._family.get(process.key.pid) == process.key
