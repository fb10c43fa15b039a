"""A store that is shared with a group: its members read it, and nobody else."""

from __future__ import annotations

import contextlib
import fcntl
import grp  # noqa: F401  whose file a member may not enter here
import os
import pwd  # noqa: F401
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.actions.assistants import hint_for_clients
from monitord.cli.context import CliContext
from monitord.config import places
from monitord.errors import PermissionDeniedError
from monitord.storage import check_data_dir, open_store
from monitord.storage.artefacts.providers.file import FileStorageProvider
from monitord.storage.queries import StoreReader
from monitord.storage.sharing import share_with_group
from monitord.storage.verifying import _verify_modes
from tests.contracts.test_providers import put
from tests.strangers import let_in

OWNER, GROUP, MEMBER, STRANGER = 4321, 4322, 4323, 4324


def modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode)
        for path in [folder, *folder.rglob("*")]
    }


def by(uid: int, groups: list[int], does: Callable[[], object]) -> str:
    """What it returns or raises with the rights of that user; what it needs is loaded before."""
    told, tells = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups(groups)
            os.setgid(uid)
            os.setuid(uid)
            said = str(does())
        except BaseException as error:  # noqa: BLE001 - it is the answer
            said = f"{type(error).__name__}: {error}"
        os.write(tells, said.encode())
        os._exit(0)
    os.close(tells)
    with open(told, encoding="utf-8") as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


def count(data: Path) -> int:
    with StoreReader(data) as reader:
        return reader.counts().incidents


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that everybody can enter and only root change."""
    return let_in(tmp_path)


@pytest.mark.parametrize(
    ("mode", "file", "folder"), [(0o700, 0o600, 0o700), (0o755, 0o600, 0o700), (0o2750, 0o640, 0o750)]
)
def test_what_is_recorded_is_as_open_as_the_directory_is_meant_to_be(
    mode: int, file: int, folder: int, tmp_path: Path
) -> None:
    """A directory that merely happens to be open is not shared: its setgid bit says that it is meant."""
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(mode)
    before = os.umask(0o027)
    try:
        open_store(data, create=True).close()
    finally:
        os.umask(before)
    found = modes(data)
    assert found["monitord.db"] == file
    assert found["artefacts"] & 0o777 == folder
    assert list(_verify_modes(data)) == []


@pytest.mark.root
def test_a_member_reads_a_stranger_is_told_and_neither_writes(place: Path) -> None:
    data = place / "data"
    data.mkdir(mode=0o700)
    open_store(data, create=True).close()
    share_with_group(data, OWNER, GROUP)
    assert count(data) == 0  # as root, who may, and everything is loaded
    assert by(MEMBER, [GROUP], lambda: count(data)) == "0"
    stranger = by(STRANGER, [], lambda: count(data))
    assert stranger.startswith("PermissionDeniedError")
    assert "may read it" in stranger
    writes = by(MEMBER, [GROUP], lambda: open_store(data, create=True))
    assert "you may only read what the machine's service recorded" in writes
    assert MEMBER not in {path.lstat().st_uid for path in [data, *data.rglob("*")]}


@pytest.mark.root
def test_a_shared_directory_that_others_could_exchange_is_not_read(place: Path) -> None:
    """Members trust what root put there, and nothing else."""
    above = place / "above"
    data = above / "data"
    data.mkdir(parents=True)
    os.chown(above, OWNER, OWNER)
    share_with_group(data, OWNER, GROUP)
    said = by(MEMBER, [GROUP], lambda: check_data_dir(data, reads=True))
    assert said.startswith("PermissionDeniedError")


@pytest.mark.root
def test_sharing_follows_no_link_and_opens_no_more_than_evidence(place: Path) -> None:
    data, precious = place / "data", place / "precious"
    (data / "artefacts").mkdir(parents=True)
    (data / "spool").mkdir(mode=0o700)
    precious.write_text("x")
    precious.chmod(0o600)
    (data / "monitord.db").symlink_to(precious)
    os.link(precious, data / "artefacts/linked")
    (data / "artefacts/folder").symlink_to(place)
    (data / "artefacts/one").write_text("x")
    (data / "mcp.token").write_text("x")
    (data / "mcp.token").chmod(0o600)
    share_with_group(data, OWNER, GROUP)
    status = precious.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, 0o600)
    assert stat.S_IMODE((data / "mcp.token").stat().st_mode) == 0o600
    assert stat.S_IMODE((data / "spool").stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "artefacts/one").stat().st_mode) == 0o640


@pytest.mark.root
def test_everything_in_a_store_is_its_new_owners(place: Path) -> None:
    """What stays closed to the group, too: else the service can't use its own spool, locks and migrations."""
    data = place / "data"
    data.mkdir(mode=0o700)
    open_store(data, create=True).close()
    for name in ("spool/under-way", "quarantine", "pending/some"):
        (data / name).mkdir(parents=True)
        (data / name / "file").write_text("x")
    for name in (
        "capture.lock",
        "migration.lock",
        "monitord.db.damaged-1",
        "messages.json",
        "artefacts/.lock",
    ):
        (data / name).touch(mode=0o640)
    for path in [data, *data.rglob("*")]:
        os.chown(path, 61184, 61184)
    share_with_group(data, OWNER, GROUP)
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in [data, *data.rglob("*")]} == {
        (OWNER, GROUP)
    }
    opened = {name for name, mode in modes(data).items() if mode & 0o070}
    assert {each.partition("/")[0] for each in opened} <= {".", "monitord.db", "artefacts"}
    assert "artefacts/.lock" not in opened
    assert by(OWNER, [], lambda: open_store(data, create=True).close()) == "None"


