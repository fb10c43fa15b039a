"""What the daemon does itself can be asked for as events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from monitord.daemon.journal import Journal
from monitord.model import EventType, Incident
from monitord.scheduling import TaskOutcome
from monitord.storage import SQLiteProfileStore, StoreReader, Writer
from monitord.storage.artefacts.monitor import AlertLevel, StorageAlert
from tests.fakes import START, an_alert

NOW = datetime(2026, 11, 25, 3, tzinfo=UTC)


@pytest.fixture
def writer() -> Iterator[Writer]:
    made = Writer()
    yield made
    made.close()


def test_starts_jobs_and_trouble_are_events(store: SQLiteProfileStore, writer: Writer) -> None:
    """Each with its own type and time, and what there is to say."""
    journal = Journal(store, writer)
    journal.daemon("started", "1.0")
    journal.job(TaskOutcome("retention", "ok", "freed 0 bytes", NOW, 0.0123))
    alert = StorageAlert("free space", AlertLevel.CRITICAL, "3 MB left", "free some", NOW)
    journal.storage(alert)
    journal.storage(
        StorageAlert("free space", AlertLevel.CRITICAL, "9 GB left", None, NOW, NOW + timedelta(hours=1))
    )
    assert writer.flush(30)
    (job,) = store.events.query_events(event_type="job")
    assert (job.taken_at, job.payload["job"], job.payload["duration_s"]) == (NOW, "retention", 0.012)
    over, begun = store.events.query_events(event_type="storage")
    assert (begun.taken_at, begun.payload["level"]) == (NOW, "critical")
    assert (over.taken_at, over.payload["level"]) == (NOW + timedelta(hours=1), "recovered")
    (daemon,) = store.events.query_events(event_type=EventType.DAEMON)
    assert daemon.payload == {"what": "started", "version": "1.0"}


def test_a_look_at_the_storage_is_told_when_it_goes_wrong_only(
    store: SQLiteProfileStore, writer: Writer
) -> None:
    """Every five minutes "all is well" would fill the store with nothing."""
    journal = Journal(store, writer)
    journal.job(TaskOutcome("storage_health", "ok", "well", NOW, 0.0))
    journal.job(TaskOutcome("storage_health", "failed", "no answer", NOW, 0.0))
    assert writer.flush(30)
    assert [event.payload["outcome"] for event in store.events.query_events()] == ["failed"]


def test_an_event_that_can_not_be_kept_stops_nothing(store: SQLiteProfileStore, writer: Writer) -> None:
    """A closed writer, a store that is gone: the event is lost, and that is all."""
    journal = Journal(store, writer)
    writer.close()
    journal.daemon("stopped", "1.0")
    store.close()
    (store.data_dir).chmod(0o755)
    broken = Writer()
    (store.data_dir / "monitord.db").unlink()
    (store.data_dir / "monitord.db").mkdir()
    Journal(store, broken).daemon("started", "1.0")
    assert broken.flush(30)
    broken.close()


def test_repeats_are_counted_with_their_incident_and_survive_all_later_writing(
    store: SQLiteProfileStore, writer: Writer
) -> None:
    """A second save, a note and another reason rewrite an incident's events; its repeats stay, and go with it."""
    journal = Journal(store, writer)
    incident = Incident("inc1", an_alert(), None)
    store.save_incident(incident)
    for _ in range(3):
        journal.repeat("inc1", an_alert(suppressed_by="cooling down for 9 s more", is_repeat=True))
    writer.flush(60)
    store.save_incident(incident)
    store.add_note("inc1", "seen", START)
    store.set_reason("inc1", "burn used 97 %; 4 further alerts share this row")
    with StoreReader(store.data_dir) as reader:
        view = reader.incident("inc1")
    assert (view.repeat_count, len(view.notes)) == (3, 1)
    assert view.reason == "burn used 97 %; 4 further alerts share this row"
    store.delete_incidents(["inc1"])
    assert store.events.query_events(event_type=EventType.REPEAT) == []
