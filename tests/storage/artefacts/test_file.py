"""Artefacts as files: what is planted leads nowhere, what breaks off leaves nothing, a full disk is said and survived."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord.storage.artefacts.errors import (
    AccessDeniedError,
    ArtefactError,
    ArtefactExistsError,
    DamagedArtefactError,
    DiskFullError,
    MissingArtefactError,
)
from monitord.storage.artefacts.providers.file import FileStorageConfig, FileStorageProvider
from tests.contracts.test_providers import KEY, get, put
from tests.unsharing import mounted, remount


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[FileStorageProvider]:
    opened = FileStorageProvider(tmp_path / "artefacts")
    yield opened
    opened.close()


def plant_all(folder: Path, victim: Path) -> tuple[str, ...]:
    """A link, a pipe, a second name of a victim, a socket, a link that leads nowhere."""
    (folder / "link").symlink_to(victim)
    os.mkfifo(folder / "pipe")
    os.link(victim, folder / "second-name")
    (folder / "nowhere").symlink_to(folder / "absent")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
    return ("link", "pipe", "second-name", "nowhere", "socket")


def test_what_is_planted_is_never_read(provider: FileStorageProvider, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for key in plant_all(provider.base_path, victim):
        for use in (provider.retrieve, provider.get_metadata):
            with pytest.raises(DamagedArtefactError, match="regular file"):
                use(key)
        with pytest.raises(ArtefactExistsError):
            put(provider, key, b"x", replace=False)
    assert list(provider.list()) == ["second-name"]


@pytest.mark.parametrize("deletes", [False, True])
def test_what_is_planted_is_never_written_through(
    provider: FileStorageProvider, tmp_path: Path, deletes: bool
) -> None:
    """The name is taken from it; what it led to stays as it was."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for key in plant_all(provider.base_path, victim):
        if deletes:
            provider.delete(key)
        assert get(provider, put(provider, key, b"ours").key)[1] == b"ours"
    assert victim.read_text() == "precious"
    assert victim.stat().st_nlink == 1


def test_a_link_among_the_folders_of_a_key_leads_nowhere(
    provider: FileStorageProvider, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    (elsewhere / "x").write_text("precious")
    (provider.base_path / "sub").symlink_to(elsewhere)
    put(provider, "real/x", b"x")
    (provider.base_path / "real" / "sub").symlink_to(elsewhere)
    for key in ("sub/x", "sub/deep/x", "real/sub/x"):
        for use in (provider.retrieve, provider.get_metadata, provider.set_aside):
            with pytest.raises(MissingArtefactError):
                use(key)
        assert provider.delete(key) == 0
        with pytest.raises(ArtefactError, match="cannot store"):
            put(provider, key, b"ours")
    assert list(provider.list()) == ["real/x"]
    assert list(provider.list("sub/")) == []
    assert sorted(path.name for path in elsewhere.rglob("*")) == ["deep", "x"]
    assert (elsewhere / "x").read_text() == "precious"


def test_the_held_folder_is_used_whatever_takes_its_place(
    provider: FileStorageProvider, tmp_path: Path
) -> None:
    """Names are opened below the descriptor, not below the path."""
    (tmp_path / "elsewhere").mkdir()
    provider.base_path.rename(tmp_path / "moved")
    provider.base_path.symlink_to(tmp_path / "elsewhere")
    put(provider, "a/b", b"data")
    assert get(provider, "a/b")[1] == b"data"
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (tmp_path / "moved" / "a" / "b").is_file()


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o1777])
def test_a_folder_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "artefacts"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(AccessDeniedError, match="chmod 700"):
        FileStorageProvider(folder)


def test_a_link_a_file_or_nothing_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    from monitord.errors import StorageError

    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").write_text("")
    for name in ("link", "file", "absent/below"):
        with pytest.raises(StorageError, match="cannot open"):
            FileStorageProvider(tmp_path / name)
    with pytest.raises(StorageError, match="cannot open"):
        FileStorageProvider(tmp_path / "absent", FileStorageConfig(create=False))
    assert not (tmp_path / "absent").exists()


