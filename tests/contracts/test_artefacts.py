"""What every store of artefacts must hold. A new kind joins by one line in KINDS."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.storage.artefacts import ArtefactError, ArtefactStore, is_key

KINDS: dict[str, Callable[[Path], ArtefactStore]] = {"folder": lambda path: ArtefactStore(path / "artefacts")}
KEY = "20260301T030000Z-4711-abcdefghijkl-profile.folded.zst"


@pytest.fixture(params=sorted(KINDS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ArtefactStore]:
    opened = KINDS[request.param](tmp_path)
    yield opened
    opened.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payload=st.binary(max_size=5000), name=st.binary(max_size=30).map(os.fsdecode))
def test_what_is_put_is_read(store: ArtefactStore, payload: bytes, name: str) -> None:
    stored = store.put(KEY, payload, {"name": name, "list": [1, None, 2.5]}, replace=True)
    metadata, back = store.read(KEY)
    assert back == payload
    assert (metadata["name"], metadata["list"]) == (name, [1, None, 2.5])
    assert store.metadata(KEY) == metadata
    assert store.describe(KEY) == stored
    assert (stored.size_bytes, stored.stored_bytes) == (len(payload), stored.path.stat().st_size)


def test_large_files_pass_in_pieces(store: ArtefactStore, tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(os.urandom(1 << 20) * 3)
    store.put(KEY, source, {})
    assert store.read(KEY)[1] == source.read_bytes()


def test_a_key_is_taken_once_unless_replacing(store: ArtefactStore) -> None:
    store.put(KEY, b"one", {})
    with pytest.raises(ArtefactError, match="exists"):
        store.put(KEY, b"two", {})
    assert store.read(KEY)[1] == b"one"
    store.put(KEY, b"two", {}, replace=True)
    assert store.read(KEY)[1] == b"two"


def test_list_and_delete(store: ArtefactStore) -> None:
    assert store.list() == []
    for key in ("b", "a"):
        store.put(key, b"x", {})
    assert store.list() == ["a", "b"]
    assert store.delete("a") > 0
    assert store.delete("a") == 0
    assert store.list() == ["b"]
    with pytest.raises(ArtefactError, match="missing"):
        store.read("a")


@pytest.mark.parametrize(
    "key",
    ["", ".", "..", ".hidden", "a/b", "../a", "/etc/passwd", "a\0b", "a\nb", "é", "a b", "x" * 201, "\udcff"],
)
def test_a_key_is_a_plain_name_or_refused(store: ArtefactStore, key: str) -> None:
    assert not is_key(key)
    for use in (store.read, store.metadata, store.delete, store.path, lambda k: store.put(k, b"", {})):
        with pytest.raises(ArtefactError, match="can't name"):
            use(key)


def test_every_damage_to_a_byte_is_told(store: ArtefactStore) -> None:
    """Flipped anywhere or cut anywhere: an error, never other bytes than were put (R12)."""
    payload = b"main;burn 97\n" * 20
    path = store.put(KEY, payload, {"fact": "kept"}).path
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            assert store.read(KEY)[1] == payload, f"byte {at}"
        except ArtefactError:
            pass
        path.write_bytes(whole[:at])
        with pytest.raises(ArtefactError):
            store.read(KEY)


def test_a_forged_size_fills_no_memory(store: ArtefactStore) -> None:
    """A frame that unpacks to far more than its metadata says is cut off where the promise ends."""
    path = store.put(KEY, b"\0" * 50_000_000, {}).path
    path.write_bytes(path.read_bytes().replace(b'"size_bytes":50000000', b'"size_bytes":10      '))
    with pytest.raises(ArtefactError, match="damaged"):
        store.read(KEY)


def test_nothing_half_written_is_visible_while_writing(store: ArtefactStore, tmp_path: Path) -> None:
    """A reader that looks all the time sees the whole artefact or none."""
    source = tmp_path / "large"
    source.write_bytes(os.urandom(1 << 20) * 4)
    seen: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            for key in store.list():
                seen.append(len(store.read(key)[1]))

    thread = threading.Thread(target=look)
    thread.start()
    for n in range(5):
        store.put(f"key-{n}", source, {})
    done.set()
    thread.join()
    assert set(seen) <= {4 << 20}
    assert store.parts() == ()


def test_a_failed_put_leaves_nothing(store: ArtefactStore, tmp_path: Path) -> None:
    for payload in (tmp_path / "absent", tmp_path):
        with pytest.raises(ArtefactError):
            store.put(KEY, payload, {})
    with pytest.raises(ArtefactError, match="limit"):
        store.put(KEY, b"", {"fact": "x" * (5 << 20)})
    assert list(store.folder.iterdir()) == []


def test_temporary_files_are_removed_when_nobody_writes_them(store: ArtefactStore) -> None:
    """One left by a process that was killed goes; one that another process is writing stays."""
    (store.folder / ".0123456789abcdef.part").write_bytes(b"left")
    code = (
        "import fcntl, sys; f = open(sys.argv[1], 'wb'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True);"
        "sys.stdin.read()"
    )
    busy = store.folder / ".fedcba9876543210.part"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout
    assert holder.stdout.readline() == b"held\n"
    assert store.remove_parts() == 1
    assert [path.name for path in store.folder.iterdir()] == [busy.name]
    holder.communicate()
    assert store.remove_parts() == 1


def test_a_folder_that_is_a_link_or_open_to_others_is_refused(tmp_path: Path) -> None:
    from monitord.errors import MonitordError

    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real").chmod(0o777)
    for folder in ("real", "link"):
        with pytest.raises(MonitordError):
            ArtefactStore(tmp_path / folder)


def test_artefacts_know_no_sql_and_nothing_of_the_rest_of_storage() -> None:
    code = (
        "import sys, monitord.storage.artefacts\n"
        "print(sorted(name for name in sys.modules if name.startswith(('sqlalchemy', 'sqlite3'))"
        " or name.startswith('monitord.storage.') and not name.startswith('monitord.storage.artefacts')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
