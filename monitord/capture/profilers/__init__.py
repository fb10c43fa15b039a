"""The profilers, one file each. To add one: write its file, name it in LADDER, run the contract suite.

The order is the ladder: for each target the first that suits is tried, then the next, until one has evidence.
"""

from __future__ import annotations

from monitord.capture.profilers.eu_stack import EuStack, EuStackLook
from monitord.capture.profilers.mac_sample import MacSample
from monitord.capture.profilers.mac_spindump import MacSpindump
from monitord.capture.profilers.perf import Perf, PerfFaults
from monitord.capture.profilers.py_spy import PySpyDump, PySpyRecord
from monitord.capture.session import Profiler

LADDER: tuple[Profiler, ...] = (
    PySpyDump(),
    PySpyRecord(),
    PerfFaults(),
    Perf(),
    EuStack(),
    MacSample(),
    MacSpindump(),
)

FIRST_LOOKS: tuple[Profiler, ...] = (PySpyDump(), EuStackLook())

OF_MEMORY: frozenset[str] = frozenset({PerfFaults.name})
"""Profilers that show what brings memory in: the ladder has them for plans about memory alone."""

NAMES: tuple[str, ...] = ("auto", *dict.fromkeys(profiler.name for profiler in LADDER), "none")

__all__ = ["FIRST_LOOKS", "LADDER", "NAMES", "OF_MEMORY"]
