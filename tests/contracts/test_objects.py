"""What every place of plain objects must hold: bytes as they are, whole or not at all, replaced only as expected."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from monitord.errors import ConfigError, StorageError
from monitord.storage.artefacts.errors import (
    AccessDeniedError,
    ArtefactChangedError,
    ArtefactError,
    ArtefactExistsError,
    InvalidKeyError,
    MissingArtefactError,
    TransientError,
)
from monitord.storage.artefacts.providers.s3 import open_s3
from monitord.storage.artefacts.urls import parse_url
from monitord.storage.artefacts.wrappers.retried import Patience
from monitord.storage.objects import Absent, Objects, open_objects
from tests.servers import FaultProxy, S3Server, s3_answered_by

PATH = "v1/incident/date=2026-11-20/host=007/day.parquet"
LARGE = bytes(range(256)) * 20_000


@dataclass(frozen=True)
class Place:
    """Where objects lie, and what lies there without any code of ours; `plant` puts bytes there so."""

    url: str
    raw: Callable[[str], bytes]
    plant: Callable[[str, bytes], object]


def file_place(request: pytest.FixtureRequest, folder: Path) -> Place:
    root = folder / "bucket"

    def plant(path: str, data: bytes) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)

    return Place(f"file://{root}", lambda path: (root / path).read_bytes(), plant)


def s3_place(request: pytest.FixtureRequest, folder: Path) -> Place:
    server: S3Server = request.getfixturevalue("s3_server")
    bucket = server.new_bucket()
    return Place(
        f"s3://{bucket}/some/prefix?{server.options(folder)}",
        lambda path: server.request("GET", f"/{bucket}/some/prefix/{path}"),
        lambda path, data: server.request("PUT", f"/{bucket}/some/prefix/{path}", data),
    )


KINDS = {"file": file_place, "s3": s3_place}


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return KINDS[request.param](request, tmp_path)


@pytest.fixture
def objects(place: Place) -> Iterator[Objects]:
    opened = open_objects(place.url, create=True)
    yield opened
    opened.close()


@pytest.mark.parametrize("data", [b"x", LARGE])
def test_what_lies_there_is_what_was_put_and_nothing_else(
    objects: Objects, place: Place, data: bytes
) -> None:
    """An engine of others reads it: no header stands before it."""
    objects.put(PATH, data)
    assert place.raw(PATH) == data
    info, read = objects.read(PATH, len(data))
    assert read == data
    assert (info.path, info.size_bytes) == (PATH, len(data))
    assert abs(info.changed_at - datetime.now(UTC)) < timedelta(minutes=5)
    assert objects.holds(PATH, data)
    assert not objects.holds(PATH, data[:-1] + b"?")
    assert not objects.holds(PATH, data + b"?")


def test_an_object_is_replaced_only_in_the_place_of_what_is_expected(objects: Objects) -> None:
    objects.put(PATH, b"one", Absent())
    with pytest.raises(ArtefactExistsError):
        objects.put(PATH, b"two", Absent())
    first, _ = objects.read(PATH, 10)
    objects.put(PATH, b"two", first)
    with pytest.raises(ArtefactChangedError):
        objects.put(PATH, b"three", first)
    second, data = objects.read(PATH, 10)
    assert data == b"two"
    objects.delete(PATH)
    with pytest.raises(ArtefactChangedError):
        objects.put(PATH, b"three", second)
    assert not objects.holds(PATH, b"two")


def test_of_many_who_expect_the_same_one_wins(objects: Objects) -> None:
    objects.put(PATH, b"begun")
    seen, _ = objects.read(PATH, 10)
    won: list[int] = []

    def try_it(number: int) -> None:
        with suppress(ArtefactChangedError):
            objects.put(PATH, b"%d" % number, seen)
            won.append(number)

    threads = [threading.Thread(target=try_it, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert objects.read(PATH, 10)[1] == b"%d" % won[0]


def test_all_below_a_folder_are_listed_and_what_has_no_path_is_left_out(
    objects: Objects, place: Place
) -> None:
    paths = ["a/date=1/x", "a/date=1/y", "a/date=2/x", "ab/x", "b"]
    for path in paths:
        objects.put(path, b"data")
    place.plant("a/date=1/.hidden", b"draft")
    place.plant("a/date=1/with space", b"foreign")
    assert [one.path for one in objects.list()] == paths
    assert [(one.path, one.size_bytes) for one in objects.list("a")] == [(path, 4) for path in paths[:3]]
    assert objects.folders() == ("a", "ab")
    assert objects.folders("a") == ("date=1", "date=2")
    assert (objects.folders("none"), [*objects.list("none")]) == ((), [])


def test_a_name_that_ends_every_list_is_named_with_what_to_do(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Other writers to the bucket may create such an object; our client cannot list past it."""
    place = s3_place(request, tmp_path)
    place.plant("a//b", b"foreign")
    objects = open_objects(place.url)
    said = r"^cannot list s3://[^:]+: somebody's object 'some/prefix/a//b' has a name .*; remove it$"
    with pytest.raises(StorageError, match=said):
        list(objects.list())
    with pytest.raises(StorageError, match=said), closing(open_s3(parse_url(place.url))) as keys:
        list(keys.list())
    objects.close()


