"""What removing the service takes away, and what it leaves."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.errors import MonitordError, PermissionDeniedError
from monitord.service import ServicePaths, apply, plan_install, plan_uninstall
from tests.service.machine import Manager


def test_uninstalling_keeps_the_data_unless_purged(place: ServicePaths, tmp_path: Path) -> None:
    apply(plan_install(False, place), run=Manager())
    data = tmp_path / "state"
    (data / "artefacts").mkdir(parents=True)
    manager = Manager(fails="disable")
    apply(plan_uninstall(False, place), run=manager)
    assert not place.unit_path(system=False).exists()
    assert data.exists()
    assert manager.told == [
        "systemctl --user disable --now monitord.service",
        "systemctl --user daemon-reload",
        "systemctl --user reset-failed monitord.service",
    ]
    apply(plan_uninstall(False, place, purge=data), run=Manager())
    assert not data.exists()


def test_purging_removes_nothing_that_is_not_monitords(place: ServicePaths, tmp_path: Path) -> None:
    other = tmp_path / "documents"
    other.mkdir()
    (other / "thesis").write_text("x")
    with pytest.raises(MonitordError, match="does not hold monitord"):
        apply(plan_uninstall(False, place, purge=other), run=Manager())
    (tmp_path / "link").symlink_to(other)
    with pytest.raises(MonitordError, match="is a link or not a directory"):
        apply(plan_uninstall(False, place, purge=tmp_path / "link"), run=Manager())
    assert (other / "thesis").exists()


def test_a_folder_named_as_ours_among_others_is_not_a_store(place: ServicePaths, tmp_path: Path) -> None:
    """Builds have folders called artefacts, too; and a store in a home costs nobody the home."""
    project, home = tmp_path / "project", Path.home()
    (project / "artefacts").mkdir(parents=True)
    (project / "thesis").touch()
    with pytest.raises(MonitordError, match="does not hold monitord"):
        apply(plan_uninstall(False, place, purge=project), run=Manager())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(project / "home"))
        (project / "home").mkdir()
        (project / "monitord.db").touch()
        with pytest.raises(MonitordError, match="home is in it"):
            apply(plan_uninstall(False, place, purge=project), run=Manager())
    assert (project / "thesis").exists()
    assert Path.home() == home


@pytest.mark.root
def test_root_purges_nothing_whose_place_another_user_could_exchange(
    place: ServicePaths, tmp_path: Path
) -> None:
    """Between the look and the removal, a folder above it could become a link to anybody's."""
    home = tmp_path / "alice"
    data, config = home / "state", home / "config"
    for folder in (data / "artefacts", config):
        folder.mkdir(parents=True)
        os.chown(folder, 4321, 4321)
    for folder in (data, home):
        os.chown(folder, 4321, 4321)
    with pytest.raises(PermissionDeniedError, match="try it as that user"):
        apply(plan_uninstall(False, place, purge=data), run=Manager())
    with pytest.raises(PermissionDeniedError, match="try it as that user"):
        apply(plan_uninstall(False, place, purge=tmp_path / "none", config=config), run=Manager())
    assert data.exists()
    assert config.exists()


def test_purging_the_system_service_removes_what_a_dynamic_user_left(
    place: ServicePaths, tmp_path: Path
) -> None:
    """The state lies behind systemd's link, whether the unit is still there or not; both are gone afterwards."""
    real, link = tmp_path / "private/monitord", tmp_path / "monitord"
    (real / "artefacts").mkdir(parents=True)
    link.symlink_to("private/monitord")
    done = apply(plan_uninstall(True, replace(place, uid=0), purge=link), run=Manager(fails="disable"))
    assert f"removed {real}" in done
    assert not real.exists()
    assert not link.is_symlink()
    assert f"{link} does not exist; nothing to remove" in apply(
        plan_uninstall(True, replace(place, uid=0), purge=link), run=Manager()
    )


def test_a_purge_takes_the_configuration_and_nothing_beside_it(place: ServicePaths, tmp_path: Path) -> None:
    apply(plan_install(False, place), run=Manager())
    data, config, other = tmp_path / "state", place.config_home / "monitord", place.config_home / "other"
    for folder in (data / "artefacts", config, other):
        folder.mkdir(parents=True)
    drop_in = place.unit_path(system=False).parent / "monitord.service.d"
    drop_in.mkdir()
    apply(plan_uninstall(False, place, config=config), run=Manager())
    assert config.exists()
    assert drop_in.exists()
    apply(plan_uninstall(False, place, purge=data, config=config), run=Manager())
    assert [path for path in (data, config, drop_in) if path.exists()] == []
    assert other.exists()


def test_a_purge_of_the_machines_service_takes_what_the_install_made(place: ServicePaths) -> None:
    """A user, a group or a folder in /opt that was there before the install is somebody else's."""
    root = replace(place, uid=0)
    made, config = place.root / "etc/sysusers.d/monitord.conf", place.root / "etc/monitord"
    (place.root / "opt/monitord").mkdir(parents=True)
    theirs = plan_uninstall(True, root, purge=place.data_dir, config=config).text()
    assert "groupdel" not in theirs
    assert str(place.root / "opt/monitord") not in theirs
    (place.root / "opt/monitord/versions").mkdir()
    made.parent.mkdir(parents=True)
    made.touch()
    ours = plan_uninstall(True, root, purge=place.data_dir, config=config).text().splitlines()
    assert "$ groupdel monitord" in ours
    steps = [line for line in ours if not line.startswith("# the ")]
    assert steps[-1] == f"# remove {place.root}/opt/monitord and all that is in it"


def test_the_purge_of_a_link_is_refused(place: ServicePaths, tmp_path: Path) -> None:
    """A configuration folder that somebody replaced by a link to his documents."""
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/thesis").touch()
    config = place.config_home / "monitord"
    config.parent.mkdir(parents=True)
    config.symlink_to(tmp_path / "documents")
    with pytest.raises(MonitordError, match="is a link"):
        apply(plan_uninstall(False, place, purge=tmp_path / "none", config=config), run=Manager())
    assert (tmp_path / "documents/thesis").exists()
