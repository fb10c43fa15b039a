"""`storage verify`: what no checksum covers is compared, and nothing that grows with the store is held."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from monitord.model import Incident
from monitord.storage import SQLiteProfileStore
from monitord.storage.artefacts.envelope import MAGIC
from monitord.storage.evidence import FIXED_OF_CAPTURE

Maker = Callable[..., Incident]


def change_header(path: Path, change: Callable[[dict], object]) -> None:
    """Write an artefact's header anew, as a flipped bit or a hand might; the body stays."""
    content = path.read_bytes()
    length = int.from_bytes(content[4:8], "little")
    header = json.loads(content[8 : 8 + length])
    change(header)
    encoded = json.dumps(header, separators=(",", ":")).encode("ascii")
    prefix = MAGIC.to_bytes(4, "little") + len(encoded).to_bytes(4, "little")
    path.write_bytes(prefix + encoded + content[8 + length :])


def other(value: object) -> object:
    """Another value that the same column may hold."""
    if isinstance(value, str):
        return f"{value[:-1]}{'1' if value[-1:] != '1' else '2'}" if value else "1"
    if isinstance(value, bool | int | float):
        return 0 if value else 1
    return ["x"] if isinstance(value, list) else {"x": "y"} if isinstance(value, dict) else "x"


def artefact(store: SQLiteProfileStore, role: str) -> Path:
    return next(iter(sorted((store.data_dir / "artefacts").glob(f"*-{role}.*"))))


@pytest.mark.parametrize("column", [name for name in FIXED_OF_CAPTURE if name != "correlation_id"])
def test_a_changed_header_of_a_capture_is_found_and_put_right(
    column: str, store: SQLiteProfileStore, make_incident: Maker
) -> None:
    """Whatever it says of itself: its row knows better, because the incident's own artefact agrees."""
    store.save_incident(make_incident())
    assert store.verify() == []
    path = artefact(store, "profile")
    change_header(path, lambda header: header["capture"].update({column: other(header["capture"][column])}))
    assert [problem for problem in store.verify() if path.name in problem and column in problem]
    assert store.repair()
    store.adopt()
    assert store.verify() == []
    assert store.fetch_recent(1)[0].process_name == make_incident().alert.process_name


@pytest.mark.parametrize("column", ["process_name", "rule", "raised_at", "pinned", "correlation_id"])
def test_a_changed_header_of_an_incident_is_found_and_put_right(
    column: str, store: SQLiteProfileStore, make_incident: Maker
) -> None:
    store.save_incident(make_incident())
    change_header(artefact(store, "incident"), lambda header: header.update({column: other(header[column])}))
    assert [problem for problem in store.verify() if column in problem]
    store.repair()
    store.adopt()
    assert store.verify() == []


@pytest.mark.parametrize("table", ["incident", "profile_capture"])
def test_a_row_that_changed_into_something_sensible_is_found_and_put_right(
    table: str, store: SQLiteProfileStore, make_incident: Maker
) -> None:
    """A flipped bit may leave a name that could be one; the artefact still knows the true one."""
    store.save_incident(make_incident())
    before = store.fetch_recent(1)
    with closing(sqlite3.connect(store.database)) as connection:
        connection.execute(f"UPDATE {table} SET process_name = 'innocent', pid = 1")  # noqa: S608
        connection.commit()
    assert [problem for problem in store.verify() if "process_name, pid" in problem]
    store.repair()
    store.adopt()
    assert store.verify() == []
    assert store.fetch_recent(1) == before


def test_what_changes_later_is_no_difference(store: SQLiteProfileStore, make_incident: Maker) -> None:
    """Pins, notes, reasons, more evidence, summaries: none of it is damage."""
    from datetime import UTC, datetime

    incident = make_incident()
    store.save_incident(incident)
    store.pin(incident.correlation_id)
    store.add_note(incident.correlation_id, "seen", datetime.now(UTC))
    store.set_reason(incident.correlation_id, "another reason")
    assert store.verify() == []
    store.save_incident(incident)
    store.pin(incident.correlation_id, False)
    assert store.verify() == []
    store.drop_evidence([incident.correlation_id])
    assert store.verify() == []
