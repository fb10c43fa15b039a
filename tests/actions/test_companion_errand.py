"""The recorder's child that writes a DuckDB file for other tools: when it is due, hidden, whole or a reason."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from itertools import chain, repeat
from pathlib import Path

import pytest

from monitord.children import own_command
from monitord.config import load
from monitord.daemon.errands import Errands
from monitord.errors import ConfigError
from monitord.model import Incident
from monitord.scheduling import TaskOutcome
from monitord.storage import SQLiteProfileStore
from tests.analytics.companions import rows_of, tables_of
from tests.cli.conftest import new_incident
from tests.patience import PATIENCE_S

__all__ = ["new_incident"]
DAY_S = 24 * 3600


def configured(tmp_path: Path, file: Path | str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(f'[analytics]\nduckdb_file = "{file}"\n')
    return path


@pytest.fixture
def run(data_dir: Path, tmp_path: Path) -> Callable[[Path], dict[str, str]]:
    """The child as the recorder starts it, with its folders for the time where they can be counted."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def child(file: Path) -> dict[str, str]:
        words = [*own_command("monitord.actions.companion_errand"), "--data-dir", str(data_dir)]
        words += ["--config", str(configured(tmp_path, file))]
        environment = {**os.environ, "TMPDIR": str(scratch)}
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        ) as started:
            assert started.stdout is not None
            answer: dict[str, str] = json.loads(started.stdout.read().splitlines()[-1])
            assert started.wait(PATIENCE_S) == (answer["outcome"] != "ok")
        assert list(scratch.iterdir()) == []
        return answer

    return child


@pytest.fixture
def stored(store: SQLiteProfileStore, new_incident: Callable[..., Incident]) -> Incident:
    incident = new_incident(user="kunigunde", command_line=("app", "--home", "/home/kunigunde/x"))
    store.save_incident(incident)
    return incident


def test_the_recorder_has_the_file_written_and_hears_how_it_went(
    stored: Incident, data_dir: Path, tmp_path: Path
) -> None:
    """All tables, nothing of people's names, and for the recorder's user alone."""
    file = tmp_path / "all.duckdb"
    config = configured(tmp_path, file)
    told: list[TaskOutcome] = []
    clock = chain([0.0], repeat(600.0))  # it is due minutes after the start
    errands = Errands(data_dir, config, told.append, clock=lambda: next(clock))
    errands.use(load(config, {}).settings)
    deadline_s = time.monotonic() + PATIENCE_S
    while not told and time.monotonic() < deadline_s:
        errands.poll()
        time.sleep(0.05)
    errands.close(1.0)
    assert [(each.name, each.outcome) for each in told] == [("duckdb file", "ok")], told
    assert told[0].detail.startswith(f"wrote {file}, ")
    assert len(rows_of(file)["incidents"]) == 1
    assert "kunigunde" not in tables_of(file).decode()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_young_file_stays_and_an_old_one_is_replaced_with_its_mode(
    stored: Incident, tmp_path: Path, run: Callable[[Path], dict[str, str]]
) -> None:
    """Asked every hour and started anew with each recorder; a file of a clock that went ahead is written, too."""
    file = tmp_path / "all.duckdb"
    file.write_bytes(b"of an hour ago")
    file.chmod(0o640)
    assert run(file) == {"outcome": "ok", "detail": f"{file} is young enough"}
    for age_s in (2 * DAY_S, -2 * DAY_S):
        file.write_bytes(b"old")
        os.utime(file, (time.time() - age_s,) * 2)
        assert run(file)["outcome"] == "ok"
        assert len(rows_of(file)["incidents"]) == 1
        assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("place", ["missing", pytest.param("anybody", marks=pytest.mark.root)])
def test_where_it_cannot_or_may_not_write_it_says_why(
    place: str, stored: Incident, tmp_path: Path, run: Callable[[Path], dict[str, str]]
) -> None:
    """No traceback, and with rights nothing goes where an ordinary user decides what is there."""
    folder = tmp_path / place
    if place == "anybody":
        folder.mkdir()
        os.chown(folder, 65534, 65534)
        (folder / "all.duckdb").symlink_to(tmp_path / "target")
    answer = run(folder / "all.duckdb")
    assert answer["outcome"] == "failed"
    assert f"cannot write {folder}/all.duckdb: " in answer["detail"]
    assert (f"{folder} belongs to " in answer["detail"]) == (place == "anybody")
    assert "\n" not in answer["detail"]
    assert not (tmp_path / "target").exists()


def test_where_nothing_was_recorded_yet_nothing_is_wrong(
    tmp_path: Path, run: Callable[[Path], dict[str, str]]
) -> None:
    """A recorder that has just been installed must not complain of it."""
    answer = run(tmp_path / "all.duckdb")
    assert answer["outcome"] == "ok", answer
    assert not (tmp_path / "all.duckdb").exists()


def test_one_whose_recorder_ends_leaves_nothing(stored: Incident, data_dir: Path, tmp_path: Path) -> None:
    """Neither a file that is not whole nor what it had in folders for the time."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    words = [*own_command("monitord.actions.companion_errand"), "--data-dir", str(data_dir)]
    words += ["--config", str(configured(tmp_path, tmp_path / "all.duckdb"))]
    subprocess.run(
        words, stdin=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=PATIENCE_S,
    )  # fmt: skip
    assert list(scratch.iterdir()) == []
    assert list(tmp_path.glob("*.duckdb*")) == list(tmp_path.glob("all.duckdb"))


@pytest.mark.parametrize("file", ["all.duckdb", "/srv/all.db", "/", "/.duckdb/", "/srv/.duckdb"])
def test_what_is_no_place_for_it_is_refused(file: str, tmp_path: Path) -> None:
    """It replaces what is there, so a name that says something else is a mistake."""
    with pytest.raises(
        ConfigError, match=r"invalid analytics\.duckdb_file: expected an absolute path such as"
    ):
        load(configured(tmp_path, file), {})
