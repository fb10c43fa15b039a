"""A lock on what is no plain file of one name would exclude nobody: one clear line instead."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.errors import StorageError
from monitord.recorder.locks import hold, holder

STRANGE: dict[str, Callable[[Path, Path], object]] = {
    "a link": lambda path, other: path.symlink_to(other),
    "a dangling link": lambda path, other: path.symlink_to(other.with_name("nowhere")),
    "a folder": lambda path, other: path.mkdir(),
    "a FIFO": lambda path, other: os.mkfifo(path),
    "a file with another name": lambda path, other: os.link(other, path),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_strange_lock_file_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    other, path = tmp_path / "other", tmp_path / "lock"
    other.write_text("theirs")
    STRANGE[kind](path, other)
    with (
        pytest.raises(StorageError, match=r"cannot lock .*: it is not a regular file") as refused,
        hold(path, "x"),
    ):
        pass
    assert "\n" not in str(refused.value)
    assert other.read_text() == "theirs"
    assert holder(path) is None
