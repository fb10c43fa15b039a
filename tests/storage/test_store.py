"""What is saved comes back the same, from the rows and from the files alone."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.errors import NotFoundError, StorageError
from monitord.model import (
    Capture,
    CaptureStatus,
    Incident,
    ProcessKey,
    ProcessRates,
    ProfileRecord,
    Rates,
    SystemRates,
    Threshold,
    TriggerMetric,
)
from monitord.storage import (
    IncidentView,
    RecentFilter,
    SQLiteProfileStore,
    StoreReader,
    new_correlation_id,
    open_store,
)
from tests.incident_rows import stored_incidents

Maker = Callable[..., Incident]


def without_ids(view: IncidentView) -> dict[str, object]:
    """An incident as values, except for row numbers, which a rebuilt database gives anew."""
    facts = dataclasses.asdict(view)
    for record in [facts["record"], *facts["captures"]]:
        del record["id"]
    return facts


def files(data_dir: Path) -> list[str]:
    return sorted(path.name for path in (data_dir / "artefacts").iterdir())


def test_an_incident_comes_back_as_it_was_saved(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    incident = make_incident()
    records = store.save_incident(incident)
    view = StoreReader(data_dir).incident(incident.correlation_id)
    assert (view.process, view.history, view.boot_id) == (incident.process, incident.history, "boot")
    assert (view.rule, view.reason, view.threshold) == (
        "cpu-hog",
        incident.alert.reason,
        Threshold(90.0, "percent"),
    )
    assert view.hotspots == incident.captures[2].hotspots
    assert [(n.profiler, n.status, n.reason, n.fix) for n in view.not_captured] == [
        ("perf", "permission_denied", "not allowed", "sudo")
    ]
    assert [record.role for record in view.captures] == ["context", "profile", "profile"]
    assert list(view.captures) == records
    assert (view.record.profiler, view.record.duration_seconds, view.record.notes) == (
        "py-spy",
        10,
        {"native": "no"},
    )
    assert store.verify() == []


def test_evidence_is_read_back_and_zstd_reads_it_too(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker, require_tool: Callable[[str], str]
) -> None:
    incident = make_incident(payload=b"main;burn 97\n" * 1000)
    record = store.save_incident(incident)[-1]
    assert record.artefact_key
    metadata, payload = StoreReader(data_dir).artefact(record.artefact_key)
    assert payload == incident.captures[2].payload
    assert metadata.attributes["incident"]["reason"] == incident.alert.reason  # type: ignore[index]  # JSON
    assert (metadata.checksum, metadata.size) == (record.checksum, record.size_bytes)
    done = subprocess.run(
        [require_tool("zstd"), "-dcq", record.profile_path], capture_output=True, check=True
    )
    assert done.stdout == payload


def test_evidence_may_come_as_a_file(store: SQLiteProfileStore, data_dir: Path, tmp_path: Path) -> None:
    """A capture's output in the spool is stored from the file; the file itself stays the caller's."""
    spooled = tmp_path / "out.txt"
    spooled.write_bytes(b"x" * 1_000_000)
    record = store.save_incident(_incident_of([_capture(path=spooled)]))[0]
    assert StoreReader(data_dir).artefact(record.artefact_key or "")[1] == spooled.read_bytes()
    assert record.size_bytes == 1_000_000


def test_an_incident_is_found_by_the_launcher_and_by_the_child_that_was_profiled(
    store: SQLiteProfileStore, data_dir: Path
) -> None:
    incident = _incident_of([dataclasses.replace(_capture(), target=ProcessKey(77, 1))])
    store.save_incident(incident)
    for pid, count in ((5, 1), (77, 1), (6, 0)):
        assert len(StoreReader(data_dir).recent(RecentFilter(pid=pid))) == count


def test_a_capture_whose_file_vanished_costs_only_itself(
    store: SQLiteProfileStore, data_dir: Path, tmp_path: Path
) -> None:
    incident = _incident_of([_capture(path=tmp_path / "gone"), _capture(role="dump", payload=b"stack")])
    store.save_incident(incident)
    view = StoreReader(data_dir).incident(incident.correlation_id)
    assert view.record.role == "dump"
    assert [step.status for step in view.not_captured] == ["tool_error"]
    assert store.verify() == []


def test_an_incident_without_any_capture_is_seen_with_the_reason(
    store: SQLiteProfileStore, make_incident: Maker
) -> None:
    incident = dataclasses.replace(
        make_incident(suppressed_by="6 captures in this hour already"), captures=(), process=None
    )
    store.save_incident(incident)
    (record,) = store.fetch_recent(5)
    assert (record.status, record.failure_reason) == (
        CaptureStatus.REFUSED,
        "6 captures in this hour already",
    )


@pytest.mark.parametrize(
    ("outcomes", "leader"),
    [
        ([("context", "ok"), ("dump", "ok"), ("profile", "partial"), ("profile", "ok")], 3),
        ([("profile", "partial"), ("dump", "ok"), ("context", "ok")], 0),
        ([("profile", "tool_missing"), ("context", "ok"), ("dump", "ok")], 2),
        ([("profile", "timeout"), ("context", "ok")], 1),
    ],
)
def test_the_best_evidence_leads(
    store: SQLiteProfileStore, outcomes: list[tuple[str, str]], leader: int
) -> None:
    captures = [_capture(role=role, status=CaptureStatus(status)) for role, status in outcomes]
    saved = store.save_incident(_incident_of(captures))
    assert [record.id for record in store.fetch_recent(5)] == [saved[leader].id]


def test_saving_again_replaces_and_keeps_the_pin(store: SQLiteProfileStore, data_dir: Path) -> None:
    """First the dump alone, later everything: one incident, no stray files, still pinned."""
    incident = _incident_of([_capture(role="dump", payload=b"stack")])
    (first,) = store.save_incident(incident)
    store.pin(incident.correlation_id)
    more = dataclasses.replace(incident, captures=(*incident.captures, _capture(payload=b"a 1\n")))
    store.save_incident(more)
    view = StoreReader(data_dir).incident(incident.correlation_id)
    assert StoreReader(data_dir).find(str(first.id)).correlation_id == incident.correlation_id
    assert (len(view.captures), view.pinned, view.record.role) == (2, True, "profile")
    assert len(files(data_dir)) == 3
    assert store.verify() == []


def test_the_id_of_an_incident_without_captures_stays_good(store: SQLiteProfileStore, data_dir: Path) -> None:
    """Noted before there was any evidence, it leads to the evidence that came later."""
    incident = _incident_of([])
    (first,) = store.save_incident(incident)
    store.save_incident(dataclasses.replace(incident, captures=(_capture(payload=b"a 1\n"),)))
    found = StoreReader(data_dir).find(str(first.id))
    assert (found.id, found.role) == (first.id, "profile")


def test_a_lost_database_comes_back_from_the_folder(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    """Incidents, rows, failed captures, history, pins and summaries are the same afterwards."""
    incidents = [make_incident(pid=pid, name=f"p\udcff{pid}") for pid in (1, 2, 3)]
    for incident in incidents:
        store.save_incident(incident)
    store.pin(incidents[0].correlation_id)
    store.drop_evidence([incidents[1].correlation_id])
    reader = StoreReader(data_dir)
    before = [without_ids(reader.incident(incident.correlation_id)) for incident in incidents]
    reader.close()
    store.close()
    for path in data_dir.glob("monitord.db*"):
        path.unlink()
    reopened = open_store(data_dir)
    reader = StoreReader(data_dir)
    assert [without_ids(reader.incident(incident.correlation_id)) for incident in incidents] == before
    assert [view["pinned"] for view in before] == [True, False, False]
    assert reopened.verify() == []


def test_a_database_removed_under_a_running_store_is_noticed(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    """The next write goes into a new file with everything in it, not into the void."""
    first, second = make_incident(pid=1), make_incident(pid=2)
    store.save_incident(first)
    (data_dir / "monitord.db").unlink()
    store.save_incident(second)
    assert {record.pid for record in StoreReader(data_dir).recent()} == {1, 2}
    assert store.verify() == []


def test_deleting_removes_rows_and_files(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    one, two = make_incident(pid=1), make_incident(pid=2)
    store.save_incident(one)
    store.save_incident(two)
    assert store.delete_incidents([one.correlation_id, "nosuchthing2"]) == 1
    assert [record.pid for record in store.fetch_recent(9)] == [2]
    assert all(two.correlation_id in name for name in files(data_dir))
    with pytest.raises(NotFoundError):
        store.delete_incident(one.correlation_id)
    assert store.verify() == []


def test_delete_older_than_spares_pins(store: SQLiteProfileStore, make_incident: Maker) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    ages = {pid: make_incident(pid=pid, at=at + timedelta(days=pid)) for pid in (1, 2, 3)}
    for incident in ages.values():
        store.save_incident(incident)
    store.pin(ages[1].correlation_id)
    assert store.delete_older_than(at + timedelta(days=3)) == 1
    assert [record.pid for record in store.fetch_recent(9)] == [3, 1]


def test_a_summary_keeps_reason_and_hotspots_and_frees_the_rest(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    incident = make_incident(payload=bytes(range(256)) * 4000)
    store.save_incident(incident)
    before = store.usage().artefact_bytes
    freed = store.drop_evidence([incident.correlation_id])
    view = StoreReader(data_dir).incident(incident.correlation_id)
    assert view.is_summary
    assert (view.hotspots, view.reason) == (incident.captures[2].hotspots, incident.alert.reason)
    assert (view.history, len(view.captures), view.record.artefact_key) == ((), 1, None)
    assert freed == before - store.usage().artefact_bytes > 0
    assert [row.is_summary for row in stored_incidents(store)] == [True]
    assert store.verify() == []


def test_retention_sees_what_each_incident_takes(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    for pid in (1, 2):
        store.save_incident(make_incident(pid=pid))
    rows = stored_incidents(store)
    assert sum(row.artefact_bytes for row in rows) == store.usage().artefact_bytes
    assert store.usage().artefact_bytes == sum(p.stat().st_size for p in (data_dir / "artefacts").iterdir())
    assert store.usage().total_bytes > store.usage().artefact_bytes


def test_the_requirements_interface(store: SQLiteProfileStore) -> None:
    """migrate, save, fetch recent: a record comes back with its id and its path as given."""
    at = datetime(2026, 5, 5, 5, 5, 5, tzinfo=UTC)
    record = ProfileRecord(
        "burner", 7, TriggerMetric.DISK_IO, 80e6, at, "/srv/x.sample", 10, notes={"k": "v"}
    )
    store.migrate_if_needed()
    saved = store.save(record)
    assert saved.id is not None
    assert dataclasses.replace(saved, id=None, correlation_id="", raised_at=None) == record
    assert store.fetch_recent(1) == [saved]


def test_state_is_kept_by_key(store: SQLiteProfileStore, data_dir: Path) -> None:
    store.set_state("detection", {"cooldowns": [1, None]})
    store.set_state("detection", {"cooldowns": [2, "\udcff"]})
    assert store.get_state("detection") == {"cooldowns": [2, "\udcff"]}
    assert store.get_state("nothing") is None
    assert StoreReader(data_dir).state("detection") == {"cooldowns": [2, "\udcff"]}


def test_history_comes_back_thinned_and_in_order(store: SQLiteProfileStore, data_dir: Path) -> None:
    """The machine at every pass, the leading processes, None still None; bounded by the asked time."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    passes = [_pass(start + timedelta(seconds=15 * n), n) for n in range(40)]
    store.add_history(passes[:20])
    store.add_history(passes[20:])
    back = list(StoreReader(data_dir).history())
    assert [rates.taken_at for rates in back] == [rates.taken_at for rates in passes]
    assert back[7].system.disk_bytes_per_s == {"sda": 7.0}
    assert back[7].processes[0].key == ProcessKey(99, 1)
    assert back[7].processes[0].disk_bytes_per_s is None
    assert len(back[7].processes) < len(passes[7].processes)
    assert not back[7].is_complete
    assert back[3].gap == "suspend"
    some = StoreReader(data_dir).history(passes[18].taken_at, passes[22].taken_at)
    assert [rates.taken_at for rates in some] == [rates.taken_at for rates in passes[18:22]]
    assert store.drop_history_before(passes[20].taken_at) == 1
    assert len(list(StoreReader(data_dir).history())) == 20


