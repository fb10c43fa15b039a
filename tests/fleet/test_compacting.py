"""Many files of a day become one, and every question has the same answer before, meanwhile and after."""

from __future__ import annotations

import os
import resource
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.made_fleet import LAST_DAY, SMALL, Made, make_fleet, path_of
from monitord.analytics.parquet import schema_of
from monitord.analytics.tables import HOTSPOTS, MACHINE_MINUTES, PROCESS_MINUTES, TABLES, Table
from monitord.errors import StorageError
from monitord.fleet.asking import ask
from monitord.fleet.bucket import Bucket, Scope, open_bucket
from monitord.fleet.compacting import compact
from monitord.fleet.layout import day_folder
from monitord.fleet.questions import COMPARE, HOSTS, HOT
from monitord.storage.artefacts.errors import AccessDeniedError
from tests.fleet.hosts import ANY, bomb
from tests.servers import S3Server

ALL = Scope(datetime(2026, 11, 1, tzinfo=UTC))


class Killed(BaseException):
    """Nothing of ours catches it."""


class Failing:
    """Objects whose call of one name fails from the nth time on."""

    def __init__(self, bucket: Bucket, name: str, error: BaseException, after: int = 0) -> None:
        self._inner, self._name, self._error, self._left = bucket.objects, name, error, after

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            self._left -= 1
            if self._left < 0:
                raise self._error
        return getattr(self._inner, name)


def answers(bucket: Bucket, table: Table = MACHINE_MINUTES) -> list[dict[str, Any]]:
    """What a question to this table has."""
    questions = (HOT, COMPARE) if table is HOTSPOTS else (HOSTS,)
    found = []
    for question in questions:
        values = {name: ANY[name] for name in question.parameters if name in ANY}
        found += ask(bucket, question, ALL, **values).rows
    return found


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make_fleet(tmp_path / "fleet", 8, size=SMALL)


@pytest.mark.parametrize("place", ["file", "s3"])
def test_one_file_sorted_by_host_holds_every_row(
    place: str, made: Made, tmp_path: Path, request: Any
) -> None:
    """And the files that it holds are gone, in a folder and in a bucket."""
    bucket = open_bucket(made.root.as_uri())
    if place == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        there = open_bucket(f"s3://{server.new_bucket()}/fleet?{server.options(tmp_path)}")
        for info in bucket.objects.list():
            there.objects.put(info.path, (made.root / info.path).read_bytes())
        bucket = there
    before = answers(bucket)
    done = compact(bucket, MACHINE_MINUTES, LAST_DAY)
    assert done is not None
    assert (done.files, done.rows, done.removed, done.notes) == (8, 8 * SMALL.minutes, 8, ())
    files = bucket.shipped(MACHINE_MINUTES, ALL)
    assert [one.host_id for one in files] == ["_all"]
    with bucket.brought(files) as paths:
        hosts = pq.ParquetFile(paths[0]).read().column("host_id").to_pylist()
    assert hosts == sorted(hosts)
    assert answers(bucket) == before
    assert compact(bucket, MACHINE_MINUTES, LAST_DAY) is None


def test_every_table_can_be_compacted(made: Made) -> None:
    """Rows with every column, and a day without rows."""
    bucket = open_bucket(made.root.as_uri())
    before = answers(bucket)
    for table in TABLES:
        compact(bucket, table, LAST_DAY)
    assert answers(bucket) == before


@pytest.mark.parametrize("table", [MACHINE_MINUTES, HOTSPOTS], ids=lambda table: table.name)
@pytest.mark.parametrize(("step", "after"), [("put", 0), ("holds", 0), ("delete", 0), ("delete", 3)])
def test_whenever_it_ends_every_row_is_there_once(made: Made, step: str, after: int, table: Table) -> None:
    """Before the file is written, behind it, between two removals; and the next one finishes the work."""
    bucket = open_bucket(made.root.as_uri())
    before = answers(bucket, table)
    assert before
    failing = Bucket(bucket.url, Failing(bucket, step, Killed(), after), bucket.download_bytes)  # type: ignore[arg-type]  # stands for one
    with pytest.raises(Killed):
        compact(failing, table, LAST_DAY)
    assert answers(bucket, table) == before
    compact(bucket, table, LAST_DAY)
    assert answers(bucket, table) == before
    assert [one.host_id for one in bucket.shipped(table, ALL)] == ["_all"]


def test_without_the_right_to_remove_it_is_said_and_answers_stay(made: Made) -> None:
    """Ours are right; other engines would count twice."""
    bucket = open_bucket(made.root.as_uri())
    before = answers(bucket)
    failing = Bucket(bucket.url, Failing(bucket, "delete", AccessDeniedError("no")), 1 << 30)  # type: ignore[arg-type]
    done = compact(failing, MACHINE_MINUTES, LAST_DAY)
    assert done is not None
    assert done.removed == 0
    assert "8 files cannot be removed" in done.notes[0]
    assert answers(bucket) == before


