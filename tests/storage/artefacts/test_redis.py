"""Redis that is slow, broken, full, locked, restarted or too old: each a typed error in bounded time, nothing lost.

The bound is the test's own timeout: a provider waits one second at most, where it has something to wait for.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitord.errors import StorageError
from monitord.storage.artefacts.errors import (
    AccessDeniedError,
    ArtefactExistsError,
    DamagedArtefactError,
    DiskFullError,
    MissingArtefactError,
    TransientError,
)
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers import open_provider
from monitord.storage.artefacts.providers.redis import PART_LIFE_S
from tests.contracts.test_providers import KEY, get, put
from tests.patience import PATIENCE_S
from tests.servers import FaultProxy, Mode, RedisServer, need_redis, wait_until

LARGE = bytes(range(256)) * 20_000  # 5 MB: several pieces
Proxies = Callable[[int], FaultProxy]
Starter = Callable[..., RedisServer]

pytestmark = pytest.mark.timeout(PATIENCE_S)


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[Starter]:
    """Starts servers of this test's own."""
    need_redis()
    started: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        folder = tmp_path / f"redis-{len(started)}"
        folder.mkdir()
        started.append(RedisServer(folder, *options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def opened(port: int, options: str = "timeout=1s") -> StorageProvider:
    return open_provider(f"redis://127.0.0.1:{port}/0?{options}")


def uses_of(provider: StorageProvider) -> dict[str, Callable[[], object]]:
    return {
        "store": lambda: put(provider, KEY, LARGE),
        "store small": lambda: put(provider, KEY, b"new", replace=False),
        "retrieve": lambda: get(provider, KEY),
        "get_metadata": lambda: provider.get_metadata(KEY),
        "list": lambda: list(provider.list()),
        "delete": lambda: provider.delete(KEY),
        "set_aside": lambda: provider.set_aside(KEY),
    }


PATIENT = f"timeout={PATIENCE_S:g}s"


def in_the_end(use: Callable[[], Any]) -> Any:
    """What comes of it when a slow machine is given time: only a black hole is to be told by a time-out."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return use()
        except TransientError:
            if time.monotonic() > deadline:
                raise


@pytest.mark.parametrize("mode", ["reset", "truncate", "blackhole", "refuse"])
@pytest.mark.parametrize("is_open", [True, False])
def test_a_broken_network_is_transient(
    redis_server: RedisServer, proxy_to: Proxies, mode: Mode, is_open: bool
) -> None:
    """For each use, on a connection that was there before and on a new one; then all goes on as before."""
    proxy = proxy_to(redis_server.port)
    redis_server.command("FLUSHALL")
    direct = opened(redis_server.port, PATIENT)
    stored = put(direct, KEY, LARGE)
    for name in uses_of(direct):
        provider = opened(proxy.port, "timeout=0.3s" if mode == "blackhole" else PATIENT)
        use = uses_of(provider)[name]
        if is_open and mode != "refuse":
            proxy.mode = "pass"
            assert in_the_end(lambda: provider.get_metadata(KEY)) == stored  # noqa: B023  # called at once
        proxy.mode = mode
        with pytest.raises(TransientError, match=r"127\.0\.0\.1"):
            use()
        proxy.mode = "pass"
        if name == "retrieve":
            assert in_the_end(lambda: get(provider, KEY)) == (stored, LARGE), mode  # noqa: B023  # called at once
        provider.close()
        redis_server.command("FLUSHALL")  # whether what broke off took place can't be known
        stored = put(direct, KEY, LARGE)


@pytest.mark.parametrize("mode", ["reset", "truncate"])
def test_a_body_that_is_cut_off_is_transient(
    redis_server: RedisServer, proxy_to: Proxies, mode: Mode
) -> None:
    """At the call or while reading; never less than what was stored as if it were all."""
    redis_server.command("FLUSHALL")
    put(opened(redis_server.port), KEY, LARGE)
    for after_bytes in (3, 2_000, 500_000, 3_000_000):
        proxy = proxy_to(redis_server.port)
        proxy.after_bytes = after_bytes
        provider = opened(proxy.port)
        proxy.mode = mode
        with pytest.raises(TransientError):
            get(provider, KEY)
        proxy.mode = "pass"
        assert get(provider, KEY)[1] == LARGE


def test_a_slow_network_is_waited_for(redis_server: RedisServer, proxy_to: Proxies) -> None:
    proxy = proxy_to(redis_server.port)
    proxy.mode, proxy.delay_s = "latency", 0.1
    provider = opened(proxy.port, "timeout=10s")
    put(provider, "slow", b"data")
    assert get(provider, "slow")[1] == b"data"


def test_a_writer_that_breaks_off_leaves_the_old_artefact(
    redis_server: RedisServer, proxy_to: Proxies
) -> None:
    """In the middle of a large one; what it wrote so far goes away by itself."""
    redis_server.command("FLUSHALL")
    proxy = proxy_to(redis_server.port)
    stored = put(opened(redis_server.port), KEY, b"before")
    provider = opened(proxy.port)
    provider.get_metadata(KEY)
    proxy.mode, proxy.after_bytes = "reset", 2_500_000
    with pytest.raises(TransientError):
        put(provider, KEY, LARGE)
    assert get(opened(redis_server.port), KEY) == (stored, b"before")
    (part,) = keys_of(redis_server, "monitord:part:*")
    assert 0 < ttl_ms(redis_server, part) <= PART_LIFE_S * 1000


def keys_of(server: RedisServer, pattern: str) -> list[str]:
    return [
        word
        for word in server.command("KEYS", pattern).decode().split("\r\n")[1:]
        if word[:1] not in ("$", "")
    ]


def ttl_ms(server: RedisServer, key: str) -> int:
    return int(server.command("PTTL", key)[1:])


def test_a_killed_writer_leaves_what_goes_by_itself(redis_server: RedisServer) -> None:
    redis_server.command("FLUSHALL")
    code = (
        "import os, sys\n"
        "from monitord.storage.artefacts.metadata import BytesPayload, DerivedPayload\n"
        "from monitord.storage.artefacts.providers import open_provider\n"
        "from tests.contracts.test_providers import described\n"
        "def dying(chunks):\n"
        "    for n, chunk in enumerate(chunks):\n"
        "        os._exit(9) if n == 16 else None\n"
        "        yield chunk\n"
        "payload = BytesPayload(b'x' * 8_000_000)\n"
        "open_provider(sys.argv[1]).store('key', DerivedPayload(payload, dying), described('key', payload))\n"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code, redis_server.url], cwd=root).returncode == 9
    assert list(opened(redis_server.port).list()) == []
    (part,) = keys_of(redis_server, "monitord:*")
    assert 0 < ttl_ms(redis_server, part) <= PART_LIFE_S * 1000


@pytest.mark.parametrize("data", [b"small", LARGE])
def test_artefacts_live_for_the_ttl_or_for_ever(redis_server: RedisServer, data: bytes) -> None:
    """Also when one is replaced, when one was not replaced, and when a temporary key became one."""
    redis_server.command("FLUSHALL")
    name = f"monitord:artefact:{KEY}"
    forever, brief = opened(redis_server.port), opened(redis_server.port, "ttl=2h")
    put(brief, KEY, data, replace=False)
    assert 7_000_000 < ttl_ms(redis_server, name) <= 7_200_000
    with pytest.raises(ArtefactExistsError):
        put(forever, KEY, data, replace=False)
    assert 7_000_000 < ttl_ms(redis_server, name) <= 7_200_000
    put(forever, KEY, data)
    assert ttl_ms(redis_server, name) == -1
    put(brief, KEY, data)
    brief.set_aside(KEY)
    (aside,) = keys_of(redis_server, "monitord:*")
    assert ttl_ms(redis_server, aside) == -1
    put(opened(redis_server.port, "ttl=0.2s"), KEY, data)
    wait_until(lambda: not list(forever.list()), "expiry")
    with pytest.raises(MissingArtefactError):
        forever.get_metadata(KEY)


def test_a_restart_loses_nothing_acknowledged(start_redis: Starter) -> None:
    """While it is down each use is transient; afterwards the same provider goes on."""
    server = start_redis()
    provider = opened(server.port)
    stored = put(provider, KEY, LARGE)
    server.stop()
    for use in uses_of(provider).values():
        with pytest.raises(TransientError):
            use()
    server.start()
    assert get(provider, KEY) == (stored, LARGE)
    put(provider, "after", b"data")


def test_a_full_server_is_a_full_disk(start_redis: Starter) -> None:
    """The limit on its memory; the old artefact is whole, nothing is left, and with room it goes on."""
    server = start_redis("--maxmemory", "12mb", "--maxmemory-policy", "noeviction")
    provider = opened(server.port)
    stored = put(provider, KEY, LARGE)
    with pytest.raises(DiskFullError, match="maxmemory"):
        put(provider, KEY, LARGE * 4)
    for n in range(40):
        try:
            put(provider, f"small-{n}", LARGE[:500_000], replace=False)
        except DiskFullError:
            break
    else:
        pytest.fail("it was never full")
    assert get(provider, KEY) == (stored, LARGE)
    assert keys_of(server, "monitord:part:*") == []
    assert provider.delete(KEY) == stored.stored_size
    put(provider, "again", b"data")


def test_more_than_a_string_holds_is_a_full_disk(start_redis: Starter) -> None:
    """The server's own limit is met by the same error as ours of 512 MB."""
    server = start_redis("--proto-max-bulk-len", "2mb")
    provider = opened(server.port)
    with pytest.raises(DiskFullError, match="maximum allowed size"):
        put(provider, KEY, LARGE)
    assert keys_of(server, "*") == []


def test_our_own_limit_is_met_before_the_server_has_to_say_so(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is 512 MB; here it is lowered, because the way is the same."""
    redis_server.command("FLUSHALL")
    monkeypatch.setattr("monitord.storage.artefacts.providers.redis.LIMIT_BYTES", 3 << 20)
    with pytest.raises(DiskFullError, match="at most 3 MiB in one key"):
        put(opened(redis_server.port), KEY, LARGE)
    assert keys_of(redis_server, "*") == []


def test_who_may_not_is_denied(start_redis: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No password, a wrong one, too few rights; the right one from a file, the environment or the URL."""
    import redis

    server = start_redis("--requirepass", "swordfish-7")
    for userinfo in ("", ":wrong-one@", "nobody:wrong-one@"):
        provider = open_provider(f"redis://{userinfo}127.0.0.1:{server.port}/0")
        for use in uses_of(provider).values():
            with pytest.raises(AccessDeniedError) as raised:
                use()
            assert "wrong-one" not in str(raised.value)
    file = tmp_path / "password"
    file.write_text("swordfish-7\n")
    put(opened(server.port, f"password_file={file}"), KEY, b"data")
    assert get(open_provider(f"redis://:swordfish-7@127.0.0.1:{server.port}"), KEY)[1] == b"data"
    monkeypatch.setenv("MONITORD_REDIS_PASSWORD", "swordfish-7")
    provider = opened(server.port)
    assert get(provider, KEY)[1] == b"data"
    rights = ("+getrange", "+strlen", "+exists", "+multi", "+exec", "+info")
    with redis.Redis(port=server.port, password="swordfish-7") as administrator:
        administrator.execute_command("ACL", "SETUSER", "reader", "on", ">reading", "~*", *rights)
    reader = open_provider(f"redis://reader:reading@127.0.0.1:{server.port}")
    assert get(reader, KEY)[1] == b"data"
    for name in ("store", "store small", "delete", "list", "set_aside"):
        with pytest.raises(AccessDeniedError):
            uses_of(reader)[name]()


def test_a_busy_server_is_transient(start_redis: Starter) -> None:
    """A script that never ends: Redis says BUSY to all others."""
    server = start_redis("--busy-reply-threshold", "1")
    provider = opened(server.port)
    put(provider, KEY, b"data")
    script = threading.Thread(target=lambda: server.command("EVAL", "while true do end", "0"))
    script.start()
    wait_until(lambda: server.command("GET", "x").startswith(b"-BUSY"), "BUSY")
    with pytest.raises(TransientError, match="BUSY"):
        provider.get_metadata(KEY)
    server.command("SCRIPT", "KILL")
    script.join()
    assert get(provider, KEY)[1] == b"data"


def test_a_read_only_replica_is_transient(start_redis: Starter) -> None:
    """It is one while another server takes over."""
    server = start_redis()
    replica = start_redis("--replicaof", f"127.0.0.1 {server.port}")
    with pytest.raises(TransientError, match=r"(?i)read.?only"):
        put(opened(replica.port), KEY, b"data")


def test_somebody_elses_list_under_our_name_is_damaged(redis_server: RedisServer) -> None:
    redis_server.command("FLUSHALL")
    redis_server.command("RPUSH", f"monitord:artefact:{KEY}", "x")
    provider = opened(redis_server.port)
    with pytest.raises(DamagedArtefactError):
        provider.get_metadata(KEY)
    assert list(provider.list()) == [KEY]
    provider.set_aside(KEY)
    assert list(provider.list()) == []


def test_other_keys_in_the_same_database_are_not_ours(redis_server: RedisServer) -> None:
    """Neither those of other prefixes nor what no key can be."""
    redis_server.command("FLUSHALL")
    for name in ("a", "monitord:a", "other:artefact:a", "monitord:artefact:../a", "monitord:artefact:a b"):
        redis_server.command("SET", name, "x")
    assert list(opened(redis_server.port).list()) == []


def test_an_old_server_is_refused_with_its_version() -> None:
    """A server that says it is 6.2 (a stand-in: it only knows this answer)."""
    need_redis()
    info = b"# Server\r\nredis_version:6.2.14\r\n"

    def answer(listener: socket.socket) -> None:
        connection, _address = listener.accept()
        with connection:
            while asked := connection.recv(65536):
                is_info = b"INFO" in asked and b"SETINFO" not in asked
                connection.sendall(
                    b"$%d\r\n%s\r\n" % (len(info), info) if is_info else b"+OK\r\n" * asked.count(b"*")
                )

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        with pytest.raises(StorageError, match=r"Redis 6\.2\.14, expected 7\.0 or newer"):
            opened(listener.getsockname()[1]).get_metadata(KEY)
