"""An OTLP receiver that decodes with the protocol's own definitions, and answers as a test tells it to."""

from __future__ import annotations

import gzip
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import (
    ExportProfilesServiceRequest,
    ExportProfilesServiceResponse,
)

from tests.patience import PATIENCE_S

PROFILES = "/v1development/profiles"
KINDS = {
    PROFILES: (ExportProfilesServiceRequest, ExportProfilesServiceResponse),
    "/v1/logs": (ExportLogsServiceRequest, ExportLogsServiceResponse),
    "/v1/metrics": (ExportMetricsServiceRequest, ExportMetricsServiceResponse),
}


@dataclass
class Collector:
    """`answers` are given first, one a request: a status, or a status with headers; then 200 to all.

    Its endpoint has a name in it that nobody else knows: tests beside it have ports, too, and what one of them sends
    to a port that was another's a moment ago takes none of its answers.

    `profiles_status` is given to all profiles. Their request number `holds_back` is taken, and answered never.
    """

    answers: list[Any] = field(default_factory=list)
    refuses_word: str = ""
    rejected: int = 0
    rejected_profiles: int = 0
    profiles_status: int = 200
    holds_back: int = 0
    trickles: bool = False
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    logs: list[ExportLogsServiceRequest] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)
    profiles: list[ExportProfilesServiceRequest] = field(default_factory=list)
    port: int = 0
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/{self.name}"

    @property
    def records(self) -> list[Any]:
        """Every log record that was taken."""
        return [
            record
            for request in self.logs
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    @property
    def ids(self) -> list[str]:
        return [attributes(record)["log.record.uid"] for record in self.records]


def attributes(held: Any, name: str = "attributes") -> dict[str, Any]:
    """Its attributes, as Python values."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in getattr(held, name)}


@contextmanager
def collecting(**settings: Any) -> Iterator[Collector]:
    """Run one on a free port."""
    made = Collector(**settings)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if not self.path.startswith(f"/{made.name}/"):
                self.send_error(404)
                return
            self.path = self.path.removeprefix(f"/{made.name}")
            body = gzip.decompress(self.rfile.read(int(self.headers["content-length"])))
            made.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            made.bodies.append(body)
            if made.trickles:
                self._trickle()
                return
            kind, answer = KINDS[self.path]
            message = kind.FromString(body)
            status, headers = self._verdict(body)
            said = answer()
            if status == 200:
                {"/v1/logs": made.logs, "/v1/metrics": made.metrics, PROFILES: made.profiles}[
                    self.path
                ].append(message)
                if self.path == PROFILES and made.holds_back == len(made.profiles):
                    made.over.wait(PATIENCE_S)
                    return
                if made.rejected_profiles and self.path == PROFILES and message.resource_profiles:
                    said.partial_success.rejected_profiles = made.rejected_profiles
                    said.partial_success.error_message = "no\x1b[31m room"
                if made.rejected and self.path == "/v1/logs":
                    said.partial_success.rejected_log_records = made.rejected
                    said.partial_success.error_message = "too\x1b[31m old"
            data = said.SerializeToString()
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def _verdict(self, body: bytes) -> tuple[int, dict[str, str]]:
            if made.refuses_word and made.refuses_word.encode() in body:
                return 400, {}
            if self.path == PROFILES and made.profiles_status != 200:
                return made.profiles_status, {}
            told = made.answers.pop(0) if made.answers else 200
            return told if isinstance(told, tuple) else (told, {})

        def _trickle(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            while not made.over.wait(0.05):
                try:
                    self.wfile.write(b"x")
                except OSError:
                    return

        def log_message(self, *_words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE_S)


def until(is_there: Any) -> None:
    """Wait for what comes by itself."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_there():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
