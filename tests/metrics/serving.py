"""`monitord metrics serve` as people start it, and one question to it."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.patience import PATIENCE_S

_PASSES_A_SOCKET = (
    "import os, sys; fd = int(sys.argv[1]); os.dup2(fd, 3); "
    "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); os.execv(sys.executable, sys.argv[2:])"
)


@dataclass(frozen=True)
class Page:
    """What came back."""

    status: int
    content_type: str
    text: str


@contextmanager
def served(data_dir: Path, *words: str, passed: socket.socket | None = None) -> Iterator[str]:
    """Start it, wait for the place that it prints, and end it as Ctrl-C does."""
    argv = [sys.executable, "-m", "monitord", "--data-dir", str(data_dir), "metrics", "serve", *words]
    descriptors = [] if passed is None else [passed.fileno()]
    if passed is not None:  # as systemd does: descriptor 3, and its own pid in the environment
        argv = [sys.executable, "-c", _PASSES_A_SOCKET, str(passed.fileno()), *argv]
    child = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=descriptors, env=dict(os.environ)
    )
    try:
        assert child.stdout is not None
        where = child.stdout.readline().decode().strip()
        assert where, child.stderr and child.stderr.read().decode()
        yield where
    finally:
        child.terminate()
        child.communicate(timeout=PATIENCE_S)


def ask(
    where: str | Path, path: str = "/metrics", method: str = "GET", headers: Mapping[str, str] | None = None
) -> Page:
    """Ask a port ("127.0.0.1:8767") or a socket."""
    connection = http.client.HTTPConnection(
        "localhost" if isinstance(where, Path) else where, timeout=PATIENCE_S
    )
    if isinstance(where, Path):
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(where))
    try:
        connection.request(method, path, headers=dict(headers or {}))
        answer = connection.getresponse()
        return Page(answer.status, answer.headers["content-type"] or "", answer.read().decode())
    finally:
        connection.close()
