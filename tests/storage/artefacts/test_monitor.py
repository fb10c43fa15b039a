"""What is counted, and what a look at the health finds."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.errors import StorageError
from monitord.storage.artefacts import DiskFullError, MissingArtefactError, StorageManager
from monitord.storage.artefacts.keyring import EncryptionKey, Keyring, load_keyring, new_key
from monitord.storage.artefacts.keys import PROBE_PREFIX
from monitord.storage.artefacts.metadata import Payload, StorageMetadata
from monitord.storage.artefacts.monitor import (
    AlertLevel,
    Health,
    HealthCheck,
    HealthChecker,
    HealthLimits,
    StorageMetrics,
    StorageMonitor,
)
from monitord.storage.artefacts.opening import compose
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers import open_provider
from monitord.storage.artefacts.wrappers.passing import PassThrough
from monitord.storage.artefacts.wrappers.retried import Patience
from tests.servers import FaultProxy, RedisServer, S3Server
from tests.storage.artefacts.flaky import Flaky
from tests.unsharing import mounted

HOSTILE_KEYS = ["a" * 200, "evil-name/x--1.2_3", "e/PASSWORD-hunter2"]


def file_provider(folder: Path) -> StorageProvider:
    return open_provider(f"file://{folder}")


def checks(health: Health) -> dict[str, HealthCheck]:
    return {check.name: check for check in health.checks}


# ------------------------------------------------------------------------------------------ counting


def test_every_call_that_reaches_the_provider_is_counted_with_its_bytes(tmp_path: Path) -> None:
    """Reads, writes and deletes, bytes both ways as stored, and a latency for each kind of call."""
    monitor = StorageMonitor()
    manager = StorageManager(
        compose(file_provider(tmp_path / "kept"), recorder=monitor, compression_level=None)
    )
    data = secrets.token_bytes(10_000)
    stored = manager.store_data("a", data, replace=False)
    manager.store_data("b", data, replace=False)
    assert manager.retrieve_data("a") == data
    manager.delete("a")
    manager.delete("a")  # nothing is there any more: no deletion
    told = monitor.metrics.as_json()
    assert (told["writes"], told["reads"], told["deletes"]) == (2, 1, 1)
    assert told["write_bytes"] == 2 * stored.stored_size
    assert told["read_bytes"] == 10_000
    latency = monitor.metrics.as_json()["latency"]
    assert isinstance(latency, list)
    assert {(each["provider"], each["operation"], each["count"]) for each in latency} == {
        ("file", "store", 2),
        ("file", "retrieve", 1),
        ("file", "delete", 2),
    }
    assert all(0 < each["longest_s"] <= each["total_s"] for each in latency)


def test_errors_are_counted_by_class_and_answers_are_none(tmp_path: Path) -> None:
    """A full disk is an error; "there is no such artefact" is an answer."""
    monitor = StorageMonitor(provider="file")
    flaky = Flaky(file_provider(tmp_path / "kept"), DiskFullError("full"), DiskFullError("full"))
    manager = StorageManager(compose(flaky, recorder=monitor))
    for _ in range(2):
        with pytest.raises(DiskFullError):
            manager.store_data("a", b"x", replace=False)
    with pytest.raises(MissingArtefactError):
        manager.retrieve_data("a")
    assert monitor.metrics.errors == 2
    assert monitor.metrics.as_json()["errors"] == [
        {"provider": "file", "operation": "store", "error": "DiskFullError", "count": 2}
    ]


def test_counts_hold_when_many_threads_tell_them() -> None:
    """No count is lost between threads."""
    metrics = StorageMetrics()

    def tell() -> None:
        for _ in range(2000):
            metrics.record_write(3)
            metrics.record_latency("file", "store", 0.5)

    threads = [threading.Thread(target=tell) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = metrics.as_json()
    assert (told["writes"], told["write_bytes"]) == (12_000, 36_000)
    assert told["latency"] == [
        {"provider": "file", "operation": "store", "count": 12_000, "total_s": 6000.0, "longest_s": 0.5}
    ]


def test_no_key_is_in_what_is_told(tmp_path: Path) -> None:
    """Whatever keys are called, the numbers do not name them, and their size does not grow with them."""
    monitor = StorageMonitor()
    manager = StorageManager(compose(file_provider(tmp_path / "kept"), recorder=monitor))
    manager.store_data("one", b"x", replace=False)
    before = len(json.dumps(monitor.as_json()))
    for key in [*HOSTILE_KEYS, *(f"n/{number}" for number in range(200))]:
        manager.store_data(key, b"x", replace=False)
    told = json.dumps(monitor.as_json())
    assert not [key for key in HOSTILE_KEYS if key in told]
    assert len(told) < before + 40


# -------------------------------------------------------------------------------------------- health


def checker(folder: Path, **options: object) -> HealthChecker:
    return HealthChecker(lambda: StorageManager(compose(file_provider(folder))), **options)  # type: ignore[arg-type]  passed on


def test_a_healthy_folder_passes_and_keeps_nothing_of_the_probe(tmp_path: Path) -> None:
    """After a look the folder is as it was: no artefact, no temporary file, no folder."""
    (tmp_path / "kept").mkdir(mode=0o700)
    health = checker(tmp_path / "kept").check_storage()
    assert health.is_ok
    assert set(checks(health)) == {"write and read", "latency"}
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.parametrize("kind", ["redis", "s3"])
def test_a_far_storage_is_probed_alike(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    """Redis and S3 pass the same look, and nothing is left there."""
    if kind == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        url = f"{server.url}?prefix=health-{secrets.token_hex(4)}"
    else:
        s3: S3Server = request.getfixturevalue("s3_server")
        url = f"s3://{s3.new_bucket()}/artefacts?{s3.options(tmp_path)}"
    health = HealthChecker(lambda: StorageManager(compose(open_provider(url)))).check_storage()
    assert health.is_ok, health.failing
    assert list(open_provider(url).list()) == []


def test_a_server_that_does_not_answer_is_a_failing_check_within_its_time(
    redis_server: RedisServer, proxy_to: Callable[[int], FaultProxy]
) -> None:
    """A black hole holds the probe; whoever looks has the answer at the deadline, and no second probe is sent."""
    proxy = proxy_to(redis_server.port)
    proxy.mode = "blackhole"
    opened: list[int] = []

    def open_it() -> StorageManager:
        opened.append(1)
        provider = open_provider(f"redis://127.0.0.1:{proxy.port}/0?timeout=20")
        return StorageManager(compose(provider, patience=Patience(attempts=1)))

    looking = HealthChecker(open_it, HealthLimits(deadline_s=0.3))
    first, second = looking.check_storage(), looking.check_storage()
    for health in (first, second):
        found = checks(health)["write and read"]
        assert not found.is_ok
        assert "no answer to `write`" in found.detail
        assert found.fix
    assert len(opened) == 1


class Forgetful(PassThrough):
    """Takes everything, and gives other bytes back, or nothing goes."""

    keeps_deleted = False

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        return self.inner.store(key, payload, metadata, replace=replace)

    def delete(self, key: str) -> int:
        return 0 if self.keeps_deleted else self.inner.delete(key)


def test_a_storage_that_does_not_delete_is_found_out(tmp_path: Path) -> None:
    """A deletion that is confirmed and does not happen is a failing check."""
    provider = Forgetful(file_provider(tmp_path / "kept"))
    provider.keeps_deleted = True
    health = HealthChecker(lambda: StorageManager(provider)).check_storage()
    assert [check.detail for check in health.failing] == ["delete: what was deleted is still there"]


def test_a_probe_that_can_not_be_read_is_deleted_all_the_same(tmp_path: Path) -> None:
    """The probe's end does not depend on how its reading went."""
    inner = file_provider(tmp_path / "kept")
    flaky = Flaky(inner, None, StorageError("the disk answers nonsense"))
    health = HealthChecker(lambda: StorageManager(flaky)).check_storage()
    assert [check.detail for check in health.failing] == ["read: the disk answers nonsense"]
    assert list(file_provider(tmp_path / "kept").list()) == []