def test_upkeep_leaves_everything_as_it_was(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    for pid in range(20):
        store.save_incident(make_incident(pid=pid))
    store.delete_incidents([record.correlation_id for record in store.fetch_recent(10)])
    before = StoreReader(data_dir).recent(RecentFilter(limit=None))
    assert store.vacuum() is None
    store.optimize()
    store.compact()
    assert StoreReader(data_dir).recent(RecentFilter(limit=None)) == before
    assert store.usage().wal_bytes == 0
    assert store.integrity_check() == []
    assert store.verify() == []


def test_threads_may_use_one_store_at_once(store: SQLiteProfileStore, make_incident: Maker) -> None:
    """The writer saves, the jobs tidy, the CLI's other process is not needed to show it: all stays whole."""
    saved: list[str] = []

    def save() -> None:
        for pid in range(15):
            incident = make_incident(pid=pid)
            store.save_incident(incident)
            saved.append(incident.correlation_id)

    def tidy() -> None:
        for _ in range(15):
            rows = stored_incidents(store)
            store.drop_evidence([row.correlation_id for row in rows[:1]])
            store.usage()
            store.compact()

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(save), pool.submit(save), pool.submit(tidy)]:
            future.result()
    assert {record.correlation_id for record in store.fetch_recent(-1)} == set(saved)
    assert store.verify() == []


