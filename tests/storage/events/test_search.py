"""Events by what a process is called and by a text anywhere: what a walk over all of them finds, at a fraction of the steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from monitord.model import Event, EventType, Incident
from monitord.redaction.naming import fits_name
from monitord.storage import SQLiteProfileStore, StoreReader
from monitord.storage.event_search import EventSearch
from monitord.storage.events import EventFilter

Maker = Callable[..., Incident]
NOW = datetime(2026, 11, 25, 3, tzinfo=UTC)
NAMES = ("python3", "java", "we_b%1", "größe", 'quote"d', "\udcff\0", "JAVA", None)
ALL = EventFilter(limit=None)


@pytest.fixture
def reader(store: SQLiteProfileStore, make_incident: Maker) -> Iterator[StoreReader]:
    """Events of every name and type, each with texts of its own, and an incident with its samples."""
    store.save_incident(make_incident())
    kinds = [kind for kind in EventType if kind is not EventType.SAMPLE]
    store.events.store_events([
        Event(
            kinds[number % len(kinds)], NOW + timedelta(seconds=number), pid=1000 + number,
            process_name=NAMES[number % len(NAMES)], function=f"f{number}",
            payload={"text": f"Deploy {number} 100%_done – größe \"{number}\" \\ back"} if number % 3 else {},
        )
        for number in range(200)
    ])  # fmt: skip
    with StoreReader(store.data_dir) as opened:
        yield opened


@contextmanager
def counted(reader: StoreReader) -> Iterator[list[int]]:
    """How many hundreds of SQLite's steps the block takes."""
    reader.newest_id()  # open
    assert reader._connection is not None
    steps = [0]

    def step() -> int:
        steps[0] += 1
        return 0

    reader._connection.set_progress_handler(step, 100)
    yield steps
    reader._connection.set_progress_handler(None, 0)


@pytest.mark.parametrize("few", [0, 200])
@pytest.mark.parametrize(
    "process", ["python", "py*", "java", "we_b%1", "GRÖSSE", 'quote"', "postgres", "no such"]
)
def test_a_name_finds_what_a_walk_finds(
    reader: StoreReader, monkeypatch: pytest.MonkeyPatch, process: str, few: int
) -> None:
    """By index or through time, whatever is in the name; an incident's samples are found with it."""
    monkeypatch.setattr("monitord.storage.event_search._FEW", few)
    of_incidents = reader.incidents_of(process)
    expected = [
        event for event in reader.events(ALL)
        if fits_name(process, event.process_name or "") or event.correlation_id in of_incidents
    ]  # fmt: skip
    assert EventSearch(reader, ALL, process).newest() == expected
    assert EventSearch(reader, EventFilter(limit=3), process).newest() == expected[:3]
    since = NOW + timedelta(seconds=90)
    late = [event for event in expected if event.taken_at >= since]
    assert EventSearch(reader, ALL, process).since(since) == late


@pytest.mark.parametrize(
    "text",
    [
        "deploy 7",
        "100%_DONE",
        "GRÖSSE",
        'größe "',
        "\\",
        "1042",
        "f4",
        "note",
        "–",
        "we_b%1",
        "ploy_7",
        "nothing",
    ],
)
def test_a_text_finds_what_a_walk_finds(reader: StoreReader, text: str) -> None:
    """In any name, type, number or value, whatever letters it has."""
    expected = [event.id for event in reader.events(ALL) if _mentions(event, text.casefold())]
    assert [event.id for event in EventSearch(reader, ALL, None, text).newest()] == expected
    both = [event.id for event in EventSearch(reader, ALL, "python", text).newest()]
    named = {event.id for event in EventSearch(reader, ALL, "python").newest()}
    assert both == [number for number in expected if number in named]


def _mentions(event: Event, text: str) -> bool:
    cells = (
        event.event_type.value, event.pid, event.process_name, event.module, event.function, event.arity,
        event.correlation_id, event.ast_node_id, json.dumps(event.payload, ensure_ascii=False),
    )  # fmt: skip
    return any(text in str(cell).casefold() for cell in cells if cell is not None and cell != "{}")


def test_a_name_that_nobody_has_costs_as_many_steps_as_there_are_names(
    store: SQLiteProfileStore, reader: StoreReader
) -> None:
    """Ten times the events of the same names: not one step more."""
    with counted(reader) as before:
        assert EventSearch(reader, ALL, "no such process").newest() == []
    later = NOW + timedelta(hours=1)
    store.events.store_events(
        [
            Event(
                EventType.REPEAT, later + timedelta(seconds=number), process_name=NAMES[number % len(NAMES)]
            )
            for number in range(5000)
        ]
    )
    with counted(reader) as after:
        assert EventSearch(reader, ALL, "no such process").newest() == []
    assert after[0] <= before[0] + 1


def test_a_text_that_is_nowhere_brings_no_event_out_of_the_database(
    reader: StoreReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite itself compares: no row is made a value only to be thrown away."""
    fetched: list[int] = []
    fetch = reader._fetched

    def noted(sql: str, values: object) -> list[object]:
        rows = fetch(sql, values)  # type: ignore[arg-type]
        fetched.append(len(rows))
        return rows  # type: ignore[return-value]

    monkeypatch.setattr(reader, "_fetched", noted)
    assert EventSearch(reader, ALL, None, "nowhere").newest() == []
    assert sum(fetched) == 0
