"""Artefacts that an older version sent, archived, deleted or left waiting are all found, and go on their way.

`samples/tiers/data.zip` was written by commit 052c54b with `samples/tiers/make.py`, which tells what is in it.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from monitord import config
from monitord.config import Settings
from monitord.daemon import uploader
from monitord.recorder.artefact_stores import open_full_store, open_local_store
from monitord.storage import StoreReader, open_store
from monitord.storage.opening import prepare_database

SAMPLE = Path(__file__).parents[1] / "storage" / "samples" / "tiers" / "data.zip"
SETTINGS = {"sent": ("url",), "archived": ("archive_url",), "both": ("url", "archive_url")}


class Adopted:
    """One of the sample's data directories, and what the older version said of it."""

    def __init__(self, above: Path, name: str) -> None:
        with zipfile.ZipFile(SAMPLE) as sample:
            sample.extractall(above)
            told: dict[str, Any] = json.loads(sample.read("expected.json"))[name]
        self.artefacts: dict[str, str] = told["artefacts"]
        self.deleted: list[str] = told["deleted"]
        self.above, self.data, self.names = above / name, above / name / "data", SETTINGS[name]
        for path in [above, *above.rglob("*")]:
            path.chmod(0o700 if path.is_dir() else 0o600)
        for setting in self.names:  # an empty folder is not in every zip
            (self.above / setting).mkdir(mode=0o700, exist_ok=True)
        prepare_database(self.data, create=False)  # the schema is newer now: `monitord db upgrade`

    def settings(self, *lines: str) -> Settings:
        path = self.above / "config.toml"
        lines += tuple(f'{name} = "file://{self.above / name}"' for name in self.names)
        lines += (f'encryption_key = "file:{self.above / "key"}"', "spool_mb = 10")
        path.write_text("\n".join(["[retention]", "min_free_disk_mb = 0", "[storage]", *lines, ""]))
        return config.load(path, env={}).settings

    def readable(self) -> dict[str, str]:
        """Each artefact that a row names, with the checksum of its bytes."""
        with StoreReader(self.data, open_full_store(self.settings())) as reader:
            keys = sorted(reader.artefact_keys())
            return {key: hashlib.sha256(reader.artefact(key)[1]).hexdigest() for key in keys}

    def remote_names(self) -> list[str]:
        """What lies in the folders that the settings name."""
        folders = (self.above / name for name in self.names)
        return [str(path) for folder in folders for path in folder.rglob("*") if path.is_file()]

    def captures(self, found: dict[str, str]) -> dict[str, str]:
        """Without the incidents' own artefacts, which a deletion or a pin writes anew."""
        return {key: checksum for key, checksum in found.items() if "-incident" not in key}


@pytest.fixture(params=SETTINGS)
def adopted(request: pytest.FixtureRequest, tmp_path: Path) -> Adopted:
    return Adopted(tmp_path / "sample", request.param)


def test_every_artefact_is_read_before_anything_else_is_done(adopted: Adopted) -> None:
    assert adopted.readable() == adopted.artefacts


@pytest.mark.parametrize("after_h", [0, 8760])
def test_after_a_start_and_an_upload_nothing_is_lost_and_what_was_deleted_is_gone(
    adopted: Adopted, after_h: int
) -> None:
    """The recorder adopts first, as at its start; whether anything else is old enough or not."""
    settings = adopted.settings(f"archive_after_h = {after_h}")
    with closing(open_store(adopted.data, open_artefacts=open_local_store(settings))) as store:
        assert store.adopt() == 0
    assert any(name in path for name in adopted.deleted for path in adopted.remote_names())
    assert uploader.run(settings, adopted.data)
    assert adopted.captures(adopted.readable()) == adopted.captures(adopted.artefacts)
    assert [path for name in adopted.deleted for path in adopted.remote_names() if name in path] == []
    with closing(open_store(adopted.data, open_artefacts=open_full_store(settings))) as store:
        assert store.verify() == []
    if "url" in adopted.names:
        assert list((adopted.data / "artefacts").iterdir()) == []
    elif not after_h:
        kept = [path for path in (adopted.data / "artefacts").iterdir() if "-incident" not in path.name]
        assert all(b'"archived_in"' in path.read_bytes() for path in kept)
    assert uploader.run(settings, adopted.data), "a second round finds nothing to do"


def test_deleted_by_the_recorder_everything_goes_everywhere(adopted: Adopted) -> None:
    """It deletes without looking at any remote; the next upload takes each copy away, but for the one whose
    archiving was broken off, which nothing leads to: that one is for a person to find."""
    settings = adopted.settings()
    incidents = {key.split("-")[2] for key in adopted.artefacts}
    with closing(open_store(adopted.data, open_artefacts=open_local_store(settings))) as store:
        for correlation_id in sorted(incidents):
            store.delete_incident(correlation_id)
    assert uploader.run(settings, adopted.data)
    assert list((adopted.data / "artefacts").iterdir()) == []
    assert [path for path in adopted.remote_names() if "bbbbbbbbbbb3-profile" not in path] == []


def test_a_lost_database_comes_back_from_what_is_seen(adopted: Adopted) -> None:
    """With sight of the remote all of it; each artefact gets its row again."""
    (adopted.data / "monitord.db").unlink()
    with closing(open_store(adopted.data, open_artefacts=open_full_store(adopted.settings()))) as store:
        assert store.verify() == []
    assert adopted.captures(adopted.readable()) == adopted.captures(adopted.artefacts)
