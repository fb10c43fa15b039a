"""What is reported as written is on the disk: file, name and folder, in that order; nothing half-written is left."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitord.durable import _special, durable_write, read_regular
from tests.patience import PATIENCE_S


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_the_whole_file_is_written_for_its_owner_alone_and_nothing_else_is_left(tmp_path: Path) -> None:
    durable_write(tmp_path / "made", b"one")
    assert (tmp_path / "made").read_bytes() == b"one"
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o600
    assert names(tmp_path) == ["made"]


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"before")
    path.chmod(0o640)
    durable_write(path, iter([b"af", b"ter"]))
    assert path.read_bytes() == b"after"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_without_replace_a_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "there"
    durable_write(path, b"first", replace=False)
    with pytest.raises(FileExistsError):
        durable_write(path, b"second", replace=False)
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["there"]


def test_a_failure_in_the_middle_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_bytes(b"old")

    def chunks() -> Iterator[bytes]:
        yield b"new"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        durable_write(path, chunks())
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["old"]


def test_a_device_is_written_to_as_it_is() -> None:
    durable_write(Path("/dev/null"), b"gone")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


WRITERS = {
    "config init": "import monitord.cli.app as a; a.main(['--config', '{dir}/made', 'config', 'init'])",
    "config set": "import monitord.cli.app as a; a.main(['--config', '{dir}/made', 'config', 'set', 'log.level', 'debug'])",
    "export": "from monitord.cli.export import put; put('{dir}/made', b'x')",
    "mcp install --write": "from monitord.actions.assistants import put_entry; from pathlib import Path; put_entry(Path('{dir}/made'), 'x', {{}})",
    "metrics textfile": "from monitord.actions.files import write_file; from pathlib import Path; write_file(Path('{dir}/made'), b'x', mode=0o644)",
}


@pytest.mark.parametrize("code", WRITERS.values(), ids=WRITERS)
def test_every_command_that_reports_a_file_syncs_file_then_name_then_folder(
    code: str, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """As the kernel sees it: fsync of the file, its new name, fsync of the folder."""
    log = tmp_path / "log"
    folder = tmp_path / "out"
    folder.mkdir()
    command = [sys.executable, "-c", code.format(dir=folder)]
    calls = "trace=fsync,rename,renameat,renameat2,link,linkat"
    subprocess.run(
        [require_tool("strace"), "-f", "-y", "-o", log, "-e", calls, *command],
        check=False,
        timeout=PATIENCE_S,
    )
    assert (folder / "made").exists()
    seen = [line.split(None, 1)[1] for line in log.read_text().splitlines() if str(folder) in line]
    steps = ["fsync" if line.startswith("fsync") else "name" for line in seen if "resumed" not in line]
    assert steps == ["fsync", "name", "fsync"], seen


def test_a_file_that_took_the_place_of_a_pipe_is_not_written_over(tmp_path: Path) -> None:
    """Whoever owns the folder can put a link there between the look and the opening."""
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "pipe").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="another file"):
        _special(tmp_path / "pipe")
    assert (tmp_path / "victim").read_text() == "mine"
    os.close(_special(Path(os.devnull)))


def test_the_null_device_is_an_empty_file_and_no_other_device_is_read() -> None:
    """`--config /dev/null` means the defaults."""
    assert read_regular(Path("/dev/null")) == b""
    with pytest.raises(OSError, match="not a regular file"):
        read_regular(Path("/dev/zero"))


# Root without the mend would take the machine's own name away: there a link of the test stands for it.
_OPEN_FILES = ("stdout", "/dev/fd/1", "/proc/self/fd/1", *(("/dev/stdout",) if os.geteuid() else ()))


@pytest.mark.parametrize("name", _OPEN_FILES)
def test_a_name_of_an_open_file_is_written_to_where_it_stands(name: str, tmp_path: Path) -> None:
    """`-o /dev/stdout >> file`: the name stays for everybody, and what the file held before stays, too."""
    link, target = tmp_path / "stdout", tmp_path / "redirected"
    link.symlink_to("/proc/self/fd/1")
    target.write_text("before\n")
    code = "import sys; from pathlib import Path; from monitord.actions.exporting import write_export\n"
    code += "write_export(Path(sys.argv[1]), b'written')"
    with target.open("ab") as out:
        subprocess.run(
            [sys.executable, "-c", code, tmp_path / name], stdout=out, check=True, timeout=PATIENCE_S
        )
    assert target.read_text() == "before\nwritten"
    assert link.is_symlink()
    assert not target.is_symlink()
