"""Whose fault it is: the process of a family that burns."""

from __future__ import annotations

import pytest

from monitord.capture import find_burning
from monitord.errors import NotFoundError
from tests.capture import targets as t
from tests.capture.targets import Targets, key_of, stat_fields, wait_for


def test_the_burning_child_is_found_behind_its_launcher(targets: Targets) -> None:
    burner = targets.script(t.PYTHON_BURNER, "burner.py")
    launcher = targets.python(t.PYTHON_LAUNCHER, str(burner))

    def burning() -> list[int]:
        return [
            pid
            for pid, text in t.command_lines()
            if str(burner) in text
            and stat_fields(pid)[1] == str(launcher.pid)
            and int(stat_fields(pid)[11]) > 5
        ]

    wait_for(burning, "the child to burn")
    assert find_burning(launcher.pid) == key_of(burning()[0])


def test_a_process_that_burns_itself_is_itself(targets: Targets) -> None:
    process = targets.python(t.PYTHON_BURNER)
    assert find_burning(process.pid, 0.1) == key_of(process)


def test_a_quiet_family_is_represented_by_its_head(targets: Targets) -> None:
    process = targets.python(t.PYTHON_IDLER)
    assert find_burning(process.pid, 0.05) == key_of(process)


def test_no_such_process_is_said(targets: Targets) -> None:
    process = targets.python(t.PYTHON_IDLER)
    process.kill()
    process.wait()
    with pytest.raises(NotFoundError, match=str(process.pid)):
        find_burning(process.pid)