@pytest.mark.root
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """For everybody but root, who may tidy a service's."""
    folder = tmp_path / "artefacts"
    folder.mkdir(mode=0o755)
    code = (
        "import os, sys, pathlib\n"
        "from monitord.storage.artefacts.providers.file import FileStorageProvider\n"
        "os.chdir(sys.argv[1]); os.chmod('.', 0o755)\n"  # its parents are closed to the other user
        "os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "try: FileStorageProvider(pathlib.Path('artefacts'))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    assert done.stdout.startswith("AccessDeniedError cannot use artefacts: others may write there"), done


def test_nobody_else_can_look_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        provider = FileStorageProvider(tmp_path / "artefacts")
        put(provider, "a/b/c", b"data")
        put(provider, "d", b"data")
        provider.set_aside("d")
        provider.close()
    finally:
        os.umask(before)
    for path in [*tmp_path.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.root
def test_what_root_writes_belongs_to_the_folders_owner(tmp_path: Path) -> None:
    """Files, folders and the quarantine: the service must be able to use and to remove them."""
    folder = tmp_path / "artefacts"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65533)
    provider = FileStorageProvider(folder)
    put(provider, "a/b/c", b"data")
    put(provider, "d", b"data", replace=False)
    provider.set_aside("d")
    provider.close()
    for path in (folder, *folder.rglob("*"), tmp_path / "quarantine", *(tmp_path / "quarantine").iterdir()):
        assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65533), path


def test_temporary_files_are_removed_when_nobody_writes_them(provider: FileStorageProvider) -> None:
    """One left by a process that was killed goes; one that another process is writing stays."""
    (provider.base_path / ".0123456789abcdef.part").write_bytes(b"left")
    code = (
        "import fcntl, sys; f = open(sys.argv[1], 'wb'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True);"
        "sys.stdin.read()"
    )
    busy = provider.base_path / ".fedcba9876543210.part"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout
    assert holder.stdout.readline() == b"held\n"
    assert provider.parts() == (".0123456789abcdef.part",)
    assert provider.remove_parts() == 1
    assert [path.name for path in provider.base_path.iterdir()] == [busy.name]
    holder.communicate()
    assert provider.remove_parts() == 1


WRITER = """
import os, sys, pathlib
from monitord.storage.artefacts.metadata import BytesPayload, DerivedPayload
from monitord.storage.artefacts.providers.file import FileStorageProvider
from tests.contracts.test_providers import described

def slow(chunks):
    for chunk in chunks:
        yield chunk
        print("written", flush=True)
        sys.stdin.readline()

provider = FileStorageProvider(pathlib.Path(sys.argv[1]))
payload = BytesPayload(b"x" * 1_000_000)
provider.store("key", DerivedPayload(payload, slow), described("key", payload))
"""


def test_a_writer_that_is_killed_leaves_nothing_to_be_seen(provider: FileStorageProvider) -> None:
    """The old artefact is whole; what the writer left is found abandoned and removed."""
    before = put(provider, "key", b"before")
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, provider.base_path],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert writer.stdout
    assert writer.stdout.readline() == b"written\n"
    assert provider.parts() == ()
    assert provider.total_bytes() >= before.stored_size
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert get(provider, "key") == (before, b"before")
    assert len(provider.parts()) == 1
    assert provider.remove_parts() == 1
    assert [path.name for path in provider.base_path.iterdir()] == ["key"]


def test_a_writer_killed_between_two_names_is_made_whole(provider: FileStorageProvider) -> None:
    """What must not replace has two names for a moment; tidying takes the temporary one away."""
    put(provider, KEY, b"data")
    os.link(provider.path(KEY), provider.base_path / ".0123456789abcdef.part")
    with pytest.raises(DamagedArtefactError):
        provider.get_metadata(KEY)
    assert provider.remove_parts() == 1
    assert get(provider, KEY)[1] == b"data"


def test_keys_that_are_folders_of_others_are_refused(provider: FileStorageProvider) -> None:
    """Not silently lost, and possible as soon as the other one is gone."""
    put(provider, "a/b", b"inner")
    for replacing in (True, False):
        with pytest.raises(ArtefactError, match="cannot store"):
            put(provider, "a", b"outer", replace=replacing)
        with pytest.raises(ArtefactError, match="cannot store"):
            put(provider, "a/b/c", b"deeper", replace=replacing)
    assert list(provider.list()) == ["a/b"]
    provider.delete("a/b")
    put(provider, "a", b"outer")
    assert list(provider.list()) == ["a"]
    provider.delete("a")
    (provider.base_path / "a" / "b" / "c").mkdir(parents=True)  # left by a crash
    shutil.rmtree(provider.base_path / "a" / "b")
    put(provider, "a", b"outer", replace=False)
    assert get(provider, "a")[1] == b"outer"


def test_storing_beside_deletions_always_works(provider: FileStorageProvider) -> None:
    """A folder that a deletion takes away at the same moment is made again."""
    failed: list[Exception] = []

    def work(name: str) -> None:
        try:
            for _time in range(150):
                put(provider, f"same/folder/{name}", b"data", replace=False)
                provider.delete(f"same/folder/{name}")
        except Exception as error:  # noqa: BLE001 - shown below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert list(provider.base_path.iterdir()) == []


