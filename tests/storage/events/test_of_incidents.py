"""What an incident consists of can be asked for as events, as long as the incident is there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.errors import NotFoundError, UsageError
from monitord.model import Event, EventType, Incident
from monitord.storage import SQLiteProfileStore, StoreReader, open_store
from monitord.storage.events import EventFilter
from monitord.storage.events.of_incidents import SAMPLES_KEPT

Maker = Callable[..., Incident]
NOW = datetime(2026, 11, 25, 3, tzinfo=UTC)


def kinds(store: SQLiteProfileStore, correlation_id: str) -> dict[str, int]:
    found = store.events.query_events(correlation_id=correlation_id, limit=None)
    return {kind.value: sum(event.event_type is kind for event in found) for kind in EventType}


def test_an_incident_leaves_its_events(store: SQLiteProfileStore, make_incident: Maker) -> None:
    """Alert, samples, captures and hotspots stand under its id, of its process, at their own times."""
    incident = make_incident()
    store.save_incident(incident)
    found = store.events.query_events(correlation_id=incident.correlation_id, limit=None)
    counted = kinds(store, incident.correlation_id)
    assert counted["alert"] == 1
    assert counted["capture"] == len(incident.captures)
    assert 0 < counted["sample"] <= min(SAMPLES_KEPT, len(incident.history))
    assert counted["hotspot"] > 0
    (alert,) = (event for event in found if event.event_type is EventType.ALERT)
    assert alert.taken_at == incident.alert.raised_at
    assert alert.payload["rule"] == incident.alert.rule
    hot = incident.captures[-1].hotspots[0]
    by_name = store.events.query_events(function=hot.function, limit=None)
    assert incident.correlation_id in {event.correlation_id for event in by_name}
    assert StoreReader(store.data_dir).events(EventFilter(function=hot.function, limit=None)) == by_name


def test_saving_again_replaces_its_events(store: SQLiteProfileStore, make_incident: Maker) -> None:
    """The second save of an incident leaves one alert, not two, and the note that came between."""
    incident = make_incident()
    store.save_incident(replace(incident, captures=()))
    store.add_note(incident.correlation_id, "deploy at 02:58", NOW)
    store.save_incident(incident)
    counted = kinds(store, incident.correlation_id)
    assert (counted["alert"], counted["note"]) == (1, 1)
    assert counted["capture"] == len(incident.captures)


def test_events_go_with_their_incident(store: SQLiteProfileStore, make_incident: Maker) -> None:
    """A summary loses its samples only; a deleted incident loses all; others lose nothing."""
    going, staying = make_incident(), make_incident()
    store.save_incident(going)
    store.save_incident(staying)
    store.add_note(going.correlation_id, "seen", NOW)
    before = kinds(store, staying.correlation_id)
    store.drop_evidence([going.correlation_id])
    counted = kinds(store, going.correlation_id)
    assert counted["sample"] == 0
    assert counted["alert"] == counted["note"] == 1
    assert counted["hotspot"] > 0
    store.delete_incidents([going.correlation_id])
    assert set(kinds(store, going.correlation_id).values()) == {0}
    assert kinds(store, staying.correlation_id) == before


def test_a_rebuilt_database_has_the_same_events(store: SQLiteProfileStore, make_incident: Maker) -> None:
    """Whoever loses the database gets alerts, hotspots and notes back from the artefacts."""
    incident = make_incident()
    store.save_incident(incident)
    store.add_note(incident.correlation_id, "über\0flüssig \udcff", NOW)
    before = store.events.query_events(limit=None)
    store.close()
    for path in store.data_dir.glob("monitord.db*"):
        path.unlink()
    reopened = open_store(store.data_dir)
    assert reopened.events.query_events(limit=None) == before
    view = StoreReader(store.data_dir).incident(incident.correlation_id)
    assert [(note.taken_at, note.text) for note in view.notes] == [(NOW, "über\0flüssig \udcff")]
    assert reopened.verify() == []
    reopened.close()


def test_a_note_survives_a_pin_and_a_moved_store(
    store: SQLiteProfileStore, make_incident: Maker, tmp_path: Path
) -> None:
    """What rewrites the incident's own artefact keeps the notes in it."""
    incident = make_incident()
    store.save_incident(incident)
    store.add_note(incident.correlation_id, "first", NOW)
    store.add_note(incident.correlation_id, "  second ", NOW + timedelta(seconds=1))
    store.pin(incident.correlation_id)
    store.close()
    shutil.copytree(store.data_dir / "artefacts", tmp_path / "other" / "artefacts")
    (tmp_path / "other").chmod(0o700)
    moved = open_store(tmp_path / "other")
    view = StoreReader(tmp_path / "other").incident(incident.correlation_id)
    assert [note.text for note in view.notes] == ["first", "second"]
    assert view.pinned
    moved.close()


def test_what_is_no_note_is_refused(store: SQLiteProfileStore, make_incident: Maker) -> None:
    """Empty, endless, or on an incident that is not there."""
    incident = make_incident()
    store.save_incident(incident)
    for text in ("", "  ", "x" * 2001):
        with pytest.raises(UsageError):
            store.add_note(incident.correlation_id, text, NOW)
    with pytest.raises(NotFoundError):
        store.add_note("nothing", "text", NOW)
    assert kinds(store, incident.correlation_id)["note"] == 0


def test_events_of_no_incident_go_with_the_history(store: SQLiteProfileStore, make_incident: Maker) -> None:
    """Jobs and storage events of long ago go; an old incident's stay as long as it does."""
    incident = make_incident()
    store.save_incident(incident)
    old, new = incident.alert.raised_at - timedelta(days=1), incident.alert.raised_at + timedelta(days=9)
    store.events.store_events([Event(EventType.JOB, old, payload={"job": "vacuum"}) for _ in range(3)])
    store.events.store_event(Event(EventType.JOB, new))
    before = kinds(store, incident.correlation_id)
    store.drop_history_before(incident.alert.raised_at + timedelta(days=5))
    assert [event.taken_at for event in store.events.query_events(event_type="job")] == [new]
    assert kinds(store, incident.correlation_id) == before
