"""`export --format duckdb`: a file of all views for other tools, without what must not leave."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitord.analytics.parquet import write_table
from monitord.analytics.tables import EVENTS, TABLES
from monitord.model import Event, EventType, Incident
from monitord.storage import SQLiteProfileStore
from tests.analytics.companions import rows_of, tables_of
from tests.cli.conftest import Cli, cli, environment, here, incident, new_incident

__all__ = ["cli", "environment", "here", "incident", "new_incident"]
AT = datetime(2026, 3, 4, 12, tzinfo=UTC)


def test_a_companion_has_every_row_of_every_view(
    store: SQLiteProfileStore, new_incident: Callable[..., Incident], here: Cli, tmp_path: Path
) -> None:
    """The same rows that `query` has, in tables of the frozen columns; with --since those of the period."""
    for hour in range(3):
        store.save_incident(new_incident(at=AT + timedelta(hours=hour)))
    file = tmp_path / "all.duckdb"
    said = here("export", "-o", str(file), "--raw")
    assert (said.code, said.out) == (0, "")
    found = rows_of(file)
    assert set(found) == {table.name for table in TABLES}
    for table in TABLES:
        counted = here("query", f"SELECT count(*) FROM {table.name}", "-o", "csv").out.splitlines()[1]
        assert len(found[table.name]) == int(counted), table.name
        assert all(len(row) == len(table.columns) for row in found[table.name])
    assert len(found["incidents"]) == 3
    assert "alice" in tables_of(file).decode()
    assert file.stat().st_mode & 0o777 == 0o600
    assert here("export", "-o", str(file), "-S", "2026-03-04T13:00Z", "-U", "2026-03-04T14:00Z").code == 0
    assert len(rows_of(file)["incidents"]) == 1


def test_a_companion_hides_users_and_secrets(
    store: SQLiteProfileStore, new_incident: Callable[..., Incident], here: Cli, tmp_path: Path
) -> None:
    """Also in the payload of an event, and a name that only another table has; ids stay."""
    incident = new_incident(user="kunigunde", command_line=("app", "--home", "/home/kunigunde/x"))
    store.save_incident(incident)
    payload = {"text": "kunigunde did it", "password": "hunter2-hunter2"}
    store.events.store_event(Event(EventType.JOB, AT, process_name="x", payload=payload))
    file = tmp_path / "all.duckdb"
    said = here("export", "--format", "duckdb", "-o", str(file))
    assert said.code == 0, said.err
    assert "hidden:" in said.err
    text = tables_of(file).decode()
    assert "kunigunde" not in text
    assert "hunter2" not in text
    assert incident.correlation_id in text


def test_a_companion_hides_the_names_that_its_machine_had(
    store: SQLiteProfileStore, here: Cli, tmp_path: Path
) -> None:
    """A day's file keeps the name that the machine had then."""
    folder = store.data_dir / "warm" / EVENTS.folder
    folder.mkdir(parents=True)
    told = {
        "host_id": "kiel-db7.example",
        "event_id": 1,
        "taken_at": AT,
        "event_type": "job",
        "payload": "{}",
    }
    row = tuple(told.get(name) for name, _kind in EVENTS.columns)
    write_table(EVENTS, [row], folder / f"{AT:%Y-%m-%d}.parquet")
    file = tmp_path / "all.duckdb"
    assert here("export", "-o", str(file), "--raw").code == 0
    assert "kiel-db7" in tables_of(file).decode()
    assert here("export", "-o", str(file)).code == 0
    assert len(rows_of(file)["events"]) >= 1
    assert "kiel-db7" not in tables_of(file).decode()


def test_a_companion_is_of_everything(incident: Incident, here: Cli, tmp_path: Path) -> None:
    said = here("export", "1", "-o", str(tmp_path / "x.duckdb"))
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert list(tmp_path.glob("*.duckdb")) == []
