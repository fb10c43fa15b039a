"""Folders that are missing are made for their owner alone, and with rights nowhere that another user decides."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitord.ownership import make_folder
from tests.cli.conftest import ROOT

ALICE = 4242


def test_what_is_missing_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """Whatever the umask; what is there stays as it is."""
    tmp_path.chmod(0o755)
    before = os.umask(0)
    try:
        make_folder(tmp_path / "a/b/c")
        make_folder(tmp_path / "a/b/c")
    finally:
        os.umask(before)
    assert [(tmp_path / one).stat().st_mode & 0o777 for one in ("", "a", "a/b", "a/b/c")] == [0o755] + [
        0o700
    ] * 3


@pytest.mark.root
@pytest.mark.parametrize("is_linked", [True, False])
def test_root_makes_nothing_in_another_users_folder(is_linked: bool, tmp_path: Path) -> None:
    """Neither behind a link of theirs nor in the folder itself, whose owner could not write there any more."""
    home, victim = tmp_path / "alice", tmp_path / "victim"
    home.mkdir()
    victim.mkdir()
    if is_linked:
        (home / "state").symlink_to(victim)
    os.chown(home, ALICE, ALICE)
    with pytest.raises(PermissionError):
        make_folder(home / "state/monitord")
    assert list(victim.iterdir()) == []
    assert [one.name for one in home.iterdir()] == (["state"] if is_linked else [])


@pytest.mark.root
def test_root_makes_folders_for_who_called_sudo_and_where_everybody_may(tmp_path: Path) -> None:
    """What is sudo's caller's may be trusted for it; in a folder like /tmp what is made stays its owner's."""
    home, shared = tmp_path / "alice", tmp_path / "shared"
    for one in (home, shared):
        one.mkdir()
    os.chown(home, ALICE, ALICE)
    shared.chmod(0o1777)
    make_folder(home / "a/b", owners=frozenset({ALICE}))
    make_folder(shared / "a/b")
    assert (home / "a/b").is_dir()
    assert (shared / "a/b").is_dir()


@pytest.mark.root
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("config", "init"), 6),
        (("config", "set", "sampling.interval_s", "3"), 6),
        (("capture", "1"), 4),
        (("prefer", "utc", "true"), 3),
        (("web", "--no-browser", "--port", "0"), 4),
        (("run",), 4),
    ],
)
def test_with_another_users_home_root_writes_nothing_below_it(
    words: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    """`su` and some a sudo leave HOME as it was; every folder below it may be a link of its owner's."""
    home, victim = tmp_path / "alice", tmp_path / "victim"
    home.mkdir()
    victim.mkdir()
    for name in (".config", ".local", ".cache"):
        (home / name).symlink_to(victim)
        os.chown(home / name, ALICE, ALICE, follow_symlinks=False)
    os.chown(home, ALICE, ALICE)
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("XDG_", "MONITORD_"))}
    done = subprocess.run(
        [sys.executable, "-m", "monitord", *words], env={**kept, "HOME": str(home)}, cwd=ROOT,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert list(victim.iterdir()) == []
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("monitord: cannot "), done.stderr


@pytest.mark.root
def test_root_leaves_nothing_where_it_refuses_to_keep_a_store(tmp_path: Path) -> None:
    """A data directory that is named below another user's folder is refused before it is made."""
    home = tmp_path / "alice"
    home.mkdir()
    os.chown(home, ALICE, ALICE)
    done = subprocess.run(
        [sys.executable, "-m", "monitord", "--data-dir", str(home / "data"), "run"], cwd=ROOT,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "--data-dir" in done.stderr
    assert list(home.iterdir()) == []
