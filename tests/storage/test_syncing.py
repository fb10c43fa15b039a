"""What a deletion waits for: the disk once a batch, not once a file; counted, because times say little."""

from __future__ import annotations

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.model import Incident
from monitord.storage import SQLiteProfileStore
from monitord.storage.artefacts.providers import file

COUNT = 40
Maker = Callable[..., Incident]


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often folders and files of artefacts were waited for; they are, all the same."""
    counts: Counter[str] = Counter()
    real = file.synchronise

    def counting(descriptor: int) -> None:
        counts["folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"] += 1
        real(descriptor)

    monkeypatch.setattr(file, "synchronise", counting)
    return counts


def test_deleting_and_stripping_wait_for_the_disk_once_a_batch(
    store: SQLiteProfileStore, make_incident: Maker, waited: Counter[str]
) -> None:
    ids = [store.save_incident(make_incident())[0].correlation_id for _ in range(COUNT)]
    waited.clear()
    store.drop_evidence(ids)
    assert waited["file"] == COUNT, "each incident's own artefact is written anew"
    assert waited["folder"] <= COUNT / 4 + COUNT / 20
    waited.clear()
    assert store.delete_incidents(ids) == COUNT
    assert dict(waited) == {"folder": COUNT / 20}
    assert store.verify() == []
    assert not list((store.data_dir / "artefacts").iterdir())


def test_what_is_changed_together_is_durable_when_it_ends_and_alone_at_once(
    store: SQLiteProfileStore, make_incident: Maker, waited: Counter[str]
) -> None:
    """Also when something fails in between; and no descriptor is left."""
    rows = store.save_incident(make_incident())
    folder = store._ready()[1].folder
    keys = list(folder.list())
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    waited.clear()
    with contextlib.suppress(RuntimeError), folder.together(), folder.together():
        for key in keys[:-1]:
            folder.delete(key)
        assert not waited
        raise RuntimeError
    assert waited["folder"] == 1
    folder.delete(keys[-1])
    assert waited["folder"] == 2
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before
    assert rows
