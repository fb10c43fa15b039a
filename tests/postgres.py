"""A real PostgreSQL server for tests: a cluster of its own in a temporary folder, reached by a Unix socket.

The server refuses to run as root, so root starts it as `postgres` or `nobody`. A missing one is a skip
with its reason; in CI it is a failure.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S


def _tool(name: str) -> str:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    found = shutil.which(name) or (str(versions[0]) if versions else None)
    if found is None:
        pytest.skip(f"{name} is missing: install postgresql to run this test")
    return found


def _as_somebody() -> list[str]:
    """The beginning of a command that runs as an ordinary user."""
    if os.geteuid() != 0:
        return []
    known = {entry.pw_name for entry in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in known else "nobody")
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


class PostgresServer:
    """A running server; `url()` names a new, empty database each time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._as = _as_somebody()
        self._databases = 0
        if self._as:
            owner = pwd.getpwuid(int(self._as[1].partition("=")[2]))
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        data = folder / "data"
        settings = [_tool("initdb"), "-D", data, "-U", "monitord", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run([*self._as, *settings], check=True, stdout=subprocess.DEVNULL, cwd=folder)
        # No fsync: what a power cut does to PostgreSQL is not what these tests are about.
        options = ["-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        self.process = subprocess.Popen(
            [*self._as, _tool("postgres"), "-D", data, *options],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(folder / "log").open("ab"),
        )
        deadline = time.monotonic() + PATIENCE_S
        while self._run("SELECT 1", check=False) != 0:
            if time.monotonic() > deadline:
                raise TimeoutError((folder / "log").read_text())
            time.sleep(0.05)

    def url(self) -> str:
        """An empty database of its own."""
        self._databases += 1
        name = f"test_{self._databases}"
        self._run(f"CREATE DATABASE {name}")
        return f"postgresql://monitord@/{name}?host={self._folder}"

    def _run(self, statement: str, *, check: bool = True) -> int:
        command = [_tool("psql"), "-h", str(self._folder), "-U", "monitord", "-qc", statement, "postgres"]
        return subprocess.run(
            command, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode

    def stop(self) -> None:
        """End it at once, also with clients connected; it writes nothing more."""
        self.process.send_signal(signal.SIGQUIT)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server for the block; its folder has a short name, because a socket's path may not be long."""
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        server = PostgresServer(Path(folder))
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One for the session: a test has a database of its own."""
    with postgres_server() as server:
        yield server