def test_what_is_not_there_is_missing_and_what_is_too_large_is_not_read(objects: Objects) -> None:
    with pytest.raises(MissingArtefactError):
        objects.read(PATH, 10)
    objects.delete(PATH)
    objects.put(PATH, b"eleven char")
    with pytest.raises(ArtefactError, match="larger than 10 bytes"):
        objects.read(PATH, 10)


@pytest.mark.parametrize(
    "path", ["", "/a", "a//b", "../a", "a/../b", "a/.b", "a b", "a\x00", "é", "a" * 1000]
)
def test_a_path_that_leads_elsewhere_is_refused_by_every_use(objects: Objects, path: str) -> None:
    for use in (lambda: objects.put(path, b""), lambda: objects.read(path, 1), lambda: objects.delete(path)):
        with pytest.raises(InvalidKeyError):
            use()


@pytest.mark.parametrize("url", ["redis://host/0", "memory://", "ftp://host/x", "s3://", "file://host/x"])
def test_where_no_plain_objects_can_lie_is_refused_with_what_can_be(url: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        open_objects(url)


def test_a_bucket_that_is_not_there_is_named(s3_server: S3Server, tmp_path: Path) -> None:
    objects = open_objects(f"s3://nobody-made-it?{s3_server.options(tmp_path)}")
    with pytest.raises(StorageError, match="is the bucket's name right"):
        objects.put(PATH, b"data")


def test_links_lead_nowhere(tmp_path: Path) -> None:
    """Who may write below the folder may not let us read or write elsewhere."""
    objects = open_objects(f"file://{tmp_path}/bucket", create=True)
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "secret").write_bytes(b"secret")
    (tmp_path / "bucket" / "a").symlink_to(tmp_path / "else")
    (tmp_path / "bucket" / "b").symlink_to(tmp_path / "else" / "secret")
    for path in ("a/secret", "b"):
        with pytest.raises(StorageError):
            objects.read(path, 100)
    with pytest.raises(StorageError):
        objects.put("a/secret", b"taken")
    assert (tmp_path / "else" / "secret").read_bytes() == b"secret"
    assert [*objects.list()] == []


def test_a_folder_where_others_may_write_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket").chmod(0o777)
    with pytest.raises(AccessDeniedError, match="chmod 700"):
        open_objects(f"file://{tmp_path}/bucket")


def test_an_answer_that_is_lost_after_the_write_is_no_conflict(
    s3_server: S3Server, tmp_path: Path, proxy_to: Callable[[int], FaultProxy]
) -> None:
    """The second try meets what the first one wrote, and knows it for its own."""
    proxy = proxy_to(s3_server.port)
    bucket = s3_server.new_bucket()
    options = s3_server.options(tmp_path).replace(f":{s3_server.port}", f":{proxy.port}")
    objects = open_objects(f"s3://{bucket}?{options}&timeout=1s", Patience(first_pause_s=1.0))
    proxy.mode = "truncate"
    mend = threading.Timer(0.6, setattr, (proxy, "mode", "pass"))
    mend.start()
    objects.put(PATH, b"data", Absent())
    mend.join()
    assert s3_server.request("GET", f"/{bucket}/{PATH}") == b"data"


