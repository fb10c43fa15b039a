"""What keeping artefacts costs beside the raw client, per provider and size; cache, listing, memory.

    python benchmarks/artefacts.py --rounds 30
    python benchmarks/artefacts.py --only file,cache,listing,memory

Every round does each thing once, in turns, so that whatever else runs meets all of them alike; the figures
are medians. The raw client is a file written and fsynced, redis-py, obstore against moto's S3. Beside it
stands the same client keeping the same promises: a sha256 taken (and compared when reading), and for files
a temporary name, a rename and the folder fsynced.
"""

from __future__ import annotations

import hashlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from recording import ROOT, Row, command_of, load, parser, show

from monitord.storage.artefacts import CacheManager, Keyring, StorageManager, compose, load_keyring, new_key
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers import open_provider

SIZES = {"1 kB": 1_000, "100 kB": 100_000, "10 MB": 10_000_000}
JUDGED_BYTES = 100_000
LIMITS = {"manager": 0.15, "encrypted": 0.30}
HIT_LIMIT_US = 20.0
MEMORY_LIMIT_BYTES = 64 << 20
LISTED_KEYS = 100_000
WHOLE_BYTES = 1 << 30
PARTS = ("file", "redis", "s3", "cache", "listing", "memory")

Call = Callable[[str, bytes], object]


@dataclass(frozen=True, slots=True)
class Client:
    """How one would keep bytes without monitord: raw, and with the promises that monitord makes."""

    provider: StorageProvider
    store: Call
    fetch: Callable[[str], bytes]
    drop: Callable[[str], object]
    careful_store: Call

    def stored_by_hand(self, key: str, data: bytes) -> None:
        hashlib.sha256(data).hexdigest()
        self.careful_store(key, data)

    def fetched_by_hand(self, key: str) -> str:
        return hashlib.sha256(self.fetch(key)).hexdigest()


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=30, help="of each thing and size")
    options.add_argument("--only", default=",".join(PARTS), help="which of them: " + ",".join(PARTS))
    options.add_argument("--store-whole", type=Path, help="(the child whose memory is measured)")
    arguments = options.parse_args()
    if arguments.store_whole:
        store_whole(arguments.store_whole)
        return
    asked = arguments.only.split(",")
    print(f"load {load()}", flush=True)
    rows: list[Row] = []
    (ROOT / ".bench").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".bench") as folder:  # on a disk: /tmp may be memory
        for name, opened in CLIENTS.items():
            if name in asked:
                with opened(Path(folder)) as client:
                    rows += compared(name, client, arguments.rounds)
        for name, measure in SINGLE.items():
            if name in asked:
                rows += measure(Path(folder))
    show(rows, arguments.rows)


@contextmanager
def file_client(folder: Path) -> Iterator[Client]:
    raw = folder / "raw"
    raw.mkdir()
    held = os.open(raw, os.O_RDONLY)

    def store(key: str, data: bytes) -> None:
        with (raw / key).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def careful_store(key: str, data: bytes) -> None:
        store(f"{key}.part", data)
        (raw / f"{key}.part").rename(raw / key)
        os.fsync(held)

    provider = open_provider(f"file://{folder}/own")
    yield Client(
        provider, store, lambda key: (raw / key).read_bytes(), lambda key: (raw / key).unlink(), careful_store
    )
    os.close(held)


@contextmanager
def redis_client(folder: Path) -> Iterator[Client]:
    import redis

    from tests.servers import RedisServer

    server = RedisServer(folder)
    try:
        with redis.Redis(port=server.port, protocol=2) as client:
            yield Client(open_provider(server.url), client.set, client.get, client.delete, client.set)
    finally:
        server.stop()


@contextmanager
def s3_client(folder: Path) -> Iterator[Client]:
    import obstore.store

    from tests.servers import S3Server

    server = S3Server(folder)
    try:
        os.environ["AWS_ACCESS_KEY_ID"] = server.access_key_id
        os.environ["AWS_SECRET_ACCESS_KEY"] = server.secret_access_key
        raw = obstore.store.S3Store(
            server.new_bucket(),
            endpoint=server.endpoint,
            region="us-east-1",
            client_options={"allow_http": True},
        )
        url = f"s3://{server.new_bucket()}/own?endpoint={server.endpoint}&region=us-east-1"
        fetch: Callable[[str], bytes] = lambda key: bytes(raw.get(key).bytes())  # noqa: E731  # reads as one
        yield Client(open_provider(url), raw.put, fetch, raw.delete, raw.put)
    finally:
        server.stop()