def test_a_vanished_data_directory_is_a_storage_error_then_made_anew(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    """R15: renamed or removed under us: said in one line, and the next save goes where the path says."""
    store.save_incident(make_incident(pid=1))
    data_dir.rename(data_dir.with_name("elsewhere"))
    with pytest.raises(StorageError):
        store.usage()
    store.save_incident(make_incident(pid=2))
    assert [record.pid for record in store.fetch_recent(9)] == [2]
    assert store.verify() == []


def test_files_are_for_the_owner_only(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    store.save_incident(make_incident())
    assert data_dir.stat().st_mode & 0o777 == 0o700
    modes = {path: path.stat().st_mode & 0o777 for path in data_dir.rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}


def _capture(
    role: str = "profile",
    status: CaptureStatus = CaptureStatus.OK,
    payload: bytes | None = None,
    path: Path | None = None,
) -> Capture:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return Capture(
        role, "py-spy", status, at, 1.0, ProcessKey(5, 6), format="folded", payload=payload, path=path
    )


def _incident_of(captures: list[Capture]) -> Incident:
    from monitord.model import Alert

    at = datetime(2026, 3, 1, tzinfo=UTC)
    limit = Threshold(1.0, "count")
    alert = Alert("r", TriggerMetric.CPU, 2.0, limit, 1.0, at, at, ProcessKey(5, 6), "p", "because", 2.0)
    return Incident(new_correlation_id(), alert, None, captures=tuple(captures))


def _pass(at: datetime, n: int) -> Rates:
    processes = tuple(
        ProcessRates(ProcessKey(pid, 1), f"p{pid}", 1, "S", 0, float(pid), pid << 20, 1) for pid in range(100)
    )
    system = SystemRates(50.0, 2, 4 << 30, 1 << 30, 0, 0.5, {"sda": float(n)}, {"eth0": 1.0}, {"cpu": 0.1})
    gap = "suspend" if n == 3 else None
    return Rates(at, n * 15.0, 15.0, system, processes, process_count=100, is_complete=True, gap=gap)
