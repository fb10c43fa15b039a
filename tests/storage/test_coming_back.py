"""What people noted and set lies in artefacts, too: a lost database comes back with row ids, notes and plans."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitord.errors import NotFoundError
from monitord.model import Incident, Match, NamedPlan
from monitord.storage import RecentFilter, SQLiteProfileStore, StoreReader, open_store
from monitord.storage.artefact_store import open_folder
from monitord.storage.artefacts import PLANS_KEY
from monitord.storage.plans import list_capture_plans

Maker = Callable[..., Incident]
PLANS = (NamedPlan("java", Match(names=("java*",)), "perf", 30.0, 50), NamedPlan("quiet", consent="never"))


def rows_of(data_dir: Path) -> dict[str, list[tuple[int | None, str]]]:
    with StoreReader(data_dir) as reader:
        ids = [record.correlation_id for record in reader.recent(RecentFilter(limit=None))]
        views = {name: reader.incident(name) for name in ids}
    return {name: [(each.id, each.role) for each in view.captures] for name, view in views.items()}


def lose_the_database(data_dir: Path) -> None:
    for path in data_dir.glob("monitord.db*"):
        path.unlink()


def brought_back(data_dir: Path) -> SQLiteProfileStore:
    lose_the_database(data_dir)
    store = open_store(data_dir)
    store.adopt()
    return store


def test_rows_keep_their_ids_over_a_lost_database(store: SQLiteProfileStore, make_incident: Maker) -> None:
    """Some were deleted, one was saved again, one pinned: every row has the id that people saw, new ones have others."""
    made = [make_incident(payload=os.urandom(500)) for _ in range(6)]
    for incident in (*made, made[2]):
        store.save_incident(incident)
    for gone in (made[0], made[3]):
        store.delete_incident(gone.correlation_id)
    store.pin(made[4].correlation_id)
    store.drop_evidence([made[5].correlation_id])
    before = rows_of(store.data_dir)
    store.close()
    with closing(brought_back(store.data_dir)) as again:
        assert rows_of(again.data_dir) == before
        assert again.verify() == []
        again.save_incident(make_incident())
        ids = [row_id for rows in rows_of(again.data_dir).values() for row_id, _role in rows]
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("planted", [0, -3, 2**63, 2**62, True, "7", 1.0, None, [1]])
def test_an_id_that_no_row_can_have_becomes_another(
    store: SQLiteProfileStore, make_incident: Maker, planted: object
) -> None:
    """What an artefact says of its row's id is believed only when it can be true; the incident comes back anyhow."""
    store.save_incident(make_incident())
    _plant(store.data_dir, planted)
    store.close()
    with closing(brought_back(store.data_dir)) as again:
        (rows,) = rows_of(again.data_dir).values()
        assert [row_id for row_id, _role in rows] == list(range(1, len(rows) + 1))
        again.save_incident(make_incident())


def test_two_artefacts_that_claim_one_id_both_come_back(
    store: SQLiteProfileStore, make_incident: Maker
) -> None:
    """The first keeps it, the other gets a free one."""
    for _ in range(2):
        store.save_incident(make_incident())
    _plant(store.data_dir, 5)
    store.close()
    with closing(brought_back(store.data_dir)) as again:
        ids = [row_id for rows in rows_of(again.data_dir).values() for row_id, _role in rows]
        assert 5 in ids
        assert len(set(ids)) == len(ids)


def _plant(data_dir: Path, row_id: object) -> None:
    """Let every incident's artefact say this id of all its rows."""
    with closing(open_folder(data_dir / "artefacts")) as held:
        for key in [key for key in held.artefacts.list() if "-incident" in key]:
            told = json.loads(held.artefacts.retrieve_data(key))
            for capture in told["captures"]:
                capture["id"] = row_id
            about = held.artefacts.get_metadata(key)
            held.artefacts.store_data(
                key, json.dumps(told).encode(), tags=about.tags, attributes=about.attributes
            )


def test_notes_come_back(store: SQLiteProfileStore, make_incident: Maker) -> None:
    """Every note, with its time."""
    incident = make_incident()
    store.save_incident(incident)
    at = datetime(2026, 11, 2, 3, 4, tzinfo=UTC)
    for text in ("first", "it was the build"):
        store.add_note(incident.correlation_id, text, at)
    store.close()
    with closing(brought_back(store.data_dir)) as again, StoreReader(again.data_dir) as reader:
        notes = reader.incident(incident.correlation_id).notes
        assert [(note.taken_at, note.text) for note in notes] == [(at, "first"), (at, "it was the build")]


def test_plans_come_back(store: SQLiteProfileStore) -> None:
    """Those that were set and not deleted; the artefact is nobody's stray."""
    for plan in (*PLANS, NamedPlan("gone", rate_hz=5)):
        store.keep_plan(plan)
    store.drop_plan("gone")
    assert store.verify() == []
    assert store.leftovers(datetime.now(UTC)).is_nothing
    store.close()
    with closing(brought_back(store.data_dir)) as again:
        assert list_capture_plans(again.state) == sorted(PLANS, key=lambda plan: plan.name)
        assert again.verify() == []
        for plan in PLANS:
            again.drop_plan(plan.name)
        assert not (again.data_dir / "artefacts" / PLANS_KEY).exists()
        with pytest.raises(NotFoundError):
            again.drop_plan("java")


def test_the_database_is_right_where_both_tell_of_plans(store: SQLiteProfileStore) -> None:
    """A kill between the two leaves the artefact behind: it is brought to what the database has."""
    artefact = store.data_dir / "artefacts" / PLANS_KEY
    store.keep_plan(PLANS[0])
    old = artefact.read_bytes()
    store.keep_plan(PLANS[1])
    artefact.write_bytes(old)
    store.adopt()
    store.close()
    with closing(brought_back(store.data_dir)) as again:
        assert len(list_capture_plans(again.state)) == 2


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b'{"plans": 3}', b'{"plans": {"x": "{}"}}', b'{"plans": {"../x": "nonsense"}}', b"[" * 9999],
)
def test_an_artefact_with_nonsense_for_plans_costs_nothing_else(
    store: SQLiteProfileStore, make_incident: Maker, payload: bytes
) -> None:
    """Incidents come back, and no plan is made up."""
    store.save_incident(make_incident())
    store.close()
    with closing(open_folder(store.data_dir / "artefacts")) as held:
        held.artefacts.store_data(PLANS_KEY, payload)
    with closing(brought_back(store.data_dir)) as again:
        assert len(rows_of(again.data_dir)) == 1
        assert list_capture_plans(again.state) == []