def test_a_killed_process_probe_is_removed_later_and_a_living_ones_stays(tmp_path: Path) -> None:
    """What lies under the reserved prefix for more than an hour belongs to nobody."""
    folder = tmp_path / "kept"
    old = StorageManager(compose(file_provider(folder)), now=lambda: datetime.now(UTC) - timedelta(hours=2))
    old.store_data(f"{PROBE_PREFIX}old", b"x", replace=False)
    young = StorageManager(compose(file_provider(folder)))
    young.store_data(f"{PROBE_PREFIX}young", b"x", replace=False)
    (folder / f"{PROBE_PREFIX}torn").write_bytes(b"half")
    assert checker(folder).check_storage().is_ok
    assert list(young.list()) == [f"{PROBE_PREFIX}young"]


class Room:
    artefact_bytes = 12_345

    def __init__(self, free_disk_bytes: int) -> None:
        self.free_disk_bytes = free_disk_bytes


def test_free_space_below_its_floor_fails_with_a_fix_and_what_is_used_is_known(tmp_path: Path) -> None:
    """At the floor is well, one byte below is not; the used bytes go into the metrics."""
    limits = HealthLimits(free_disk_floor_bytes=1000)
    at_floor = checker(tmp_path / "kept", limits=limits, room=lambda: Room(1000)).check_storage()
    assert checks(at_floor)["free space"].is_ok
    monitor = StorageMonitor(health_checker=checker(tmp_path / "kept", limits=limits, room=lambda: Room(999)))
    health = monitor.check_storage()
    assert health is not None
    assert not checks(health)["free space"].is_ok
    assert "min_free_disk_mb" in str(checks(health)["free space"].fix)
    assert monitor.metrics.storage_used == 12_345


