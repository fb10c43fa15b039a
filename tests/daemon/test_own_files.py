"""Whatever stands in the place of one of our own files, a command says one line about it and nothing hangs."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.actions.reloading import reload_recorder
from monitord.durable import read_regular
from monitord.errors import UnreachableError
from monitord.recorder.locks import hold
from monitord.recorder.status import read_status, write_status
from tests.patience import PATIENCE_S


def full_folder(path: Path) -> None:
    path.mkdir()
    (path / "x").write_text("x")


STRANGE: dict[str, Callable[[Path], object]] = {
    "a folder": full_folder,
    "a FIFO": os.mkfifo,
    "a link": lambda path: path.symlink_to("/etc/hostname"),
    "a dangling link": lambda path: path.symlink_to("/nonexistent"),
    "a device": lambda path: os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5)),
}
NAMES = (
    "status.json",
    "uploader.json",
    "lock",
    "capture.lock",
    "monitord.db",
    "spool",
    "artefacts",
    "config",
)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def put(path: Path, kind: str) -> None:
    remove(path)
    try:
        STRANGE[kind](path)
    except PermissionError:
        pytest.skip("only root makes a device")


ASKING = """
import sys; from monitord.cli import main
for place in sys.argv[1:]:
    for words in (["status"], ["recent"], ["doctor"], ["db", "check"]):
        try: main([*words, "--data-dir", f"{place}/data", "--config", f"{place}/config.toml"])
        except SystemExit: print("--", file=sys.stderr)
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_strange_file_of_ours_is_one_line(tmp_path: Path, name: str) -> None:
    """Of every kind, asked for status, incidents and health in a process that a hang would hold up."""
    places = []
    for kind in STRANGE:
        place = tmp_path / kind.replace(" ", "-")
        data_dir, config = place / "data", place / "config.toml"
        data_dir.mkdir(mode=0o700, parents=True)
        config.touch()
        put(config if name == "config" else data_dir / name, kind)
        places.append(str(place))
    done = subprocess.run(
        [sys.executable, "-c", ASKING, *places],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    said = done.stderr.split("--\n")
    assert len(said) == 4 * len(STRANGE) + 1, done.stderr
    assert "Traceback" not in done.stderr
    for each in [*said[0:-1:4], *said[1:-1:4]]:
        assert len(each.splitlines()) <= 3, each


@pytest.mark.parametrize("name", ["lock", "monitord.db", "config"])
@pytest.mark.parametrize("kind", ["a folder", "a FIFO", "a device"])
def test_a_start_with_a_strange_file_of_ours_is_refused_or_degraded(
    tmp_path: Path, name: str, kind: str
) -> None:
    """With the path and what to do about it."""
    data_dir, config = tmp_path / "data", tmp_path / "config.toml"
    data_dir.mkdir(mode=0o700)
    config.write_text("[detection]\ndefault_rules = false\n")
    path = config if name == "config" else data_dir / name
    put(path, kind)
    words = [sys.executable, "-m", "monitord", "run", "--data-dir", str(data_dir), "--config", str(config)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as daemon:
        assert daemon.stderr is not None
        try:
            line = next(line for line in daemon.stderr if str(path) in line)
        finally:
            daemon.terminate()
            daemon.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in line


def test_a_recorder_that_can_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    """A folder in the place of its status: the reload says so at once, with what to remove."""
    with hold(tmp_path / "lock", "x"):
        full_folder(tmp_path / "status.json")
        write_status(tmp_path, {"passes": 1})
        with pytest.raises(UnreachableError, match=r"status\.json: it is a directory; remove it"):
            reload_recorder(tmp_path, lambda _pid: pytest.fail("nobody is asked who can't answer"))


def test_a_recorder_whose_answer_is_blocked_meanwhile_is_not_waited_for(tmp_path: Path) -> None:
    def block(_pid: int) -> None:
        remove(tmp_path / "status.json")
        full_folder(tmp_path / "status.json")

    with hold(tmp_path / "lock", "x"):
        write_status(tmp_path, {"passes": 1})
        with pytest.raises(UnreachableError, match="it is a directory"):
            reload_recorder(tmp_path, block)


@pytest.mark.parametrize("kind", set(STRANGE) - {"a folder"})
@pytest.mark.parametrize("name", ["status.json", ".status.json.new"])
def test_a_status_is_written_whatever_stood_there(tmp_path: Path, name: str, kind: str) -> None:
    """No link is followed, no FIFO waited for."""
    put(tmp_path / name, kind)
    with hold(tmp_path / "lock", "x"):
        write_status(tmp_path, {"passes": 7})
        assert (read_status(tmp_path) or {})["passes"] == 7
    assert not (tmp_path / "status.json").is_symlink()


@pytest.mark.parametrize("kind", set(STRANGE) - {"a link"})
def test_only_a_regular_file_of_a_sane_size_is_read(tmp_path: Path, kind: str) -> None:
    put(tmp_path / "x", kind)
    with pytest.raises(OSError, match=r"regular|directory|No such"):
        read_regular(tmp_path / "x")
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(OSError, match="larger than 10 bytes"):
        read_regular(tmp_path / "large", 10)
