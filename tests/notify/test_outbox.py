"""When something is told, held back, tried again and given up: the outbox, at a time of the test's own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.config.telling import NotifySettings, ReceiverSettings
from monitord.notify.errors import NotSentError
from monitord.notify.messages import Message
from monitord.notify.outbox import GIVEN_UP_AFTER, PAUSES_S, SEEN_AT_MOST, Outbox, wants
from monitord.notify.outbox_file import OUTBOX_FILE, encoded, read_outbox, write_outbox
from monitord.notify.quiet import quiet_until

NOW = datetime(2026, 3, 4, 3, 0, tzinfo=UTC)
LATER = NotSentError("answered 503")


def settings(**changes: Any) -> NotifySettings:
    receivers = changes.pop("receivers", (ReceiverSettings(name="one", kind="journald"),))
    return NotifySettings(receivers=receivers, **changes)


def message(number: int, rule: str = "cpu-hog", at: datetime = NOW) -> Message:
    facts = {"raised_at": at.isoformat(), "process": "burn"}
    return Message(f"incident{number}", "incident", rule, f"title {number}", "text", facts)


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(NOW)


def queued(outbox: Outbox, name: str = "one") -> list[str]:
    return [one.id for one in outbox.boxes[name].waiting] if name in outbox.boxes else []


def take_all(outbox: Outbox, wanted: NotifySettings, now: datetime) -> list[dict[str, Any]]:
    """Everything that is due, taken by the receiver."""
    taken = []
    while outbox.due(now):
        one = outbox.begin("one")
        taken.append(one.message)
        outbox.note("one", one.id, None, now)
        outbox.release(wanted, now)
    return taken


def test_repeats_are_folded_into_one_message_that_counts_them(outbox: Outbox) -> None:
    """Five of one program at once, another one's between them: two messages now, one when the time is over."""
    wanted = settings(fold_s=600)
    for number in range(5):
        outbox.admit(message(number), "burn", wanted, NOW)
    outbox.admit(message(9), "other", wanted, NOW)
    assert [one["id"] for one in take_all(outbox, wanted, NOW)] == ["incident0", "incident9"]
    assert outbox.next_due(wanted, NOW) == NOW + timedelta(seconds=600)
    later = NOW + timedelta(seconds=600)
    outbox.release(wanted, later - timedelta(seconds=1))
    assert queued(outbox) == []
    outbox.release(wanted, later)
    (summary,) = take_all(outbox, wanted, later)
    assert summary["kind"] == "summary"
    assert summary["count"] == 4
    assert "4 further incidents" in summary["title"]
    assert summary["text"].count("burn") == 4
    assert outbox.next_due(wanted, later) is None


def test_one_incident_is_told_once_however_often_it_is_found(outbox: Outbox) -> None:
    for _ in range(3):
        outbox.admit(message(1), "burn", settings(fold_s=0), NOW)
    assert queued(outbox) == ["incident1"]
    outbox.seen = [str(number) for number in range(SEEN_AT_MOST)]
    outbox.admit(message(2), "burn", settings(fold_s=0), NOW)
    assert len(outbox.seen) == SEEN_AT_MOST


def test_above_the_daily_limit_the_rest_comes_as_one_message_a_day_later(outbox: Outbox) -> None:
    wanted = settings(fold_s=0, daily_limit=3)
    told = []
    for number in range(10):
        at = NOW + timedelta(minutes=number)
        outbox.admit(message(number, at=at), "burn", wanted, at)
        told += take_all(outbox, wanted, at)
    assert [one["id"] for one in told] == ["incident0", "incident1", "incident2"]
    end = NOW + timedelta(hours=24)
    assert outbox.next_due(wanted, NOW + timedelta(minutes=10)) == end
    outbox.release(wanted, end)
    (summary,) = take_all(outbox, wanted, end)
    assert summary["count"] == 7


