"""The page's server as people start it: the real command, its address and token read from what it prints."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import preloaded
from tests.patience import PATIENCE_S


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def web_command(data_dir: Path, *words: str, before: Sequence[str] = ()) -> list[str]:
    """The words that start it, without a browser; `before` are monitord's own."""
    return [sys.executable, "-m", "monitord", *_words(data_dir, *words, before=before)]


def forked(data_dir: Path, *words: str, before: Sequence[str] = ()) -> list[str]:
    """As `web_command`, where its start, its pid and its limits do not matter."""
    return preloaded.command("web", *_words(data_dir, *words, before=before))


def _words(data_dir: Path, *words: str, before: Sequence[str]) -> list[str]:
    return ["--data-dir", str(data_dir), *before, "web", "--no-browser", *words]


class WebServer:
    """`monitord web` on a free port (or a socket); what it writes is kept."""

    def __init__(
        self,
        data_dir: Path,
        *words: str,
        unix_socket: Path | None = None,
        before: Sequence[str] = (),
        start: Callable[..., list[str]] = forked,
    ) -> None:
        self._unix_socket = unix_socket
        self._log = data_dir.parent / f"{data_dir.name}.web.log"
        where = ["--socket", str(unix_socket)] if unix_socket else ["--port", "0"]
        argv = start(data_dir, *where, *words, before=before)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(argv, stderr=log, stdout=log, stdin=subprocess.DEVNULL)
        self.url, self.token = self._wait_for_address()
        self.port = int(found[1]) if (found := re.search(r":(\d+)/", self.url)) else 0
        self._wait_until_it_answers()

    def _wait_for_address(self) -> tuple[str, str]:
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s and self.process.poll() is None:
            if (
                said := re.search(r"^(http://\S+/)#token=(\S+)$", self.log, re.MULTILINE)
            ) and "Ctrl-C" in self.log:
                return said[1], said[2]
            time.sleep(0.02)
        self.stop()
        raise AssertionError(f"the page was not served:\n{self.log}")

    def _wait_until_it_answers(self) -> None:
        assert self.ask("/static/app.js").status == 200, self.log

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def address(self) -> str:
        """With its token, as it is printed."""
        return f"{self.url}#token={self.token}"

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://").rstrip("/")

    def connect(self) -> socket.socket:
        if self._unix_socket is None:
            return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(PATIENCE_S)
        made.connect(str(self._unix_socket))
        return made

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """One request that is right but for what is given here; None leaves a header out."""
        sent: dict[str, str | None] = {
            "Host": self.host,
            "Authorization": f"Bearer {self.token}",
            **(headers or {}),
        }
        connection = http.client.HTTPConnection("unused", timeout=PATIENCE_S)
        connection.sock = self.connect()
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            if body is not None and "Content-Length" not in sent:
                sent["Content-Length"] = str(len(body))
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(
                answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
            )
        finally:
            connection.close()

    def post(self, path: str, body: Any, headers: Mapping[str, str | None] | None = None) -> Answer:
        """As the page posts."""
        return self.ask(
            path,
            method="POST",
            body=json.dumps(body).encode(),
            headers={"X-Monitord-Action": "1", **(headers or {})},
        )

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)
