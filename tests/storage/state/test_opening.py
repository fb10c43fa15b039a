"""Opening a state by URL, and data as it lies in a backend."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from monitord.errors import UsageError
from monitord.storage.state import StateUnavailableError, open_state
from monitord.storage.state.codec import COMPRESS_OVER_BYTES, decode, encode


@pytest.mark.parametrize("url", ["", "memory", "mongodb://x", "sqlite://", "sqlite:///", "file:///x"])
def test_a_url_that_keeps_no_state_is_refused(url: str) -> None:
    """One line says which kinds there are."""
    with pytest.raises(UsageError):
        open_state(url)


SECRET = "hunter2"
LEAKY = [
    f"sqlite://{SECRET}",
    f"redis://u:{SECRET}/x@127.0.0.1:1/0",
    f"rediss://u:{SECRET}@127.0.0.1:1/0?strange={SECRET}",
    f"keydb://127.0.0.1:{SECRET}/0",
    f"postgresql://u:{SECRET}@127.0.0.1:1/x?password={SECRET}&strange={SECRET}",
    f"postgresql://u:{SECRET}/x@127.0.0.1:1/x",
    f"mysql://u:{SECRET}@127.0.0.1:1/x?passwd={SECRET}&strange={SECRET}",
    f"mariadb://u:{SECRET}@127.0.0.1:x/x",
    f"dynamodb://u:{SECRET}@eu/table",
    f"dynamodb://eu/table?endpoint=http://u:{SECRET}@127.0.0.1:1",
    f"dynamodb://eu/table?endpoint=http://[{SECRET}",
    f"u:{SECRET}@host://x",
    SECRET,
]


@pytest.mark.parametrize("url", LEAKY)
def test_no_error_tells_a_secret_of_a_url(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a URL is wrong: the words of libraries about it are shown only where they can't hold it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with pytest.raises((UsageError, StateUnavailableError)) as refused:
        open_state(url)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "postgresql://nobody@127.0.0.1:1/none"])
def test_a_server_that_is_not_there_is_said(url: str) -> None:
    """Nobody answers: one error, whatever library met it."""
    with pytest.raises(StateUnavailableError):
        open_state(url)


def test_large_data_lies_compressed() -> None:
    """Above 4 kB what shrinks is compressed, what does not stays as it is, and both come back."""
    small, large, noise = b"a" * COMPRESS_OVER_BYTES, b"a" * 100_000, bytes(range(256)) * 20
    assert len(encode(small)) == len(small) + 1
    assert len(encode(large)) < 200
    assert [decode(encode(data)) for data in (small, large, noise)] == [small, large, noise]


@pytest.mark.parametrize("kept", [b"", b"\2abc", b"\1not zstd"])
def test_what_nobody_encoded_is_refused(kept: bytes) -> None:
    """Damage in a backend is an error, never data."""
    with pytest.raises(StateUnavailableError):
        decode(kept)


def test_a_claim_of_gigabytes_costs_a_megabyte() -> None:
    """Data that would unpack to more than the limit is refused without being unpacked."""
    bomb = encode(b"\0" * (1 << 20))
    two = b"\1" + _packed(b"\0" * (64 << 20))
    assert decode(bomb) == b"\0" * (1 << 20)
    with pytest.raises(StateUnavailableError):
        decode(two)


def _packed(data: bytes) -> bytes:
    from monitord.storage.state.codec import zstd

    return zstd.compress(data)


def test_the_file_is_ours_alone_and_plain_sql(tmp_path: Path) -> None:
    """A SQLite state is a file of mode 0600 with one row an item."""
    state = open_state(f"sqlite:///{tmp_path}/state.db")
    state.set("key", b"data")
    state.close()
    assert (tmp_path / "state.db").stat().st_mode & 0o777 == 0o600
    rows = sqlite3.connect(tmp_path / "state.db").execute("SELECT user_id, session_id, key, data FROM state")
    assert rows.fetchall() == [("", "", "key", b"\0data")]


def test_memory_loads_neither_sql_nor_redis() -> None:
    """Each backend's library is loaded by that backend alone."""
    code = (
        "import sys; from monitord.storage.state import open_state; open_state('memory://').set('k', b'v');"
        "print({'sqlalchemy', 'redis', 'psycopg'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("library", "url"),
    [
        ("boto3", "dynamodb://eu-west-1/table"),
        ("pymysql", "mysql://localhost/x"),
        ("psycopg", "postgresql://localhost/x"),
        ("redis", "redis://localhost"),
    ],
)
def test_a_missing_library_is_one_line_that_no_second_try_helps(library: str, url: str) -> None:
    """Each backend's; 75 would tell a script to come again."""
    code = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from monitord.errors import MonitordError\n"
        "from monitord.storage.state import open_state\n"
        f"try: open_state({url!r})\n"
        "except MonitordError as error: print(error.exit_code, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(rf"1 cannot import {library}; install it: .* -m pip install .*\n", done.stdout), done
