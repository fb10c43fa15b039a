"""A database that is damaged as a whole: the recorder's store opens all the same, and what is lost comes back."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from monitord.errors import SchemaTooNewError
from monitord.storage import open_store
from monitord.storage.plans import list_capture_plans
from monitord.storage.queries import StoreReader
from tests.cli.conftest import Cli
from tests.cli.test_damaged_rows import Whole, built, whole
from tests.incident_rows import stored_incidents

__all__ = ["built", "whole"]
PAGE = 4096
INCIDENTS = 14


@pytest.fixture
def good(whole: Whole) -> str:
    return whole(INCIDENTS)


def executed(*statements: str) -> Callable[[Path], None]:
    def damage(database: Path) -> None:
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("PRAGMA foreign_keys = OFF")
            for statement in statements:
                connection.execute(statement)

    return damage


def swapped(seed: int) -> Callable[[Path], None]:
    def damage(database: Path) -> None:
        chosen = random.Random(seed)
        data = bytearray(database.read_bytes())
        one, other = (PAGE * chosen.randrange(1, len(data) // PAGE) for _ in range(2))
        data[one : one + PAGE], data[other : other + PAGE] = (
            data[other : other + PAGE],
            data[one : one + PAGE],
        )
        database.write_bytes(data)

    return damage


DAMAGE: dict[str, Callable[[Path], None]] = {
    "no table incident": executed("DROP TABLE incident"),
    "no table state": executed("DROP TABLE state"),
    "no table event": executed("DROP TABLE event"),
    "no alembic_version": executed("DROP TABLE alembic_version"),
    "empty alembic_version": executed("DELETE FROM alembic_version"),
    "two revisions": executed("INSERT INTO alembic_version VALUES ('0001')"),
    "senseless revision": executed("UPDATE alembic_version SET version_num = 'None'"),
    "blob as revision": executed("UPDATE alembic_version SET version_num = x'ff'"),
    "truncated": lambda database: database.write_bytes(database.read_bytes()[: 5 * PAGE + 100]),
    "header": lambda database: database.write_bytes(b"x" * 100 + database.read_bytes()[100:]),
    **{f"swapped {seed}": swapped(seed) for seed in range(12)},
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_whatever_the_damage_the_recorder_starts_and_every_incident_is_there(
    kind: str, good: str, data_dir: Path
) -> None:
    DAMAGE[kind](data_dir / "monitord.db")
    store = open_store(data_dir)
    store.adopt()
    assert not store.is_degraded, store.degraded_reason
    assert len(stored_incidents(store)) == INCIDENTS
    with StoreReader(data_dir) as reader:
        assert reader.incident(good).captures
        assert len(reader.incident(good).notes) == 12
    store.close()


@pytest.mark.parametrize("kind", DAMAGE)
def test_who_asks_is_told_what_to_type_and_it_helps(kind: str, good: str, here: Cli, data_dir: Path) -> None:
    """No advice in a circle: after `db check` (which says that there was damage) everything is answered."""
    DAMAGE[kind](data_dir / "monitord.db")
    asked = here("recent", "-n", "900")
    if asked.code:
        assert "db check" in asked.err or "--repair" in asked.err, asked.err
    here("db", "check")
    here("storage", "verify", "--repair")
    assert here("storage", "verify").code == 0
    after = here("recent", "-n", "900")
    assert (after.code, "python-good" in after.out) == (0, True), after.err


def test_plans_history_and_events_survive_a_rebuild(good: str, here: Cli, data_dir: Path) -> None:
    """They stand in no artefact: they are read out of the damaged database."""
    executed("DROP TABLE incident")(data_dir / "monitord.db")
    here("db", "check")
    store = open_store(data_dir)
    assert len(list_capture_plans(store.state)) == 12
    store.close()
    with StoreReader(data_dir) as reader:
        assert len(list(reader.history())) == 12


def test_a_rebuild_by_hand_says_what_it_took_from_the_old_database(
    good: str, here: Cli, data_dir: Path
) -> None:
    answer = here("storage", "rebuild", "--yes")
    assert f"{INCIDENTS} incidents came back" in answer.out
    assert "12 of history" in answer.out
    assert len(here("plan", "list", "-o", "json").out) > 100


def test_a_newer_schema_is_no_damage(good: str, here: Cli, data_dir: Path) -> None:
    """It is refused in one line, and left as it is."""
    executed("UPDATE alembic_version SET version_num = '9999'")(data_dir / "monitord.db")
    before = (data_dir / "monitord.db").read_bytes()
    with pytest.raises(SchemaTooNewError):
        open_store(data_dir)
    assert "newer than this monitord" in here("recent").err
    assert (data_dir / "monitord.db").read_bytes() == before


@pytest.mark.parametrize("table", ["incident", "profile_capture"])
def test_a_flipped_key_costs_no_good_artefact(table: str, good: str, here: Cli, data_dir: Path) -> None:
    keys = f"UPDATE {table} SET artefact_key = 'z' || substr(artefact_key, 2)"  # noqa: S608
    executed(f"{keys} WHERE correlation_id = '{good}'")(data_dir / "monitord.db")
    shutil.rmtree(data_dir / "quarantine", ignore_errors=True)
    store = open_store(data_dir)
    store.adopt()
    store.close()
    assert list((data_dir / "quarantine").glob("*")) == []
    assert here("storage", "verify").code == 0
