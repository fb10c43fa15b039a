"""Files that somebody named: whatever writes one says in the same way why it could not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitord.actions.assistants import put_entry
from monitord.actions.exporting import write_export
from monitord.actions.files import write_file
from monitord.errors import MonitordError, PermissionDeniedError

WRITERS: dict[str, Callable[[Path], None]] = {
    "export": lambda path: write_export(path, b"x"),
    "mcp install --write": lambda path: put_entry(path, "mcpServers", {}),
    "storage metrics --write": lambda path: write_file(path, b"x", mode=0o644),
}


@contextmanager
def somebody_else() -> Iterator[None]:
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.root
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_missing_right_is_one(tmp_path: Path, write: Callable[[Path], None]) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    with somebody_else(), pytest.raises(PermissionDeniedError, match="cannot write"):
        write(tmp_path / "made.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_folder_that_is_not_there_is_named_as_the_fix(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    with pytest.raises(MonitordError, match=r"cannot write .*; make its folder first") as refused:
        write(tmp_path / "nowhere" / "made.json")
    assert refused.value.exit_code == 1
