"""`monitord state …`: values are set, listed, read and deleted, and a copy is the same as what it was made of."""

from __future__ import annotations

import base64
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.errors import BusyError
from monitord.jobs import RetentionManager
from monitord.jobs.limits import RetentionLimits
from monitord.jobs.table import jobs_of
from monitord.storage import open_store
from monitord.storage.state import NamespacedStorage, SessionNamespace, UserNamespace, open_state
from monitord.storage.state.opening import BACKENDS
from tests.cli.conftest import Cli
from tests.patience import PATIENCE_S
from tests.planting import is_safe
from tests.servers import FaultProxy, RedisServer, dynamodb_url


@pytest.fixture
def store(data_dir: Path) -> None:
    open_store(data_dir).close()


def test_a_url_may_lie_in_a_file_that_nobody_else_reads(
    here: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So no list of processes shows its password; what holds none is refused with its name, not with what it holds."""
    held = tmp_path / "url"
    held.write_text(f"sqlite:///{tmp_path}/s.db\nnot this\n")
    held.chmod(0o600)
    assert here("state", "set", "k", "one", "--of", f"file:{held}").code == 0
    assert here("state", "get", "k", "--of", f"sqlite:///{tmp_path}/s.db").out.strip() == "one"
    monkeypatch.setenv("WHERE", f"sqlite:///{tmp_path}/s.db")
    assert here("state", "get", "k", "--of", "environment:WHERE").out.strip() == "one"
    refused = here("state", "copy", f"file:{held}", "environment:WHERE")
    assert (refused.code, "into itself" in refused.err) == (2, True)
    held.chmod(0o644)
    assert f"chmod 600 {held}" in here("state", "get", "k", "--of", f"file:{held}").err
    for source in (f"file:{tmp_path}/absent", "environment:NOT_SET", "credential:absent"):
        refused = here("state", "get", "k", "--of", source)
        assert refused.code != 0
        assert refused.err.count("\n") == 1
        assert source in refused.err


def test_a_value_is_set_read_listed_counted_and_deleted(here: Cli, tmp_path: Path) -> None:
    """The whole life of items of everybody, a user and a session, in a state named by its URL."""
    of = ("--of", f"sqlite:///{tmp_path}/s.db")
    assert here("state", "set", "k", "one", *of).out == "k: set\n"
    assert here("state", "set", "k", "two", "--user", "ada", "--ttl", "1d", *of).code == 0
    assert here("state", "set", "k", "three", "--user", "ada", "--session", "1", *of).code == 0
    found = json.loads(here("state", "get", "k", "--user", "ada", "--json", *of).out)
    assert base64.b64decode(found["data"]) == b"two"
    assert found["expires_at"] is not None
    listed = json.loads(here("state", "ls", "--user", "ada", "--session", "1", "--json", *of).out)
    assert [(each["key"], each["bytes"]) for each in listed] == [("k", 5)]
    counted = json.loads(here("state", "stats", "--json", *of).out)
    assert counted["items"] == 3
    assert counted["namespaces"][0] == {"user": None, "session": None, "items": 1}
    assert here("state", "delete", "k", *of).out == "1 item deleted\n"
    assert here("state", "delete", "--user", "ada", *of).code == 2
    assert here("state", "delete", "--user", "ada", "--yes", *of).out == "2 items deleted\n"
    assert json.loads(here("state", "stats", "--json", *of).out)["items"] == 0
    assert here("state", "get", "k", *of).code == 3


def test_a_value_is_set_only_in_place_of_what_is_expected(here: Cli, tmp_path: Path) -> None:
    """With --expect another's change is never overwritten."""
    of = ("--of", f"sqlite:///{tmp_path}/s.db")
    assert here("state", "set", "k", "1", "--expect", "none", *of).code == 0
    assert here("state", "set", "k", "2", "--expect", "none", *of).code == BusyError.exit_code
    version = json.loads(here("state", "get", "k", "--json", *of).out)["version"]
    assert here("state", "set", "k", "3", "--expect", version, *of).code == 0
    assert here("state", "set", "k", "4", "--expect", version, *of).code == BusyError.exit_code
    assert base64.b64decode(json.loads(here("state", "get", "k", "--json", *of).out)["data"]) == b"3"


def test_the_recorders_own_is_the_default(store: None, here: Cli) -> None:
    """Without a URL it is the state in the database, which `recorder` names, too."""
    assert here("state", "set", "k", "v").code == 0
    assert here("state", "get", "k", "--of", "recorder").code == 0
    assert here("state", "stats").out.startswith("recorder: ")


@pytest.mark.parametrize(
    "words",
    [
        ("state", "get", "k", "--of", "mongodb://x:secret@host"),
        ("state", "get", "k", "--of", "postgresql://x:secret@host:port/db"),
        ("state", "get", "k", "--of", "redis://x:secret@host:port"),
        ("state", "get", "k", "--of", "mysql://x:secret@host/db?strange=1"),
        ("state", "get", "", "--of", "memory://"),
        ("state", "get", "k", "--session", "1", "--of", "memory://"),
        ("state", "delete", "--of", "memory://"),
        ("state", "set", "k", "v", "--ttl", "soon", "--of", "memory://"),
        ("state", "copy", "memory://", "memory://"),
    ],
)
def test_what_cannot_be_is_refused(here: Cli, words: tuple[str, ...]) -> None:
    """One line, exit code 2, and nothing of a password."""
    answer = here(*words)
    assert (answer.code, answer.err.count("\n")) == (2, 1), answer.err
    assert "secret" not in answer.err


def test_hostile_values_are_shown_harmless(here: Cli, tmp_path: Path) -> None:
    """Names and data of others break no list."""
    state = open_state(f"sqlite:///{tmp_path}/s.db", within_s=PATIENCE_S)
    state.set("=a|b,c <b>*", b"\x1b[31m\n\0", UserNamespace("<script>"))
    state.close()
    for words in (("ls", "--user", "<script>"), ("stats",)):
        for form in ((), ("--json",)):
            assert is_safe(here("state", *words, *form, "--of", f"sqlite:///{tmp_path}/s.db").out)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql", "redis", "dynamodb"])
def test_a_copy_is_the_same(here: Cli, tmp_path: Path, request: pytest.FixtureRequest, kind: str) -> None:
    """Data, times and versions are equal; a state in use is only copied into with --merge; and back again."""
    source = f"sqlite:///{tmp_path}/source.db"
    state = open_state(source, within_s=PATIENCE_S)
    for n in range(250):
        state.set(f"k{n}", bytes([n % 256]) * n, UserNamespace("ada"))
    state.set("short", b"x", SessionNamespace("ada", "1"), ttl=timedelta(days=1))
    state.set("large", b"\xff\0" * 50_000)
    wanted = {n: state.get_many(state.keys(n), n) for n, _count in state.namespaces()}
    state.close()
    request.getfixturevalue("monkeypatch").setenv("MONITORD_STATE__DEADLINE_S", str(PATIENCE_S))
    with _server(kind, tmp_path, request) as target:
        assert here("state", "copy", source, target).out == "252 items of 3 namespaces copied and verified\n"
        answer = here("state", "copy", source, target)
        assert (answer.code, "--merge" in answer.err) == (2, True)
        assert here("state", "copy", source, target, "--merge").code == 0
        assert here("state", "copy", target, f"sqlite:///{tmp_path}/back.db").code == 0
    back = open_state(f"sqlite:///{tmp_path}/back.db", within_s=PATIENCE_S)
    assert {n: back.get_many(back.keys(n), n) for n, _count in back.namespaces()} == wanted
    back.close()


@pytest.mark.parametrize(
    "words", [["stats"], ["ls"], ["get", "k"], ["set", "k", "2"], ["delete", "k"]], ids=str
)
def test_a_question_takes_as_long_as_the_configuration_lets_it(
    words: list[str], here: Cli, redis_server: RedisServer, proxy_to: Callable[[int], FaultProxy]
) -> None:
    """All took two seconds at most, whatever was set, and a server far away could not be asked."""
    proxy = proxy_to(redis_server.port)
    proxy.mode = "latency"
    of = ("--of", f"redis://127.0.0.1:{proxy.port}/0")
    assert here("state", "set", "k", "1", *of, MONITORD_STATE__DEADLINE_S=str(PATIENCE_S)).code == 0
    assert here("state", *words, *of, MONITORD_STATE__DEADLINE_S=str(PATIENCE_S)).code == 0
    assert here("state", *words, *of, MONITORD_STATE__DEADLINE_S="0.1").code == 75


@contextmanager
def _server(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    match kind:
        case "sqlite":
            yield f"sqlite:///{tmp_path}/target.db"
        case "postgresql":
            yield request.getfixturevalue("postgres").url()
        case "mysql":
            yield request.getfixturevalue("mariadb").url()
        case "dynamodb":
            yield dynamodb_url(request)
        case _:
            redis: RedisServer = request.getfixturevalue("redis_server")
            redis.command("FLUSHALL")
            yield redis.url


def test_config_validate_names_the_schemes_that_exist(here: Cli, tmp_path: Path) -> None:
    """A URL that no backend knows is refused where the configuration is checked, with those there are."""
    for url in ("mongodb://user:secret@host/x", "memory://", "/srv/state"):
        config = tmp_path / "config.toml"
        config.write_text(f'[state]\nurl = "{url}"\n')
        answer = here("--config", str(config), "config", "validate")
        assert answer.code == 6, answer
        assert "secret" not in answer.err
        if not url.startswith("memory"):
            assert all(f"{scheme}://" in answer.err for scheme in BACKENDS if scheme != "memory")
            assert "memory://" not in answer.err  # it is refused, too
    for url, words in (
        ("dynamodb://eu-west-1", "expected dynamodb://REGION/TABLE"),
        ("redis://user:secret@host:port/0", "redis://…, what follows can't be read"),
        ("mysql://user:secret@host:99999/x", "mysql://…, what follows can't be read"),
    ):
        config.write_text(f'[state]\nurl = "{url}"\n')
        answer = here("--config", str(config), "config", "validate")
        assert answer.code == 6, answer
        assert words in answer.err
        assert "secret" not in answer.err
    config.write_text('[state]\nurl = "keydb://user:secret@host:6379/0"\n')
    assert here("--config", str(config), "config", "validate").code == 0
    assert "secret" not in here("--config", str(config), "config", "show").out


def test_an_installed_plug_in_is_found(tmp_path: Path) -> None:
    """A package with the entry point brings a scheme: it opens, is listed among those that exist, and is judged."""
    package = tmp_path / "site"
    (package / "plug-1.0.dist-info").mkdir(parents=True)
    (package / "plug-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n"
    )
    (package / "plug-1.0.dist-info" / "entry_points.txt").write_text(
        "[monitord.state_backends]\nplugged = plug:open_plugged\nbroken = plug:absent\n"
    )
    (package / "plug.py").write_text(
        "from monitord.storage.state.memory import MemoryBackend\n"
        "def open_plugged(url):\n    assert url == 'plugged://here'\n    return MemoryBackend()\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(package)!r})\n"
        "from monitord.storage.state import StateUnavailableError, open_state\n"
        "state = open_state('plugged://here'); state.set('k', b'v'); print(state.get('k').data)\n"
        "for url in ('strange://x', 'broken://x'):\n"
        "    try: open_state(url)\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == "b'v'"
    assert lines[1].startswith("UsageError")
    assert "plugged://" in lines[1]
    assert lines[2].startswith("StorageError cannot load the plug-in plug:absent")


def test_what_expired_is_swept_by_the_job_and_by_hand(data_dir: Path, here: Cli) -> None:
    """`retention run`, and the recorder's hourly job, remove the rows of expired items and no others."""
    limits = RetentionLimits()
    with closing(open_store(data_dir)) as store:
        job = next(
            each
            for each in jobs_of(store, RetentionManager(store, limits), limits)
            if each.name == "retention"
        )
        for sweep in (lambda: here("retention", "run"), lambda: job.run(datetime.now(UTC))):
            long_ago = NamespacedStorage(
                store.state.backend, now=lambda: datetime.now(UTC) - timedelta(days=9)
            )  # type: ignore[attr-defined]  # of the one implementation
            long_ago.set("expired", b"x", ttl=timedelta(days=1))
            store.state.set("kept", b"x", ttl=timedelta(days=1))
            assert _keys(data_dir) >= {"expired", "kept"}
            sweep()
            assert "expired" not in _keys(data_dir)
            assert "kept" in _keys(data_dir)


def _keys(data_dir: Path) -> set[str]:
    with closing(sqlite3.connect(data_dir / "monitord.db")) as connection:
        return {row[0] for row in connection.execute("SELECT key FROM state")}


def test_what_no_second_try_helps_is_not_to_be_tried_again(here: Cli, tmp_path: Path) -> None:
    """75 tells a script to come again; a folder that is missing is said with its fix, and fails."""
    nowhere = f"sqlite:///{tmp_path}/nowhere/state.db"
    said = here("state", "copy", nowhere, f"sqlite:///{tmp_path}/other.db")
    assert (said.code, said.err.count("\n")) == (1, 1), said.err
    assert "No such file or directory; make its folder first" in said.err
