"""A real MariaDB server for tests: a data directory of its own in a temporary folder, reached by a Unix socket.

Root starts it as `mysql` or `nobody`. A missing one is a skip with its reason; in CI it is a failure.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE_S


def _tool(*names: str) -> str:
    folders = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    found = next((path for name in names if (path := shutil.which(name, path=folders))), None)
    if found is None:
        pytest.skip(f"{names[0]} is missing: install mariadb-server to run this test")
    return found


class MariaDBServer:
    """A running server; `url()` names a new, empty database each time."""

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("pymysql", reason="needs pymysql: install the extra `dev`")
        self.socket = folder / "s"
        self._databases = 0
        data = folder / "data"
        user = pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            user = "mysql" if "mysql" in {entry.pw_name for entry in pwd.getpwall()} else "nobody"
            os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        # Its own place for temporary files, too: where /tmp is not open to all it would not start.
        common = ["--no-defaults", f"--datadir={data}", f"--tmpdir={folder}", f"--user={user}"]
        install = [_tool("mariadb-install-db", "mysql_install_db"), *common]
        install += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Little memory, no fsync: what a power cut does to it is not what these tests are about.
        options = ["--skip-networking", f"--socket={self.socket}", f"--pid-file={folder / 'pid'}"]
        options += [
            "--innodb-buffer-pool-size=16M",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-flush-method=nosync",
        ]
        self.process = subprocess.Popen(
            [_tool("mariadbd", "mysqld"), *common, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(folder / "log").open("ab"),
        )
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.stop()
                raise TimeoutError((folder / "log").read_text())
            time.sleep(0.05)

    def connect(self, database: str | None = None) -> Any:
        """A raw connection of pymysql's."""
        import pymysql

        return pymysql.connect(
            unix_socket=str(self.socket), user="root", database=database, autocommit=True, charset="utf8mb4"
        )

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except OSError:
            return False
        except Exception as error:  # noqa: BLE001  pymysql's own, whose module may be missing
            return bool(error.args) and error.args[0] not in (2002, 2003, 2013)
        return True

    def url(self) -> str:
        """An empty database of its own, in the server's own character set."""
        self._databases += 1
        name = f"test_{self._databases}"
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        return f"mysql://root@localhost/{name}?unix_socket={self.socket}"

    def stop(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()


@contextmanager
def mariadb_server() -> Iterator[MariaDBServer]:
    """A server for the block; its folder has a short name, because a socket's path may not be long."""
    with tempfile.TemporaryDirectory(prefix="my") as folder:
        server = MariaDBServer(Path(folder))
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDBServer]:
    """One for the session: a test has a database of its own."""
    with mariadb_server() as server:
        yield server
