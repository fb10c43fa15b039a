"""A daemon whose artefacts go elsewhere: killed, cut off, filled up; nothing lost, nothing twice, all in words."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitord import config
from monitord.recorder.artefact_stores import open_full_store
from monitord.storage import SQLiteProfileStore, open_store
from tests.faults.test_kill9 import RESTLESS, acknowledged, kill_again_and_again, start_pulses, stored
from tests.flow.recorder import Recorder
from tests.patience import PATIENCE_S
from tests.servers import FaultProxy, RedisServer, S3Server, need_redis

Make = Callable[..., Recorder]

# A hundred by hand or at night: MONITORD_FAR_KILLS=100; a few are enough to see that it works at all.
KILLS = int(os.environ.get("MONITORD_FAR_KILLS") or "5")


@pytest.fixture(params=["file", "redis", "s3"])
def far_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of its own for each test, on a real server."""
    if request.param == "file":
        (tmp_path / "far").mkdir(mode=0o700)
        return f"file://{tmp_path / 'far'}"
    if request.param == "redis":
        redis: RedisServer = request.getfixturevalue("redis_server")
        return f"{redis.url}?prefix={tmp_path.name}:"
    s3: S3Server = request.getfixturevalue("s3_server")
    return f"s3://{s3.new_bucket()}/evidence?{s3.options(tmp_path)}"


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that a test may stop."""
    need_redis()
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(folder)
    yield server
    server.stop()


def sending(url: str, more: str = "") -> str:
    return f'{RESTLESS}[storage]\nurl = "{url}"\n{more}'


def status_of(daemon: Recorder) -> dict[str, object]:
    """What the uploader wrote down; nothing before its first word."""
    try:
        told: dict[str, object] = json.loads((daemon.data_dir / "uploader.json").read_text())
    except FileNotFoundError:
        return {}
    return told


def near_files(daemon: Recorder) -> list[str]:
    folders = (daemon.data_dir / "artefacts", daemon.data_dir / "tombstones")
    return [p.name for folder in folders for p in folder.glob("[!.]*")]


def is_drained(daemon: Recorder) -> bool:
    return near_files(daemon) == []


def send_the_rest(daemon: Recorder) -> None:
    words = [sys.executable, "-m", "monitord.daemon.uploader", "--config", str(daemon.config)]
    subprocess.run([*words, "--data-dir", str(daemon.data_dir)], check=True, timeout=PATIENCE_S)


def whole_store(daemon: Recorder) -> SQLiteProfileStore:
    return open_store(daemon.data_dir, open_artefacts=open_full_store(config.load(daemon.config).settings))


def check(daemon: Recorder) -> None:
    """All that was acknowledged is there and whole; what is far away is what rows name, each once."""
    send_the_rest(daemon)
    assert is_drained(daemon), "everything was sent"
    acks = acknowledged(daemon.log_text())
    assert acks
    assert acks <= stored(daemon.data_dir), "acknowledged and lost"
    store = whole_store(daemon)
    try:
        assert store.verify() == []
        _engine, artefact_store = store._ready()
        assert artefact_store.uploading is not None
        assert artefact_store.uploading.remote is not None
        far = list(artefact_store.uploading.remote.list())
        assert len(far) == len(set(far)) > 0
        # verify() above said that every key has its row, and every row its artefact.
    finally:
        store.close()


@pytest.mark.timeout(600 + 15 * KILLS)
def test_nothing_acknowledged_is_lost_wherever_it_goes(recorder: Make, far_url: str) -> None:
    """kill -9 at random moments with everything on its way to a remote provider; the uploader ends with the daemon."""
    daemon = recorder(sending(far_url), settings="")
    kill_again_and_again(daemon, KILLS, seed=20261125)
    daemon.wait_for(lambda: status_of(daemon).get("moved"), "something to be sent")
    assert daemon.stop() == 0
    daemon.wait_for(lambda: uploaders_of(daemon) == [], "no uploader to be left behind")
    check(daemon)


def uploaders_of(daemon: Recorder) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"monitord.daemon.uploader" in words and os.fsencode(daemon.data_dir) in words:
            found.append(folder.name)
    return found


def test_a_remote_provider_that_is_down_is_said_once_and_then_caught_up_with(
    recorder: Make, own_redis: RedisServer
) -> None:
    """Captures go on and are acknowledged; when it is back all of them go there."""
    daemon = recorder(sending(own_redis.url, "deadline_s = 2\n"), settings="")
    own_redis.stop()
    daemon.start()
    start_pulses(daemon)
    daemon.wait_for(lambda: len(acknowledged(daemon.log_text())) >= 3, "three incidents")
    daemon.wait_for(lambda: "uploader.failing" in daemon.log_text(), "the trouble to be said")
    daemon.wait_for(lambda: daemon.ask("status")["degraded"], "the trouble in the status")
    shown = daemon.command("status").stdout
    assert "waiting" in shown
    assert not is_drained(daemon)
    near = [row for row in daemon.incidents() if revealed(daemon, row).startswith(str(daemon.data_dir))]
    assert near, "what waits can be shown all the same"
    own_redis.start()
    daemon.wait_for(lambda: "uploader.recovered" in daemon.log_text(), "the end of the trouble to be said")
    assert daemon.stop() == 0
    check(daemon)
    log = daemon.log_text()
    assert (log.count("uploader.failing"), log.count("uploader.recovered")) == (1, 1)
    assert re.match(r"redis://127\.0\.0\.1:\d+/0/2\S+\n", revealed(daemon, near[0]))


def revealed(daemon: Recorder, row: dict[str, object]) -> str:
    """Where the evidence of an incident is; nothing while it is still taken."""
    return daemon.answer("reveal", str(row["id"]))[1]


def test_a_remote_provider_that_swallows_everything_holds_up_nothing(
    recorder: Make, redis_server: RedisServer, proxy_to: Callable[[int], FaultProxy], tmp_path: Path
) -> None:
    """A black hole: the recorder records, stops in time, and sends when there is a way again."""
    proxy = proxy_to(redis_server.port)
    proxy.mode = "blackhole"
    url = f"redis://127.0.0.1:{proxy.port}/0?timeout=1s&prefix={tmp_path.name}:"
    daemon = recorder(sending(url, "deadline_s = 3\n"), settings="").start()
    start_pulses(daemon)
    daemon.wait_for(lambda: len(acknowledged(daemon.log_text())) >= 3, "three incidents")
    daemon.wait_for(lambda: "uploader.failing" in daemon.log_text(), "the trouble to be said")
    assert daemon.stop() == 0
    daemon.wait_for(lambda: uploaders_of(daemon) == [], "no uploader to be left behind")
    proxy.mode = "pass"
    check(daemon)


def test_files_become_objects_when_a_url_is_configured(
    recorder: Make, s3_server: S3Server, tmp_path: Path
) -> None:
    """What the folder holds is sent like anything new, and a lost database comes back from there."""
    daemon = recorder(RESTLESS, settings="").start()
    start_pulses(daemon)
    daemon.wait_for(lambda: acknowledged(daemon.log_text()), "an incident kept in files")
    assert daemon.stop() == 0
    before = stored(daemon.data_dir)
    daemon.config.write_text(sending(f"s3://{s3_server.new_bucket()}?{s3_server.options(tmp_path)}"))
    daemon.start()
    daemon.wait_for(lambda: status_of(daemon).get("moved"), "something to be sent")
    assert daemon.stop() == 0
    check(daemon)
    kept = stored(daemon.data_dir)
    assert before <= kept
    for path in daemon.data_dir.glob("monitord.db*"):
        path.unlink()
    shutil.rmtree(daemon.data_dir / "artefacts")
    assert daemon.command("db", "check").stdout == "no damage found\n"
    assert stored(daemon.data_dir) == kept
