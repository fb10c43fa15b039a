"""The cold tier: whose days lie in a bucket, how many of them a question brings, and clocks that were ahead."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.actions.querying import Question, asked
from monitord.actions.workspace import Workspace
from monitord.analytics import cold
from monitord.analytics.cold import ColdTier, host_id
from monitord.analytics.merging import Merge
from monitord.analytics.parquet import read
from monitord.analytics.rows import version_unknown
from monitord.analytics.tables import EVENTS, INCIDENTS, TABLES
from monitord.analytics.tiering import Tiering, TierLimits
from monitord.analytics.tiers import _Day, day_path, warm_days
from monitord.errors import StorageError
from monitord.model import Event, EventType, Incident
from monitord.storage import SQLiteProfileStore, open_store
from monitord.storage.objects import open_objects
from monitord.storage.past import PastReader
from tests.analytics.test_tiering import all_told, told
from tests.servers import S3Server

Maker = Callable[..., Incident]
NOW = datetime.now(UTC).replace(hour=3)
DAY = timedelta(days=1)
ONE = TierLimits(1_000_000_000, 1)


def ids(data_dir: Path, url: str = "") -> list[str]:
    return sorted(row["correlation_id"] for row in told(data_dir, INCIDENTS, url))


def save(data_dir: Path, incident: Incident) -> str:
    with closing(open_store(data_dir)) as store:
        store.save_incident(incident)
    return incident.correlation_id


def forget(data_dir: Path, *names: str) -> None:
    """Let the store's retention have deleted them."""
    with closing(open_store(data_dir)) as store:
        store.delete_incidents(names)


def tier(data_dir: Path, url: str, days: int = 1, clock: Callable[[], datetime] | None = None) -> str:
    run = Tiering(data_dir, TierLimits(1_000_000_000, days, url))
    run.clock = clock or run.clock
    return run.run()


@pytest.fixture
def five_days(store: SQLiteProfileStore, data_dir: Path, make_incident: Maker) -> list[str]:
    """Ids of incidents of the last five days, the oldest first; none is left in the store alone."""
    names = []
    for back in (5, 4, 3, 2, 1):
        incident = make_incident(at=NOW - back * DAY)
        store.save_incident(incident)
        names.append(incident.correlation_id)
    return names


# ------------------------------------------------------------------------------------------ whose folder it is


def test_clones_that_share_a_bucket_each_have_their_own_days(
    five_days: list[str], data_dir: Path, make_incident: Maker, s3_server: S3Server, tmp_path: Path
) -> None:
    """Whatever one of them writes, the other one's answers stay; what went on before is both's."""
    url = f"s3://{s3_server.new_bucket()}/cold?{s3_server.options(tmp_path)}"
    tier(data_dir, url, 3)
    clone = tmp_path / "clone"
    shutil.copytree(data_dir, clone)
    own = {place: [save(place, make_incident(at=NOW))] for place in (data_dir, clone)}
    for place in (data_dir, clone):
        forget(place, *five_days)
    for _ in range(2):
        for place in (data_dir, clone):
            tier(place, url)
            for each in own:
                assert ids(each, url) == sorted([*five_days, *own[each]])
    for place in (data_dir, clone):  # the day on which they differ goes on, too
        own[place].append(save(place, make_incident(at=NOW + DAY)))
        forget(place, own[place][0])
        tier(place, url)
        for each in own:
            assert ids(each, url) == sorted([*five_days, *own[each]])
    with closing(open_objects(url)) as objects:
        assert len(objects.folders()) == 2


def test_of_clones_that_tier_at_the_same_moment_one_keeps_the_folder(
    five_days: list[str], data_dir: Path, make_incident: Maker, tmp_path: Path
) -> None:
    url = f"file://{tmp_path}/cold"
    tier(data_dir, url, 3)
    clones = [shutil.copytree(data_dir, tmp_path / f"clone-{number}") for number in range(4)]
    threads = [threading.Thread(target=tier, args=(clone, url)) for clone in clones]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    folders = [json.loads((clone / "warm" / "cold.json").read_bytes())["folder"] for clone in clones]
    before = json.loads((data_dir / "warm" / "cold.json").read_bytes())["folder"]
    assert (len(set(folders)), folders.count(before)) == (4, 1)
    assert [ids(clone, url) for clone in clones] == [sorted(five_days)] * 4


