"""Backups one after another in one folder: whole, cheap, tried, rotated; whatever ends a run half-way.

Past 400 lines, because every test stands on the same store, folder and names.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.actions.backups import back_up_again
from monitord.actions.workspace import Workspace
from monitord.errors import (
    BusyError,
    MonitordError,
    NotFoundError,
    PermissionDeniedError,
    StorageError,
    UsageError,
)
from monitord.model import Incident
from monitord.storage import RecentFilter, SQLiteProfileStore, StoreReader, open_store
from monitord.storage import backup_folder as kept
from monitord.storage.artefacts import DiskFullError
from monitord.storage.restoring import restore
from tests.unsharing import mounted

Maker = Callable[..., Incident]
NOW = datetime.now(UTC)


def stored(data_dir: Path) -> set[str]:
    with StoreReader(data_dir) as reader:
        return {record.correlation_id for record in reader.recent(RecentFilter(limit=None))}


@pytest.fixture
def filled(store: SQLiteProfileStore, make_incident: Maker) -> SQLiteProfileStore:
    for _ in range(3):
        store.save_incident(make_incident(payload=os.urandom(2000)))
    return store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "backups"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def workspace(filled: SQLiteProfileStore, folder: Path, tmp_path: Path) -> Workspace:
    config = tmp_path / "config.toml"
    config.write_text(f'[backup]\nfolder = "{folder}"\nkeep = 2\n[retention]\nmin_free_disk_mb = 0\n')
    return Workspace(filled.data_dir, config)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def whole(path: Path) -> None:
    """As far as its name and age go: a folder with a manifest."""
    path.mkdir()
    (path / "manifest.json").write_text("{}")


def files_below(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_ino
        for path in (folder / "artefacts").rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_a_second_backup_links_what_did_not_change(
    workspace: Workspace, filled: SQLiteProfileStore, make_incident: Maker, folder: Path, tmp_path: Path
) -> None:
    """Unchanged artefacts are the same files, a pinned incident's and new ones are not; both come back as they were."""
    before, first = stored(filled.data_dir), back_up_again(workspace)
    pinned = sorted(before)[0]
    filled.pin(pinned)
    filled.save_incident(make_incident(payload=os.urandom(2000)))
    second = back_up_again(workspace)
    old, new = files_below(first.path), files_below(second.path)
    changed = {name for name in new if new[name] != old.get(name)}
    assert {name for name in changed if name in old} == {
        name for name in old if pinned in name and "incident" in name
    }
    assert len(old.keys() - changed) == len(old) - 1
    for made, expected in ((first, before), (second, stored(filled.data_dir))):
        again = tmp_path / f"again-{made.path.name}"
        restore(made.path, again)
        assert stored(again) == expected
        assert open_store(again).verify() == []


def test_evidence_that_rots_in_the_store_stays_good_in_the_next_backup(
    workspace: Workspace, filled: SQLiteProfileStore
) -> None:
    """Its bytes rot while its header says the same: the earlier backup's good copy is taken over."""
    first = back_up_again(workspace)
    victim = max((filled.data_dir / "artefacts").rglob("*.zst"), key=lambda path: path.stat().st_size)
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-3] + b"rot")
    second = back_up_again(workspace)
    assert second.flaws == first.flaws == ()
    assert (second.path / "artefacts" / victim.name).read_bytes() == whole


def test_rotation_keeps_the_newest_and_what_is_not_ours(workspace: Workspace, folder: Path) -> None:
    """Of more than `keep` good backups the oldest go; another folder and a file of the owner stay."""
    (folder / "monitord-by-hand").mkdir()
    (folder / "notes.txt").write_text("mine")
    made = [back_up_again(workspace).path.name for _ in range(4)]
    assert names(folder) == sorted(["monitord-by-hand", "notes.txt", *made[-2:]])


