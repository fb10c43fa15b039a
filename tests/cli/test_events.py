"""`events` and `note` on a real store: filters, forms, hostile names, following."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from monitord.export.shapes import EVENT_KEYS
from monitord.model import Event, EventType, Incident
from tests.patience import PATIENCE_S

Maker = Callable[..., Incident]


def test_events_are_listed_newest_first_in_every_form(here, store, incident) -> None:
    """Table, JSON, JSON lines and CSV tell the same, with the keys of the manual."""
    listed = json.loads(here("events", "-n", "500", "-o", "json").out)
    assert [list(event) for event in listed] == [list(EVENT_KEYS)] * len(listed)
    assert [event["id"] for event in listed] == sorted((e["id"] for e in listed), reverse=True)
    assert {event["correlation_id"] for event in listed} == {incident.correlation_id}
    lines = [json.loads(line) for line in here("events", "-n", "500", "-r", "-o", "jsonl").out.splitlines()]
    assert lines == listed[::-1]
    sheet = list(csv.DictReader(io.StringIO(here("events", "-n", "500", "-o", "csv").out)))
    assert [row["id"].removeprefix("'") for row in sheet] == [event["id"] for event in listed]
    table = here("events", "--type", "alert").out
    assert incident.alert.reason[:30] in table


def test_filters_narrow_the_list(here, store, incident, new_incident) -> None:
    """By type, incident, process, function, text and number; what fits nobody is an empty answer."""
    other = new_incident()
    store.save_incident(other)
    hot = here("events", "--type", "hotspot", "--incident", incident.correlation_id, "--json")
    assert {event["correlation_id"] for event in json.loads(hot.out)} == {incident.correlation_id}
    function = json.loads(hot.out)[0]["function"]
    named = json.loads(here("events", "--function", function, "--json").out)
    assert {event["function"] for event in named} == {function}
    assert len(json.loads(here("events", "-n", "3", "--json").out)) == 3
    by_text = json.loads(here("events", "-g", incident.alert.reason[:12].upper(), "--json").out)
    assert {event["event_type"] for event in by_text} == {"alert"}
    assert json.loads(here("events", "--process", "no such*", "--json").out) == []
    nothing = here("events", "--node", "f" * 16)
    assert (nothing.code, nothing.out) == (0, "")
    assert "no event matches" in nothing.err


def test_impossible_questions_end_with_2(here, store, incident) -> None:
    """Nothing is run, one line says what is wrong."""
    for words in (
        ("events", "-S", "1h", "-U", "2h"),
        ("events", "--type", "nonsense"),
        ("events", "-n", "-1"),
        ("events", "--function", ""),
        ("events", "-f", "-o", "json"),
    ):
        answer = here(*words)
        assert (answer.code, answer.out) == (2, ""), words
        assert len(answer.err.splitlines()) == 1


def test_without_a_store_there_are_no_events(here) -> None:
    """As for `recent`: an empty list, and a line that says why."""
    answer = here("events", "--json")
    assert (answer.code, json.loads(answer.out)) == (3, [])
    assert "cannot find the data directory" in answer.err


def test_names_are_an_attackers_bytes(here, store) -> None:
    """No name breaks the table, the CSV or the JSON."""
    hostile = "=cmd|'/c'!A1\n\x1b[31m\udcff\u202e<script>"
    store.events.store_event(
        Event(EventType.HOTSPOT, datetime.now(UTC), pid=1, process_name=hostile, function=hostile)
    )
    table = here("events").out
    assert "\x1b[31m" not in table
    assert len(table.splitlines()) == 2
    (row,) = csv.DictReader(io.StringIO(here("events", "-o", "csv").out))
    assert row["process_name"].startswith("'=cmd")
    (event,) = json.loads(here("events", "--json").out)
    assert "\\xff" in event["process_name"]


def test_following_shows_what_comes(environment, store, incident, new_incident) -> None:
    """`-f` prints what there is and then a later incident's events, the samples before it too, each once."""
    words = [sys.executable, "-m", "monitord", "events", "-f", "-n", "1", "-o", "jsonl"]
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline())["correlation_id"] == incident.correlation_id
        later = new_incident()
        store.save_incident(later)
        count = len(store.events.query_events(correlation_id=later.correlation_id, limit=None))
        lines = [json.loads(process.stdout.readline()) for _ in range(count)]
        assert {line["correlation_id"] for line in lines} == {later.correlation_id}
        assert len({line["id"] for line in lines}) == count
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
    finally:
        process.kill()
        process.wait()


def test_a_note_is_kept_and_shown(here, store, incident) -> None:
    """By `show`, in JSON, as an event; and a note on nothing is not found."""
    assert here("note", incident.correlation_id, "deploy at 02:58\x1b[31m").code == 0
    shown = here("show", incident.correlation_id)
    assert "deploy at 02:58" in shown.out
    assert "\x1b[31m" not in shown.out
    (said,) = json.loads(here("show", incident.correlation_id, "-o", "json").out)["annotations"]
    assert said["text"].startswith("deploy at 02:58")
    (event,) = json.loads(here("events", "--type", "note", "--json").out)
    assert event["payload"]["text"] == said["text"]
    assert here("note", "nothing", "text").code == 3
    assert here("note", incident.correlation_id, " ").code == 2


def test_asking_for_events_loads_no_sqlalchemy(cli, environment, store, incident) -> None:
    """`events` starts as fast as `recent`: by the modules it loads."""
    code = (
        "import sys; sys.argv = ['monitord', 'events', '--json']\n"
        "from monitord.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('sqlalchemy', 'psutil', 'structlog', 'apscheduler') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]"
