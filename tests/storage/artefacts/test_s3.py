"""Buckets behind a broken network, refusals, redirects: each a typed error in bounded time, nothing half there.

The bound is the test's own timeout. moto stands for S3; the answers that it never gives come from a server
of a few lines.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from monitord.errors import ConfigError, StorageError
from monitord.storage.artefacts.errors import (
    AccessDeniedError,
    ArtefactExistsError,
    DiskFullError,
    MissingArtefactError,
    TransientError,
)
from monitord.storage.artefacts.metadata import DerivedPayload
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers import open_provider
from tests.contracts.test_providers import KEY, BytesPayload, _BrokenError, broken, described, get, put
from tests.patience import PATIENCE_S
from tests.servers import FaultProxy, Mode, S3Server, need_s3
from tests.storage.artefacts.test_redis import LARGE as SHORTER
from tests.storage.artefacts.test_redis import uses_of

LARGE = bytes(range(256)) * 80_000  # 20 MB: an upload in parts
Proxies = Callable[[int], FaultProxy]

pytestmark = pytest.mark.timeout(120)


@dataclass(frozen=True)
class Bucket:
    """A bucket of this test's own, and what opens it behind a proxy."""

    server: S3Server
    name: str
    folder: Path

    def open(self, port: int | None = None, options: str = "timeout=1s") -> StorageProvider:
        given = self.server.options(self.folder)
        if port is not None:
            given = given.replace(f":{self.server.port}", f":{port}")
        return open_provider(f"s3://{self.name}/prefix?{given}&{options}")

    def objects(self) -> bytes:
        return self.server.request("GET", f"/{self.name}?list-type=2")

    def uploads(self) -> bytes:
        return self.server.request("GET", f"/{self.name}?uploads=")


@pytest.fixture
def bucket(s3_server: S3Server, tmp_path: Path) -> Bucket:
    return Bucket(s3_server, s3_server.new_bucket(), tmp_path)


@pytest.mark.parametrize("mode", ["reset", "truncate", "blackhole", "refuse"])
def test_a_broken_network_is_transient(bucket: Bucket, proxy_to: Proxies, mode: Mode) -> None:
    """For each use; afterwards the old artefact is whole, or what was to be done was done."""
    proxy = proxy_to(bucket.server.port)
    provider = bucket.open(proxy.port)
    direct = bucket.open(options="timeout=30s")
    for name, use in uses_of(provider).items():
        stored = put(direct, KEY, LARGE)
        proxy.mode = mode
        with pytest.raises(TransientError, match="s3://"):
            use()
        proxy.mode = "pass"
        if name in ("retrieve", "get_metadata", "list"):
            assert get(provider, KEY) == (stored, LARGE)
        if name == "store":  # its answer may be all that was lost
            assert get(provider, KEY)[1] in (LARGE, SHORTER)


@pytest.mark.parametrize("mode", ["reset", "truncate"])
@pytest.mark.parametrize("after_bytes", [3, 300, 70_000, 5_000_000, 19_000_000])
def test_a_body_that_is_cut_off_is_transient(
    bucket: Bucket, proxy_to: Proxies, mode: Mode, after_bytes: int
) -> None:
    """At the call or while reading; never less than what was stored as if it were all."""
    put(bucket.open(options="timeout=30s"), KEY, LARGE)
    proxy = proxy_to(bucket.server.port)
    proxy.mode, proxy.after_bytes = mode, after_bytes
    provider = bucket.open(proxy.port)
    with pytest.raises(TransientError):
        get(provider, KEY)
    proxy.mode = "pass"
    assert get(provider, KEY)[1] == LARGE


def test_an_upload_that_breaks_off_leaves_the_old_artefact(bucket: Bucket, proxy_to: Proxies) -> None:
    proxy = proxy_to(bucket.server.port)
    direct = bucket.open()
    stored = put(direct, KEY, b"before")
    provider = bucket.open(proxy.port)

    def breaking(chunks: Iterator[bytes]) -> Iterator[bytes]:
        for n, chunk in enumerate(chunks):
            proxy.mode = "reset" if n == 50 else proxy.mode
            yield chunk

    payload = BytesPayload(LARGE)
    with pytest.raises(TransientError):
        provider.store(KEY, DerivedPayload(payload, breaking), described(KEY, payload))
    assert get(direct, KEY) == (stored, b"before")
    assert list(direct.list()) == [KEY]


def test_a_slow_network_is_waited_for(bucket: Bucket, proxy_to: Proxies) -> None:
    proxy = proxy_to(bucket.server.port)
    proxy.mode, proxy.delay_s = "latency", 0.2
    provider = bucket.open(proxy.port, "timeout=20s")
    put(provider, KEY, b"data")
    assert get(provider, KEY)[1] == b"data"


