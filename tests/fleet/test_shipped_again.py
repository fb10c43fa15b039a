"""Shipping a day again: each row once and none less, whatever the store lost, was told late or the clock said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.analytics.tables import HOTSPOTS, INCIDENTS, TABLES, Table
from monitord.analytics.versions import mark_deployed
from monitord.fleet.asking import ask
from monitord.fleet.bucket import Scope, open_bucket
from monitord.fleet.compacting import compact
from monitord.fleet.questions import HOT, MACHINE, RECENT
from monitord.fleet.ship_state import read_state, write_state
from monitord.storage.artefacts.errors import AccessDeniedError
from monitord.storage.objects import open_objects
from tests.fleet.hosts import ANY, Bucket, Host, ids
from tests.servers import S3Server

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
ENDED = NOON + 3 * DAY


@pytest.fixture
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Bucket:
    if getattr(request, "param", "file") == "file":
        return Bucket(f"file://{tmp_path}/bucket")
    server: S3Server = request.getfixturevalue("s3_server")
    return Bucket(f"s3://{server.new_bucket()}/fleet?{server.options(tmp_path)}")


@pytest.fixture
def hosts(tmp_path: Path, bucket: Bucket) -> list[Host]:
    """Two, because of one alone nothing is compacted."""
    return [Host(tmp_path / name, bucket.url) for name in ("one", "two")]


def asked(bucket: Bucket, host: Host) -> list[Any]:
    """Incidents, samples and minutes of a host, as the fleet tells them."""
    state = read_state(host.data_dir)
    assert state is not None
    found = []
    for question in (RECENT, HOT, MACHINE):
        values: dict[str, Any] = {name: ANY[name] for name in question.parameters if name in ANY}
        if question is MACHINE:
            values["host"] = state.host_id
        opened = open_bucket(bucket.url)
        found.append(ask(opened, question, Scope(NOON - DAY, ENDED, state.host_id), **values).rows)
        opened.close()
    return found


def compacted(bucket: Bucket) -> None:
    opened = open_bucket(bucket.url)
    for table in TABLES:
        compact(opened, table, NOON.date())
    opened.close()


def files_of(bucket: Bucket, table: Table) -> list[str]:
    return [path.split("host=")[1].split("/")[0] for path in bucket.paths() if f"/{table.folder}/" in path]


@pytest.mark.parametrize("bucket", ["file", "s3"], indirect=True)
@pytest.mark.parametrize("why", ["the host's file went", "the clock was set back"])
def test_a_day_that_was_compacted_and_is_shipped_again_loses_no_row_and_counts_none_twice(
    hosts: list[Host], bucket: Bucket, why: str
) -> None:
    """The store has lost some of its rows by then; and it can be compacted again."""
    host = hosts[0]
    lost = [host.save(NOON + minute * MINUTE) for minute in range(3)]
    kept = [host.save(NOON + minute * MINUTE) for minute in (5, 90)]
    host.look(NOON, 600)
    hosts[1].save(NOON)
    for each in hosts:
        each.ship(ENDED)
        each.ship(ENDED + 30 * MINUTE)  # its files of that day are let go here
    before = asked(bucket, host)
    assert len(before[0]) == len(lost + kept)
    compacted(bucket)
    assert set(files_of(bucket, INCIDENTS)) == {"_all"}
    assert asked(bucket, host) == before
    with host.opened() as store:
        store.delete_incidents(lost)
        store.drop_history_before(NOON + 5 * MINUTE)
    now = ENDED + 60 * MINUTE
    if why == "the clock was set back":
        now = NOON + timedelta(hours=9)
    else:
        state = read_state(host.data_dir)
        assert state is not None
        objects = open_objects(bucket.url)
        objects.delete(f"v1/host/host={state.host_id}/host.json")
        objects.close()
    host.ship(now)
    assert asked(bucket, host) == before
    host.save(NOON + 95 * MINUTE)  # told late: counted beside them
    host.ship(NOON + timedelta(hours=10))
    later = asked(bucket, host)
    assert (len(later[0]), later[1][0]["incidents"]) == (len(before[0]) + 1, before[1][0]["incidents"] + 1)
    compacted(bucket)
    assert asked(bucket, host) == later


def test_what_a_bucket_of_an_earlier_state_has_stays(hosts: list[Host], bucket: Bucket) -> None:
    """The host's own file is there with rows that the store lost since."""
    host = hosts[0]
    lost, kept = host.save(NOON), host.save(NOON + MINUTE)
    host.ship(NOON + 5 * MINUTE)
    with host.opened() as store:
        store.delete_incident(lost)
    state = read_state(host.data_dir)
    assert state is not None
    state.forget_bucket()
    write_state(host.data_dir, state)
    for path in (host.data_dir / "ship").rglob("*.parquet"):
        path.unlink()
    host.ship(NOON + 6 * MINUTE)
    assert ids(bucket.rows()) == sorted([lost, kept])
    assert sum(row["incidents"] for row in bucket.rows(HOTSPOTS)) == 2


