"""The fix for a missing right is true: of a traced process, and for root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest

from monitord.capture.consent import permission_fix, unread_fix
from tests.capture import targets as t
from tests.capture.targets import Targets, wait_for


def test_nobody_who_is_root_is_told_to_become_root(targets: Targets) -> None:
    fix = permission_fix(targets.python(t.PYTHON_IDLER).pid)
    assert ("run monitord as root" in fix) == (os.geteuid() != 0)
    assert "CAP_SYS_PTRACE" in fix


@pytest.mark.parametrize(
    ("unread", "fixes", "others"),
    [
        ({"task/8/stack": "permission denied"}, ["sudo cat /proc/7/task/*/stack", "CAP_SYS_ADMIN"], ["CAP_SYS_PTRACE"]),
        ({"io": "permission denied"}, ["CAP_SYS_PTRACE"], ["stack", "CAP_SYS_ADMIN"]),
        ({"io": "operation not permitted", "task/8/stack": "permission denied"}, ["CAP_SYS_PTRACE", "CAP_SYS_ADMIN"], []),
        ({"io": "no such process"}, [], ["CAP"]),
        ({}, [], ["CAP"]),
    ],
    ids=str,
)  # fmt: skip
def test_what_was_refused_has_the_right_that_it_takes(
    unread: dict[str, str], fixes: list[str], others: list[str]
) -> None:
    """A stack of the kernel's takes another right than the rest; what is only gone takes none."""
    fix = unread_fix(7, {f"/proc/7/{name}": why for name, why in unread.items()}) or ""
    assert all(one in fix for one in fixes)
    assert not any(one in fix for one in others)


def test_of_a_traced_process_the_tracer_is_named(
    targets: Targets, require_tool: Callable[[str], str]
) -> None:
    process = targets.python(t.PYTHON_IDLER)
    strace = subprocess.Popen(
        [require_tool("strace"), "-q", "-p", str(process.pid)], stderr=subprocess.DEVNULL
    )
    try:
        with open(f"/proc/{process.pid}/status") as status:

            def is_traced() -> bool:
                status.seek(0)
                return f"TracerPid:\t{strace.pid}" in status.read()

            wait_for(is_traced, "strace to attach")
        assert f"process {strace.pid} (strace)" in permission_fix(process.pid)
    finally:
        strace.kill()
        strace.wait()
