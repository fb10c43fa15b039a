"""Shipping when things go wrong: kills, clones, clocks, a bucket that is away, replaced, full of others or closed.

More than 400 lines: one list of what goes wrong.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import msgspec
import pytest

from monitord.actions import recorder, shipping
from monitord.actions.doctor import diagnose
from monitord.analytics.tables import MACHINE_MINUTES
from monitord.children import own_command
from monitord.errors import BusyError, ConfigError, StorageError
from monitord.fleet.ship_state import read_state
from monitord.fleet.shipping import LOCK_FILE
from monitord.recorder.locks import hold
from monitord.storage.artefacts.errors import AccessDeniedError, TransientError
from monitord.storage.objects import open_objects
from tests.fleet.hosts import Bucket, Host, ids
from tests.fleet.kill_steps import OPTIONS
from tests.servers import FaultProxy, S3Server, s3_answered_by

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return Bucket(f"file://{tmp_path}/bucket")


@pytest.fixture
def host(tmp_path: Path, bucket: Bucket) -> Host:
    return Host(tmp_path / "one", bucket.url)


@pytest.fixture
def s3_bucket(s3_server: S3Server, tmp_path: Path) -> Bucket:
    return Bucket(f"s3://{s3_server.new_bucket()}/fleet?{s3_server.options(tmp_path)}")


def test_two_hosts_ship_to_one_server_and_each_row_is_there_once(tmp_path: Path, s3_bucket: Bucket) -> None:
    """By the child that a recorder starts, both at the same time, again and again."""
    hosts = [Host(tmp_path / name, s3_bucket.url, {"artefacts": True}) for name in ("one", "two")]
    now = datetime.now(UTC)
    saved = [host.save(now - 2 * MINUTE) for host in hosts]
    for host in hosts:
        host.look(now - 10 * MINUTE, 600)
    for _ in range(2):
        children = [
            subprocess.Popen(
                own_command(
                    "monitord.actions.shipping",
                    "--data-dir",
                    str(host.data_dir),
                    "--config",
                    str(host.config_path),
                ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for host in hosts
        ]
        answers = [_answer(child) for child in children]
        assert [one["outcome"] for one in answers] == ["ok", "ok"], answers
    assert ids(s3_bucket.rows()) == sorted(saved)
    assert len({row["host_id"] for row in s3_bucket.rows()}) == 2
    assert 20 <= len(s3_bucket.rows(MACHINE_MINUTES)) <= 22
    evidence = [path for path in s3_bucket.paths() if path.endswith(".tar.zst")]
    assert sorted(path.rpartition("/")[2].removesuffix(".tar.zst") for path in evidence) == sorted(saved)
    assert all(s3_bucket.read(path).startswith(b"\x28\xb5\x2f\xfd") for path in evidence)


def _answer(child: subprocess.Popen[bytes]) -> dict[str, str]:
    """What an errand says at its end; it would end at once if its stdin were closed."""
    with child:
        assert child.stdout
        told: dict[str, str] = json.loads(child.stdout.read().splitlines()[-1])
    return told


def test_killed_at_any_step_nothing_is_lost_and_nothing_is_there_twice(tmp_path: Path) -> None:
    """kill -9 before a change of a file, every third of them here (MONITORD_SHIP_KILLS=1: each); then the next round."""
    template = Host(tmp_path / "template", f"file://{tmp_path}/template/bucket", OPTIONS)
    now = datetime.now(UTC)
    saved = [template.save(now - hours * timedelta(hours=1)) for hours in (0, 26)]
    template.look(now - 3 * MINUTE, 60)
    template.ship(archive_of=lambda name: name.encode())
    saved.append(template.save(now - MINUTE))
    template.look(now - 2 * MINUTE, 60)
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.fleet.kill_steps", str(template.folder), str(work)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    count = int(done.stdout)
    assert count > 20
    whole = Bucket(f"file://{work}/0/bucket").rows(MACHINE_MINUTES)
    for folder in work.iterdir():
        step = folder.name
        bucket = Bucket(f"file://{work}/{step}/bucket")
        assert ids(bucket.rows()) == sorted(saved), step
        assert bucket.rows(MACHINE_MINUTES) == whole, step
        evidence = [path for path in bucket.paths() if path.endswith(".tar.zst")]
        assert sorted(bucket.read(path).decode() for path in evidence) == sorted(saved), step
        assert list(Path(f"{work}/{step}/data/ship").rglob("*.part")) == [], step


# ------------------------------------------------------------------------------------------ who it is


def test_a_clone_does_not_share_its_name_and_what_it_had_before_is_not_there_twice(
    tmp_path: Path, host: Host, bucket: Bucket
) -> None:
    old = host.save(NOON)
    first = host.ship(NOON + MINUTE)
    shutil.copytree(host.folder, tmp_path / "clone")
    clone = Host(tmp_path / "clone", bucket.url)
    mine, other = host.save(NOON + 5 * MINUTE), clone.save(NOON + 5 * MINUTE)
    assert host.ship(NOON + 6 * MINUTE).host_id == first.host_id
    told = clone.ship(NOON + 6 * MINUTE)
    assert told.host_id != first.host_id
    assert any(first.host_id in note for note in told.notes)
    assert bucket.host(told.host_id)["previous_host_ids"] == [first.host_id]
    for _ in range(2):  # and neither takes the other's name again
        assert host.ship(NOON + 7 * MINUTE).host_id == first.host_id
        assert clone.ship(NOON + 7 * MINUTE).host_id == told.host_id
    assert ids(bucket.rows()) == sorted([old, mine, other])


def test_of_clones_that_ship_at_the_same_moment_one_keeps_the_name(
    tmp_path: Path, host: Host, bucket: Bucket
) -> None:
    host.save(NOON)
    first = host.ship(NOON + MINUTE)
    clones = []
    for number in range(4):
        shutil.copytree(host.folder, tmp_path / f"clone-{number}")
        clones.append(Host(tmp_path / f"clone-{number}", bucket.url))
    saved = [clone.save(NOON + 5 * MINUTE) for clone in clones]
    names: list[str] = []
    threads = [
        threading.Thread(target=lambda one=one: names.append(one.ship(NOON + 6 * MINUTE).host_id))
        for one in clones
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 4
    assert names.count(first.host_id) == 1
    assert len(bucket.rows()) == len(saved) + 1


def test_a_host_keeps_its_name_when_it_is_called_otherwise(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = host.ship(NOON).host_id
    monkeypatch.setattr("socket.gethostname", lambda: "renamed")
    assert host.ship(NOON + MINUTE).host_id == before


def test_a_pseudonym_tells_nothing_of_the_hosts_name(
    host: Host, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "payroll-db")
    host.configure(pseudonym=True)
    host.save(NOON)
    done = host.ship(NOON + MINUTE)
    assert "payroll" not in repr([bucket.paths(), bucket.rows(), bucket.host(done.host_id)])


def test_what_is_remembered_and_damaged_gives_a_new_name_and_says_so(host: Host) -> None:
    first = host.ship(NOON)
    for damage in (b"", b"{", b"[]", b'{"host_id": 7}', os.urandom(200)):
        (host.data_dir / "ship" / "state.json").write_bytes(damage)
        told = host.ship(NOON)
        assert told.host_id != first.host_id
        assert any("damaged" in note for note in told.notes)


# ------------------------------------------------------------------------------------------ the bucket


def test_another_or_emptied_bucket_gets_all_that_is_held(tmp_path: Path, host: Host, bucket: Bucket) -> None:
    saved = [host.save(NOON - days * DAY) for days in (0, 3)]
    host.ship(NOON + MINUTE)
    shutil.rmtree(tmp_path / "bucket")
    told = host.ship(NOON + 2 * MINUTE)
    assert ids(bucket.rows()) == sorted(saved)
    assert any("emptied" in note for note in told.notes)
    other = Bucket(f"file://{tmp_path}/other")
    host.url = other.url
    host.configure()
    host.ship(NOON + 3 * MINUTE)
    assert ids(other.rows()) == sorted(saved)


def test_a_bucket_that_went_back_to_an_earlier_state_gets_what_it_lacks(
    tmp_path: Path, host: Host, bucket: Bucket
) -> None:
    first = host.save(NOON)
    name = host.ship(NOON + MINUTE).host_id
    shutil.copytree(tmp_path / "bucket", tmp_path / "backup")
    second = host.save(NOON + 2 * MINUTE)
    host.ship(NOON + 3 * MINUTE)
    shutil.rmtree(tmp_path / "bucket")
    shutil.move(tmp_path / "backup", tmp_path / "bucket")
    told = host.ship(NOON + 4 * MINUTE)
    assert told.host_id == name
    assert any("earlier state" in note for note in told.notes)
    assert ids(bucket.rows()) == sorted([first, second])


def test_what_the_bucket_lost_or_changed_of_the_running_day_is_made_anew(
    tmp_path: Path, host: Host, bucket: Bucket
) -> None:
    saved = [host.save(NOON)]
    host.ship(NOON + MINUTE)
    (path,) = [path for path in bucket.paths() if "/incident/" in path]
    (tmp_path / "bucket" / path).write_bytes(b"torn")
    shutil.rmtree(host.data_dir / "ship" / "incidents")
    saved.append(host.save(NOON + 2 * MINUTE))
    told = host.ship(NOON + 3 * MINUTE)
    assert any("not what was put there" in note for note in told.notes)
    assert ids(bucket.rows()) == sorted(saved)


def test_what_others_leave_there_stays_as_it_is(tmp_path: Path, host: Host, bucket: Bucket) -> None:
    host.save(NOON)
    foreign = tmp_path / "bucket" / "v1" / "incident" / "date=2026-11-20" / "host=else"
    foreign.mkdir(parents=True, mode=0o700)
    (tmp_path / "bucket").chmod(0o700)
    (foreign / "day.parquet").write_bytes(b"theirs")
    host.ship(NOON + MINUTE)
    assert (foreign / "day.parquet").read_bytes() == b"theirs"


def test_while_the_bucket_is_away_files_wait_and_then_all_is_there(
    tmp_path: Path, s3_server: S3Server, proxy_to: Callable[[int], FaultProxy]
) -> None:
    """Also what the store deleted in the meantime."""
    proxy = proxy_to(s3_server.port)
    name = s3_server.new_bucket()
    options = s3_server.options(tmp_path)
    away = options.replace(f":{s3_server.port}", f":{proxy.port}")
    host = Host(tmp_path / "one", f"s3://{name}?{away}&timeout=1s", {"deadline_s": 1})
    proxy.mode = "refuse"
    first = host.save(NOON)
    host.look(NOON, 120)
    shipper = host.shipper(NOON + 5 * MINUTE)
    with pytest.raises(TransientError):
        shipper.run(everything=True)
    assert shipper.done.waiting_files == 4
    assert shipper.done.waiting_bytes > 0
    with host.opened() as store:
        store.delete_incident(first)
    second = host.save(NOON + 6 * MINUTE)
    proxy.mode = "pass"
    done = host.ship(NOON + 7 * MINUTE)
    assert ids(Bucket(f"s3://{name}?{options}").rows()) == sorted([first, second])
    assert (done.waiting_files, done.waiting_bytes) == (0, 0)


def test_what_waits_is_bounded_and_what_was_lost_by_that_is_told(
    tmp_path: Path, host: Host, bucket: Bucket
) -> None:
    saved = {host.save(NOON - days * DAY): days for days in range(4)}
    (tmp_path / "bucket").mkdir(mode=0o700)
    (tmp_path / "bucket").chmod(0o777)  # nobody's alone: refused
    with pytest.raises(AccessDeniedError):
        host.ship(NOON + MINUTE)
    waiting = sorted((host.data_dir / "ship" / "incidents").iterdir())
    assert len(waiting) == 4
    shipper = host.shipper(NOON + 2 * MINUTE)
    limit = sum(path.stat().st_size for path in (host.data_dir / "ship").rglob("*.parquet")) // 2
    shipper._settings = msgspec.structs.replace(shipper._settings, spool_mb=limit / 1e6)
    with pytest.raises(AccessDeniedError):
        shipper.run(everything=True)
    left = sum(path.stat().st_size for path in (host.data_dir / "ship").rglob("*.parquet"))
    assert left <= limit
    gone = [name for name, days in saved.items() if days == 3]
    with host.opened() as store:
        for name in gone:
            store.delete_incident(name)
    (tmp_path / "bucket").chmod(0o700)
    host.ship(NOON + 3 * MINUTE)
    assert ids(bucket.rows()) == sorted(saved.keys() - set(gone))
    state = read_state(host.data_dir)
    assert state is not None
    assert {(lost.table, lost.day, lost.rows) for lost in state.lost} == {
        ("incidents", "2026-11-17", 1),
        ("hotspots", "2026-11-17", 1),
    }


def test_a_right_that_is_missing_is_named_with_the_fix(tmp_path: Path) -> None:
    class Closed(BaseHTTPRequestHandler):
        def _refuse(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b"<Error><Code>AccessDenied</Code></Error>"
            is_read = self.command == "GET"
            self.send_response(404 if is_read else 403)
            body = b"<Error><Code>NoSuchKey</Code></Error>" if is_read else body
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = _refuse  # noqa: N815  # the names that http.server asks for

        def log_message(self, *_arguments: object) -> None:
            pass

    with s3_answered_by(Closed, tmp_path, "closed") as url:
        host = Host(tmp_path / "one", url)
        host.save(datetime.now(UTC))
        with pytest.raises(AccessDeniedError, match="403"):
            shipping.ship(host.workspace)
    told = recorder.status(host.workspace)["ship"]
    assert "AccessDenied" in told["last_error"]
    assert "s3:PutObject" in told["fix"]
    assert told["waiting_files"] == 2
    assert "secret" not in told["url"] or "***" in told["url"] or f"{tmp_path}/secret" in told["url"]
    (check,) = [check for check in diagnose(host.workspace) if check.name == "fleet"]
    assert check.outcome == "warning"
    assert "s3:PutObject" in (check.fix or "")


def test_a_bucket_that_gives_other_bytes_back_is_no_success(tmp_path: Path, host: Host) -> None:
    """Written and asked for: what is not there as it was given is not noted as shipped."""
    host.save(NOON)
    shipper = host.shipper(NOON + MINUTE)
    opened = open_objects(host.url, create=True)
    real = opened.put

    def torn(path: str, data: bytes, expected: object = None) -> None:
        real(path, data[:-1] if path.endswith(".parquet") else data, expected)  # type: ignore[arg-type]

    opened.put = torn  # type: ignore[method-assign]
    shipper._open = lambda: opened  # type: ignore[method-assign]
    with pytest.raises(StorageError, match="other bytes"):
        shipper.run(everything=True)
    state = read_state(host.data_dir)
    assert state is not None
    assert [name for name, mark in state.marks.items() if mark.rows] == []


# ------------------------------------------------------------------------------------------ clocks


def test_a_clock_that_was_days_ahead_closes_no_day(host: Host, bucket: Bucket) -> None:
    """What came with wrong times lies under these; the days that really were go on."""
    first = host.save(NOON)
    host.ship(NOON + MINUTE)
    wrong = host.save(NOON + 40 * DAY)
    host.ship(NOON + 40 * DAY + MINUTE)
    second = host.save(NOON + 5 * MINUTE)
    host.ship(NOON + 6 * MINUTE)
    third = host.save(NOON + 7 * MINUTE)
    host.ship(NOON + 8 * MINUTE)
    assert ids(bucket.rows()) == sorted([first, wrong, second, third])


def test_a_clock_that_differs_from_the_buckets_is_told(host: Host, bucket: Bucket) -> None:
    ahead = datetime.now(UTC) + 2 * DAY
    host.ship(ahead)
    host.ship(ahead + MINUTE)
    state = read_state(host.data_dir)
    assert state is not None
    assert abs(state.clock_ahead_s - 2 * 86_400) < 3600
    host.ship(ahead + 2 * MINUTE)
    assert abs(bucket.host(state.host_id)["clock_ahead_s"] - 2 * 86_400) < 3600


# ------------------------------------------------------------------------------------------ who asks


def test_without_a_bucket_it_says_what_to_type(host: Host) -> None:
    host.url = ""
    host.configure()
    with pytest.raises(ConfigError, match=r"config set ship\.url"):
        shipping.ship(host.workspace)


def test_one_round_at_a_time(host: Host) -> None:
    host.save(NOON)
    with hold(host.data_dir / LOCK_FILE, "test"), pytest.raises(BusyError):
        host.ship(NOON)


def test_a_place_that_can_hold_no_plain_objects_is_refused_by_validate(host: Host) -> None:
    from monitord.actions.configuration import check_config

    host.url = "redis://localhost/0"
    host.configure()
    with pytest.raises(ConfigError, match=r"ship\.url.*expected a folder or a bucket"):
        check_config(host.workspace.config())
