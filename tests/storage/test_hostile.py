"""Names are attacker's bytes: whatever a process calls itself comes back the same and breaks nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.errors import PermissionDeniedError, StorageError
from monitord.model import Incident, ProcessDetails, ProcessKey
from monitord.storage import RecentFilter, SQLiteProfileStore, StoreReader, check_data_dir, open_store
from monitord.storage.artefact_store import open_folder
from monitord.storage.backup import backup
from monitord.storage.cells import text_cell, text_of, time_cell, time_of
from monitord.storage.readonly import check_soundness
from monitord.storage.restoring import restore
from monitord.storage.schema import HEAD

Maker = Callable[..., Incident]
DAY = timedelta(days=1)
names = st.binary(max_size=64).map(os.fsdecode) | st.sampled_from(
    [
        "=cmd|' /C calc'!A0",
        "a\nb) S 1 1",
        "\x1b]0;owned\x07",
        "../../etc/passwd",
        "\u202egpj.exe",
        "%s{}",
        "a\0b",
    ]
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQLiteProfileStore]:
    store = open_store(tmp_path_factory.mktemp("hostile") / "data")
    yield store
    store.close()


@given(names)
def test_any_name_survives_its_cell(name: str) -> None:
    assert text_of(text_cell(name) or "") == name


@given(st.text(st.characters()))
def test_any_text_at_all_can_be_stored(text: str) -> None:
    """Even lone surrogates that stand for no byte: no save may fail over a function's name."""
    cell = text_cell(text)
    assert isinstance(cell, bytes) or cell.encode() == text.encode()


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), st.integers(-12, 12))  # noqa: DTZ001 - naive on purpose
def test_times_survive_whatever_their_zone(naive: datetime, hours: int) -> None:
    """Kept as the same moment in UTC; whole seconds, as CURRENT_TIMESTAMP writes them, are read too."""
    moment = naive.replace(tzinfo=timezone(timedelta(hours=hours)))
    assert time_of(time_cell(moment)) == moment
    assert time_of(time_cell(moment).split(".")[0]) == moment.replace(microsecond=0)
    with pytest.raises(ValueError, match="zone"):
        time_cell(naive)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=names, words=st.lists(names, max_size=4))
def test_hostile_names_come_back_the_same(
    shared: SQLiteProfileStore, make_incident: Maker, name: str, words: list[str]
) -> None:
    incident = make_incident(name=name, reason=f"because of {name}", rule=name)
    process = ProcessDetails(
        ProcessKey(1, 2), name, 1, datetime(2026, 1, 1, tzinfo=UTC), user=name, executable=name,
        command_line=tuple(words), cgroup=name, unit=name, container_id=name,
    )  # fmt: skip
    captures = tuple(
        dataclasses.replace(c, reason=name, fix=name, profiler=name, notes={name: name}, format=name)
        for c in incident.captures
    )
    incident = dataclasses.replace(incident, process=process, captures=captures, boot_id=name)
    shared.save_incident(incident)
    with StoreReader(shared.data_dir) as reader:
        view = reader.incident(incident.correlation_id)
        assert view.process == process
        assert (view.rule, view.reason, view.boot_id) == (name, f"because of {name}", name)
        assert all(record.notes == {name: name} and record.profiler == name for record in view.captures)
        if name and not set(name) & set("*?["):
            found = reader.recent(RecentFilter(limit=None, process=name))
            assert incident.correlation_id in {record.correlation_id for record in found}
    for path in (shared.data_dir / "artefacts").iterdir():
        assert path.name.isascii()
        assert "/" not in path.name


def test_everything_hostile_is_still_whole_and_can_be_rebuilt(
    shared: SQLiteProfileStore, make_incident: Maker
) -> None:
    shared.save_incident(make_incident(name="\udcff\udcfe"))
    before = {record.correlation_id: record.process_name for record in shared.fetch_recent(-1)}
    (shared.data_dir / "monitord.db").unlink()
    shared.migrate_if_needed()
    assert {record.correlation_id: record.process_name for record in shared.fetch_recent(-1)} == before
    assert shared.verify() == []