def test_a_host_that_may_not_read_what_was_compacted_leaves_it(hosts: list[Host], bucket: Bucket) -> None:
    """It says so, and ships all else."""
    host = hosts[0]
    host.save(NOON)
    hosts[1].save(NOON)
    for each in hosts:
        each.ship(ENDED)
        each.ship(ENDED + 30 * MINUTE)
    before = asked(bucket, host)
    compacted(bucket)
    shipper = host.shipper(NOON + DAY)
    real = shipper._open

    def closed() -> Any:
        objects = real()
        read = objects.read

        def refused(path: str, limit_bytes: int) -> Any:
            if "host=_all" in path:
                raise AccessDeniedError("cannot read: 403")
            return read(path, limit_bytes)

        objects.read = refused  # type: ignore[method-assign]
        return objects

    shipper._open = closed  # type: ignore[method-assign]
    told = shipper.run(everything=True)
    assert any("may not read" in note for note in told.notes)
    assert asked(bucket, host) == before


def test_a_version_that_is_told_late_replaces_none_of_the_same_samples(
    hosts: list[Host], bucket: Bucket
) -> None:
    """`deployed --at` in the past while the day runs: rows without the version go."""
    host = hosts[0]
    host.save(NOON)
    host.save(NOON + MINUTE)
    host.ship(NOON + 5 * MINUTE)
    with host.opened() as store:
        mark_deployed(store.state, "burn", "1.4.2", NOON - MINUTE)
    host.ship(NOON + 6 * MINUTE)
    assert [(row["version"], row["incidents"]) for row in bucket.rows(HOTSPOTS)] == [("1.4.2", 2)]
    assert {row["version"] for row in bucket.rows()} == {"1.4.2"}


def test_an_hour_that_lost_an_incident_and_got_another_counts_both(hosts: list[Host], bucket: Bucket) -> None:
    host = hosts[0]
    first = host.save(NOON)
    host.ship(NOON + MINUTE)
    with host.opened() as store:
        store.delete_incident(first)
    host.save(NOON + 2 * MINUTE)
    host.ship(NOON + 3 * MINUTE)
    (row,) = bucket.rows(HOTSPOTS)
    assert (row["incidents"], row["process_samples"]) == (2, 200)


# ------------------------------------------------------------------------------------------ clocks


def test_days_to_come_make_room_before_true_ones(tmp_path: Path) -> None:
    """While the bucket is away, what has to go is of a clock that was ahead."""
    host = Host(tmp_path / "one", f"file://{tmp_path}/bucket")
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket").chmod(0o777)  # nobody's alone: refused
    for days in (0, 1, 40, 41, 42):
        host.save(NOON + days * DAY)
    shipper = host.shipper(NOON + DAY)
    with pytest.raises(AccessDeniedError):
        shipper.run(everything=True)
    folder = host.data_dir / "ship"
    assert len([*(folder / "incidents").iterdir()]) == 5
    true_bytes = sum(path.stat().st_size for path in folder.rglob("2026-11-*.parquet"))
    over = shipper._spool.over(true_bytes, (NOON + 2 * DAY).date())
    assert {f"{day:%Y-%m}" for _table, day, _path in over} == {"2026-12", "2027-01"}


def test_a_new_name_drawn_after_a_clock_was_ahead_ships_from_now_on(
    hosts: list[Host], bucket: Bucket
) -> None:
    host = hosts[0]
    host.ship(NOON + 40 * DAY)
    state = read_state(host.data_dir)
    assert state is not None
    state.nonces = []  # another one wrote in the bucket last
    write_state(host.data_dir, state)
    name = host.save(NOON)
    told = host.ship(NOON + MINUTE)
    assert told.host_id != state.host_id
    assert ids(bucket.rows()) == [name]
