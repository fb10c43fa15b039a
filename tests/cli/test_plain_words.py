"""People read words: no page shows a metric or how a capture ended in the spelling that programs get."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path

import pytest

import monitord.cli.fleet_tables
from monitord import model
from monitord.actions import suggestions
from monitord.actions.workspace import Workspace
from monitord.model import CaptureStatus, Event, EventType, ProcessKey, RuleStatus, Threshold, TriggerMetric
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.recorder.status import write_status
from monitord.storage import open_store
from tests.cli.conftest import Cli, make_incident
from tests.cli.test_hostile_everywhere import OF_ALL, OF_ONE

NOW = datetime.now(UTC)
SPELLED = sorted(
    str(member.value)
    for kind in vars(model).values()
    if isinstance(kind, type) and issubclass(kind, Enum) and kind.__module__ == model.__name__
    for member in kind
    if "_" in str(member.value)
)
"""Members of the model's enumerations that are no plain words."""
AS_TYPED = ("config ", "query ", "storage metrics")  # what is typed into a file or a question; for programs
OTHERS = ("summary {id}", "export {id} --format markdown -o -", "export {id} --format report -o -")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An incident of each metric, captures that ended in each way, events of them, a status of such rules."""
    folder = tmp_path_factory.mktemp("words") / "data"
    threshold = Threshold(90.0, "percent")
    with closing(open_store(folder)) as store:
        for number, metric in enumerate(TriggerMetric):
            at = NOW - timedelta(minutes=3 * number + 1)
            made = make_incident(metric=metric, pid=900 + number, at=at, threshold=threshold)
            _context, profile, missing = made.captures
            ended = [
                replace(missing, status=status, role=f"profile{n}") for n, status in enumerate(CaptureStatus)
            ]
            best = replace(missing, status=list(CaptureStatus)[number % len(CaptureStatus)])
            captures = (best,) if number % 2 else (profile, *ended)
            store.save_incident(replace(made, captures=captures))
        store.events.store_events(
            [
                Event(
                    EventType.CAPTURE,
                    NOW,
                    pid=7,
                    payload={"role": "profile", "profiler": "perf", "status": one.value},
                )
                for one in CaptureStatus
            ]
        )
    rules = [
        asdict(RuleStatus(f"r{number}", metric, threshold, 10.0, "armed", ProcessKey(7, 7), "x", (99.0,)))
        for number, metric in enumerate(TriggerMetric)
    ]
    for rule in rules:
        del rule["seen_at"]
    now = NOW.isoformat()
    write_status(folder, {"taken_at": now, "rules_taken_at": now, "interval_s": 3600.0, "rules": rules})
    return folder


@pytest.fixture
def data_dir(filled: Path) -> Path:
    return filled


def pages(data_dir: Path) -> Iterator[list[str]]:
    with closing(sqlite3.connect(data_dir / "monitord.db")) as connection:
        ids = [row[0] for row in connection.execute("SELECT correlation_id FROM incident")]
    for words in (*OF_ALL, *OF_ONE, *OTHERS):
        if words.startswith(AS_TYPED) or "{key}" in words or "{n}" in words:
            continue
        if "{id}" not in words:
            yield words.split()
            continue
        tells = words.startswith(("show", "explain", "summary", "export"))  # else one of each sort
        for at, one in enumerate(ids if tells else ids[:2]):
            yield words.format(id=one, other=ids[at - 1]).split()


def test_no_page_spells_a_word_as_programs_get_it(
    here: Cli, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert {"disk_io", "permission_denied"} <= set(SPELLED)
    spelled = re.compile(rf"\b({'|'.join(SPELLED)})\b")
    found = set()
    with hold(data_dir / DAEMON_LOCK, "taken"):
        for words in pages(data_dir):
            answer = here(*words)
            said = re.sub(r"<script[^>]*>.*?</script>", "", answer.out + answer.err, flags=re.DOTALL)
            found |= {(words[0], line.strip()[:120]) for line in said.splitlines() if spelled.search(line)}
    assert found == set()


def test_programs_get_the_spelling(here: Cli, data_dir: Path) -> None:
    metrics = {one["trigger_metric"] for one in json.loads(here("recent", "-n", "99", "-o", "json").out)}
    assert metrics == {one.value for one in TriggerMetric}


def test_a_shells_suggestions_and_a_fleets_table_have_words(data_dir: Path) -> None:
    """What no command of this machine's store prints."""
    said = [why for _word, why in suggestions.incidents(Workspace(data_dir))]
    said += [why for _word, why in suggestions.rules(Workspace(data_dir))]
    (trigger,) = (one for one in vars(monitord.cli.fleet_tables)["RECENT"] if one.column.title == "TRIGGER")
    said += [trigger.text({"trigger_metric": one.value}) for one in TriggerMetric]
    assert [one for one in said if any(word in one for word in SPELLED)] == []