def test_what_rotted_in_an_earlier_backup_is_copied_anew(workspace: Workspace, folder: Path) -> None:
    """A flipped bit in an old backup is not handed on by a link."""
    first = back_up_again(workspace)
    rotten = max((first.path / "artefacts").rglob("*.zst"), key=lambda path: path.stat().st_size)
    content = bytearray(rotten.read_bytes())
    content[-1] ^= 1
    rotten.write_bytes(content)
    second = back_up_again(workspace)
    assert second.flaws == ()
    assert (second.path / rotten.relative_to(first.path)).read_bytes() != bytes(content)


def test_a_damaged_store_is_backed_up_and_not_counted_as_good(
    workspace: Workspace, filled: SQLiteProfileStore, make_incident: Maker, folder: Path
) -> None:
    """Damaged evidence: the copy is there, named flawed, and no good one goes for it."""
    good = [back_up_again(workspace).path.name for _ in range(2)]
    filled.save_incident(make_incident(payload=os.urandom(20_000)))
    victim = max((filled.data_dir / "artefacts").rglob("*.zst"), key=lambda path: path.stat().st_size)
    victim.write_bytes(victim.read_bytes()[:-3])
    for _ in range(3):
        done = back_up_again(workspace)
        assert any(victim.name in flaw for flaw in done.flaws)
    flawed = [name for name in names(folder) if name.endswith("-flawed")]
    assert len(flawed) == 1, "the newest of them only: damage that stays must not fill the disk"
    assert names(folder) == sorted([*good, *flawed])
    status, said = errand(workspace)
    assert (status, flawed[0] in said, '"damaged"' in said) == (1, True, True)
    assert names(folder) == sorted([*good, *flawed]), "tried again every ten minutes: nothing new so soon"
    last = kept.last_good(folder, datetime.now(UTC) + timedelta(minutes=1))
    assert last is not None
    assert last.path.name == good[-1]


