"""A data directory was lost: the one that came after it reads what the lost one moved to the bucket."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from monitord.analytics import cold
from monitord.analytics.tables import INCIDENTS
from monitord.model import Incident
from monitord.storage import open_store
from tests.analytics.companions import rows_of
from tests.analytics.test_cold import DAY, NOW, five_days, forget, ids, save, tier
from tests.cli.conftest import Cli, cli, environment, here, incident, new_incident

__all__ = ["cli", "environment", "five_days", "here", "incident", "new_incident"]
Maker = Callable[..., Incident]


@pytest.fixture
def url(tmp_path: Path, environment: dict[str, str]) -> str:
    """A bucket that the command line's configuration names, too."""
    url = f"file://{tmp_path}/cold"
    config = tmp_path / "adopting.toml"
    config.write_text(f"[analytics]\nwarm_mb = 10\ncold_url = {json.dumps(url)}\n")
    environment["MONITORD_CONFIG"] = str(config)
    return url


@pytest.fixture
def lost(five_days: list[str], data_dir: Path, url: str, make_incident: Maker) -> tuple[str, list[str]]:
    """The folder of a lost data directory, and what its days have; another one has begun in its place today."""
    save(data_dir, make_incident(at=NOW - DAY + timedelta(hours=1)))
    tier(data_dir, url)
    (folder,) = (path.name for path in (Path(url.removeprefix("file://"))).iterdir() if path.is_dir())
    shutil.rmtree(data_dir)
    with closing(open_store(data_dir)):
        pass
    return folder, five_days[:4]


def contents(url: str, folder: str) -> dict[str, bytes]:
    below = Path(url.removeprefix("file://")) / folder
    return {str(path): path.read_bytes() for path in below.rglob("*") if path.is_file()}


def test_days_of_a_lost_data_directory_are_read_and_never_written(
    lost: tuple[str, list[str]], data_dir: Path, url: str, here: Cli, make_incident: Maker
) -> None:
    """In questions and in the tiers, whatever goes on to the bucket later; a second time is refused."""
    folder, moved = lost
    own = [save(data_dir, make_incident(at=NOW))]
    before = contents(url, folder)
    assert ids(data_dir, url) == own
    listed = here("storage", "adopt")
    assert listed.code == 0, listed.err
    assert listed.out.startswith(f"{folder}: 4 days from ")
    assert ", read here" not in listed.out
    said = here("storage", "adopt", folder, "--json")
    assert said.code == 0, said.err
    (told,) = json.loads(said.out)
    assert (told["folder"], told["days"], told["is_read"]) == (folder, 4, True)
    assert ids(data_dir, url) == sorted([*moved, *own])
    for ahead in (1, 2):  # days of its own go on, into a folder of its own
        own.append(save(data_dir, make_incident(at=NOW + ahead * DAY)))
        tier(data_dir, url, clock=lambda: NOW + 2 * DAY)
    forget(data_dir, *own)
    assert ids(data_dir, url) == sorted([*moved, *own])
    assert contents(url, folder) == before
    assert ", read here" in here("storage", "adopt").out
    again = here("storage", "adopt", folder)
    assert (again.code, again.err.count("\n")) == (2, 1)
    assert "reads it already" in again.err


def test_days_that_are_ones_own_are_not_read_from_another_folder(
    lost: tuple[str, list[str]], data_dir: Path, url: str, here: Cli, make_incident: Maker
) -> None:
    """Two files of one day would tell it twice, or hide each other."""
    folder, moved = lost
    own = save(data_dir, make_incident(at=NOW - 3 * DAY))
    assert here("storage", "adopt", folder).code == 0
    assert ids(data_dir, url) == sorted([*moved[:2], own])


@pytest.mark.parametrize("folder", ["nowhere", "../..", "", "a/b", "\x1b[31m", "x" * 300])
def test_what_is_no_folder_of_days_is_one_line(lost: tuple[str, list[str]], here: Cli, folder: str) -> None:
    said = here("storage", "adopt", folder)
    assert (said.code, said.err.count("\n"), said.out) == (3, 1, "")
    assert "\x1b" not in said.err


def test_a_folder_whose_days_all_come_later_is_refused(
    lost: tuple[str, list[str]], data_dir: Path, here: Cli, make_incident: Maker
) -> None:
    save(data_dir, make_incident(at=NOW - 9 * DAY))
    said = here("storage", "adopt", lost[0])
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "before those of this data directory" in said.err


def test_without_a_bucket_it_says_how_one_is_named(here: Cli, incident: Incident) -> None:
    said = here("storage", "adopt")
    assert (said.code, said.err.count("\n")) == (6, 1)
    assert "config set analytics.cold_url" in said.err


def test_a_file_for_other_tools_leaves_out_the_oldest_days_beyond_what_can_be_brought(
    lost: tuple[str, list[str]], data_dir: Path, url: str, here: Cli, tmp_path: Path,
    make_incident: Maker, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Of all tables the same days, and it says which."""
    folder, moved = lost
    own = save(data_dir, make_incident(at=NOW))
    assert here("storage", "adopt", folder).code == 0
    sizes = {}
    for path, data in contents(url, folder).items():
        if path.endswith(".parquet"):
            sizes[Path(path).stem] = sizes.get(Path(path).stem, 0) + len(data)
    newest = sorted(sizes)[-2:]
    monkeypatch.setattr(cold, "DOWNLOAD_BYTES", sum(sizes[day] for day in newest))
    file = tmp_path / "all.duckdb"
    said = here("export", "-o", str(file), "--raw")
    assert said.code == 0, said.err
    assert f"left out days before {newest[0]}: " in said.err
    at = [name for name, _kind in INCIDENTS.columns].index("correlation_id")
    assert sorted(row[at] for row in rows_of(file)["incidents"]) == sorted([*moved[2:], own])
    monkeypatch.setattr(cold, "DOWNLOAD_BYTES", sum(sizes.values()))
    assert "left out" not in here("export", "-o", str(file), "--raw").err
    assert len(rows_of(file)["incidents"]) == 5
