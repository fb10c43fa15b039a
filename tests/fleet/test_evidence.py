"""An archive from a hostile host gives its named files or one error, and takes no more memory than it may."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from monitord.actions.fleet import HostIncident, save_evidence
from monitord.errors import MonitordError, StorageError, UsageError
from monitord.fleet.evidence import unpack
from monitord.zstandard import zstd

CONTENT = b"{}"


def entry(name: str, content: bytes = CONTENT, **told: str) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.pax_headers = told
    return info, content


def manifest(*names: str) -> tuple[tarfile.TarInfo, bytes]:
    listed = [{"name": name, "sha256": hashlib.sha256(CONTENT).hexdigest()} for name in names]
    return entry("i/MANIFEST.json", json.dumps({"files": listed}).encode())


def packed(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return zstd.compress(held.getvalue())


def sparse(map_: str, size: int) -> dict[str, str]:
    return {
        "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": map_,
        "GNU.sparse.size": str(size), "GNU.sparse.name": "incident.json",
    }  # fmt: skip


@pytest.mark.parametrize("size", [3, 1 << 30, 1 << 45, 1 << 80])
@pytest.mark.parametrize("map_", ["0,0", "0,2", "5", "0,99999999999999999999"])
def test_a_sparse_file_is_left_out_whatever_its_header_says(size: int, map_: str) -> None:
    """Its holes would be read as zeros: a terabyte from an archive of 300 bytes."""
    hostile = entry("i/incident.json", b"", **sparse(map_, size))
    try:
        found = unpack(packed(hostile, entry("i/summary.md"), manifest("incident.json", "summary.md")))
    except StorageError:
        return
    assert dict(found) in ({"summary.md": CONTENT}, {})


@pytest.mark.parametrize("size", ["99999999999999999999999", "-1", "-5000", "x", "1e9"])
def test_a_size_that_can_not_be_is_an_error_in_words(size: str) -> None:
    """Also one that fits in no index."""
    with pytest.raises(StorageError, match="invalid evidence"):
        unpack(packed(entry("i/incident.json", b"", size=size), manifest("incident.json")))


def test_links_without_end_are_refused_before_all_are_read() -> None:
    """Each costs a header of 512 bytes that packs to nothing."""
    link = tarfile.TarInfo("i/l")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
    with pytest.raises(StorageError, match="invalid evidence"):
        unpack(zstd.compress(link.tobuf() * 5000))


@pytest.mark.parametrize("name", ["/etc/passwd", "../../x", "i/..", "i/.bashrc", "i/a\nb", "i/a\x1b[31m"])
def test_only_names_that_lead_nowhere_come_out(name: str) -> None:
    """Of a path the last part alone counts, and only if it is a plain name."""
    last = name.rpartition("/")[2]
    found = unpack(packed(entry(name), manifest(last)))
    assert set(found) <= {"passwd", "x"}


def test_evidence_is_saved_into_a_new_folder_and_never_onto_a_link(tmp_path: Path) -> None:
    """Nor into a folder that took its place meanwhile: what is opened is what was made."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "link"
    link.symlink_to(elsewhere)
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "not-there")
    found = HostIncident({}, {"incident.json": CONTENT})
    for taken in (link, dangling, elsewhere):
        with pytest.raises(UsageError, match="it exists"):
            save_evidence(found, taken)
    save_evidence(found, tmp_path / "new")
    assert (tmp_path / "new" / "incident.json").read_bytes() == CONTENT
    assert [*elsewhere.iterdir()] == []
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


@pytest.mark.root
def test_root_saves_nothing_through_another_users_link(tmp_path: Path) -> None:
    """The names and bytes are a hostile host's, the place a hostile user's."""
    tmp_path.chmod(0o755)
    target, theirs = tmp_path / "cron.d", tmp_path / "theirs"
    target.mkdir()
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    (theirs / "way").symlink_to(target)
    os.chown(theirs / "way", 12345, 12345, follow_symlinks=False)
    with pytest.raises(MonitordError, match="cannot save evidence"):
        save_evidence(HostIncident({}, {"job": b"* * * * * root x\n"}), theirs / "way" / "new")
    assert [*target.iterdir()] == []
