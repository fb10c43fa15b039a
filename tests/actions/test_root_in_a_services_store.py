"""Root in a data directory of another user: what that user put there leads it nowhere, and what it makes is theirs."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from monitord.actions.backups import back_up, restore
from monitord.actions.capturing import _spool
from monitord.actions.event_copy import copy_events
from monitord.actions.shipping import ship
from monitord.actions.workspace import Workspace
from monitord.analytics.tiers import forget
from monitord.errors import PermissionDeniedError, StorageError
from monitord.storage import open_store
from monitord.storage.artefact_store import open_folder
from monitord.storage.mending import keep_as_text
from tests.fleet.hosts import an_incident
from tests.fleet.test_shipping import NOON

pytestmark = pytest.mark.root
SERVICE = 62432
OWNERS_ALONE: dict[str, Callable[[Workspace], object]] = {"fleet ship": ship, "events copy": copy_events}
"""Commands that write by path in folders below; `run` and the recorder's tiering are held by tests/storage."""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Where a link of the service leads: nothing may come there."""
    folder = tmp_path / "elsewhere"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A store with an incident, all of it a service's."""
    data_dir, config = tmp_path / "data", tmp_path / "config.toml"
    config.write_text(
        f'[ship]\nurl = "file://{tmp_path}/bucket"\n[events]\nurl = "sqlite:///{tmp_path}/e.db"\n'
    )
    with closing(open_store(data_dir)) as store:
        store.save_incident(an_incident(NOON))
    (data_dir / "warm").mkdir(mode=0o700)
    for path in (data_dir, *data_dir.rglob("*")):
        os.chown(path, SERVICE, SERVICE)
    return Workspace(data_dir, config)


@pytest.mark.parametrize("mode", [0o700, 0o2750])
@pytest.mark.parametrize("name", OWNERS_ALONE)
def test_a_command_that_writes_by_path_is_its_owners_alone(
    workspace: Workspace, elsewhere: Path, name: str, mode: int
) -> None:
    """In one line, with what to type; before a byte is written; also where a group may read (0o2750)."""
    workspace.data_dir.chmod(mode)
    (workspace.data_dir / "ship").symlink_to(elsewhere)
    before = sorted(path.name for path in workspace.data_dir.iterdir())
    with pytest.raises(PermissionDeniedError, match=rf"try `sudo -u '#{SERVICE}' monitord {name}`"):
        OWNERS_ALONE[name](workspace)
    assert sorted(path.name for path in workspace.data_dir.iterdir()) == before
    assert not [*elsewhere.iterdir()]


def test_what_is_deleted_is_noted_as_the_services(workspace: Workspace, elsewhere: Path) -> None:
    forget(workspace.data_dir, ["an-id"])
    noted = workspace.data_dir / "warm" / "forgotten"
    assert [path.stat().st_uid for path in (noted, noted / "an-id")] == [SERVICE, SERVICE]
    (noted / "an-id").unlink()
    noted.rmdir()
    noted.symlink_to(elsewhere)
    with pytest.raises(StorageError, match="nothing was deleted"):
        forget(workspace.data_dir, ["an-id"])
    assert not [*elsewhere.iterdir()]


def test_what_can_not_be_read_is_kept_aside_as_the_services(workspace: Workspace, elsewhere: Path) -> None:
    artefacts = open_folder(workspace.data_dir / "artefacts")
    keep_as_text(artefacts, "incident", {"id": 7})
    kept = workspace.data_dir / "quarantine"
    (row,) = kept.iterdir()
    assert [path.stat().st_uid for path in (kept, row)] == [SERVICE, SERVICE]
    row.unlink()
    kept.rmdir()
    kept.symlink_to(elsewhere)
    with pytest.raises(OSError, match="directory"):
        keep_as_text(artefacts, "incident", {"id": 7})
    assert not [*elsewhere.iterdir()]


def test_profilers_of_root_write_elsewhere(workspace: Workspace, elsewhere: Path) -> None:
    (workspace.data_dir / "spool").symlink_to(elsewhere)
    with _spool(workspace.data_dir, "an-id") as folder:
        assert (folder.stat().st_uid, folder.stat().st_mode & 0o777) == (0, 0o700)
        assert not folder.resolve().is_relative_to(elsewhere)
        assert not [*elsewhere.iterdir()]
    assert not folder.exists()


def test_what_is_restored_becomes_the_services_from_the_inside_out(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new owner of a folder could put links into it before the files below change hands."""
    back_up(workspace, tmp_path / "backup")
    empty = Workspace(tmp_path / "empty", workspace.config_path)
    empty.data_dir.mkdir(mode=0o700)
    os.chown(empty.data_dir, SERVICE, SERVICE)
    above: set[int] = set()
    real = os.chown

    def seen(path: Path, *owner: int, **options: bool) -> None:
        above.update(folder.stat().st_uid for folder in Path(path).parents)
        real(path, *owner, **options)

    monkeypatch.setattr("os.chown", seen)
    restore(empty, tmp_path / "backup")
    assert above == {0}
    assert {path.lstat().st_uid for path in empty.data_dir.rglob("*")} == {SERVICE}


def test_no_backup_goes_where_somebody_else_could_exchange_it(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless they typed sudo; a folder for everybody (/tmp) keeps what is root's."""
    theirs, everybodys = tmp_path / "home", tmp_path / "tmp"
    for folder, mode in ((theirs, 0o700), (everybodys, 0o1777)):
        folder.mkdir()
        folder.chmod(mode)
    os.chown(theirs, SERVICE + 1, SERVICE + 1)
    with pytest.raises(PermissionDeniedError, match=r"cannot back up below .*home"):
        back_up(workspace, theirs / "backup")
    assert not [*theirs.iterdir()]
    back_up(workspace, everybodys / "backup")
    monkeypatch.setenv("SUDO_UID", str(SERVICE + 1))
    monkeypatch.setenv("SUDO_GID", str(SERVICE + 1))
    back_up(workspace, theirs / "backup")