def test_days_below_the_machines_name_stay_readable(
    five_days: list[str], data_dir: Path, make_incident: Maker, tmp_path: Path
) -> None:
    """An earlier version laid them there."""
    url = f"file://{tmp_path}/cold"
    tier(data_dir, url, 3)
    (folder,) = (tmp_path / "cold").glob(f"{host_id()}-*")
    (folder / "writer").unlink()
    folder.rename(tmp_path / "cold" / host_id())
    (data_dir / "warm" / "cold.json").unlink()
    forget(data_dir, *five_days)
    assert ids(data_dir, url) == sorted(five_days)
    tier(data_dir, url)
    assert ids(data_dir, url) == sorted(five_days)
    assert {path.name for path in (tmp_path / "cold" / host_id() / "incident").iterdir()} == {
        f"{NOW - back * DAY:%Y-%m-%d}.parquet" for back in (5, 4)
    }


def test_what_is_noted_of_the_folder_and_damaged_is_one_error(
    five_days: list[str], data_dir: Path, tmp_path: Path
) -> None:
    tier(data_dir, f"file://{tmp_path}/cold")
    for damage in (b"", b"{", b"[]", b'{"folder": 7}'):
        (data_dir / "warm" / "cold.json").write_bytes(damage)
        with pytest.raises(StorageError, match="it is damaged; move it away"):
            told(data_dir, INCIDENTS, f"file://{tmp_path}/cold")


# ------------------------------------------------------------------------------------------ how much comes