def test_in_quiet_hours_nothing_goes_out_and_at_their_end_one_message(outbox: Outbox, utc: None) -> None:
    wanted = settings(fold_s=60, quiet_hours="22:00-07:00")
    for number in range(200):
        outbox.admit(message(number), f"program {number}", wanted, NOW + timedelta(minutes=number))
    assert queued(outbox) == []
    end = NOW.replace(hour=7)
    assert outbox.next_due(wanted, NOW) == end
    outbox.release(wanted, end)
    (summary,) = take_all(outbox, wanted, end)
    assert summary["count"] == 200
    assert len(summary["text"]) <= 1500
    assert "and 190 more" in summary["text"]


def test_each_receiver_chooses_rules(outbox: Outbox) -> None:
    receivers = (
        ReceiverSettings(name="all", kind="journald"),
        ReceiverSettings(name="memory", kind="journald", rules=("memory-*", "oom*")),
        ReceiverSettings(name="rest", kind="journald", not_rules=("memory-*", "storage")),
        ReceiverSettings(name="off", kind="journald", enabled=False),
    )
    wanted = settings(receivers=receivers, fold_s=0)
    for number, rule in enumerate(("cpu-hog", "memory-leak", "storage")):
        outbox.admit(message(number, rule), "burn", wanted, NOW)
    found = {name: len(queued(outbox, name)) for name in ("all", "memory", "rest", "off")}
    assert found == {"all": 3, "memory": 1, "rest": 1, "off": 0}
    assert not wants(ReceiverSettings(name="none", kind="journald", rules=()), "cpu-hog")


def test_a_failing_receiver_is_tried_less_and_less_often_and_given_up_after_a_day(outbox: Outbox) -> None:
    """The number of tries in a day is bounded, whatever the receiver answers."""
    wanted = settings()
    outbox.admit(message(1), "burn", wanted, NOW)
    now, tries, pauses = NOW, 0, []
    while queued(outbox):
        assert outbox.due(now) == ["one"]
        one = outbox.begin("one")
        tries += 1
        assert one.attempts == tries
        outbox.note("one", one.id, LATER, now)
        assert outbox.due(now) == []
        due = outbox.next_due(wanted, now)
        assert due is not None
        pauses.append((due - now).total_seconds())
        now = due
        gone = outbox.release(wanted, now)
    assert gone == ["incident1"]
    assert pauses[: len(PAUSES_S)] == list(PAUSES_S)
    assert set(pauses[len(PAUSES_S) :]) == {PAUSES_S[-1]}
    assert now - NOW < GIVEN_UP_AFTER + timedelta(seconds=2 * PAUSES_S[-1])
    assert outbox.boxes["one"].failed == 1
    (complaint,) = outbox.complaints()
    assert "answered 503" in complaint
    assert "1 given up" in complaint


def test_what_a_receiver_asks_for_is_heard_within_bounds_and_a_final_no_is_final(outbox: Outbox) -> None:
    wanted = settings(fold_s=0)
    for number in range(2):
        outbox.admit(message(number), "burn", wanted, NOW)
    for asked_s, waits_s in ((77.0, 77), (1e9, 3600), (0.0, 120)):
        outbox.note("one", "incident0", NotSentError("answered 429", retry_after_s=asked_s), NOW)
        assert outbox.next_due(wanted, NOW) == NOW + timedelta(seconds=waits_s)
    outbox.note("one", "incident0", NotSentError("answered 404", is_final=True), NOW)
    assert queued(outbox) == ["incident1"]
    assert outbox.boxes["one"].failed == 1


def test_what_waits_is_bounded_and_the_rest_is_counted(outbox: Outbox) -> None:
    """A receiver that is dead for hours holds at most a few messages and one summary; none is lost uncounted."""
    wanted = settings(fold_s=0, daily_limit=1000)
    for number in range(300):
        outbox.admit(message(number), f"p{number}", wanted, NOW + timedelta(seconds=number))
    size = len(encoded(outbox))
    assert size < 64_000
    end = NOW + timedelta(hours=1)
    told = take_all(outbox, wanted, end)
    assert sum(one.get("count", 1) for one in told) == 300
    assert len(told) < 12


