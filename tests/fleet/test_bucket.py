"""What of a bucket a question reads: the files of its days and hosts, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.made_fleet import LAST_DAY, Made
from monitord.analytics.tables import HOTSPOTS, MACHINE_MINUTES, PROCESS_MINUTES, TABLES
from monitord.errors import ConfigError, StorageError
from monitord.fleet.bucket import Bucket, Scope, open_bucket
from monitord.storage.objects import ObjectInfo
from tests.servers import S3Server

LAST = datetime(LAST_DAY.year, LAST_DAY.month, LAST_DAY.day, tzinfo=UTC)


class Counted:
    """Objects that say what they were asked."""

    def __init__(self, bucket: Bucket) -> None:
        self._inner = bucket.objects
        self.asked: list[str] = []

    def list(self, folder: str = "") -> list[ObjectInfo]:
        self.asked.append(folder)
        return [*self._inner.list(folder)]

    def folders(self, folder: str = "") -> tuple[str, ...]:
        self.asked.append(folder)
        return tuple(self._inner.folders(folder))


def counted(made: Made) -> tuple[Bucket, list[str]]:
    bucket = open_bucket(made.root.as_uri())
    objects = Counted(bucket)
    return Bucket(bucket.url, objects, 1 << 30), objects.asked  # type: ignore[arg-type]  # what is asked for


def test_only_the_days_and_hosts_that_are_wanted_are_listed(trapped: Made) -> None:
    """A question about one host and day asks for its folder, however many hosts and days there are."""
    bucket, asked = counted(trapped)
    found = bucket.shipped(HOTSPOTS, Scope(LAST, LAST + timedelta(hours=5), "host-0003"))
    assert [(one.day, one.host_id) for one in found] == [(LAST_DAY, "host-0003")]
    day = f"v1/hotspot/date={LAST_DAY}"
    assert asked == ["v1/hotspot", f"{day}/host=_all", f"{day}/host=host-0003"]


def test_a_day_is_one_list(trapped: Made) -> None:
    """All hosts of a period: one listing a day."""
    bucket, asked = counted(trapped)
    found = bucket.shipped(HOTSPOTS, Scope(LAST, None))
    assert {one.day for one in found} == {LAST_DAY}
    assert len(asked) == 2
    bucket.shipped(HOTSPOTS, Scope())
    assert len(asked) == 2 + 1 + 2


def test_a_host_called_007_is_one_and_a_pattern_chooses(trapped: Made) -> None:
    """Names are text, however they look."""
    bucket, _asked = counted(trapped)
    assert {one.host_id for one in bucket.shipped(HOTSPOTS, Scope(host="007"))} == {"007"}
    assert {one.host_id for one in bucket.shipped(HOTSPOTS, Scope(host="host-000?"))} == {
        f"host-000{number}" for number in range(10)
    }


def test_what_is_not_a_file_of_the_table_is_left_out(trapped: Made) -> None:
    """Foreign names, links and folders among the files are nobody's."""
    bucket, _asked = counted(trapped)
    for table in TABLES:
        for one in bucket.shipped(table, Scope()):
            assert one.info.path == f"v1/{table.folder}/date={one.day}/host={one.host_id}/day.parquet"


def test_a_bucket_elsewhere_is_read_through_a_folder_that_goes(
    s3_server: S3Server, trapped: Made, tmp_path: Path
) -> None:
    """From S3 the files of a question come into a folder of their own, whole, and leave nothing."""
    name = s3_server.new_bucket()
    bucket = open_bucket(f"s3://{name}/fleet?{s3_server.options(tmp_path)}")
    wanted = Scope(LAST, None, "host-000?")
    with open_bucket(trapped.root.as_uri()).brought(
        here := open_bucket(trapped.root.as_uri()).shipped(PROCESS_MINUTES, wanted)
    ) as paths:
        contents = [Path(path).read_bytes() for path in paths]
    for one, content in zip(here, contents, strict=True):
        bucket.objects.put(one.info.path, content)
    found = bucket.shipped(PROCESS_MINUTES, wanted)
    with bucket.brought(found) as paths:
        assert [Path(path).read_bytes() for path in paths] == contents
        assert all(path.endswith(one.info.path) for path, one in zip(paths, found, strict=True))
        bucket.objects.delete(found[0].info.path)
    assert not Path(paths[0]).exists()
    with bucket.brought(found) as paths:
        assert len(paths) == len(found) - 1  # one went meanwhile


def test_a_question_that_would_download_too_much_is_refused_with_its_size(
    s3_server: S3Server, trapped: Made, tmp_path: Path
) -> None:
    """Before a byte comes."""
    name = s3_server.new_bucket()
    bucket = open_bucket(f"s3://{name}/fleet?{s3_server.options(tmp_path)}", download_mb=0.001)
    path = f"v1/machine_minute/date={LAST_DAY}/host=host-0001/day.parquet"
    bucket.objects.put(path, (trapped.root / path).read_bytes())
    with (
        pytest.raises(
            StorageError, match=r"cannot download .*; try a shorter --since, --host, or fleet.download_mb"
        ),
        bucket.brought(bucket.shipped(MACHINE_MINUTES, Scope())),
    ):
        pass


@pytest.mark.parametrize("url", ["redis://localhost/0", "nowhere://x", "file:///"])
def test_a_url_that_can_not_be_a_bucket_is_refused(url: str) -> None:
    """With what was expected."""
    with pytest.raises(ConfigError, match="invalid URL"):
        open_bucket(url)


@pytest.mark.parametrize("name", ["host=main", "date=2026-11-20", "host=a/b"])
def test_a_folder_whose_name_would_be_read_as_a_hosts_is_refused(tmp_path: Path, name: str) -> None:
    """All hosts would be taken for that one."""
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(ConfigError, match="expected other names"):
        open_bucket((tmp_path / name).as_uri())
