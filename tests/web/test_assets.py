"""Other makers' scripts of the page: exact versions with checksums, from nowhere that the tree names."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from monitord.web.files import NEEDED, load

ROOT = Path(__file__).parents[2]
PINNED = json.loads((ROOT / "assets" / "pinned.json").read_text())


@pytest.mark.parametrize("name", PINNED)
def test_a_package_is_pinned_to_a_version_and_the_checksum_of_its_archive(name: str) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", PINNED[name]["version"])
    assert len(base64.b64decode(PINNED[name]["sha512"], validate=True)) == 64
    held = [file for files in PINNED[name]["files"].values() for file in files]
    assert "LICENSE" in held


def test_no_address_of_a_registry_stands_in_the_tree() -> None:
    for path in (*(ROOT / "assets").glob("*.*"), ROOT / "Makefile", ROOT / ".ci" / "run"):
        assert not re.search(r"https?://|registry\.", path.read_text(encoding="utf-8")), path


def test_everything_that_was_pinned_is_served() -> None:
    served = load()
    for name in NEEDED:
        assert f"/assets/{name}" in served
    assert served["/static/uplot.js"].content.startswith(b"/*! https://github.com/leeoniya/uPlot")
    assert b"export { drawFlameGraph }" in served["/static/flamegraph.js"].content


def _checkout(folder: Path) -> Path:
    """What fetching needs, without what was fetched."""
    shutil.copytree(ROOT / "assets", folder / "assets")
    (folder / "monitord" / "web").mkdir(parents=True)
    return folder


def _npm(folder: Path, content: bytes) -> dict[str, str]:
    """An environment whose npm delivers these bytes as every package."""
    (folder / "archive").write_bytes(content)
    tool = folder / "bin" / "npm"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nfor last; do :; done\ncp {folder}/archive "$last/a.tgz"\necho a.tgz\n')
    tool.chmod(0o755)
    return {**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}"}


def test_an_archive_with_another_checksum_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("package/dist/uPlot.iife.min.js", "package/../../evil"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    checkout = _checkout(tmp_path / "checkout")
    done = subprocess.run(
        [sys.executable, checkout / "assets" / "fetch.py"],
        env=_npm(tmp_path, packed.getvalue()),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "another checksum" in done.stderr
    assert not (checkout / "monitord" / "web" / "assets").exists()
    assert not (tmp_path / "evil").exists()


def test_what_is_there_is_not_asked_for_again(tmp_path: Path) -> None:
    """Without npm, without a network: `make test` goes on."""
    checkout = _checkout(tmp_path / "checkout")
    shutil.copytree(ROOT / "monitord" / "web" / "assets", checkout / "monitord" / "web" / "assets")
    done = subprocess.run(
        [sys.executable, checkout / "assets" / "fetch.py"],
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_npm_one_line_says_what_to_type(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path / "checkout")
    done = subprocess.run(
        [sys.executable, checkout / "assets" / "fetch.py"],
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "sudo apt install npm" in done.stderr