def test_a_payload_that_breaks_off_leaves_no_upload_to_pay_for(bucket: Bucket) -> None:
    provider = bucket.open(options="timeout=30s")
    for replacing in (True, False):
        with pytest.raises(_BrokenError):
            provider.store(KEY, broken(30_000_000), described(KEY, BytesPayload(b"")), replace=replacing)
    assert b"<Upload>" not in bucket.uploads()
    assert b"<Key>" not in bucket.objects()


@pytest.mark.parametrize("size", [9_000_000, 18_000_000])
def test_large_artefacts_are_taken_once_too(bucket: Bucket, size: int) -> None:
    """In one request, or uploaded in parts beside the key, then moved there unless one is there; no part is left."""
    won, barrier = list[int](), threading.Barrier(3, timeout=PATIENCE_S)

    def compete(number: int, mine: StorageProvider) -> None:
        barrier.wait()
        try:
            put(mine, KEY, bytes([number]) * size, replace=False)
        except ArtefactExistsError:
            return
        won.append(number)

    each = [bucket.open(options="timeout=30s") for _n in range(3)]
    threads = [threading.Thread(target=compete, args=numbered) for numbered in enumerate(each)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert get(bucket.open(options="timeout=30s"), KEY)[1] == bytes(won) * size
    assert bucket.objects().count(b"<Key>") == 1


def test_a_payload_may_come_from_a_bucket(bucket: Bucket) -> None:
    """Moved from one to another piece by piece: reading and writing at the same time."""
    source, target = bucket.open(options="timeout=30s"), bucket.open(options="timeout=30s")
    stored = put(source, "old", LARGE)
    moved = DerivedPayload(BytesPayload(b"x"), lambda _chunks: source.retrieve("old")[1])
    target.store("new", moved, stored)
    assert get(target, "new")[1] == LARGE


def test_tags_are_sent_as_far_as_s3_takes_them(bucket: Bucket) -> None:
    """At most ten, of its characters and lengths; the artefact itself keeps them all as they are."""
    provider = bucket.open()
    tags = {"severity": "high", "who/what": "naïve <&> \n", "": "x", "aws:own": "y", "l" * 200: "v" * 300}
    tags |= {f"n{n}": str(n) for n in range(12)}
    stored = put(provider, KEY, b"data", tags=tags)
    assert stored.tags == tags == get(provider, KEY)[0].tags
    answer = bucket.server.request("GET", f"/{bucket.name}/prefix/{KEY}?tagging").decode()
    assert answer.count("<Tag>") == 10
    put(provider, "few", b"data", tags={"severity": "high", "who/what": "naïve <&> \n"})
    answer = bucket.server.request("GET", f"/{bucket.name}/prefix/few?tagging").decode()
    assert "<Key>severity</Key><Value>high</Value>" in answer
    assert "<Key>who/what</Key><Value>na_ve ___ _</Value>" in answer
    put(bucket.open(options="tags=false"), "none", b"data", tags=tags)
    assert "<Tag>" not in bucket.server.request("GET", f"/{bucket.name}/prefix/none?tagging").decode()


def test_other_objects_in_the_bucket_are_not_ours(bucket: Bucket) -> None:
    """Neither those beside the prefix nor what no key can be."""
    for name in ("a", "prefixed", "prefix", "prefix/.hidden", "prefix/a b", "prefix/.part/x", "prefix/é"):
        bucket.server.request("PUT", f"/{bucket.name}/{name}", b"x")
    provider = bucket.open()
    put(provider, "b", b"")
    assert list(provider.list()) == ["b"]


def test_a_bucket_that_is_not_there_is_no_missing_artefact(bucket: Bucket) -> None:
    provider = open_provider(f"s3://no-such-bucket?{bucket.server.options(bucket.folder)}")
    for use in uses_of(provider).values():
        with pytest.raises(StorageError, match="bucket's name") as raised:
            use()
        assert not isinstance(raised.value, MissingArtefactError)


@dataclass
class Told:
    """A server that gives one answer to everything, and what it was asked."""

    status: int
    code: str
    location: str | None = None
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0


@pytest.fixture
def answering() -> Iterator[Callable[..., Told]]:
    need_s3()
    servers: list[ThreadingHTTPServer] = []

    def start(status: int, code: str = "", location: str | None = None, host: str = "127.0.0.1") -> Told:
        told = Told(status, code, location)

        class Handler(BaseHTTPRequestHandler):
            def do(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                told.asked.append(
                    (f"{self.command} {self.path}", {k.lower(): v for k, v in self.headers.items()})
                )
                body = f"<Error><Code>{told.code}</Code></Error>".encode() if self.command != "HEAD" else b""
                self.send_response(told.status)
                if told.location:
                    self.send_header("Location", told.location)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do  # noqa: N815 - http.server's names

            def log_message(self, *_arguments: object) -> None:
                pass

        server = ThreadingHTTPServer((host, 0), Handler)
        servers.append(server)
        told.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return told

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


ANSWERS: list[tuple[int, str, type[StorageError]]] = [
    (403, "AccessDenied", AccessDeniedError),
    (403, "InvalidAccessKeyId", AccessDeniedError),
    (401, "", AccessDeniedError),
    (400, "ExpiredToken", AccessDeniedError),
    (400, "RequestTimeout", TransientError),
    (408, "", TransientError),
    (429, "TooManyRequests", TransientError),
    (500, "InternalError", TransientError),
    (503, "SlowDown", TransientError),
    (504, "", TransientError),
    (507, "", DiskFullError),
    (400, "QuotaExceeded", DiskFullError),
    (501, "NotImplemented", StorageError),
    (301, "PermanentRedirect", StorageError),
    (418, "", StorageError),
]


@pytest.mark.parametrize(("status", "code", "expected"), ANSWERS)
def test_each_refusal_is_its_own_error_after_one_try(
    answering: Callable[..., Told], tmp_path: Path, status: int, code: str, expected: type[StorageError]
) -> None:
    """Trying again is a wrapper's business: nothing underneath does it."""
    told = answering(status, code)
    provider = open_provider(f"s3://bucket/prefix?{fake_options(tmp_path, told.port)}")
    for name, use in uses_of(provider).items():
        told.asked.clear()
        with pytest.raises(expected) as raised:
            use()
        assert type(raised.value) is expected, name
        assert len({asked for asked, _headers in told.asked}) == len(told.asked), told.asked
        assert "secret-of-ours" not in str(raised.value)


def fake_options(folder: Path, port: int, *, token: bool = False) -> str:
    names = ("access_key_id", "secret_access_key", *(["session_token"] if token else []))
    for name in names:
        (folder / name).write_text("secret-of-ours")
    files = "&".join(f"{name}_file={folder / name}" for name in names)
    return f"endpoint=http://127.0.0.1:{port}&timeout=2s&{files}"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_credential_follows_a_redirect(
    answering: Callable[..., Told], tmp_path: Path, status: int
) -> None:
    """Another host is never asked at all, whatever the use."""
    elsewhere = answering(200, host="127.0.0.2")
    told = answering(status, location=f"http://127.0.0.2:{elsewhere.port}/latest/meta-data")
    provider = open_provider(f"s3://bucket/prefix?{fake_options(tmp_path, told.port, token=True)}")
    for use in uses_of(provider).values():
        with pytest.raises(StorageError):
            use()
    assert told.asked
    assert elsewhere.asked == []


def test_a_signature_does_not_follow_a_redirect_on_the_same_host(
    answering: Callable[..., Told], tmp_path: Path
) -> None:
    """There another port is asked, by obstore; without what proves who we are, and no artefact comes of it."""
    elsewhere = answering(200)
    told = answering(307, location=f"http://127.0.0.1:{elsewhere.port}/other")
    provider = open_provider(f"s3://bucket/prefix?{fake_options(tmp_path, told.port)}")
    for use in uses_of(provider).values():
        with suppress(StorageError):
            assert not use(), "no artefact"
    assert elsewhere.asked
    assert all("authorization" not in headers for _asked, headers in elsewhere.asked)


@pytest.mark.parametrize(
    "endpoint",
    ["http://minio.example:9000", "http://127.0.0.1.example:9000", "ftp://x", "minio:9000", "https://a:b@x"],
)
def test_plain_http_is_for_this_machine_only(endpoint: str) -> None:
    need_s3()
    with pytest.raises(ConfigError):
        open_provider(f"s3://bucket?endpoint={endpoint}")


def test_plain_http_elsewhere_has_to_be_allowed() -> None:
    need_s3()
    open_provider("s3://bucket?endpoint=http://minio.example:9000&allow_http=true").close()


def test_the_environment_does_not_redirect_an_endpoint(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """obstore would take AWS_ENDPOINT_URL_S3 before what the URL says."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    provider = bucket.open()
    put(provider, KEY, b"data")
    assert get(provider, KEY)[1] == b"data"


def test_google_and_azure_open_by_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as can be told without their services: they are built."""
    need_s3()
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    for url in ("gs://bucket/prefix", "az://container/prefix"):
        open_provider(url).close()
