"""A machine below a folder to install on."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitord.service import ServicePaths


@pytest.fixture
def place(tmp_path: Path) -> ServicePaths:
    """A Linux machine below a folder, with systemd running, seen by an ordinary user."""
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    return ServicePaths(
        platform="linux",
        program=("/usr/bin/env",),
        interpreter=Path("/usr/bin/env"),
        home=tmp_path / "home",
        user="alice",
        uid=1000,
        config_home=tmp_path / "home/.config",
        root=tmp_path,
    )
