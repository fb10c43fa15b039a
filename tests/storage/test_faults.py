"""Kill, full disk, locks, read-only folders and damaged files: nothing acknowledged is lost, all is said.

More than 400 lines: one list of faults.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitord.errors import StorageError
from monitord.jobs import vacuum_when_idle
from monitord.model import Incident
from monitord.storage import RecentFilter, SQLiteProfileStore, StoreReader, open_store
from monitord.storage.artefacts import DiskFullError
from tests import preloaded
from tests.unsharing import mounted, remount

Maker = Callable[..., Incident]
KILLS = int(os.environ.get("MONITORD_KILLS", "30"))


def acknowledged(lines: list[str]) -> set[str]:
    """Ids that were acknowledged and whose deletion had not begun."""
    acked = {line[4:] for line in lines if line.startswith("ACK ")}
    return acked - {line[5:] for line in lines if line.startswith("GONE ")}


def stored(data_dir: Path) -> set[str]:
    with StoreReader(data_dir) as reader:
        return {record.correlation_id for record in reader.recent(RecentFilter(limit=None))}


@pytest.mark.timeout(900)
def test_kill_9_at_any_moment_loses_nothing_acknowledged(data_dir: Path) -> None:
    """R1: random kills of a process that saves, deletes, strips and pins; then every promise is checked."""
    rng, lines = random.Random(1), list[str]()
    for kill in range(KILLS):
        writer = subprocess.Popen(
            preloaded.command("writer", str(data_dir), "--delete-every", "3", "--tells-pid"),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout
        pid = int(writer.stdout.readline())
        lines.append(writer.stdout.readline().rstrip("\n"))  # it is at work: now any moment will do
        time.sleep(rng.random() * 0.15)  # the random moment itself, not a wait for something
        os.kill(pid, signal.SIGKILL)
        lines += writer.communicate()[0].splitlines()
        assert writer.returncode == -signal.SIGKILL
        if kill % 10 == 9 or kill == KILLS - 1:
            store = open_store(data_dir)
            store.adopt()
            assert store.verify() == [], f"seed 1, kill {kill}"
            assert acknowledged(lines) - stored(data_dir) == set(), f"seed 1, kill {kill}"
            store.close()
    assert len(acknowledged(lines)) > KILLS // 2


def test_stopped_inside_a_save_by_a_signal_ends_clean(data_dir: Path, writer_script: Path) -> None:
    """R2, for SIGTERM and SIGINT without a handler: as good as kill -9."""
    for number in (signal.SIGTERM, signal.SIGINT):
        writer = subprocess.Popen(
            [sys.executable, str(writer_script), str(data_dir)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert writer.stdout
        lines = [writer.stdout.readline().rstrip("\n") for _ in range(5)]
        writer.send_signal(number)
        lines += writer.communicate()[0].splitlines()
        store = open_store(data_dir)
        store.adopt()
        assert acknowledged(lines) <= stored(data_dir)
        assert store.verify() == []
        store.close()


def test_recovery_beside_a_process_that_saves_takes_nothing_from_it(
    data_dir: Path, writer_script: Path
) -> None:
    """The CLI saves a capture by hand while the daemon starts: adopted, missing, quarantined are never its files."""
    open_store(data_dir).close()
    writer = subprocess.Popen(
        [sys.executable, str(writer_script), str(data_dir), "--count", "40", "--delete-every", "5"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout
    lines = [writer.stdout.readline().rstrip("\n")]
    store = open_store(data_dir)
    while writer.poll() is None:
        store.adopt()
    lines += writer.communicate()[0].splitlines()
    assert [line for line in lines if line.startswith("ERR")] == []
    assert acknowledged(lines) == stored(data_dir)
    assert not (data_dir / "quarantine").exists()
    assert store.verify() == []
    store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    with contextlib.ExitStack() as held:
        numbers = itertools.count()
        yield lambda options: held.enter_context(mounted(tmp_path / f"disk{next(numbers)}", options))


@pytest.mark.unshared
@pytest.mark.parametrize("options", ["size=4m", "size=64m,nr_inodes=60"])
@pytest.mark.parametrize("summaries_first", [False, True])
def test_a_full_disk_refuses_cleanly_and_resumes(
    small_disk: Callable[[str], Path], make_incident: Maker, options: str, summaries_first: bool
) -> None:
    """R5, R6: errors say so, what was acknowledged stays, reading works, a restart on the full disk too."""
    data_dir = small_disk(options) / "data"
    store = open_store(data_dir)
    acked, refused = set(), 0
    while refused < 3:
        incident = make_incident(payload=os.urandom(20_000))
        try:
            store.save_incident(incident)
            acked.add(incident.correlation_id)
        except StorageError:
            refused += 1
    assert store.is_degraded
    assert "space" in (store.degraded_reason or "") or "room" in (store.degraded_reason or "")
    assert acked == stored(data_dir)
    assert store.verify() == []
    store.close()
    reopened = open_store(data_dir)
    assert acked == stored(data_dir)
    with contextlib.suppress(OSError), (data_dir.parent / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))
    if summaries_first:
        assert reopened.drop_evidence(sorted(acked)[-3:]) > 0
    assert reopened.delete_incidents(sorted(acked)[: len(acked) // 2]) == len(acked) // 2
    reopened.save_incident(make_incident(payload=os.urandom(20_000)))
    assert not reopened.is_degraded
    assert reopened.verify() == []
    reopened.close()


@pytest.mark.unshared
def test_a_disk_full_from_the_start_degrades_and_recovers(
    small_disk: Callable[[str], Path], make_incident: Maker
) -> None:
    """No database can be made: the store is given, says why, and makes it as soon as there is room."""
    disk = small_disk("size=1m")
    ballast = disk / "ballast"
    _fill(ballast)
    store = open_store(disk / "data")
    assert store.is_degraded
    with pytest.raises(StorageError):
        store.save_incident(make_incident())
    ballast.unlink()
    store.save_incident(make_incident())
    assert not store.is_degraded
    assert store.verify() == []
    store.close()


@pytest.mark.unshared
def test_vacuum_is_skipped_with_the_reason_when_there_is_no_room(
    small_disk: Callable[[str], Path], make_incident: Maker
) -> None:
    """R10: needs about twice the database; says so and leaves everything."""
    disk = small_disk("size=6m")
    store = open_store(disk / "data")
    store.save_incident(make_incident())
    for n in range(4):
        store.set_state(f"large {n}", os.urandom(500_000).hex())  # compressed to about half of it
    store.compact()
    (disk / "ballast").write_bytes(bytes(2_000_000))
    outcome = vacuum_when_idle(store, is_idle=True, min_free_disk_bytes=0)
    assert "must be free" in outcome.detail
    with pytest.raises(DiskFullError):  # whoever asks the store itself is told by SQLite
        store.vacuum()
    assert store.verify() == []
    store.close()


def test_a_read_only_store_degrades_and_can_be_read(
    tmp_path: Path, small_disk: Callable[[str], Path], make_incident: Maker
) -> None:
    """R6: it is read, refuses to write and says so, and recovers alone. Root ignores modes: a mount for it."""
    as_root = os.geteuid() == 0
    place = small_disk("size=8m") if as_root else tmp_path
    data_dir, incident = place / "data", make_incident()
    store = open_store(data_dir)
    store.save_incident(incident)
    store.close()

    def allow(writing: bool) -> None:
        if as_root:
            remount(place, is_read_only=not writing)
        else:
            for folder in (data_dir, data_dir / "artefacts"):
                folder.chmod(0o700 if writing else 0o500)

    allow(False)
    try:
        assert stored(data_dir) == {incident.correlation_id}
        reopened = open_store(data_dir)
        for write in (lambda: reopened.set_state("x", 1), lambda: reopened.save_incident(make_incident())):
            with pytest.raises(StorageError):
                write()
            assert reopened.is_degraded
    finally:
        allow(True)
    reopened.set_state("x", 1)
    assert not reopened.is_degraded
    assert reopened.verify() == []
    reopened.close()


def test_a_database_locked_by_another_process_is_waited_for_then_refused(
    data_dir: Path, make_incident: Maker
) -> None:
    """R8: the save that can't be made says so and leaves nothing; it works when the lock is gone."""
    open_store(data_dir).close()
    store = SQLiteProfileStore(data_dir, busy_timeout_s=0.2)
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(data_dir / "monitord.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    incident = make_incident()
    with pytest.raises(StorageError, match="another process has locked it"):
        store.save_incident(incident)
    assert store.is_degraded
    assert list((data_dir / "artefacts").iterdir()) == []
    assert StoreReader(data_dir).recent() == []
    holder.communicate()
    store.save_incident(incident)
    assert stored(data_dir) == {incident.correlation_id}
    store.close()


def test_what_writes_nothing_does_not_say_that_writing_works(data_dir: Path) -> None:
    """Jobs go on beside a lock that another process keeps, and `status` tells of it until a write succeeds."""
    now = datetime.now(UTC)
    open_store(data_dir).close()
    with contextlib.closing(SQLiteProfileStore(data_dir, busy_timeout_s=0.1)) as store:
        store.set_state("key", {"a": 1})
        with contextlib.closing(sqlite3.connect(store.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageError, match="another process has locked it"):
                store.set_state("key", {"a": 2})
            for call in (
                store.optimize,
                store.settle,
                store.sweep,
                lambda: store.drop_quarantine_before(now),
                lambda: store.drop_history_before(now),
                lambda: store.drop_evidence([]),
                lambda: store.delete_incidents([]),
            ):
                with contextlib.suppress(StorageError):
                    call()
                assert "another process has locked it" in str(store.degraded_reason)
        store.set_state("key", {"a": 3})
        assert store.degraded_reason is None


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as out:
        try:
            while True:
                out.write(bytes(4096))
        except OSError:
            return  # full: what was wanted


def _flip(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _page(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) // 4096) * 4096
    return data[:at] + rng.randbytes(4096) + data[at + 4096 :]


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "bit flipped": _flip,
    "page overwritten": _page,
    "cut off": lambda data, rng: data[: rng.randrange(100, len(data))],
    "zeroed": lambda data, _rng: bytes(len(data)),
    "emptied": lambda _data, _rng: b"",
    "header lost": lambda data, _rng: bytes(100) + data[100:],
}


@pytest.mark.parametrize("kind", sorted(DAMAGES))
def test_a_damaged_database_is_set_aside_and_rebuilt(data_dir: Path, make_incident: Maker, kind: str) -> None:
    """R11: after the daemon's start and weekly check, everything is there again and nothing was deleted."""
    store = open_store(data_dir)
    incidents = [make_incident(pid=pid) for pid in range(1, 16)]
    for incident in incidents:
        store.save_incident(incident)
    store.compact()
    store.close()
    whole = (data_dir / "monitord.db").read_bytes()
    for seed in range(5):
        for path in data_dir.glob("monitord.db*"):
            path.unlink()
        damaged = DAMAGES[kind](whole, random.Random(seed))
        (data_dir / "monitord.db").touch(mode=0o600)
        (data_dir / "monitord.db").write_bytes(damaged)
        reopened = open_store(data_dir)
        reopened.adopt()
        has_noticed = bool(list(data_dir.glob("monitord.db.damaged-*")))
        if kind == "bit flipped" and not has_noticed:
            continue  # SQLite keeps no checksums: a flip inside a value is nobody's to see (30 of 50 measured)
        assert stored(data_dir) == {incident.correlation_id for incident in incidents}, f"seed {seed}"
        assert reopened.verify() == [], f"seed {seed}"
        kept = [path.read_bytes() for path in data_dir.glob("monitord.db.damaged-*")]
        assert damaged in [*kept, b""], f"seed {seed}"
        reopened.close()


def test_damage_found_while_running_is_repaired_by_the_next_write(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    """The check says so, the next save finds a new database with everything in it."""
    first, second = make_incident(pid=1), make_incident(pid=2)
    store.save_incident(first)
    store.compact()
    with (data_dir / "monitord.db").open("r+b") as database:
        database.seek(4096)
        database.write(bytes(8192))
    assert store.integrity_check() != []
    store.save_incident(second)
    assert stored(data_dir) == {first.correlation_id, second.correlation_id}
    assert store.verify() == []


def test_damaged_evidence_is_told(store: SQLiteProfileStore, data_dir: Path, make_incident: Maker) -> None:
    """R12: on reading, and by verify; the row stays."""
    record = store.save_incident(make_incident(payload=os.urandom(5000)))[-1]
    path = Path(record.profile_path)
    path.write_bytes(_flip(path.read_bytes(), random.Random(4)))
    with pytest.raises(StorageError, match="damaged"):
        StoreReader(data_dir).artefact(record.artefact_key or "")
    assert len(store.verify()) == 1


def test_a_row_without_its_file_is_marked_missing_and_found_again(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    record = store.save_incident(make_incident())[-1]
    path = Path(record.profile_path)
    path.rename(data_dir / "elsewhere")
    assert store.verify() == [f"row without file: {path.name}"]
    store.adopt()
    assert "missing" in (StoreReader(data_dir).find(str(record.id)).failure_reason or "")
    (data_dir / "elsewhere").rename(path)
    store.adopt()
    assert StoreReader(data_dir).find(str(record.id)) == record
    assert store.verify() == []


def test_incomplete_artefacts_go_to_quarantine_and_complete_ones_come_back(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    """Adoption deletes nothing: a cut file is kept apart, a whole one gets its row."""
    incident = make_incident()
    context, _refused, profile = store.save_incident(incident)
    store.close()
    for path in data_dir.glob("monitord.db*"):
        path.unlink()
    own = next(path for path in (data_dir / "artefacts").iterdir() if "-incident." in path.name)
    own.unlink()
    cut = Path(profile.profile_path)
    cut.write_bytes(cut.read_bytes()[:-20])
    (data_dir / "artefacts" / "stranger.txt").write_text("not ours")
    (data_dir / "artefacts" / "stranger.txt").chmod(0o600)
    store.migrate_if_needed()
    view = StoreReader(data_dir).incident(incident.correlation_id)
    assert [record.artefact_key for record in view.captures] == [context.artefact_key]
    assert view.reason == incident.alert.reason
    assert len(list((data_dir / "quarantine").iterdir())) == 2
    assert store.verify() == []
    assert store.adopt() == 0


@pytest.mark.parametrize("summary", [False, True])
def test_a_deletion_that_was_cut_short_is_finished(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker, summary: bool
) -> None:
    """Rows marked, files still there: the next start removes both, or leaves the bare summary."""
    incident = make_incident()
    store.save_incident(incident)
    store.close()
    connection = sqlite3.connect(data_dir / "monitord.db")
    connection.execute("UPDATE profile_capture SET state = 'deleting'")
    connection.execute(
        "UPDATE incident SET is_summary = 1" if summary else "UPDATE incident SET state = 'deleting'"
    )
    connection.commit()
    connection.close()
    assert any("not finished" in problem for problem in store.verify())
    store.adopt()
    assert stored(data_dir) == ({incident.correlation_id} if summary else set())
    assert len(list((data_dir / "artefacts").iterdir())) == (1 if summary else 0)
    assert store.verify() == []