def test_a_clock_that_is_set_back_holds_nothing_up(outbox: Outbox) -> None:
    wanted = settings(fold_s=600, daily_limit=1)
    outbox.admit(message(1), "burn", wanted, NOW)
    outbox.note("one", "incident1", LATER, NOW)
    before = NOW - timedelta(days=3)
    assert outbox.due(before) == ["one"]
    take_all(outbox, wanted, before)
    outbox.admit(message(2), "burn", wanted, before)
    assert queued(outbox) == ["incident2"]


def test_one_that_no_receiver_takes_holds_up_no_other(outbox: Outbox) -> None:
    """A receiver may choke on what one process is called, each time: the others go out between its tries."""
    wanted = settings(fold_s=0)
    for number in range(4):
        outbox.admit(message(number), "burn", wanted, NOW)
    now, taken = NOW, []
    for _ in range(12):
        outbox.release(wanted, now)
        if not outbox.due(now):
            due = outbox.next_due(wanted, now)
            assert due is not None
            now = due
        one = outbox.begin("one")
        error = LATER if one.id == "incident0" else None
        outbox.note("one", one.id, error, now)
        taken += [one.id] if error is None else []
        if len(taken) == 3:
            break
    assert taken == ["incident1", "incident2", "incident3"]
    assert now - NOW <= timedelta(seconds=PAUSES_S[0])
    assert queued(outbox) == ["incident0"]


def test_nothing_is_given_up_that_was_not_tried_after_its_day(outbox: Outbox) -> None:
    """The machine slept for a week-end, or its clock began in 1970 and was put right."""
    wanted = settings(fold_s=0)
    outbox.admit(message(1), "burn", wanted, NOW)
    outbox.note("one", "incident1", LATER, NOW)
    later = NOW + timedelta(days=20_000)
    assert outbox.release(wanted, later) == []
    assert outbox.due(later) == ["one"]
    outbox.note("one", "incident1", LATER, later)
    assert outbox.release(wanted, later) == ["incident1"]


def test_what_a_clock_of_the_future_put_down_is_given_up_in_the_end(outbox: Outbox) -> None:
    wanted = settings(fold_s=0)
    outbox.admit(message(1), "burn", wanted, NOW + timedelta(days=400))
    assert outbox.release(wanted, NOW) == []
    later = NOW + GIVEN_UP_AFTER + timedelta(seconds=1)
    outbox.note("one", "incident1", LATER, later)
    assert outbox.release(wanted, later) == ["incident1"]


def test_a_name_is_told_and_kept_without_what_it_may_not_hold(outbox: Outbox) -> None:
    """What repeats are known by is written to the disk, and no receiver's business."""
    wanted = settings(daily_limit=1)
    hostile = "a\x1b[31m\u202e\udcff AKIAIOSFODNN7EXAMPLE"
    for number in range(3):
        outbox.admit(message(number), hostile, wanted, NOW)
    held = encoded(outbox).decode()
    assert "AKIAIOSFODNN7EXAMPLE" not in held
    assert "\\u001b" not in held
    assert "\u202e" not in held
    outbox.boxes["one"].waiting.clear()
    later = NOW + timedelta(days=2)
    outbox.release(wanted, later)
    (summary,) = take_all(outbox, wanted, later)
    assert {key for each in summary["incidents"] for key in each} == {"id", "kind", "rule", "name", "at"}


def test_the_outbox_is_the_same_after_writing_and_reading_and_a_damaged_one_says_so(tmp_path: Path) -> None:
    outbox = Outbox(NOW)
    outbox.admit(message(1), "burn", settings(), NOW)
    outbox.note("one", "incident1", LATER, NOW)
    write_outbox(tmp_path, encoded(outbox))
    assert encoded(read_outbox(tmp_path, NOW)) == encoded(outbox)
    path = tmp_path / OUTBOX_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    for damage in (b"", b"{", b"[]", b"\xff" * 100, b'{"since": 7}'):
        path.write_bytes(damage)
        found = read_outbox(tmp_path, NOW)
        assert found.seen == []
        assert "is lost" in found.complaints()[0]
    path.unlink()
    os.mkfifo(path)
    assert "cannot read" in read_outbox(tmp_path, NOW).complaints()[0]


