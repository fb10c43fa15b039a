"""Files that somebody named: whatever writes one says in the same way why it could not."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.actions.assistants import put_entry
from monitord.actions.exporting import write_export
from monitord.actions.files import write_file
from monitord.errors import MonitordError, PermissionDeniedError
from tests.patience import PATIENCE_S
from tests.strangers import NOBODY, let_in, ordinary

SLOWLY = """
import sys, time
from pathlib import Path
from monitord.actions.exporting import write_export

def content():
    yield b"x" * 100_000
    print("begun", flush=True)
    time.sleep(60)

write_export(Path(sys.argv[1]), content())
"""
WRITERS: dict[str, Callable[[Path], None]] = {
    "export": lambda path: write_export(path, b"x"),
    "mcp install --write": lambda path: put_entry(path, "mcpServers", {}),
    "metrics textfile": lambda path: write_file(path, b"x", mode=0o644),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_missing_right_is_one(tmp_path: Path, write: Callable[[Path], None]) -> None:
    let_in(tmp_path).chmod(0o555)
    with ordinary(), pytest.raises(PermissionDeniedError, match="cannot write"):
        write(tmp_path / "made.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_folder_that_is_not_there_is_named_as_the_fix(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    with pytest.raises(MonitordError, match=r"cannot write .*; make its folder first") as refused:
        write(tmp_path / "nowhere" / "made.json")
    assert refused.value.exit_code == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_is_ended_in_the_middle_leaves_no_half_file(tmp_path: Path, number: signal.Signals) -> None:
    """Neither in its place nor beside it, and it has ended by that signal."""
    (tmp_path / "out").write_bytes(b"before")
    with subprocess.Popen(
        [sys.executable, "-c", SLOWLY, str(tmp_path / "out")], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"begun\n"
        writer.send_signal(number)
        writer.wait(PATIENCE_S)
    assert writer.returncode == -number
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"out": b"before"}


# ------------------------------------------------------------------------------- under sudo

HIS = NOBODY


@pytest.fixture
def sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root, asked by somebody."""
    for name, value in (("SUDO_UID", str(HIS)), ("SUDO_GID", str(HIS)), ("SUDO_USER", "nobody")):
        monkeypatch.setenv(name, value)


def folder_of(tmp_path: Path, uid: int, mode: int) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    folder.chmod(mode)
    os.chown(folder, uid, uid)
    return folder


@pytest.mark.root
@pytest.mark.parametrize(
    ("uid", "mode", "expected"),
    [(HIS, 0o755, HIS), (HIS, 0o700, HIS), (0, 0o755, 0), (0, 0o1777, HIS), (0, 0o777, 0), (1234, 0o755, 0)],
    ids=["his", "his alone", "root's", "everybody's, like /tmp", "open to all", "somebody else's"],
)
def test_a_file_under_sudo_is_the_caller_s_where_he_could_have_made_it(
    sudo: None, tmp_path: Path, uid: int, mode: int, expected: int
) -> None:
    """Elsewhere it stays root's: a file of his in /etc/cron.d would make root run what he writes."""
    path = folder_of(tmp_path, uid, mode) / "made.json"
    write_export(path, b"x")
    assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (expected, 0o600)


@pytest.mark.root
@pytest.mark.parametrize(
    "changes",
    [{"SUDO_USER": "root"}, {"SUDO_UID": "x"}, {"SUDO_UID": "-1"}, {"SUDO_UID": ""}, {"SUDO_UID": "0"}],
)
def test_words_that_name_nobody_give_nothing_away(
    sudo: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    path = folder_of(tmp_path, HIS, 0o755) / "made.json"
    write_export(path, b"x")
    assert path.stat().st_uid == 0


@pytest.mark.root
def test_a_file_of_another_in_tmp_is_not_given_to_the_caller(sudo: None, tmp_path: Path) -> None:
    path = folder_of(tmp_path, 0, 0o1777) / "made.json"
    path.write_bytes(b"before")
    os.chown(path, 1234, 1234)
    write_export(path, b"x")
    assert path.stat().st_uid == 0


@pytest.mark.root
@pytest.mark.parametrize(("owner", "mode"), [(1234, 0o755), (0, 0o777), (0, 0o1777)])
def test_root_follows_no_link_that_somebody_else_could_have_put_on_the_way(
    sudo: None, tmp_path: Path, owner: int, mode: int
) -> None:
    """A folder of the path is another's link into root's: nothing is written there, and it is said why."""
    shared = folder_of(tmp_path, owner, mode)
    victim = tmp_path / "victim"
    victim.mkdir()
    (shared / "folder").symlink_to(victim)
    for write in WRITERS.values():
        with pytest.raises(PermissionDeniedError, match="symbolic link in a folder that others can write"):
            write(shared / "folder" / "made.json")
    assert list(victim.iterdir()) == []


@pytest.mark.root
def test_a_link_in_the_place_of_the_file_is_replaced_and_not_followed(sudo: None, tmp_path: Path) -> None:
    shared = folder_of(tmp_path, 0, 0o1777)
    victim = tmp_path / "victim"
    victim.write_bytes(b"root's")
    (shared / "made.json").symlink_to(victim)
    write_export(shared / "made.json", b"x")
    assert victim.read_bytes() == b"root's"
    assert not (shared / "made.json").is_symlink()


@pytest.mark.root
def test_a_pipe_of_another_user_is_not_written_into(sudo: None, tmp_path: Path) -> None:
    """Its owner would read what is root's, or keep root waiting."""
    shared = folder_of(tmp_path, 0, 0o1777)
    os.mkfifo(shared / "made.json", 0o666)
    os.chown(shared / "made.json", 1234, 1234)
    with pytest.raises(PermissionDeniedError, match="pipe or a device of another user"):
        write_export(shared / "made.json", b"x")


@pytest.mark.root
def test_the_caller_s_own_links_lead_where_he_says(sudo: None, tmp_path: Path) -> None:
    """And what is written behind them belongs to whose folder it is."""
    home = folder_of(tmp_path, HIS, 0o755)
    (tmp_path / "roots").mkdir(mode=0o755)
    (home / "link").symlink_to(tmp_path / "roots")
    os.chown(home / "link", HIS, HIS, follow_symlinks=False)
    write_export(home / "link" / "made.json", b"x")
    assert (tmp_path / "roots" / "made.json").stat().st_uid == 0


@pytest.mark.root
def test_stdout_s_name_is_written_to_as_it_is(sudo: None) -> None:
    write_export(Path("/dev/stdout"), b"")
    write_export(Path("/dev/null"), b"gone")