def test_a_place_that_does_not_answer_is_transient_within_its_patience(
    tmp_path: Path, s3_server: S3Server, proxy_to: Callable[[int], FaultProxy]
) -> None:
    proxy = proxy_to(s3_server.port)
    options = s3_server.options(tmp_path).replace(f":{s3_server.port}", f":{proxy.port}")
    proxy.mode = "refuse"
    objects = open_objects(f"s3://any?{options}&timeout=1s", Patience(deadline_s=1.0, attempts=2))
    with pytest.raises(TransientError, match="tried 2 times"):
        objects.put(PATH, b"data")


def test_more_names_than_can_be_held_are_refused_whatever_they_are(
    objects: Objects, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that no object of ours has; a folder beside them is listed as before."""
    monkeypatch.setattr("monitord.storage.objects.LISTED_AT_MOST", 8)
    for number in range(5):
        place.plant(f"v1/full/day{number}.parquet", b"x")
        place.plant(f"v1/full/not ours {number}", b"x")
    for number in range(9):
        place.plant(f"v1/many/date={number}/x", b"x")
    objects.put(PATH, b"x")
    for call, folder in ((objects.list, "v1/full"), (objects.folders, "v1/many")):
        with pytest.raises(
            StorageError, match=f"cannot list {folder}: more than 8 names lie there; try one host"
        ):
            list(call(folder))
    assert [one.path for one in objects.list("v1/incident")] == [PATH]
    assert objects.folders("v1/incident") == ("date=2026-11-20",)


FOLDER = "<CommonPrefixes><Prefix>v1/date=2026-11-20/</Prefix></CommonPrefixes>"
FILE = (
    "<Contents><Key>v1/x</Key><LastModified>2026-11-20T00:00:00.000Z</LastModified><ETag>x</ETag>"
    "<Size>1</Size></Contents>"
)
LISTS: dict[str, Callable[[str], object]] = {
    "objects": lambda url: [*open_objects(url).list("v1")],
    "folders": lambda url: open_objects(url).folders("v1"),
    "artefacts": lambda url: [*open_s3(parse_url(url)).list("v1/")],
}


@pytest.mark.parametrize("listing", LISTS)
@pytest.mark.parametrize("page", ["", FOLDER, FILE])
def test_a_bucket_whose_list_never_ends_is_left_off(
    listing: str, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every page, also an empty one, says that another one follows: no more is asked once time is up."""
    monkeypatch.setattr("monitord.storage.artefacts.providers.s3._LISTED_WITHIN_S", 1.0)
    asked: list[float] = []

    class Endless(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(time.monotonic())
            time.sleep(0.01)  # not for an event: as a bucket takes its time
            body = (
                f"<ListBucketResult><IsTruncated>true</IsTruncated>{page}"
                f"<NextContinuationToken>t{len(asked)}</NextContinuationToken></ListBucketResult>"
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    with s3_answered_by(Endless, tmp_path, "endless") as url:
        with pytest.raises(StorageError, match="cannot list v1: no end of it came within 1 s"):
            LISTS[listing](url)
        count = len(asked)
        assert count > 3
        time.sleep(0.5)  # not for an event: whether it goes on
        assert len(asked) <= count + 1


def test_where_no_sum_is_told_the_bytes_are_compared(s3_server: S3Server, tmp_path: Path) -> None:
    """Azure's tag sums up nothing, nor does that of an upload in parts: of equal size is not yet equal."""
    bucket = s3_server.new_bucket()
    at = f"/{bucket}/some/prefix/{PATH}"
    number = re.search(rb"<UploadId>(.+?)</UploadId>", s3_server.request("POST", f"{at}?uploads"))
    assert number is not None
    part = s3_server.request("PUT", f"{at}?partNumber=1&uploadId={number[1].decode()}", LARGE)
    assert part == b""
    tag = hashlib.md5(LARGE, usedforsecurity=False).hexdigest()
    done = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part></CompleteMultipartUpload>"
    s3_server.request("POST", f"{at}?uploadId={number[1].decode()}", done.encode())
    with closing(open_objects(f"s3://{bucket}/some/prefix?{s3_server.options(tmp_path)}")) as objects:
        assert objects.holds(PATH, LARGE)
        assert not objects.holds(PATH, LARGE[:-1] + b"?")
        assert not objects.holds(PATH, LARGE[:-1])