CLIENTS = {"file": file_client, "redis": redis_client, "s3": s3_client}


def compared(name: str, client: Client, rounds: int) -> list[Row]:
    """A row for storing and one for retrieving of each size; stored as captures are: what is there stays."""
    managers = {
        "manager": StorageManager(compose(client.provider, compression_level=None)),
        "encrypted": StorageManager(compose(client.provider, compression_level=None, keyring=a_keyring())),
        "compressed": StorageManager(compose(client.provider)),
    }
    stores: dict[str, Call] = {"raw": client.store, "careful": client.stored_by_hand}
    stores |= {kind: partial(manager.store_data, replace=False) for kind, manager in managers.items()}
    fetches: dict[str, Callable[[str], object]] = {"raw": client.fetch, "careful": client.fetched_by_hand}
    fetches |= {kind: manager.retrieve_data for kind, manager in managers.items()}
    rows = []
    for size_name, size in SIZES.items():
        data = evidence(size)

        def drop(kind: str, key: str) -> None:
            (managers[kind].delete if kind in managers else client.drop)(key)

        stored = medians({kind: _with(call, data) for kind, call in stores.items()}, rounds, drop)
        for kind, call in stores.items():
            call(f"{kind}-kept-{size}", data)
        kept = {kind: _at(call, f"{kind}-kept-{size}") for kind, call in fetches.items()}
        fetched = medians(kept, rounds)
        rows += [_row(f"store {size_name}, {name}", size, stored)]
        rows += [_row(f"retrieve {size_name}, {name}", size, fetched)]
        print("\n".join(f"{row.what}: {row.measured} | {row.peer}" for row in rows[-2:]), flush=True)
    return rows


def _with(call: Call, data: bytes) -> Callable[[str], object]:
    return lambda key: call(key, data)


def _at(call: Callable[[str], object], key: str) -> Callable[[str], object]:
    return lambda _key: call(key)


def medians(
    calls: Mapping[str, Callable[[str], object]],
    rounds: int,
    drop: Callable[[str, str], object] = lambda _kind, _key: None,
) -> dict[str, float]:
    """Median wall seconds of each call; every round in another order, the first two not counted."""
    taken: dict[str, list[float]] = {kind: [] for kind in calls}
    order = random.Random(1)
    for number in range(-2, rounds):
        for kind in order.sample(list(calls), len(calls)):
            key = f"{kind}-{number + 2}"
            began_s = time.perf_counter()
            calls[kind](key)
            if number >= 0:
                taken[kind].append(time.perf_counter() - began_s)
            drop(kind, key)
    return {kind: statistics.median(times) for kind, times in taken.items()}


def _row(what: str, size: int, took_s: dict[str, float]) -> Row:
    more = {kind: took_s[kind] / took_s["raw"] - 1 for kind in took_s}
    against = {kind: took_s[kind] / took_s["careful"] - 1 for kind in took_s}
    judged = size >= JUDGED_BYTES
    return Row(
        what,
        f"{took_s['manager'] * 1e3:.2f} ms ({more['manager']:+.0%}), "
        f"encrypted {took_s['encrypted'] * 1e3:.2f} ms ({more['encrypted']:+.0%}), "
        f"compressed {took_s['compressed'] * 1e3:.2f} ms",
        f"raw client {took_s['raw'] * 1e3:.2f} ms; same promises by hand {took_s['careful'] * 1e3:.2f} ms "
        f"(beside that {against['manager']:+.0%}, encrypted {against['encrypted']:+.0%})",
        "≤ +15 %, encrypted ≤ +30 %" if judged else "–",
        all(more[kind] <= limit for kind, limit in LIMITS.items()) if judged else None,
        command_of(__file__, "--only", what.rpartition(" ")[2]),
    )


def cache_hit(_folder: Path) -> list[Row]:
    """The same artefact again and again, through everything."""
    provider = open_provider("memory://")
    manager = StorageManager(compose(provider, keyring=a_keyring(), cache=CacheManager()))
    manager.store_data("key", evidence(JUDGED_BYTES))
    kept = {"key": manager.retrieve_data("key")}
    hit = _each_us(lambda: manager.retrieve_data("key"))
    miss = StorageManager(compose(provider, keyring=a_keyring()))
    miss.store_data("key", kept["key"])
    return [
        Row(
            "cache hit, 100 kB",
            f"{hit:.1f} µs",
            f"the same without cache, from memory, {_each_us(lambda: miss.retrieve_data('key')):.0f} µs; "
            f"a dict {_each_us(lambda: kept['key']):.2f} µs",
            f"≤ {HIT_LIMIT_US:g} µs",
            hit <= HIT_LIMIT_US,
            command_of(__file__, "--only", "cache"),
        )
    ]


