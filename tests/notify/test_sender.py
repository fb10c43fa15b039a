"""From a stored incident to what arrives: the real sender, started as the recorder starts it, killed at any moment."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.daemon.message_supervisor import MessageSupervisor
from monitord.model import Cause, Hotspot, Incident, ProcessDetails, TriggerMetric
from monitord.notify.outbox_file import OUTBOX_FILE
from monitord.notify.status import read_message_status
from monitord.recorder.status import MESSAGES_FILE
from monitord.storage import SQLiteProfileStore, new_correlation_id, open_store
from monitord.storage.artefacts.monitor import AlertLevel, StorageAlert
from tests.fakes import KEY, a_capture, an_alert
from tests.notify.servers import Receiver, receiving, silent
from tests.servers import wait_until

SECRET = "hunter2-Zx81Qw90"


@dataclass
class Recorder:
    """The part of a recorder that tells people, and its store."""

    data_dir: Path
    config: Path
    store: SQLiteProfileStore
    made: list[MessageSupervisor]

    def configure(self, *receivers: str, **options: object) -> None:
        lines = ["[notify]", *(f"{name} = {json.dumps(held)}" for name, held in options.items())]
        self.config.write_text(
            "\n".join([*lines, *(f"[[notify.receivers]]\n{one}" for one in receivers)]) + "\n"
        )

    def started(self, after_s: float = 30.0) -> MessageSupervisor:
        self.made.append(MessageSupervisor(self.data_dir, self.config, after_s))
        return self.made[-1]

    def save(self, incident: Incident) -> str:
        self.store.save_incident(incident)
        return incident.correlation_id

    @property
    def status(self) -> dict[str, Any]:
        return read_message_status(self.data_dir) or {"receivers": {}}

    def settle(self, supervisor: MessageSupervisor) -> None:
        """Until no sender runs and none is due."""

        def is_settled() -> bool:
            supervisor.poll()
            return supervisor._child is None and not supervisor._untold

        wait_until(is_settled, "end of the sender")


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(tmp_path / "data", tmp_path / "config.toml", open_store(tmp_path / "data"), [])
    with closing(made.store):
        yield made
        for supervisor in made.made:
            supervisor.close(0.0)


def webhook(url: str, name: str = "team", **others: object) -> str:
    held = {"name": name, "kind": "webhook", "url": url, **others}
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in held.items())


def an_incident(
    ago_s: float = 0.0, name: str = "burn", metric: TriggerMetric = TriggerMetric.CPU, **changes: Any
) -> Incident:
    at = datetime.now(UTC) - timedelta(seconds=ago_s)
    alert = an_alert(metric, raised_at=at, crossed_at=at, process_name=name)
    process = ProcessDetails(KEY, name, 1, at, command_line=("python3", "shop.py", "--password", SECRET))
    cause = Cause("lock", "burn waits for a lock that pid 7 holds", "likely")
    spots = (Hotspot("validate", "/srv/shop.py", 6, 0.9, 1.0),)
    captures = (a_capture(hotspots=spots, sample_count=100, started_at=at),)
    made = Incident(new_correlation_id(), alert, process, captures=captures, cause=cause)
    return replace(made, **changes)


def test_an_incident_is_told_once_with_its_culprit_and_without_its_secrets(recorder: Recorder) -> None:
    """Process, function, cause, one sentence, how to look further; again and again asked for, it is not repeated."""
    with receiving(Receiver()) as place:
        recorder.configure(webhook(place.url))
        supervisor = recorder.started()
        incident = an_incident()
        reason = f"burn --password {SECRET} used \x1b[31m97 %\u202e of one core\nlook further: rm -rf /"
        incident = replace(incident, alert=replace(incident.alert, reason=reason))
        name = recorder.save(incident)
        supervisor.saved(incident)
        for _ in range(3):
            supervisor.settled(name)
        wait_until(lambda: bool(place.got), "message")
        recorder.settle(supervisor)
        supervisor.settled(name)
        recorder.settle(supervisor)
    (body,) = place.bodies()
    assert body["function"] == "validate (shop.py:6)"
    assert body["cause"] == "lock"
    assert "burn waits for a lock that pid 7 holds" in body["sentence"]
    assert body["look"] == f"monitord show {name[:8]}"
    assert body["is_ready"] is True
    assert body["process"] == "burn"
    assert SECRET not in json.dumps(place.got)
    assert "\x1b" not in body["text"]
    assert body["text"].count("\nlook further: ") == 1, "a name or reason can't write a line of its own"
    assert recorder.status["receivers"]["team"]["sent"] == 1
    assert supervisor.trouble is None


def test_what_a_killed_recorder_had_stored_and_not_told_is_told_by_the_next_one_once(
    recorder: Recorder,
) -> None:
    """Nobody said a word of it: it is found by what is stored. What was told before is not told again."""
    with receiving(Receiver()) as place:
        recorder.configure(webhook(place.url), after_s=5)
        first = recorder.started()
        recorder.settle(first)
        old = recorder.save(an_incident(ago_s=20))
        for _ in range(2):
            recorder.settle(recorder.started())
    assert [body["id"] for body in place.bodies()] == [old]
    assert place.bodies()[0]["is_ready"] is False


def test_without_more_evidence_it_is_told_after_a_while(recorder: Recorder) -> None:
    with receiving(Receiver()) as place:
        recorder.configure(webhook(place.url), after_s=1)
        supervisor = recorder.started(after_s=1.0)
        recorder.settle(supervisor)
        incident = an_incident()
        recorder.save(incident)
        supervisor.saved(incident)

        def is_told() -> bool:
            supervisor.poll()
            return bool(place.got)

        wait_until(is_told, "message")
        recorder.settle(supervisor)
        supervisor.settled(incident.correlation_id)
        recorder.settle(supervisor)
    assert [body["is_ready"] for body in place.bodies()] == [False]


def test_a_sender_that_is_killed_while_it_sends_loses_nothing(recorder: Recorder) -> None:
    """The receiver may have taken it: it comes at least once, with the same id."""
    with receiving(Receiver(hold=threading.Event())) as place:
        recorder.configure(webhook(place.url))
        supervisor = recorder.started()
        name = recorder.save(an_incident())
        supervisor.settled(name)
        wait_until(lambda: bool(place.got), "first try")
        child = supervisor._child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        held = json.loads((recorder.data_dir / OUTBOX_FILE).read_text())
        assert held["boxes"]["team"]["waiting"][0]["attempts"] == 1
        assert place.hold is not None
        place.hold.set()
        recorder.settle(recorder.started())
    assert [body["id"] for body in place.bodies()] == [name, name]
    keys = [headers["Idempotency-Key"] for _path, headers, _body in place.got]
    assert keys == [name, name]
    assert recorder.status["receivers"]["team"]["sent"] == 1


def test_a_refused_message_waits_on_the_disk_and_goes_out_when_its_time_has_come(recorder: Recorder) -> None:
    with receiving(Receiver([(503, {"Retry-After": "60"}), (200, {})])) as place:
        recorder.configure(webhook(f"{place.url}/{SECRET}"))
        supervisor = recorder.started()
        supervisor.settled(recorder.save(an_incident()))
        recorder.settle(supervisor)
        assert "team: answered 503; 1 message waiting" in str(supervisor.trouble)
        shown = recorder.status["receivers"]["team"]
        assert (shown["waiting"], shown["sent"], shown["last_error"]) == (1, 0, "answered 503")
        assert recorder.status["next_due_at"] is not None
        for _ in range(2):  # too early, whoever starts
            recorder.settle(recorder.started())
        assert len(place.got) == 1
        path = recorder.data_dir / OUTBOX_FILE
        held = json.loads(path.read_text())
        held["boxes"]["team"]["retry_at"] = datetime.now(UTC).isoformat()
        path.write_text(json.dumps(held))
        again = recorder.started()
        recorder.settle(again)
    assert len(place.got) == 2
    assert again.trouble is None
    for file in recorder.data_dir.glob("*.json"):
        assert SECRET not in file.read_text()


def test_a_silent_receiver_keeps_no_other_waiting_and_a_second_incident_neither(recorder: Recorder) -> None:
    with receiving(Receiver()) as place, silent() as port:
        recorder.configure(
            webhook(f"http://127.0.0.1:{port}/", "dead"), webhook(place.url), deadline_s=60, fold_s=0
        )
        supervisor = recorder.started()
        for count in (1, 2):
            supervisor.settled(recorder.save(an_incident()))
            wait_until(lambda: len(place.got) == count, "message")  # noqa: B023 - waited for at once
        child = supervisor._child
        assert child is not None
        assert child.poll() is None, "it still waits for the other one"
        words = Path(f"/proc/{child.pid}/cmdline").read_bytes()
        assert str(port).encode() not in words
    assert recorder.status["receivers"]["dead"]["sent"] == 0


def test_trouble_with_the_storage_is_told_and_its_end(recorder: Recorder) -> None:
    now = datetime.now(UTC)
    alert = StorageAlert(
        "space", AlertLevel.CRITICAL, f"no room; key AKIAIOSFODNN7EXAMPLE {SECRET}", "free some", now
    )
    with receiving(Receiver()) as place:
        recorder.configure(webhook(place.url), webhook(place.url, "deaf", not_rules=["storage"]))
        supervisor = recorder.started()
        supervisor.storage(alert)
        recorder.settle(supervisor)
        supervisor.storage(replace(alert, recovered_at=now + timedelta(seconds=5)))
        recorder.settle(supervisor)
    first, second = place.bodies()
    assert (first["kind"], first["rule"], first["check"]) == ("storage", "storage", "space")
    assert "in trouble" in first["title"]
    assert "AKIAIOSFODNN7EXAMPLE" not in json.dumps(first)
    assert second["level"] == "recovered"


def test_what_a_person_asked_for_is_not_told(recorder: Recorder) -> None:
    with receiving(Receiver()) as place:
        recorder.configure(webhook(place.url), after_s=1)
        supervisor = recorder.started()
        recorder.settle(supervisor)
        recorder.save(an_incident(ago_s=30, metric=TriggerMetric.MANUAL))
        incident = an_incident(ago_s=5)
        recorder.save(incident)
        supervisor.settled(incident.correlation_id)
        recorder.settle(supervisor)
    assert [body["id"] for body in place.bodies()] == [incident.correlation_id]


def test_repeats_are_held_and_status_counts_them(recorder: Recorder) -> None:
    with receiving(Receiver()) as place:
        recorder.configure(webhook(place.url))
        supervisor = recorder.started()
        for _ in range(3):
            supervisor.settled(recorder.save(an_incident()))
            recorder.settle(supervisor)
    assert len(place.got) == 1
    assert recorder.status["receivers"]["team"]["held"] == 2
    assert recorder.status["next_due_at"] is not None


def test_the_sender_has_no_rights_and_neither_has_a_command(recorder: Recorder, tmp_path: Path) -> None:
    program = tmp_path / "page"
    program.write_text(
        f"#!/bin/sh\ncat > {tmp_path}/in\ngrep -E 'Cap(Eff|Prm|Amb)|NoNewPrivs' /proc/self/status > {tmp_path}/rights\n"
    )
    program.chmod(0o755)
    recorder.configure(f'name = "page"\nkind = "command"\ncommand = ["{program}"]')
    supervisor = recorder.started()
    supervisor.settled(recorder.save(an_incident()))
    recorder.settle(supervisor)
    assert json.loads((tmp_path / "in").read_text())["function"] == "validate (shop.py:6)"
    rights = dict(line.split(":\t") for line in (tmp_path / "rights").read_text().splitlines())
    assert rights.pop("NoNewPrivs") == "1"
    assert {int(held, 16) for held in rights.values()} == {0}


def test_a_configuration_that_is_refused_is_trouble_and_not_the_end(recorder: Recorder) -> None:
    recorder.configure("name = 7")
    supervisor = recorder.started()
    recorder.settle(supervisor)
    assert "notify.receivers[0].name" in str(supervisor.trouble)
    assert "expected" in str(supervisor.trouble).lower()


def test_two_senders_are_never_at_it(recorder: Recorder) -> None:
    """A recorder that took over from one that died must not tell what its sender tells just now."""
    with receiving(Receiver(hold=threading.Event())) as place:
        recorder.configure(webhook(place.url))
        first = recorder.started()
        first.settled(recorder.save(an_incident()))
        wait_until(lambda: bool(place.got), "first try")
        second = recorder.started()
        recorder.settle(second)
        assert second.trouble is None
        assert len(place.got) == 1
        assert place.hold is not None
        place.hold.set()
        recorder.settle(first)
    assert len(place.got) == 1
    assert recorder.status["receivers"]["team"]["sent"] == 1


def test_when_the_recorder_dies_its_sender_ends_with_what_it_is_at(recorder: Recorder) -> None:
    with receiving(Receiver(hold=threading.Event())) as place:
        recorder.configure(webhook(place.url))
        supervisor = recorder.started()
        supervisor.settled(recorder.save(an_incident()))
        wait_until(lambda: bool(place.got), "first try")
        child = supervisor._child
        assert child is not None
        assert child.stdin is not None
        child.stdin.close()
        assert place.hold is not None
        place.hold.set()
        wait_until(lambda: child.poll() is not None, "end of the sender")
        assert child.returncode == 0
    assert recorder.status["receivers"]["team"]["sent"] == 1


def test_an_incident_that_can_not_be_read_costs_no_other_its_message(recorder: Recorder) -> None:
    """It is said in the log once, and not tried for ever."""
    with receiving(Receiver()) as place:
        recorder.configure(webhook(place.url), after_s=1)
        supervisor = recorder.started()
        recorder.settle(supervisor)
        damaged = recorder.save(an_incident(ago_s=5, name="damaged"))
        with sqlite3.connect(recorder.data_dir / "monitord.db") as database:
            database.execute("UPDATE incident SET crossed_at = 'never' WHERE correlation_id = ?", [damaged])
        sound = recorder.save(an_incident(ago_s=5, name="sound"))
        for _ in range(2):
            recorder.settle(recorder.started())
    assert [body["id"] for body in place.bodies()] == [sound]
    assert damaged in json.loads((recorder.data_dir / OUTBOX_FILE).read_text())["seen"]


def test_a_clock_that_is_set_back_hides_no_incident(recorder: Recorder) -> None:
    """The outbox was begun in a future that did not come."""
    with receiving(Receiver()) as place:
        recorder.configure(webhook(place.url), after_s=1)
        recorder.settle(recorder.started())
        path = recorder.data_dir / OUTBOX_FILE
        begun = datetime.now(UTC) + timedelta(days=400)
        path.write_text(json.dumps({**json.loads(path.read_text()), "since": begun.isoformat()}))
        recorder.settle(recorder.started())
        incident = an_incident()
        supervisor = recorder.started()
        supervisor.settled(recorder.save(incident))
        recorder.settle(supervisor)
    assert [body["id"] for body in place.bodies()] == [incident.correlation_id]


def test_status_is_nothing_where_it_is_damaged(recorder: Recorder) -> None:
    for text in ("", "[]", "{}", '{"receivers": 7}', "[" * 100_000):
        (recorder.data_dir / MESSAGES_FILE).write_text(text)
        assert read_message_status(recorder.data_dir) is None
