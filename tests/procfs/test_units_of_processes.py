"""Which unit a process runs in, from its control group as /proc tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitord.procfs.cgroups import unit_of


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("0::/system.slice/monitord.service\n", "monitord.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/monitord.service\n", "monitord.service"),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope"),
        ("0::/\n", None),
        ("", None),
        ("garbage", None),
    ],
)
def test_the_unit_of_a_process(text: str, unit: str | None, tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/cgroup").write_text(text)
    assert unit_of(7, str(tmp_path)) == unit


def test_a_process_that_is_gone_has_none(tmp_path: Path) -> None:
    assert unit_of(7, str(tmp_path)) is None