def test_a_question_that_would_bring_too_much_is_refused_before_a_byte_comes(
    five_days: list[str], data_dir: Path, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line with what to type; the tables of one question count together."""
    url = f"s3://{s3_server.new_bucket()}/cold?{s3_server.options(tmp_path)}"
    config = tmp_path / "config.toml"
    config.write_text(f"[analytics]\nwarm_mb = 10\ncold_url = {json.dumps(url)}\n")
    tier(data_dir, url)
    with closing(open_objects(url)) as objects:
        (folder,) = objects.folders()
        sizes = {
            table.name: sum(one.size_bytes for one in objects.list(f"{folder}/{table.folder}"))
            for table in TABLES
        }

    def count(sql: str, since: datetime | None = None) -> int:
        with asked(Workspace(data_dir, config), Question(sql, since=since)) as answer:
            ((found,),) = answer.rows
            return int(found)

    both = "SELECT (SELECT count(*) FROM incidents) + (SELECT count(*) FROM hotspots)"
    monkeypatch.setattr(cold, "DOWNLOAD_BYTES", sizes["incidents"] + sizes["hotspots"])
    assert count(both) > 5
    monkeypatch.setattr(cold, "DOWNLOAD_BYTES", sizes["incidents"] + sizes["hotspots"] - 1)
    assert count("SELECT count(*) FROM incidents") == 5
    with pytest.raises(StorageError, match=r"cannot bring .* for one question, .*; try a later --since"):
        count(both)
    assert count(both, NOW - 3.5 * DAY) > 0


# ------------------------------------------------------------------------------------------ clocks


def test_days_of_a_clock_that_was_ahead_push_out_no_true_day(
    five_days: list[str], data_dir: Path, make_incident: Maker, tmp_path: Path
) -> None:
    """Neither from the tier nor from what is begun there; and they are told."""
    url = f"file://{tmp_path}/cold"
    true_days = [f"{NOW - back * DAY:%Y-%m-%d}" for back in (5, 4, 3, 2, 1)]
    wrong = [save(data_dir, make_incident(at=NOW + ahead * DAY)) for ahead in (40, 41, 42)]
    tier(data_dir, url, 365, clock=lambda: NOW + 42 * DAY)
    assert len(warm_days(data_dir, INCIDENTS)) == 8
    said = tier(data_dir, url, 365)
    assert "3 days of a clock that was ahead" in said
    tier(data_dir, url, 5)
    assert list(warm_days(data_dir, INCIDENTS)) == true_days
    assert ids(data_dir, url) == sorted([*five_days, *wrong])
    today = save(data_dir, make_incident(at=NOW))
    tier(data_dir, url, 6)
    assert list(warm_days(data_dir, INCIDENTS)) == [*true_days, f"{NOW:%Y-%m-%d}"]
    forget(data_dir, *wrong, *five_days, today)
    assert ids(data_dir, url) == sorted([*five_days, *wrong, today])


def test_days_that_went_on_while_the_clock_was_ahead_keep_no_true_day_from_being_begun(
    five_days: list[str], data_dir: Path, make_incident: Maker, tmp_path: Path
) -> None:
    url = f"file://{tmp_path}/cold"
    wrong = [save(data_dir, make_incident(at=NOW + ahead * DAY)) for ahead in (40, 41)]
    tier(data_dir, url, 1, clock=lambda: NOW + 41 * DAY)
    today = save(data_dir, make_incident(at=NOW))
    tier(data_dir, url, 2)
    assert f"{NOW:%Y-%m-%d}" in warm_days(data_dir, INCIDENTS)
    forget(data_dir, *wrong, *five_days, today)
    assert ids(data_dir, url) == sorted([*five_days, *wrong, today])


def test_a_day_that_went_on_before_its_time_is_gone_on_with_when_it_comes(
    five_days: list[str], data_dir: Path, make_incident: Maker, tmp_path: Path
) -> None:
    url = f"file://{tmp_path}/cold"
    later = NOW + 40 * DAY
    wrong = save(data_dir, make_incident(at=later))
    tier(data_dir, url, 365, clock=lambda: later)
    tier(data_dir, url, 5)
    forget(data_dir, wrong)
    true = save(data_dir, make_incident(at=later + timedelta(hours=1)))
    tier(data_dir, url, 5, clock=lambda: later + DAY)
    forget(data_dir, *five_days, true)
    assert ids(data_dir, url) == sorted([*five_days, wrong, true])
    save(data_dir, make_incident(at=later + DAY))
    tier(data_dir, url, 1, clock=lambda: later + DAY)
    assert len(ids(data_dir, url)) == 8
    assert {*five_days, wrong, true} < {*ids(data_dir, url)}


def test_everything_of_every_table_is_told_once_from_the_bucket(
    five_days: list[str], data_dir: Path, tmp_path: Path
) -> None:
    before = all_told(data_dir)
    tier(data_dir, f"file://{tmp_path}/cold")
    assert all_told(data_dir, f"file://{tmp_path}/cold") == before


def test_a_day_that_goes_on_while_a_question_is_asked_is_read_in_the_bucket(tmp_path: Path) -> None:
    """It was listed in the warm tier, and not in the bucket; the file that is gone is not called damaged."""
    data_dir, bucket, now = tmp_path / "data", tmp_path / "bucket", datetime.now(UTC)
    bucket.mkdir(mode=0o700)
    url = f"file://{bucket}"
    with closing(open_store(data_dir)) as store:
        ago = [now - timedelta(days=days) for days in (1, 3)]
        store.events.store_events([Event(EventType.HOTSPOT, at, pid=1, function="f") for at in ago])
    Tiering(data_dir, TierLimits(50_000_000, 90, url)).run()
    first, _last = warm_days(data_dir, EVENTS)
    early, said = ColdTier.opened(url, data_dir), list[str]()
    with PastReader(data_dir) as reader, closing(early):
        assert early.days(EVENTS) == {}
        Tiering(data_dir, TierLimits(50_000_000, 1, url)).run()
        merge = Merge(reader, host_id(), frozenset(), version_unknown)
        here = _Day(EVENTS, first, None, day_path(data_dir, EVENTS, first), frozenset())
        rows = [
            row for path in here.answer(merge, early, tmp_path, said.append) for row in read(path, EVENTS)
        ]
    assert (len(rows), said) == (1, [])
