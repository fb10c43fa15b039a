"""Real servers for tests: Redis, S3 (moto's, over HTTP) and a proxy that misbehaves on command.

Each listens on a free port of 127.0.0.1 and ends with the test session. A missing one is a skip with its
reason; in CI it is a failure.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import secrets
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest

from tests.patience import PATIENCE_S

Mode = Literal["pass", "latency", "reset", "truncate", "blackhole", "refuse"]


def missing(what: str) -> None:
    pytest.skip(f"{what} is missing: install it to run this test")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {PATIENCE_S:g} s")
        time.sleep(0.02)


class RedisServer:
    """A redis-server of our own; what is acknowledged is on its disk, so that it survives a restart."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *("redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder),
                *("--save", "", "--appendonly", "yes", "--appendfsync", "always", "--loglevel", "warning"),
                *self.options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / "log").open("ab"),
        )
        wait_until(self.answers, "answer of redis-server")

    def answers(self) -> bool:
        """Whether it is up and has loaded its data; a server that asks for a password is up."""
        try:
            return self.command("PING").startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def command(self, *words: str) -> bytes:
        """One command without any client, its first 64 kB of reply as on the wire."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as connection:
            encoded = [word.encode() for word in words]
            parts = [b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded]
            connection.sendall(b"*%d\r\n" % len(parts) + b"".join(parts))
            return connection.recv(65536)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def s3_answered_by(handler: type[BaseHTTPRequestHandler], folder: Path, bucket: str) -> Iterator[str]:
    """The URL of a bucket whose every request the handler answers; keys that nobody checks lie in `folder`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    for name in ("id", "secret"):
        (folder / name).write_text("x\n")
    keys = f"access_key_id_file={folder}/id&secret_access_key_file={folder}/secret"
    try:
        yield f"s3://{bucket}?endpoint=http://127.0.0.1:{server.server_port}&region=us-east-1&{keys}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class S3Server:
    """moto's S3 over HTTP in a process of its own, which ends when this one does."""

    access_key_id = "testing"
    secret_access_key = "testing-secret"
    _CODE = """
import io, sys, threading
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

application = DomainDispatcherApplication(create_backend_app)
lock = threading.Lock()

def one_at_a_time(environ, start_response):
    # moto looks whether an object is there and then writes it: S3 does both at once.
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    with lock:
        return list(application(environ, start_response))

server = make_server("127.0.0.1", 0, one_at_a_time, True, request_handler=MotoRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
"""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", self._CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "log").open("ab"),
        )
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())
        self._buckets = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def options(self, folder: Path) -> str:
        """The options of an s3:// URL for this server; its credentials are written to `folder`."""
        names = ("access_key_id", "secret_access_key")
        for name in names:
            (folder / name).write_text(f"{getattr(self, name)}\n")
        files = "&".join(f"{name}_file={urllib.parse.quote(str(folder / name))}" for name in names)
        return f"endpoint={self.endpoint}&region=us-east-1&{files}"

    def new_bucket(self) -> str:
        self._buckets += 1
        name = f"bucket-{os.getpid()}-{self._buckets}"
        self.request("PUT", f"/{name}")
        return name

    def request(self, method: str, path: str, data: bytes | None = None) -> bytes:
        """One request without any S3 client; moto checks no signature."""
        authorization = f"AWS4-HMAC-SHA256 Credential={self.access_key_id}/20260101/us-east-1/s3/aws4_request"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            target = urllib.parse.quote(path, safe="/?&=-")
            connection.request(method, target, data, {"Authorization": authorization})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status >= 300:
                raise OSError(f"{method} {path}: {answer.status} {body!r}")
            return body

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


def dynamodb_url(request: pytest.FixtureRequest, port: int | None = None) -> str:
    """A table of its own in moto's DynamoDB, which the S3 server serves, too; at another port through a proxy."""
    if importlib.util.find_spec("boto3") is None:
        missing("the package boto3")
    server: S3Server = request.getfixturevalue("s3_server")
    patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    patch.setenv("AWS_ACCESS_KEY_ID", server.access_key_id)
    patch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_access_key)
    return f"dynamodb://us-east-1/{secrets.token_hex(8)}?endpoint=http://127.0.0.1:{port or server.port}"


class FaultProxy:
    """Sits in front of a local server; `mode` may be changed at any time, for open connections too.

    latency: answers come `delay_s` late. reset: the connection breaks at the next byte. truncate: the
    answer is cut off after `after_bytes`. blackhole: nothing comes any more. refuse: no new connections.
    """

    def __init__(self, upstream_port: int) -> None:
        self.mode: Mode = "pass"
        self.delay_s = 0.3
        self.after_bytes = 0
        self._upstream = ("127.0.0.1", upstream_port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._server.accept()
            except OSError:
                return
            if self.mode == "refuse":
                client.close()
                continue
            try:
                upstream = socket.create_connection(self._upstream)
            except OSError:
                client.close()
                continue
            self._open += (client, upstream)
            for pump, pair in ((self._ask, (client, upstream)), (self._answer, (upstream, client))):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    def _ask(self, client: socket.socket, upstream: socket.socket) -> None:
        self._pump(client, upstream, client, is_answer=False)

    def _answer(self, upstream: socket.socket, client: socket.socket) -> None:
        self._pump(upstream, client, client, is_answer=True)

    def _pump(
        self, source: socket.socket, sink: socket.socket, client: socket.socket, *, is_answer: bool
    ) -> None:
        passed, is_first = 0, True
        try:
            while data := source.recv(65536):
                if self.mode == "blackhole":
                    continue
                if self.mode == "reset" and passed + len(data) > self.after_bytes:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                if self.mode == "latency" and is_answer and is_first:
                    time.sleep(self.delay_s)
                is_first = len(data) < 65536
                if self.mode == "truncate" and is_answer and passed + len(data) > self.after_bytes:
                    sink.sendall(data[: self.after_bytes - passed])
                    return
                passed += len(data)
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                if self.mode != "reset":  # close() alone wakes nobody who waits; a reset must not say goodbye
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
                end.close()

    def close(self) -> None:
        self._server.close()
        for end in self._open:
            end.close()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One redis-server for the session; a test that stops it, or fills it, starts its own."""
    need_redis()
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One S3 server for the session; each test makes its own bucket."""
    need_s3()
    server = S3Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture
def proxy_to() -> Iterator[Callable[[int], FaultProxy]]:
    """Makes proxies in front of a local port."""
    made: list[FaultProxy] = []

    def make(port: int) -> FaultProxy:
        made.append(FaultProxy(port))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


def need_redis() -> None:
    """Skip, or fail in CI, unless there is a redis-server and its client."""
    if shutil.which("redis-server") is None:
        missing("redis-server")
    if importlib.util.find_spec("redis") is None:
        missing("the package redis")


def need_s3() -> None:
    """Skip, or fail in CI, unless there is moto's server and obstore."""
    for package in ("moto", "flask", "flask_cors", "obstore"):
        if importlib.util.find_spec(package) is None:
            missing(f"the package {package}")
