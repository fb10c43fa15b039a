"""Servers as a client meets them: the real process over stdio or HTTP, asked by the SDK's own client."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio.from_thread
import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from tests import preloaded
from tests.patience import PATIENCE_S

TRANSPORTS = ("stdio", "http")
SUBJECTS = (  # the arguments of our tools that name an incident or a profile
    *("incident", "incident_id", "profile_id", "correlation_id"),
    *("id", "before", "after", "a", "b"),
)


class Asker:
    """A connected client, asked as one asks a function."""

    def __init__(self, client: Client, run: Callable[..., Any]) -> None:
        self._client, self._run = client, run

    def tools(self) -> dict[str, Any]:
        return {tool.name: tool for tool in self._run(self._client.list_tools).tools}

    def call(self, tool: str, arguments: Mapping[str, Any] | None = None) -> Any:
        return self._run(self._client.call_tool, tool, dict(arguments or {}))

    def told(self, tool: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """The structured answer of a call that must go well."""
        answer = self.call(tool, arguments)
        assert not answer.is_error, answer.content
        return answer.structured_content

    def read(self, address: str) -> str:
        return str(self._run(self._client.read_resource, address).contents[0].text)

    def prompt(self, name: str, arguments: Mapping[str, str]) -> str:
        got = self._run(self._client.get_prompt, name, dict(arguments))
        return str(got.messages[0].content.text)

    def run(self, method: str, *arguments: Any) -> Any:
        return self._run(getattr(self._client, method), *arguments)


def started(data_dir: Path, *words: str) -> list[str]:
    """As `command`, with a start: whose pid, limits or sudden end matter."""
    return [sys.executable, "-m", "monitord", "--data-dir", str(data_dir), "mcp", *words]


def command(data_dir: Path, *words: str) -> list[str]:
    return preloaded.command("mcp", "--data-dir", str(data_dir), "mcp", *words)


@contextmanager
def connected(make: Callable[[], Any], mode: Any = "auto") -> Iterator[Asker]:
    """A client on the transport that `make` makes, in an event loop of its own."""
    with anyio.from_thread.start_blocking_portal() as portal:

        async def build() -> Client:
            return Client(make(), mode=mode)

        with portal.wrap_async_context_manager(portal.call(build)) as client:
            yield Asker(client, portal.call)


@contextmanager
def over_stdio(data_dir: Path, *words: str, mode: Any = "auto", **env: str) -> Iterator[Asker]:
    argv = command(data_dir, "serve", *words)
    parameters = StdioServerParameters(command=argv[0], args=argv[1:], env={**os.environ, **env})
    with connected(lambda: stdio_client(parameters), mode) as asker:
        yield asker


class HttpServer:
    """`monitord mcp serve --http` on a free port; its words on stderr are kept."""

    def __init__(self, data_dir: Path, *words: str, start: Callable[..., list[str]] = command) -> None:
        self._data_dir = data_dir
        self._log = data_dir.parent / f"{data_dir.name}.mcp.log"
        argv = start(data_dir, "serve", "--http", "--port", "0", *words)
        with self._log.open("wb") as log:
            # Beside all lanes its state needed more than the two seconds in which it has to answer.
            environment = {"MONITORD_STATE__DEADLINE_S": "60", **os.environ}
            self.process = subprocess.Popen(
                argv, stderr=log, stdout=log, stdin=subprocess.DEVNULL, env=environment
            )
        self.port = self._wait_for_port()

    def _wait_for_port(self) -> int:
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s and self.process.poll() is None:
            if said := re.search(r"listening on http://127\.0\.0\.1:(\d+)/mcp", self.log):
                return int(said[1])
            time.sleep(0.05)
        self.process.kill()
        raise AssertionError(f"the server did not listen:\n{self.log}")

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def token(self) -> str:
        return (self._data_dir / "mcp.token").read_text().strip()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    @contextmanager
    def client(self, mode: Any = "auto") -> Iterator[Asker]:
        headers = {"Authorization": f"Bearer {self.token}"}

        def make() -> Any:
            http = httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S)
            return streamable_http_client(self.url, http_client=http)

        with connected(make, mode) as asker:
            yield asker

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()


@contextmanager
def over_http(data_dir: Path, *words: str, mode: Any = "auto") -> Iterator[Asker]:
    server = HttpServer(data_dir, *words)
    try:
        with server.client(mode) as asker:
            yield asker
    finally:
        server.stop()


OVER = {"stdio": over_stdio, "http": over_http}