def test_a_slow_storage_is_told_with_the_step_that_is_slow(
    redis_server: RedisServer, proxy_to: Callable[[int], FaultProxy]
) -> None:
    """Latency is a check of its own: what works, but late, is not called broken."""
    proxy = proxy_to(redis_server.port)
    proxy.mode, proxy.delay_s = "latency", 0.2
    url = f"redis://127.0.0.1:{proxy.port}/0?prefix=slow-{secrets.token_hex(4)}"
    limits = HealthLimits(deadline_s=60, slow_s=0.1)
    health = HealthChecker(lambda: StorageManager(compose(open_provider(url))), limits).check_storage()
    assert checks(health)["write and read"].is_ok
    assert not checks(health)["latency"].is_ok
    assert "should take less than 0.1 s" in str(checks(health)["latency"].fix)


def test_a_key_that_is_gone_is_a_critical_check_and_its_value_is_never_said(tmp_path: Path) -> None:
    """Encrypted storage asks for its key at each look, because a restart will."""
    secret, path = new_key(), tmp_path / "key"
    path.write_text(secret)
    path.chmod(0o600)
    looking = checker(tmp_path / "kept", keyring=lambda: load_keyring([f"file:{path}"]))
    found = checks(looking.check_storage())["key"]
    assert found.is_ok
    assert secret.strip() not in found.detail
    path.unlink()
    gone = checks(looking.check_storage())["key"]
    assert not gone.is_ok
    assert gone.level is AlertLevel.CRITICAL
    assert str(path) in gone.detail


def test_a_probe_is_encrypted_like_everything_else(tmp_path: Path) -> None:
    """With encryption on the probe goes through it."""
    keyring = Keyring(EncryptionKey(os.urandom(32)))
    folder = tmp_path / "kept"
    health = HealthChecker(
        lambda: StorageManager(compose(file_provider(folder), keyring=keyring))
    ).check_storage()
    assert health.is_ok


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs without a free page, artefacts in it."""
    with mounted(tmp_path / "disk", "size=64k") as disk:
        (disk / "kept").mkdir(mode=0o700)
        with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while filler.write(b"\0" * 4096):
                pass
        yield disk / "kept"


@pytest.mark.unshared
def test_a_full_disk_fails_with_what_to_do_and_recovers(full_disk: Path) -> None:
    """A disk that takes nothing is a failing probe that leaves no temporary file, and is well again with room."""
    looking = checker(full_disk)
    found = checks(looking.check_storage())["write and read"]
    assert not found.is_ok
    assert "retention run" in str(found.fix)
    assert list(full_disk.iterdir()) == []
    (full_disk.parent / "filler").unlink()
    assert looking.check_storage().is_ok


def test_a_bug_in_a_plug_in_is_a_failing_check() -> None:
    """Whatever a provider raises, somebody who looks gets an answer."""

    def broken() -> StorageManager:
        raise RuntimeError("oops")

    health = HealthChecker(broken).check_storage()
    assert [check.detail for check in health.failing] == ["open: RuntimeError: oops"]
