"""What the door to the artefacts must hold on top of any provider's suite: a data directory's own composition."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.storage.artefact_store import ArtefactStore, open_folder
from monitord.storage.artefacts import ArtefactError, ArtefactExistsError, MissingArtefactError, is_key

KEY = "20260301T030000Z-4711-abcdefghijkl-profile.folded.zst"


@pytest.fixture
def artefact_store(tmp_path: Path) -> Iterator[ArtefactStore]:
    """Artefacts in a folder, as a store opens them."""
    opened = open_folder(tmp_path / "artefacts")
    yield opened
    opened.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payload=st.binary(max_size=5000), name=st.binary(max_size=30).map(os.fsdecode))
def test_what_is_stored_is_read(artefact_store: ArtefactStore, payload: bytes, name: str) -> None:
    attributes = {"name": name, "list": [1, None, 2.5]}
    stored = artefact_store.artefacts.store_data(KEY, payload, attributes=attributes)
    assert artefact_store.artefacts.retrieve_data(KEY) == payload
    assert artefact_store.artefacts.get_metadata(KEY) == stored == artefact_store.artefacts.verify(KEY)
    assert stored.attributes == attributes
    assert (stored.size, stored.stored_size) == (len(payload), artefact_store.folder.path(KEY).stat().st_size)


def test_large_files_pass_in_pieces(artefact_store: ArtefactStore, tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(os.urandom(1 << 20) * 3)
    artefact_store.artefacts.store_data(KEY, source)
    assert artefact_store.artefacts.retrieve_data(KEY) == source.read_bytes()


def test_a_key_is_taken_once_unless_replacing(artefact_store: ArtefactStore) -> None:
    artefacts = artefact_store.artefacts
    artefacts.store_data(KEY, b"one")
    with pytest.raises(ArtefactExistsError):
        artefacts.store_data(KEY, b"two", replace=False)
    assert artefacts.retrieve_data(KEY) == b"one"
    artefacts.store_data(KEY, b"two")
    assert artefacts.retrieve_data(KEY) == b"two"


def test_list_and_delete(artefact_store: ArtefactStore) -> None:
    artefacts = artefact_store.artefacts
    assert list(artefacts.list()) == []
    for key in ("b", "a"):
        artefacts.store_data(key, b"x")
    assert list(artefacts.list()) == ["a", "b"]
    assert artefacts.delete("a") > 0
    assert artefacts.delete("a") == 0
    assert list(artefacts.list()) == ["b"]
    with pytest.raises(MissingArtefactError):
        artefacts.retrieve_data("a")


@pytest.mark.parametrize(
    "key",
    ["", ".", "..", ".hidden", "../a", "/etc/passwd", "a\0b", "a\nb", "é", "a b", "x" * 201, "\udcff"],
)
def test_a_key_is_a_plain_name_or_refused(artefact_store: ArtefactStore, key: str) -> None:
    artefacts = artefact_store.artefacts
    assert not is_key(key)
    uses = (artefacts.retrieve_data, artefacts.get_metadata, artefacts.delete, artefact_store.folder.path)
    for use in (*uses, lambda key: artefacts.store_data(key, b"")):
        with pytest.raises(ArtefactError, match="invalid key"):
            use(key)


def test_every_damage_to_a_byte_is_told(artefact_store: ArtefactStore) -> None:
    """Flipped anywhere or cut anywhere: an error, never other bytes than were put (R12)."""
    payload = b"main;burn 97\n" * 20
    artefact_store.artefacts.store_data(KEY, payload, attributes={"fact": "kept"})
    path = artefact_store.folder.path(KEY)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            assert artefact_store.artefacts.retrieve_data(KEY) == payload, f"byte {at}"
        except ArtefactError:
            pass
        path.write_bytes(whole[:at])
        with pytest.raises(ArtefactError):
            artefact_store.artefacts.retrieve_data(KEY)


def test_a_forged_size_fills_no_memory(artefact_store: ArtefactStore) -> None:
    """A frame that unpacks to far more than its metadata says is cut off where the promise ends."""
    artefact_store.artefacts.store_data(KEY, b"\0" * 50_000_000)
    path = artefact_store.folder.path(KEY)
    forged = path.read_bytes().replace(b'"size_bytes":50000000', b'"size_bytes":10      ')
    assert forged != path.read_bytes()
    path.write_bytes(forged)
    with pytest.raises(ArtefactError, match="not what was stored"):
        artefact_store.artefacts.retrieve_data(KEY)


def test_nothing_half_written_is_visible_while_writing(artefact_store: ArtefactStore, tmp_path: Path) -> None:
    """A reader that looks all the time sees the whole artefact or none."""
    source = tmp_path / "large"
    source.write_bytes(os.urandom(1 << 20) * 4)
    seen: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            for key in artefact_store.artefacts.list():
                seen.append(len(artefact_store.artefacts.retrieve_data(key)))

    thread = threading.Thread(target=look)
    thread.start()
    for n in range(5):
        artefact_store.artefacts.store_data(f"key-{n}", source)
    done.set()
    thread.join()
    assert set(seen) <= {4 << 20}
    assert artefact_store.folder.parts() == ()


def test_a_failed_store_leaves_nothing(artefact_store: ArtefactStore, tmp_path: Path) -> None:
    for payload in (tmp_path / "absent", tmp_path):
        with pytest.raises(ArtefactError):
            artefact_store.artefacts.store_data(KEY, payload)
    with pytest.raises(ArtefactError, match="expected at most"):
        artefact_store.artefacts.store_data(KEY, b"", attributes={"fact": "x" * (5 << 20)})
    assert list(artefact_store.folder.base_path.iterdir()) == []


def test_temporary_files_are_removed_when_nobody_writes_them(artefact_store: ArtefactStore) -> None:
    """One left by a process that was killed goes; one that another process is writing stays."""
    folder = artefact_store.folder.base_path
    (folder / ".0123456789abcdef.part").write_bytes(b"left")
    code = (
        "import fcntl, sys; f = open(sys.argv[1], 'wb'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True);"
        "sys.stdin.read()"
    )
    busy = folder / ".fedcba9876543210.part"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout
    assert holder.stdout.readline() == b"held\n"
    assert artefact_store.folder.remove_parts() == 1
    assert [path.name for path in folder.iterdir()] == [busy.name]
    holder.communicate()
    assert artefact_store.folder.remove_parts() == 1


def test_a_folder_that_is_a_link_or_open_to_others_is_refused(tmp_path: Path) -> None:
    from monitord.errors import MonitordError

    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real").chmod(0o777)
    for folder in ("real", "link"):
        with pytest.raises(MonitordError):
            open_folder(tmp_path / folder)


def test_artefacts_know_no_sql_and_nothing_of_the_rest_of_storage() -> None:
    code = (
        "import sys, monitord.storage.artefacts, monitord.storage.artefacts.opening\n"
        "print(sorted(name for name in sys.modules if name.startswith(('sqlalchemy', 'sqlite3'))"
        " or name.startswith('monitord.storage.') and not name.startswith('monitord.storage.artefacts')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