def errand(workspace: Workspace) -> tuple[int, str]:
    """Run the child as the recorder does: its status and its line."""
    code = "import sys; from monitord.actions.backup_errand import main; sys.exit(main())"
    words = [sys.executable, "-c", code, "--data-dir", str(workspace.data_dir)]
    words += ["--config", str(workspace.config_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        said = child.stdout.read()
    return child.returncode, said


@pytest.mark.parametrize("kind", ["empty folder", "file", "link", "link to a backup"])
def test_a_name_alone_is_no_backup(workspace: Workspace, folder: Path, tmp_path: Path, kind: str) -> None:
    """What is only called like a backup is not the last good one, takes nobody's turn, and stays."""
    good = [back_up_again(workspace).path for _ in range(2)]
    for hours in (-1, 0.2, 30):
        false = folder / kept.name_of(datetime.now(UTC) + timedelta(hours=hours), is_flawed=False)
        match kind:
            case "empty folder":
                false.mkdir()
            case "file":
                false.write_text("x")
            case "link":
                false.symlink_to(tmp_path)
            case _:
                false.symlink_to(good[-1])
    later = datetime.now(UTC) + timedelta(minutes=30)
    assert [each.path for each in kept.kept_backups(folder, later)] == good
    assert kept.rotate(folder, 2, later) == 0
    back_up_again(workspace)
    assert [path.exists() for path in good] == [False, True]
    assert tmp_path.is_dir()


@pytest.mark.parametrize("name", [".incoming", ".trial", f"..incoming.{'0' * 16}.part"])
@pytest.mark.parametrize("kind", ["file", "link", "folder with a link"])
def test_what_stands_in_the_way_of_a_run_goes_and_nothing_behind_it(
    workspace: Workspace, folder: Path, tmp_path: Path, name: str, kind: str
) -> None:
    """A file or a link where a run works does not stop the backups for ever; what it leads to stays."""
    behind = tmp_path / "behind"
    behind.mkdir()
    (behind / "mine").write_text("x")
    match kind:
        case "file":
            (folder / name).write_text("x")
        case "link":
            (folder / name).symlink_to(behind)
        case _:
            (folder / name).mkdir()
            (folder / name / "artefacts").symlink_to(behind)
    made = back_up_again(workspace)
    assert names(folder) == [made.path.name]
    assert (behind / "mine").read_text() == "x"


def test_two_stores_never_share_a_folder(
    workspace: Workspace, folder: Path, tmp_path: Path, make_incident: Maker
) -> None:
    """The second one is refused with the fix, by command and errand; its check says so; the first one's stay."""
    back_up_again(workspace)
    before = names(folder)
    with closing(open_store(tmp_path / "second")) as second:
        second.save_incident(make_incident(payload=b"x"))
    other = Workspace(tmp_path / "second", workspace.config_path)
    with pytest.raises(UsageError, match=r"of another data directory.*take another folder, or `rm "):
        back_up_again(other)
    status, said = errand(other)
    assert (status, "another data directory" in said) == (1, True)
    found = kept.check_age(kept.BackupFolder(folder, other.data_dir), 24, datetime.now(UTC))
    assert (found.is_ok, "another data directory" in found.detail) == (False, True)
    assert names(folder) == before
    (folder / ".lock").unlink()  # as it says
    back_up_again(other)
    with pytest.raises(UsageError):
        back_up_again(workspace)


CHANGES = frozenset({"os.rename", "os.link", "os.mkdir", "os.rmdir", "os.remove", "shutil.rmtree"})


def killed_at(workspace: Workspace, step: int) -> bool:
    """Make a backup in a fork that is killed before its change number `step`; whether it came so far."""
    pid = os.fork()
    if pid == 0:
        count = 0

        def hook(event: str, _words: tuple[Any, ...]) -> None:
            nonlocal count
            if event in CHANGES:
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            back_up_again(workspace)
        except MonitordError:
            os._exit(1)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.timeout(600)
def test_a_backup_killed_at_any_step_costs_no_other(
    workspace: Workspace, folder: Path, filled: SQLiteProfileStore, tmp_path: Path
) -> None:
    """After each kill -9 whatever has a name comes back, and the next run leaves nothing of the killed one."""
    for _ in range(2):  # the next one rotates, too
        back_up_again(workspace)
    expected, step = stored(filled.data_dir), 1
    while killed_at(workspace, step):
        held = kept.kept_backups(folder, datetime.now(UTC) + timedelta(hours=1))
        assert len(held) >= 2, f"step {step}"
        for each in held:
            assert (each.path / "manifest.json").is_file(), f"step {step}"
        step += 1
        if step % 7 == 0:
            again = tmp_path / f"again{step}"
            restore(held[-1].path, again)
            assert stored(again) == expected
    assert step > 20, "it made that many changes at least"
    assert [name for name in names(folder) if not name.startswith("monitord-")] == []
    assert len(names(folder)) == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 2 MB."""
    with mounted(tmp_path / "disk", "size=2m") as disk:
        yield disk


@pytest.mark.unshared
def test_a_disk_without_room_is_refused_before_and_in_the_middle(
    workspace: Workspace, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room: one line that says so, no half backup, the good one stays. Also when the room goes on the way."""
    assert workspace.config_path is not None
    workspace.config_path.write_text(
        f'[backup]\nfolder = "{small_disk}"\n[retention]\nmin_free_disk_mb = 0\n'
    )
    good = back_up_again(workspace).path.name
    free_bytes = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "ballast").write_bytes(b"x" * (free_bytes - 65_536))
    with pytest.raises(DiskFullError, match="needed beside"):
        back_up_again(workspace)
    monkeypatch.setattr(
        "monitord.actions.backups._check_room", lambda *_words: None
    )  # as if it went meanwhile
    with pytest.raises(StorageError):
        back_up_again(workspace)
    assert names(small_disk) == ["ballast", good]


def test_a_folder_that_is_not_ours_alone_is_refused(
    workspace: Workspace, folder: Path, tmp_path: Path
) -> None:
    """Missing, a link, a file, writable by others, another user's: a line with the fix, and nothing is written."""

    def refused(kind: type[MonitordError]) -> None:
        with pytest.raises(kind, match=r"try|expected|run as"):
            back_up_again(workspace)

    folder.chmod(0o777)
    refused(PermissionDeniedError)
    assert names(folder) == []
    folder.rename(tmp_path / "elsewhere")
    refused(NotFoundError)
    (tmp_path / "elsewhere").chmod(0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    refused(PermissionDeniedError)
    folder.unlink()
    folder.write_text("a file")
    refused(PermissionDeniedError)
    folder.unlink()
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
        refused(PermissionDeniedError)
    assert names(tmp_path / "elsewhere") == []


def test_nobody_configured_a_folder(filled: SQLiteProfileStore, tmp_path: Path) -> None:
    """Without DEST and without [backup] there is nowhere to go, and that is said."""
    config = tmp_path / "config.toml"
    config.write_text("")
    with pytest.raises(UsageError, match=r"\[backup\]"):
        back_up_again(Workspace(filled.data_dir, config))


def test_one_backup_at_a_time(workspace: Workspace, folder: Path) -> None:
    """Who comes second is told so."""
    with kept.held(kept.BackupFolder(folder, workspace.data_dir)), pytest.raises(BusyError):
        back_up_again(workspace)


def test_a_clock_that_was_wrong_hides_no_old_backup(folder: Path) -> None:
    """A backup dated in the future is not the last good one, makes none late, and is the first to go."""
    hours = {"old": -50, "last": -30, "future": 24 * 365}
    for hour in hours.values():
        whole(folder / kept.name_of(NOW + timedelta(hours=hour), is_flawed=False))
    last = kept.last_good(folder, NOW)
    assert last is not None
    assert last.path.name == kept.name_of(NOW - timedelta(hours=30), is_flawed=False)
    assert kept.is_due(last, 24, NOW)
    assert not kept.is_due(last, 48, NOW)
    kept.rotate(folder, 2, NOW)
    assert [each.made_at <= NOW for each in kept.kept_backups(folder, NOW)] == [True, True]


@pytest.mark.parametrize(("age_h", "is_ok"), [(1, True), (48, True), (50, False), (None, False)])
def test_an_old_backup_is_trouble(folder: Path, age_h: int | None, is_ok: bool) -> None:
    """Two missed turns, or none at all, make a failing check with a fix; a flawed one does not help."""
    whole(folder / kept.name_of(NOW, is_flawed=True))
    if age_h is not None:
        whole(folder / kept.name_of(NOW - timedelta(hours=age_h), is_flawed=False))
    found = kept.check_age(kept.BackupFolder(folder, folder.parent), 24, NOW)
    assert (found.is_ok, found.fix is None) == (is_ok, is_ok)


def test_the_errand_makes_what_is_due_and_nothing_more(workspace: Workspace, folder: Path) -> None:
    """The first run makes one; the next finds it young enough. What stands in its way is one line."""
    assert errand(workspace)[0] == 0
    made = names(folder)
    status, said = errand(workspace)
    assert status == 0
    assert made[0] in said
    assert names(folder) == made
    folder.chmod(0o777)
    (folder / made[0]).rename(folder / kept.name_of(NOW - timedelta(hours=30), is_flawed=False))
    status, said = errand(workspace)
    assert status == 1
    assert "can be written by others" in said


@pytest.mark.root
def test_the_errand_needs_nothing_of_a_capture_under_way(workspace: Workspace, folder: Path) -> None:
    """The folder of a capture belongs to another user, and the errand gave its rights up: it is not entered."""
    theirs = workspace.data_dir / "spool" / "capture"
    theirs.mkdir(mode=0o700, parents=True)
    os.chown(theirs, 65534, 65534)
    code = "import sys; from monitord.actions.backup_errand import main; sys.exit(main())"
    words = [sys.executable, "-c", code, "--data-dir", str(workspace.data_dir)]
    words += ["--config", str(workspace.config_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert '"ok"' in child.stdout.read()
    assert len(names(folder)) == 1