def _leaves(held: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    pairs = held.items() if isinstance(held, dict) else enumerate(held) if isinstance(held, list) else ()
    for key, value in pairs:
        yield from _leaves(value, (*path, key))


def test_whatever_stands_in_a_damaged_outbox_the_next_message_goes_out(tmp_path: Path) -> None:
    """Each value of a full one, put wrong in each way: it is refused whole or taken, and never ends the sender."""
    wanted = settings(fold_s=600)
    full = Outbox(NOW)
    for number in range(4):
        full.admit(message(number), "burn" if number else "other", wanted, NOW)
    full.note("one", "incident0", LATER, NOW)
    text = encoded(full)
    wrong = (None, "", "x", -7, 10**30, [], {}, [{}], {"x": 1}, "2026-03-04T03:00:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")  # fmt: skip
    for path in _leaves(json.loads(text)):
        for value in wrong:
            damaged = json.loads(text)
            place: Any = {"": damaged}
            for key in ("", *path[:-1]) if path else ():
                place = place[key]
            place[path[-1] if path else ""] = value
            (tmp_path / OUTBOX_FILE).write_text(json.dumps(damaged if path else value))
            for now in (NOW, NOW + timedelta(days=3)):
                found = read_outbox(tmp_path, now)
                found.since = min(found.since, now)
                found.admit(message(9), "newest", wanted, now)
                found.release(wanted, now)
                found.next_due(wanted, now)
                found.complaints()
                for name in found.due(now):
                    one = found.begin(name)
                    found.note(name, one.id, LATER, now)
                told = queued(found) + [held.id for box in found.boxes.values() for held in box.held]
                assert "incident9" in told, (path, value)
                encoded(found)


@pytest.mark.parametrize("damage", [b"[" * 1_000_000, b'{"since":' * 100_000, b"\0" * 4096, b" " * (9 << 20)])
def test_an_outbox_that_is_deep_or_huge_is_refused(damage: bytes, tmp_path: Path) -> None:
    (tmp_path / OUTBOX_FILE).write_bytes(damage)
    assert "cannot read" in read_outbox(tmp_path, NOW).complaints()[0]


def test_quiet_hours_that_never_end_are_refused() -> None:
    with pytest.raises(ValueError, match="quiet_hours"):
        settings(quiet_hours="07:00-07:00")


# ------------------------------------------------------------------------------------------ quiet hours


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("hours", "at", "until"),
    [
        ("", "03:00", None),
        ("22:00-07:00", "21:59", None),
        ("22:00-07:00", "22:00", "5T07:00"),
        ("22:00-07:00", "00:00", "4T07:00"),
        ("22:00-07:00", "06:59", "4T07:00"),
        ("22:00-07:00", "07:00", None),
        ("12:00-13:30", "13:00", "4T13:30"),
        ("12:00-13:30", "13:30", None),
        ("00:00-00:00", "05:00", "5T00:00"),
    ],
)
def test_quiet_hours_hold_from_their_start_to_before_their_end(
    hours: str, at: str, until: str | None, utc: None
) -> None:
    found = quiet_until(hours, datetime.fromisoformat(f"2026-03-04T{at}:00+00:00"))
    assert found == (datetime.fromisoformat(f"2026-03-0{until}:00+00:00") if until else None)


def test_quiet_hours_are_those_of_the_machines_time(monkeypatch: pytest.MonkeyPatch, utc: None) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    end = quiet_until("22:00-07:00", datetime(2026, 3, 4, 13, 30, tzinfo=UTC))
    assert end == datetime(2026, 3, 4, 22, 0, tzinfo=UTC)
