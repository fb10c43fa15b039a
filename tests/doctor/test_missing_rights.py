"""Doctor tells what to type for each missing right, at every level of the kernel's settings, to every user."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from monitord.doctor import Check, Surroundings, run_checks
from monitord.stacks.rings import Rings, Scope
from tests.doctor.test_doctor import NO_CAPABILITIES, PROFILING_CAPABILITIES, here, lay

__all__ = ["here"]

HIDDEN, SHOWN = "0000000000000000 T _text\n", "ffffffff81000000 T _text\n"


@pytest.mark.parametrize(
    ("table", "level", "status", "outcome", "fix"),
    [
        (SHOWN, "0", NO_CAPABILITIES, "ok", ""),
        (HIDDEN, "1", PROFILING_CAPABILITIES, "warning", "record as root, or with CAP_SYSLOG"),
        (HIDDEN, "2", PROFILING_CAPABILITIES, "warning", "echo kernel.kptr_restrict=1 | sudo tee"),
        (HIDDEN, "1", NO_CAPABILITIES, "", ""),
    ],
)
def test_a_kernel_that_hides_its_functions_is_named_where_it_is_sampled(
    here: Surroundings, table: str, level: str, status: str, outcome: str, fix: str
) -> None:
    """An ordinary user's rings hold no stacks of the kernel's."""
    lay(here.root, "proc/kallsyms", table)
    lay(here.root, "proc/sys/kernel/kptr_restrict", level)
    lay(here.root, "proc/self/status", status)
    found = [check for check in run_checks(here) if check.name == "kernel names"]
    assert [check.outcome for check in found] == ([outcome] if outcome else [])
    assert all((check.fix or "").startswith(fix) for check in found)


def missing_rights(here: Surroundings) -> list[Check]:
    names = {"perf rights", "ptrace", "capabilities", "whose processes", "black box", "kernel names"}
    return [check for check in run_checks(here) if check.name in names and check.outcome != "ok"]


@pytest.mark.parametrize("paranoid", range(-1, 5))
@pytest.mark.parametrize("scope", range(4))
@pytest.mark.parametrize("status", [NO_CAPABILITIES, PROFILING_CAPABILITIES], ids=["none", "some"])
def test_every_right_that_is_missing_comes_with_what_to_type(
    here: Surroundings, paranoid: int, scope: int, status: str
) -> None:
    """Whatever the levels of perf and Yama, and whoever asks."""
    lay(here.root, "proc/sys/kernel/perf_event_paranoid", str(paranoid))
    lay(here.root, "proc/sys/kernel/yama/ptrace_scope", str(scope))
    lay(here.root, "proc/self/status", status)
    lay(here.root, "proc/kallsyms", HIDDEN)
    lay(here.root, "proc/sys/kernel/kptr_restrict", "1")

    def refuse(_rate_hz: int, _bytes: int, _scope: Scope) -> Rings:
        raise PermissionError(errno.EACCES, "no")

    found = missing_rights(replace(here, uid=1000, open_rings=refuse))
    assert found
    assert [check.name for check in found if not check.fix] == []
