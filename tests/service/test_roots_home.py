"""A service of root's own is written into root's home alone: HOME may be another user's."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.errors import PermissionDeniedError
from monitord.service import ServicePaths, apply, plan_install, plan_uninstall
from tests.service.machine import Manager


@pytest.mark.root
@pytest.mark.parametrize("platform", ["linux", "darwin"])
@pytest.mark.parametrize("verb", ["install", "upgrade", "uninstall"])
def test_root_writes_no_service_of_its_own_where_another_user_can_put_links(
    verb: str, platform: str, place: ServicePaths, tmp_path: Path
) -> None:
    """`su` and some a sudo leave HOME as it was: what is written below it goes where its owner wants."""
    precious = tmp_path / "etc/systemd/system"
    precious.mkdir(parents=True)
    (precious / "monitord.service").write_text("the machine's")
    place.home.mkdir()
    (place.config_home / "systemd").mkdir(parents=True)
    (place.config_home / "systemd/user").symlink_to(precious)
    (place.home / "Library").symlink_to(precious)
    for folder in (place.home, place.config_home, place.config_home / "systemd"):
        os.chown(folder, 4321, 4321)
    root = replace(place, uid=0, platform=platform)
    plan = plan_uninstall(False, root) if verb == "uninstall" else plan_install(False, root, verb=verb)
    manager = Manager()
    with pytest.raises(
        PermissionDeniedError, match=f"cannot {verb} root's own service .* belongs to uid 4321"
    ):
        apply(plan, run=manager)
    assert manager.told == []
    assert [path.name for path in precious.iterdir()] == ["monitord.service"]
    assert (precious / "monitord.service").read_text() == "the machine's"


@pytest.mark.root
def test_root_installs_a_service_of_its_own_in_its_own_home(place: ServicePaths) -> None:
    apply(plan_install(False, replace(place, uid=0)), run=Manager())
    assert place.unit_path(system=False).is_file()