def test_a_host_that_comes_late_counts_before_what_was_compacted(made: Made, tmp_path: Path) -> None:
    """Until the next time, which takes its file in the place of its old rows."""
    bucket = open_bucket(made.root.as_uri())
    late = path_of(made.root, MACHINE_MINUTES, LAST_DAY, "host-0003")
    kept = tmp_path / "late.parquet"
    shutil.copy(late, kept)
    compact(bucket, MACHINE_MINUTES, LAST_DAY)
    late.parent.mkdir(exist_ok=True)
    pq.write_table(pq.ParquetFile(kept).read().slice(0, 5), late)
    by_host = {row["host_id"]: row["minutes"] for row in answers(bucket)}
    assert (by_host["host-0003"], by_host["host-0004"]) == (5, SMALL.minutes)
    done = compact(bucket, MACHINE_MINUTES, LAST_DAY)
    assert done is not None
    assert done.rows == 7 * SMALL.minutes + 5
    assert {row["host_id"]: row["minutes"] for row in answers(bucket)} == by_host


def test_what_is_torn_or_of_a_later_version_stays_as_it_is(tmp_path: Path) -> None:
    """Nothing that could not be taken over whole is removed."""
    made = make_fleet(tmp_path / "fleet", 8, size=SMALL, traps=True)
    bucket = open_bucket(made.root.as_uri())
    torn = path_of(made.root, PROCESS_MINUTES, LAST_DAY, made.hosts[2])
    later = path_of(made.root, PROCESS_MINUTES, LAST_DAY, made.hosts[0])
    kept = torn.read_bytes(), later.read_bytes()
    done = compact(bucket, PROCESS_MINUTES, LAST_DAY)
    assert done is not None
    assert len(done.notes) == 2
    assert (torn.read_bytes(), later.read_bytes()) == kept


def test_of_two_at_once_one_wins_and_nothing_is_lost(made: Made) -> None:
    """The other one's file was made of what lay there before."""
    bucket = open_bucket(made.root.as_uri())
    before = answers(bucket)

    class Second(Failing):
        def __getattr__(self, name: str) -> Any:
            if name == "put":
                compact(bucket, MACHINE_MINUTES, LAST_DAY)
            return getattr(self._inner, name)

    slow = Bucket(bucket.url, Second(bucket, "", Killed()), bucket.download_bytes)  # type: ignore[arg-type]
    with pytest.raises(StorageError, match="somebody else compacts this day"):
        compact(slow, MACHINE_MINUTES, LAST_DAY)
    assert answers(bucket) == before


def test_a_file_that_would_unpack_to_gigabytes_is_left_alone(made: Made) -> None:
    """And all others of that day are united."""
    bucket = open_bucket(made.root.as_uri())
    evil = path_of(made.root, MACHINE_MINUTES, LAST_DAY, "evil")
    bomb(evil, MACHINE_MINUTES)
    limit = resource.getrlimit(resource.RLIMIT_DATA)
    done = compact(bucket, MACHINE_MINUTES, LAST_DAY)
    assert done is not None
    assert (done.files, len(done.notes)) == (8, 1)
    assert "host=evil" in done.notes[0]
    assert evil.exists()
    assert resource.getrlimit(resource.RLIMIT_DATA) == limit


def test_a_file_too_large_for_a_day_keeps_no_other_from_being_united(made: Made) -> None:
    """It is named with its size."""
    bucket = open_bucket(made.root.as_uri())
    evil = path_of(made.root, MACHINE_MINUTES, LAST_DAY, "evil")
    evil.parent.mkdir(parents=True)
    evil.touch()
    os.truncate(evil, 4 << 30)
    done = compact(bucket, MACHINE_MINUTES, LAST_DAY)
    assert done is not None
    assert (done.files, done.removed, len(done.notes)) == (8, 8, 1)
    assert "host=evil" in done.notes[0]
    assert evil.exists()


@pytest.mark.parametrize("content", [b"", b"PAR1 torn PAR1", b"x" * 5000])
def test_what_was_compacted_and_is_torn_is_named_and_nothing_changes(made: Made, content: bytes) -> None:
    """Somebody wrote it there; the other days go on."""
    bucket = open_bucket(made.root.as_uri())
    whole = made.root / day_folder(MACHINE_MINUTES, LAST_DAY) / "host=_all" / "day.parquet"
    whole.parent.mkdir(parents=True)
    whole.write_bytes(content)
    before = answers(bucket)
    done = compact(bucket, MACHINE_MINUTES, LAST_DAY)
    assert done is not None
    assert done.files == done.removed == 0
    assert "host=_all" in done.notes[0]
    assert whole.read_bytes() == content
    assert answers(bucket) == before


def test_rows_of_what_is_no_host_are_not_taken_over(made: Made) -> None:
    """Somebody wrote them into a compacted file: no folder of a bucket is called so."""
    bucket = open_bucket(made.root.as_uri())
    whole = made.root / day_folder(MACHINE_MINUTES, LAST_DAY) / "host=_all" / "day.parquet"
    whole.parent.mkdir(parents=True)
    names = [None, "../..", "a\nb", "\x1b[31m", "<b>", "_all", "A", "", "x" * 65, "elsewhere"]
    columns = {field.name: pa.nulls(len(names), field.type) for field in schema_of(MACHINE_MINUTES)}
    pq.write_table(pa.table({**columns, "host_id": pa.array(names, pa.string())}), whole)
    done = compact(bucket, MACHINE_MINUTES, LAST_DAY)
    assert done is not None
    held = pq.ParquetFile(whole).read().column("host_id").to_pylist()
    assert set(held) == {*made.hosts, "elsewhere"}