def test_invalid_utf8_is_stored_as_the_raw_bytes(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    store.save_incident(make_incident(name="\udcff\udcfe\udc80"))
    query = "SELECT typeof(process_name), hex(process_name) FROM incident"
    assert sqlite3.connect(data_dir / "monitord.db").execute(query).fetchone() == ("blob", "FFFE80")


def test_a_path_written_into_a_row_reaches_no_file(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    """A13: retention removes by validated key below the held folder, whatever the row says."""
    victim = data_dir / "victim"
    victim.write_text("precious")
    incident = make_incident()
    store.save_incident(incident)
    for key in ("../victim", str(victim), "..", ".", "a/../../victim"):
        connection = sqlite3.connect(data_dir / "monitord.db")
        connection.execute("UPDATE profile_capture SET artefact_key = ? WHERE role = 'context'", (key,))
        connection.commit()
        connection.close()
        store.save_incident(incident)
    connection = sqlite3.connect(data_dir / "monitord.db")
    connection.execute("UPDATE profile_capture SET artefact_key = '../victim'")
    connection.execute("UPDATE incident SET artefact_key = '../victim'")
    connection.commit()
    connection.close()
    store.delete_incidents([incident.correlation_id])
    assert victim.read_text() == "precious"


def test_what_is_planted_in_the_folder_is_never_followed(
    store: SQLiteProfileStore, data_dir: Path, tmp_path: Path, make_incident: Maker
) -> None:
    """Links, pipes and second names of a victim are neither read, listed as whole, nor written through."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = data_dir / "artefacts"
    (folder / "link.zst").symlink_to(victim)
    os.mkfifo(folder / "pipe.zst")
    os.link(victim, folder / "second-name.zst")
    artefacts = open_folder(folder).artefacts
    assert list(artefacts.list()) == ["second-name.zst"]
    for key in ("link.zst", "pipe.zst", "second-name.zst", "absent.zst", "../victim", ".hidden"):
        with pytest.raises(StorageError):
            artefacts.retrieve_data(key)
    store.adopt()
    store.save_incident(make_incident())
    assert victim.read_text() == "precious"
    assert not (folder / "second-name.zst").exists()
    assert len(list((data_dir / "quarantine").iterdir())) == 1


def test_a_swapped_folder_leads_nowhere(
    store: SQLiteProfileStore, data_dir: Path, tmp_path: Path, make_incident: Maker
) -> None:
    """A link in the folder's place is noticed and refused; nothing is written through it, and all resumes."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder = data_dir / "artefacts"
    folder.rename(data_dir / "moved")
    folder.symlink_to(elsewhere)
    with pytest.raises(StorageError):
        store.save_incident(make_incident())
    assert store.is_degraded
    assert list(elsewhere.iterdir()) == []
    folder.unlink()
    (data_dir / "moved").rename(folder)
    store.save_incident(make_incident())
    assert store.verify() == []


def test_the_held_folder_is_used_whatever_takes_its_place(tmp_path: Path) -> None:
    """Even between the check and the write: names are opened below the descriptor, not below the path."""
    artefacts = open_folder(tmp_path / "artefacts").artefacts
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "artefacts").rename(tmp_path / "moved")
    (tmp_path / "artefacts").symlink_to(tmp_path / "elsewhere")
    artefacts.store_data("key", b"payload")
    assert artefacts.retrieve_data("key") == b"payload"
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert [path.name for path in (tmp_path / "moved").iterdir()] == ["key"]


@pytest.mark.parametrize(
    "change",
    [
        {"trigger_metric": "temperature"},
        {"pid": {"a": 1}},
        {"pid": 2**80},
        {"captured_at": 5},
        {"captured_at": "yesterday"},
        {"correlation_id": "../../etc/passwd"},
        {"correlation_id": None},
        {"status": "great"},
        {"notes": 7.5, "command_line": 3},
        {"process_name": None},
    ],
)
def test_an_artefact_with_senseless_metadata_is_quarantined(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker, change: dict[str, object]
) -> None:
    """It can neither stop the start nor put a row there that no command could show."""
    whole = make_incident()
    store.save_incident(whole)
    artefacts = open_folder(data_dir / "artefacts").artefacts
    key = next(key for key in artefacts.list() if "-profile." in key)
    attributes: dict[str, Any] = dict(artefacts.get_metadata(key).attributes)
    attributes["capture"]["correlation_id"] = attributes["incident"]["correlation_id"] = "forgedforged"
    for part in ("capture", "incident"):
        attributes[part].update({name: value for name, value in change.items() if name in attributes[part]})
    artefacts.store_data("forged.zst", b"payload", attributes=attributes)
    own = next(key for key in artefacts.list() if "-incident." in key)
    held = json.loads(artefacts.retrieve_data(own))
    held["incident"]["correlation_id"] = "forgedforgee"
    for row in [held["incident"], *held["captures"]]:
        row.update({name: value for name, value in change.items() if name in row})
    artefacts.store_data("forged2.zst", json.dumps(held).encode(), attributes={"kind": "incident"})
    store.adopt()
    assert [record.correlation_id for record in store.fetch_recent(9)] == [whole.correlation_id]
    assert len(list((data_dir / "quarantine").iterdir())) == 2
    assert store.verify() == []


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_data_directory_open_to_others_is_refused(data_dir: Path, mode: int) -> None:
    data_dir.mkdir()
    data_dir.chmod(mode)
    for use in (open_store, lambda path: StoreReader(path).recent()):
        with pytest.raises(PermissionDeniedError, match="chmod 700"):
            use(data_dir)


def test_a_link_or_a_file_as_data_directory_is_refused(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    data_dir.symlink_to(tmp_path / "real")
    with pytest.raises(PermissionDeniedError, match="symbolic link"):
        open_store(data_dir)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (shared / "data").mkdir(mode=0o700)
    with pytest.raises(PermissionDeniedError, match="others could exchange it"):
        open_store(shared / "data")
    (tmp_path / "private/state").mkdir(parents=True, mode=0o700)
    (tmp_path / "state").symlink_to("private/state")  # as systemd lays it for a dynamic user
    open_store(tmp_path / "state").close()
    (tmp_path / "file").write_text("")
    assert open_store(tmp_path / "file").is_degraded


def test_a_link_in_place_of_the_database_is_refused(data_dir: Path, tmp_path: Path) -> None:
    data_dir.mkdir(mode=0o700)
    victim = tmp_path / "victim.db"
    sqlite3.connect(victim).execute("CREATE TABLE t (x)").connection.close()
    before = victim.read_bytes()
    for plant in (lambda p: p.symlink_to(victim), lambda p: os.link(victim, p), os.mkfifo):
        plant(data_dir / "monitord.db")
        assert "regular file" in (open_store(data_dir).degraded_reason or "")
        (data_dir / "monitord.db").unlink()
    assert victim.read_bytes() == before


@pytest.mark.root
def test_a_data_directory_of_somebody_else_is_refused(data_dir: Path) -> None:
    """A daemon records into its own directory only; even root asks nobody's but a service's."""
    data_dir.mkdir(mode=0o700)
    os.chown(data_dir, 65534, 65534)
    with pytest.raises(PermissionDeniedError, match="belongs to uid 65534"):
        check_data_dir(data_dir, owners_alone="monitord run")
    os.chown(data_dir.parent, 65534, 65534)
    with pytest.raises(PermissionDeniedError, match="belongs to uid 65534"):
        open_store(data_dir)


@pytest.mark.root
def test_a_database_that_root_builds_anew_is_the_services(data_dir: Path) -> None:
    """Whoever opens a damaged database sets it aside; root does so in a way that its owner can go on."""
    open_store(data_dir).close()
    (data_dir / "monitord.db").write_bytes(b"no database at all" * 500)
    for path in (data_dir, *data_dir.rglob("*")):
        os.chown(path, 62432, 62432)
    open_store(data_dir).close()
    assert {path.stat().st_uid for path in data_dir.rglob("*")} == {62432}


VIEW = "CREATE VIEW {} AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT {} FROM c"


@pytest.mark.parametrize(
    ("kind", "name", "sql"),
    [
        ("view", "sqlite_stat1", VIEW.format("sqlite_stat1", "'event' AS tbl, 'i' || x AS idx, '1' AS stat")),
        ("view", "DBStat", VIEW.format("DBStat", "x AS name, x AS pgsize, 1 AS aggregate")),
        ("view", "json_each", VIEW.format("json_each", "x AS value")),
        ("view", "pragma_table_info", VIEW.format("pragma_table_info", "x AS name")),
        ("trigger", "mine", "CREATE TRIGGER mine AFTER INSERT ON event BEGIN DELETE FROM incident; END"),
        ("table", "mine", "CREATE VIRTUAL TABLE mine USING fts5(a)"),
    ],
)
def test_a_schema_that_is_not_ours_is_damage_and_asked_nothing(
    data_dir: Path, kind: str, name: str, sql: str
) -> None:
    """A view may never end: root asks in stores of others, and `doctor` reads what SQLite counted of tables."""
    open_store(data_dir).close()
    with closing(sqlite3.connect(data_dir / "monitord.db")) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DROP TABLE IF EXISTS sqlite_stat1")
        table = "event" if kind == "trigger" else name
        connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, 0, ?)", [kind, name, table, sql])
        connection.commit()
    with pytest.raises(StorageError, match=f"invalid schema: '{name}' does not belong there"):
        StoreReader(data_dir).recent()


def test_a_view_of_ones_own_is_no_damage(data_dir: Path, tmp_path: Path, make_incident: Maker) -> None:
    """Who asks the file with SQLite's own tool keeps a question there; nobody of ours asks it."""
    store = open_store(data_dir)
    store.save_incident(make_incident(pid=7, name="web"))
    store.close()
    with closing(sqlite3.connect(data_dir / "monitord.db")) as connection:
        connection.execute(VIEW.format("mine", "x"))
        connection.commit()
    assert [record.pid for record in StoreReader(data_dir).recent()] == [7]
    assert check_soundness(data_dir / "monitord.db") == (HEAD, [])
    with closing(open_store(data_dir)) as again:
        assert again.compact() is None
    backup(data_dir, tmp_path / "backup")
    assert not list(data_dir.glob("*.damaged*"))
    restore(tmp_path / "backup", tmp_path / "restored")
    assert StoreReader(tmp_path / "restored").recent()


@pytest.mark.root
def test_what_root_does_in_a_services_store_the_service_can_use(data_dir: Path, make_incident: Maker) -> None:
    """`sudo monitord recent` and `sudo monitord keep` on a dynamic user's store leave nothing of root's."""
    store = open_store(data_dir)
    incident = make_incident(pid=7, name="web")
    store.save_incident(incident)
    store.close()
    for path in (data_dir, *data_dir.rglob("*")):
        os.chown(path, 65534, 65534)
    with StoreReader(data_dir) as reader:
        assert [row.pid for row in reader.recent()] == [7]
    store = open_store(data_dir)
    store.pin(incident.correlation_id)
    store.close()
    assert {path.stat().st_uid for path in data_dir.rglob("*")} == {65534}


def test_a_pin_set_after_retention_chose_spares_the_incident(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    """`monitord keep` may come between the plan and the deletion; the person wins."""
    incident = make_incident(pid=7, name="web")
    store.save_incident(incident)
    store.pin(incident.correlation_id)
    assert store.delete_incidents([incident.correlation_id]) == 0
    assert store.drop_evidence([incident.correlation_id]) == 0
    assert [row.pid for row in StoreReader(data_dir).recent()] == [7]
    assert store.verify() == []
    store.delete_incident(incident.correlation_id)
    assert StoreReader(data_dir).recent() == []