def _each_us(call: Callable[[], object], times: int = 2000) -> float:
    """Median microseconds of CPU over batches: other processes don't count."""
    batches = []
    for _ in range(9):
        began_s = time.process_time()
        for _time in range(times):
            call()
        batches.append((time.process_time() - began_s) / times * 1e6)
    return statistics.median(batches)


def listing(folder: Path) -> list[Row]:
    """A hundred thousand artefacts in a hundred folders, listed through the manager."""
    plain = folder / "listed"
    provider = open_provider(f"file://{plain}")
    for number in range(LISTED_KEYS):
        path = plain / f"{number % 100:02}" / f"20260301T030000Z-{number:06}-profile"
        if number < 100:
            path.parent.mkdir()
        path.touch(0o600)
    manager = StorageManager(compose(provider))
    assert sum(1 for _key in manager.list()) == LISTED_KEYS
    ours, walk = [], []
    for _ in range(7):
        began_s = time.perf_counter()
        assert len(list(manager.list())) == LISTED_KEYS
        ours.append(time.perf_counter() - began_s)
        began_s = time.perf_counter()
        assert len(sorted(name for _, _, names in os.walk(plain) for name in names)) == LISTED_KEYS
        walk.append(time.perf_counter() - began_s)
    return [
        Row(
            f"listing {LISTED_KEYS:,} keys, file",
            f"{statistics.median(ours):.2f} s",
            f"os.walk and sorting {statistics.median(walk):.2f} s",
            "–",
            None,
            command_of(__file__, "--only", "listing"),
        )
    ]


def memory(folder: Path) -> list[Row]:
    """The most that is resident in a child that stores a GB, compressed and encrypted, and reads it back."""
    source = folder / "whole"
    piece = evidence(1 << 24)
    with source.open("wb") as file:
        for _ in range(WHOLE_BYTES // len(piece)):
            file.write(piece)
    began_s = time.monotonic()
    command = [sys.executable, __file__, "--store-whole", source]
    peak, reading = _said(command)
    took_s = time.monotonic() - began_s
    (bare,) = _said([sys.executable, "-c", PEAK])
    source.unlink()
    return [
        Row(
            "memory while storing 1 GB, compressed and encrypted, file",
            f"{(peak - bare) / 2**20:.0f} MiB above the interpreter; read back, too, "
            f"{(reading - bare) / 2**20:.0f} MiB; {took_s:.0f} s for both",
            f"`python -c pass` {bare / 2**20:.0f} MiB",
            f"≤ {MEMORY_LIMIT_BYTES >> 20} MiB above it",
            max(peak, reading) - bare <= MEMORY_LIMIT_BYTES,
            command_of(__file__, "--only", "memory"),
        )
    ]


def _said(command: list[str | Path]) -> list[int]:
    """The numbers that a child prints."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [int(word) for word in done.stdout.split()]


# Of this program alone: what getrusage says includes the parent's memory before the exec.
PEAK = """
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print(int(line.split()[1]) * 1024)
"""


def store_whole(source: Path) -> None:
    """The child: store, verify, and say the highest resident bytes after each."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=source.parent))
        manager = StorageManager(compose(open_provider(f"file://{folder}/own"), keyring=a_keyring()))
        manager.store_data("whole", source)
        exec(PEAK)  # noqa: S102  # as the bare interpreter does
        manager.verify("whole")
        exec(PEAK)  # noqa: S102


SINGLE = {"cache": cache_hit, "listing": listing, "memory": memory}


def evidence(size: int) -> bytes:
    """Text as a profiler leaves it: frames that come again, counts that don't."""
    numbers = random.Random(size)
    lines, length = [], 0
    while length < size:
        frames = (
            f"function_{numbers.randrange(300)} (module_{numbers.randrange(40)}.py:{numbers.randrange(900)})"
            for _ in range(numbers.randrange(3, 12))
        )
        lines.append(f"{';'.join(frames)} {numbers.randrange(1000)}\n")
        length += len(lines[-1])
    return "".join(lines).encode()[:size]


def a_keyring() -> Keyring:
    return load_keyring(["environment:KEY"], {"KEY": new_key()})


if __name__ == "__main__":
    main()
