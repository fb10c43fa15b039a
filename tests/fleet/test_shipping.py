"""Shipping: what a host's store holds lies in the bucket, each row once, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.analytics.tables import HOTSPOTS, INCIDENTS, MACHINE_MINUTES, PROCESS_MINUTES
from monitord.fleet.ship_state import read_state
from tests.fleet.hosts import SECRET, Bucket, Host, ids

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return Bucket(f"file://{tmp_path}/bucket")


@pytest.fixture
def host(tmp_path: Path, bucket: Bucket) -> Iterator[Host]:
    return Host(tmp_path / "one", bucket.url)


def test_every_table_of_every_day_lies_under_its_name_and_each_row_is_there_once(
    host: Host, bucket: Bucket
) -> None:
    saved = sorted(host.save(at) for at in (NOON - 2 * DAY, NOON - DAY, NOON - timedelta(hours=1)))
    host.look(NOON - timedelta(minutes=10), 600)
    done = host.ship(NOON)
    assert ids(bucket.rows()) == saved
    assert len(bucket.rows(HOTSPOTS)) == 3
    assert len(bucket.rows(MACHINE_MINUTES)) == 10
    assert len(bucket.rows(PROCESS_MINUTES)) == 20
    host_id = done.host_id
    assert [path for path in bucket.paths() if "/incident/" in path] == [
        f"v1/incident/date=2026-11-{day}/host={host_id}/day.parquet" for day in (18, 19, 20)
    ]
    assert done.files == len([path for path in bucket.paths() if path.endswith(".parquet")])


def test_what_did_not_change_is_not_put_again_and_what_did_replaces_its_file(
    host: Host, bucket: Bucket
) -> None:
    first = host.save(NOON - timedelta(hours=2))
    host.ship(NOON)
    before = bucket.paths()
    assert host.ship(NOON + timedelta(minutes=1)).files == 0
    second = host.save(NOON - timedelta(hours=1))
    done = host.ship(NOON + timedelta(minutes=2))
    assert done.files == 2  # incidents and hotspots
    assert bucket.paths() == before
    assert ids(bucket.rows()) == sorted([first, second])


def test_an_incident_goes_at_once_and_minutes_once_an_hour(host: Host, bucket: Bucket) -> None:
    host.look(NOON - timedelta(minutes=10), 300)
    host.ship(NOON, everything=False)
    assert len(bucket.rows(MACHINE_MINUTES)) == 5
    host.look(NOON - timedelta(minutes=5), 300)
    name = host.save(NOON)
    host.ship(NOON + timedelta(minutes=5), everything=False)
    assert ids(bucket.rows()) == [name]
    assert len(bucket.rows(MACHINE_MINUTES)) == 5
    host.ship(NOON + timedelta(hours=1), everything=False)
    assert len(bucket.rows(MACHINE_MINUTES)) == 10


def test_what_the_store_forgot_stays_in_the_file_of_the_running_day(host: Host, bucket: Bucket) -> None:
    old = host.save(NOON - timedelta(hours=2))
    host.ship(NOON)
    with host.opened() as store:
        store.delete_incident(old)
    new = host.save(NOON)
    host.ship(NOON + timedelta(minutes=5))
    assert ids(bucket.rows()) == sorted([old, new])
    assert sum(row["incidents"] for row in bucket.rows(HOTSPOTS)) == 2


def test_a_day_that_is_over_is_put_once_more_and_then_left_alone(host: Host, bucket: Bucket) -> None:
    """Its file here goes; a row that comes later than six hours after its end is not looked for."""
    host.save(NOON)
    host.ship(NOON)
    late = host.save(NOON + timedelta(hours=11))
    host.ship(NOON + timedelta(hours=20))
    assert late in ids(bucket.rows())
    assert host.ship(NOON + timedelta(hours=20, minutes=1)).files == 0
    assert host.ship(NOON + timedelta(hours=21)).files == 0
    waiting = list((host.data_dir / "ship").rglob("2026-11-20.parquet"))
    assert waiting == []


@pytest.mark.parametrize("gone_after", [0, 1])
def test_a_file_that_was_removed_as_it_was_replaced_is_put_again(
    host: Host, bucket: Bucket, tmp_path: Path, gone_after: int
) -> None:
    """`fleet compact` asks which version is there, and then removes the one that came in between."""
    ends = NOON + timedelta(days=5)
    first = host.save(NOON)
    host.ship(ends)
    day_file = next(path for path in bucket.paths() if "/incident/date=2026-11-20/" in path)
    for number in range(gone_after):
        assert host.ship(ends + timedelta(minutes=1 + number)).files == 0
    (tmp_path / "bucket" / day_file).unlink()
    host.ship(ends + timedelta(hours=1))
    assert ids(bucket.rows()) == [first]
    host.ship(ends + timedelta(hours=2))
    assert not list((host.data_dir / "ship").rglob("2026-11-20.parquet"))
    (tmp_path / "bucket" / day_file).unlink()  # compacted, as it should be
    host.ship(ends + timedelta(hours=3))
    assert bucket.rows() == []


def test_secrets_and_people_stay_here_unless_redaction_is_off(host: Host, bucket: Bucket) -> None:
    host.save(NOON)
    host.ship(NOON)
    (row,) = bucket.rows()
    text = repr(row) + repr(bucket.rows(HOTSPOTS))
    assert SECRET not in text
    assert "carol" not in text
    assert (row["function"], row["process"]) == ("validate", "burn")
    host.configure(redact=False)
    host.save(NOON + timedelta(minutes=1))
    host.ship(NOON + timedelta(minutes=2))
    assert {row["user"] for row in bucket.rows()} == {"carol"}


def test_stand_ins_are_the_same_in_every_round(host: Host, bucket: Bucket) -> None:
    for minute in range(2):
        host.save(NOON + timedelta(minutes=minute))
        host.ship(NOON + timedelta(minutes=minute))
    assert len({row["user"] for row in bucket.rows()}) == 1
    assert host.ship(NOON + timedelta(minutes=3)).files == 0


def test_the_evidence_of_an_incident_lies_beside_its_rows_and_comes_again_when_there_is_more(
    host: Host, bucket: Bucket
) -> None:
    host.configure(artefacts=True)
    name = host.save(NOON)
    made: list[str] = []

    def archive_of(incident: str) -> bytes:
        made.append(incident)
        return b"archive of %d" % len(made)

    done = host.ship(NOON, archive_of=archive_of)
    path = f"v1/artefact/date=2026-11-20/host={done.host_id}/{name}.tar.zst"
    assert bucket.read(path) == b"archive of 1"
    host.ship(NOON + timedelta(minutes=1), archive_of=archive_of)
    assert made == [name]
    with host.opened() as store:
        store.pin(name, pinned=True)
    host.ship(NOON + timedelta(minutes=2), archive_of=archive_of)
    assert made == [name], "a pin is no evidence"
    assert done.artefacts == 1


def test_the_state_and_the_host_file_say_who_it_is(host: Host, bucket: Bucket) -> None:
    host.save(NOON)
    done = host.ship(NOON)
    state = read_state(host.data_dir)
    assert state is not None
    about = bucket.host(done.host_id)
    assert (state.host_id, about["host_id"]) == (done.host_id, done.host_id)
    assert about["format"] == "monitord-host/1"
    assert about["name"]
    host.configure(pseudonym=True)
    host.ship(NOON + timedelta(minutes=1))


def test_an_empty_store_ships_nothing_but_who_it_is(host: Host, bucket: Bucket) -> None:
    done = host.ship(NOON)
    assert (done.files, bucket.paths()) == (0, [f"v1/host/host={done.host_id}/host.json"])
    assert bucket.rows(INCIDENTS) == []
