"""What stands between this machine and good evidence, each with the exact words that change it.

Reads only: it starts nothing, repairs nothing and writes nothing. To add a check: one function that yields
`Check`s and one line in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from monitord.doctor.black_box import check_black_box
from monitord.doctor.check import Check, Surroundings
from monitord.doctor.data import (
    check_backups,
    check_clock,
    check_data_folder,
    check_database,
    check_quota,
    check_wal,
)
from monitord.doctor.events import check_slow_questions
from monitord.doctor.machine import check_cgroup, check_descriptors, check_pressure
from monitord.doctor.receivers import check_receivers
from monitord.doctor.rights import (
    check_capabilities,
    check_kernel_names,
    check_perf_paranoid,
    check_whose,
    check_yama,
)
from monitord.doctor.running import check_daemon, check_interpreter, check_units
from monitord.doctor.shipping import check_shipping
from monitord.doctor.tiers import check_tiers
from monitord.doctor.tools import check_eu_stack, check_mac_tools, check_perf, check_py_spy

__all__ = ["CHECKS", "Check", "Surroundings", "run_checks"]

CHECKS: tuple[Callable[[Surroundings], Iterator[Check]], ...] = (
    check_py_spy,
    check_perf,
    check_eu_stack,
    check_mac_tools,
    check_perf_paranoid,
    check_kernel_names,
    check_black_box,
    check_yama,
    check_capabilities,
    check_whose,
    check_data_folder,
    check_database,
    check_quota,
    check_wal,
    check_slow_questions,
    check_backups,
    check_clock,
    check_daemon,
    check_units,
    check_receivers,
    check_shipping,
    check_tiers,
    check_interpreter,
    check_descriptors,
    check_pressure,
    check_cgroup,
)


def run_checks(here: Surroundings) -> list[Check]:
    """Every check, in the order of the table; those that do not apply to this platform say nothing."""
    return [check for look in CHECKS for check in look(here)]