def test_setting_aside_overwrites_nothing(provider: FileStorageProvider, tmp_path: Path) -> None:
    """The same key as often as one likes, also from below folders, into the folder that was chosen."""
    chosen = FileStorageProvider(tmp_path / "artefacts", FileStorageConfig(quarantine=tmp_path / "aside"))
    for data in (b"one", b"two"):
        put(provider, KEY, data)
        chosen.set_aside(KEY)
        put(provider, "a/b/c", data)
        provider.set_aside("a/b/c")
    kept = sorted(path.name for path in (tmp_path / "aside").iterdir())
    assert len(kept) == 2
    assert all(name.startswith(f"{KEY}.") for name in kept)
    assert all(path.name.startswith("a_b_c.") for path in (tmp_path / "quarantine").iterdir())
    assert list(provider.base_path.iterdir()) == []
    chosen.close()


def test_sizes_are_those_of_the_files(provider: FileStorageProvider) -> None:
    """All files count, temporary ones too."""
    stored = [put(provider, key, b"x" * 1000).stored_size for key in ("a/b", "c")]
    assert provider.stored_bytes("a/b") == provider.path("a/b").stat().st_size == stored[0]
    assert provider.stored_bytes("a") == provider.stored_bytes("absent") == 0
    (provider.base_path / ".0123456789abcdef.part").write_bytes(b"12345")
    assert provider.total_bytes() == sum(stored) + 5


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_no_descriptor_is_left_open(provider: FileStorageProvider) -> None:
    """Neither by what works nor by what is refused, half read or never read."""

    def use_all() -> None:
        put(provider, "a/b", b"x" * 1_000_000)
        get(provider, "a/b")
        provider.retrieve("a/b")
        _metadata, chunks = provider.retrieve("a/b")
        next(chunks)
        chunks.close()
        next(provider.list())
        (provider.base_path / "bad").write_bytes(b"no artefact")
        for key in ("bad", "absent", "a/b/c", "a"):
            for use in (provider.retrieve, provider.get_metadata):
                with pytest.raises(ArtefactError):
                    use(key)
        for key in ("bad/x", "a/b/c/d", "a"):
            with pytest.raises(ArtefactError):
                put(provider, key, b"")
        provider.delete("bad")
        provider.delete("a/b")

    use_all()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _time in range(5):
        use_all()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.fixture(params=["size=4m", "size=64m,nr_inodes=40"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A tmpfs with little room for bytes, or for files."""
    with mounted(tmp_path / "disk", request.param) as disk:
        yield disk


@pytest.mark.unshared
def test_a_full_disk_is_said_and_survived(small_disk: Path) -> None:
    """What was acknowledged verifies, what was refused leaves nothing, and with room again it goes on."""
    provider = FileStorageProvider(small_disk / "artefacts")
    acknowledged: dict[str, bytes] = {}
    refused: list[str] = []
    for n in range(400):
        data = os.urandom(20_000)
        try:
            put(provider, f"key-{n}", data, replace=n % 2 == 0)
        except DiskFullError as error:
            refused.append(str(error))
            continue
        acknowledged[f"key-{n}"] = data
    assert acknowledged
    assert len(refused) > 10
    assert all("free space" in line for line in refused)
    assert sorted(acknowledged) == list(provider.list())
    assert provider.parts() == ()
    assert all(get(provider, key)[1] == data for key, data in acknowledged.items())
    with pytest.raises(DiskFullError):
        put(provider, next(iter(acknowledged)), os.urandom(5_000_000))  # in an old one's place
    assert all(get(provider, key)[1] == data for key, data in acknowledged.items())
    for key in list(acknowledged)[:2]:
        assert provider.delete(key) > 0
    put(provider, "again", b"data")
    assert get(provider, "again")[1] == b"data"
    provider.close()


@pytest.mark.unshared
@pytest.mark.parametrize("small_disk", ["size=4m"], indirect=True)
def test_a_read_only_disk_is_denied_access(small_disk: Path) -> None:
    provider = FileStorageProvider(small_disk / "artefacts")
    put(provider, KEY, b"data")
    remount(small_disk, is_read_only=True)
    for use in (
        lambda: put(provider, KEY, b"new"),
        lambda: provider.delete(KEY),
        lambda: provider.set_aside(KEY),
    ):
        with pytest.raises(AccessDeniedError, match=r"(?i)read-only"):
            use()
    assert get(provider, KEY)[1] == b"data"
    provider.close()