@pytest.mark.root
def test_a_reader_holds_no_lock_that_a_writer_waits_for(place: Path) -> None:
    """Who can open a file or a folder can hold its lock, for ever."""
    data = place / "data"
    data.mkdir(mode=0o700)
    open_store(data, create=True).close()
    share_with_group(data, OWNER, GROUP)
    with (
        contextlib.closing(FileStorageProvider(data / "artefacts")) as artefacts,
        contextlib.ExitStack() as held,
    ):
        put(artefacts, "a/b", b"1")
        for path in [path for path in [data, *data.rglob("*")] if path.stat().st_mode & 0o040]:
            descriptor = os.open(path, os.O_RDONLY)
            held.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        put(artefacts, "a/c", b"2", replace=False)
        assert artefacts.delete("a/b")
        assert list(artefacts.list()) == ["a/c"]
    assert by(MEMBER, [GROUP], lambda: (data / "artefacts/a/c").read_bytes()[-1:]) == "b'2'"


def test_a_daemon_never_records_into_what_it_may_only_read(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(data, OWNER, OWNER)
        with pytest.raises(PermissionDeniedError):
            check_data_dir(data, create=True, owners_alone="monitord run")
    check_data_dir(data if os.geteuid() != 0 else tmp_path, reads=True)


@pytest.mark.root
def test_an_ordinary_user_finds_the_machines_store_unless_there_is_an_own_one(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that holds a token only is not a store; who records is never given the machine's."""
    machine, state = place / "machine", place / "state"
    machine.mkdir()
    share_with_group(machine, OWNER, GROUP)
    state.mkdir()
    os.chown(state, MEMBER, MEMBER)
    monkeypatch.setattr(places, "SYSTEM_DATA_DIR", machine)
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    own = state / "monitord"
    assert places.resolve_data_dir(None, {}) == machine  # root's, and platformdirs is loaded

    def found(records: bool) -> str:
        return by(MEMBER, [GROUP], lambda: places.resolve_data_dir(None, {}, records=records))

    def token_lies() -> str:
        return by(MEMBER, [GROUP], lambda: CliContext(data_dir_flag=machine).own_folder())

    import platformdirs  # noqa: F401  whose files a member may not enter here

    assert (found(False), found(True), token_lies()) == (str(machine), str(own), str(own))
    own.mkdir()
    (own / "web.token").touch()
    assert found(False) == str(machine)
    (own / "monitord.db").touch()
    assert (found(False), found(True)) == (str(own), str(own))


@pytest.mark.root
def test_who_sets_an_assistant_up_is_told_what_its_client_could_not_read(place: Path) -> None:
    data = place / "data"
    data.mkdir()
    share_with_group(data, OWNER, GROUP)
    assert by(MEMBER, [GROUP], lambda: hint_for_clients(data)) == "None"
    said = by(STRANGER, [], lambda: hint_for_clients(data))
    assert said.startswith("the client may not read what the machine's service recorded: ")
