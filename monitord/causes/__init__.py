"""What an incident is attributed to, metric by metric: one file a kind of cause, one line in METRICS.

A member runs in a child with few rights (`python -m monitord.causes`). `observe` reads the target when it
crosses and when it alerts; `explain` is pure and says "unknown" rather than anything wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from monitord import rights
from monitord.model import TriggerMetric

OBSERVED_BYTES = 64 * 1024
"""The longest observation, as JSON; a longer one is thrown away."""

_LOOKS = (rights.CAP_DAC_READ_SEARCH, rights.CAP_SYS_PTRACE)
_ENTERS = (*_LOOKS, rights.CAP_SYS_ADMIN)
"""Besides: kernel stacks, fanotify, other network namespaces."""
_SAMPLES = (*_LOOKS, rights.CAP_PERFMON, rights.CAP_SYSLOG)
"""Besides: samples of native code and of the kernel, and where its functions lie."""


@dataclass(frozen=True, slots=True)
class Member:
    """Who explains a metric: a module of this room with `explain(facts)`, and `observe(pid, start_ticks)`.

    `observes` says what is read: of a "process" (never without one), of the "machine" (also without one: pid
    and start are 0 then), or "nothing", and it has no `observe`. `at_arming`: at the first crossing,
    too; `compares`: without that look it can't tell what grew, so it goes before others. It ends after
    `limit_s`; of `capabilities` it has what monitord itself has, and nothing else.
    `asks_sockets`: it asks the kernel for sockets, which is refused to all others. The black box tells
    it (`box` in what is observed) who started what (`reads_starts`), when its target ended (`reads_end`).
    `watches_faults`: page faults are recorded from the crossing on, and it is told where.
    """

    module: str
    observes: Literal["process", "machine", "nothing"] = "nothing"
    at_arming: bool = False
    compares: bool = False
    limit_s: float = 3.0
    capabilities: tuple[int, ...] = _LOOKS
    asks_sockets: bool = False
    reads_starts: bool = False
    reads_end: bool = False
    watches_faults: bool = False


_MEMORY = Member("memory", "process", at_arming=True, compares=True, limit_s=6.0, watches_faults=True)

METRICS: Mapping[TriggerMetric, Member] = {
    TriggerMetric.CPU: Member("cpu", "process", at_arming=True, limit_s=6.0, capabilities=_SAMPLES),
    TriggerMetric.MANUAL: Member("manual", "process", limit_s=6.0, capabilities=_SAMPLES),
    TriggerMetric.MEMORY: _MEMORY,
    TriggerMetric.MEMORY_GROWTH: _MEMORY,
    TriggerMetric.FREE_MEMORY: Member("free_memory", observes="machine", at_arming=True, compares=True),
    TriggerMetric.OOM_KILL: Member("oom_kill", observes="machine", reads_end=True),
    TriggerMetric.CPU_PRESSURE: Member("machine_cpu", observes="machine", at_arming=True),
    TriggerMetric.MEMORY_PRESSURE: Member("stalls", observes="machine", at_arming=True),
    TriggerMetric.IO_PRESSURE: Member("stalls", observes="machine", at_arming=True),
    TriggerMetric.SHORT_LIVED_CPU: Member("machine_cpu", observes="machine", at_arming=True),
    TriggerMetric.DISK_IO: Member(
        "disk_io", observes="process", at_arming=True, limit_s=4.0, capabilities=_ENTERS
    ),
    TriggerMetric.NETWORK: Member(
        "network", "process", limit_s=6.0, capabilities=(*_SAMPLES, rights.CAP_SYS_ADMIN), asks_sockets=True
    ),
    TriggerMetric.HANG: Member("hang", observes="process", capabilities=_ENTERS),
    TriggerMetric.FD_GROWTH: Member("fd_growth", observes="process", at_arming=True, compares=True),
    TriggerMetric.THREAD_GROWTH: Member("thread_growth", observes="process", at_arming=True, compares=True),
    TriggerMetric.SPAWN_STORM: Member("machine_cpu", observes="machine", at_arming=True, reads_starts=True),
    TriggerMetric.SHORT_SPIKE: Member("cpu"),
}

WITHOUT: Mapping[TriggerMetric, str] = {}
"""Metrics without a member, and why; together with METRICS every metric there is."""
