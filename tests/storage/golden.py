"""Everything that the store can be given, and what it makes of it on disk, as text that a test compares.

Run as a program it writes the file beside it anew: python -m tests.storage.golden
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from monitord.model import (
    Alert,
    Capture,
    CaptureStatus,
    Cause,
    HistoryPoint,
    Hotspot,
    Incident,
    ProcessDetails,
    ProcessKey,
    ProfileRecord,
    Statement,
    Threshold,
    TriggerMetric,
)
from monitord.storage import SQLiteProfileStore, open_store
from monitord.storage.artefact_store import open_folder
from monitord.storage.cells import packed_of

GOLDEN = Path(__file__).with_name("samples") / "as_stored.json"
AT = datetime(2026, 3, 1, 3, 0, 0, 123456, tzinfo=UTC)
KEY = ProcessKey(4711, 123456)
_WITHOUT = "stored_bytes"  # what zstd makes of it
_SIZES = re.compile(f'(?<="{_WITHOUT}"):[0-9]+')


def _alert(**changes: Any) -> Alert:
    alert = Alert(
        "cpu-hog", TriggerMetric.CPU, 97.5, Threshold(90.0, "percent"), 10.0, AT - timedelta(seconds=10), AT, KEY,
        "web\udcff", "CPU 97.5 % of a core, above 90 %; \x1b[31m é", 1.0833333,
    )  # fmt: skip
    return replace(alert, **changes)


def _captures() -> tuple[Capture, ...]:
    spots = (
        Hotspot(
            "burn", "/srv/web.py", 3, 0.9, 0.95, module="web", share_error=0.02, func_id="f1", stmt_id="s1",
            func_hash="h1", arity=2, ast_version="3.11", source_state="same", source_line="burn()",
            statements=(Statement(3, 0.6, "s1"), Statement(4, 0.3)),
        ),
        Hotspot("idle", None, None, 0.0, 0.05, kind="native"),
    )  # fmt: skip
    earlier = (Hotspot("before", "/srv/web.py", 9, 0.7, 0.8),)
    child = ProcessKey(4712, 123999)
    ok = CaptureStatus.OK
    return (
        Capture("context", "monitord", ok, AT, 0.1, KEY, format="context-json", payload=b'{"state":"R"}',
                notes={"state": "running \udcfe", "program": "web-1"}),
        Capture("dump", "py-spy", ok, AT - timedelta(seconds=9), 0.2, KEY, "0.4.0", format="py-spy-dump",
                payload=b"[]", sample_count=1, hotspots=earlier),
        Capture("profile", "py-spy", CaptureStatus.PARTIAL, AT + timedelta(seconds=1), 9.6, child, "0.4.0",
                "the target ended", None, "folded", b"main;burn 97\n" * 40, None, 100, 900, 3, 96.25, False, 0.9,
                hotspots=spots, notes={"threads": "2"}),
        Capture("profile", "perf", CaptureStatus.PERMISSION_DENIED, AT + timedelta(seconds=12), float("inf"), KEY,
                reason="perf_event_paranoid is 3", fix="sudo sysctl kernel.perf_event_paranoid=1", late=True),
    )  # fmt: skip


def incidents() -> tuple[Incident, ...]:
    """One with everything, one of which nothing was captured, one that no process is blamed for."""
    process = ProcessDetails(
        KEY, "web\udcff", 1, AT - timedelta(hours=1), 1000, "ann", "/usr/bin/web", ("web", "--port\udcff", "é"),
        "/system.slice/web.service", "web.service", "c0ffee", 7, 42,
    )  # fmt: skip
    history = tuple(
        HistoryPoint(
            AT - timedelta(seconds=60 - n), 50.25 + n, 1 << 30, 90.0 + n, 5 << 20, 0.5, None, 7, 42, 1.5
        )
        for n in range(60)
    )
    cause = Cause(
        "tight loop", "burn \udcfc spends 97 % on itself", "likely", "allocation", "a longer profile",
        (("burn", "97 %"), ("faults", "0 a second")),
    )  # fmt: skip
    whole = Incident("aaaaaaaaaaaa", _alert(), process, history, _captures(), "boot-1", cause)
    bare = Incident("bbbbbbbbbbbb", _alert(suppressed_by="6 captures an hour are taken"), process)
    nobody = _alert(metric=TriggerMetric.NETWORK, target=None, process_name="", value=float("nan"))
    return whole, bare, Incident("cccccccccccc", nobody, None, history[:2])


def record() -> ProfileRecord:
    """What the requirement's interface takes."""
    return ProfileRecord(
        "old", 7, TriggerMetric.DISK_IO, 12.5, AT, "/tmp/old.sample", 4, {"a": "b"}, correlation_id="dddddddddddd",
        user="ann", command_line=("old", "x"), late=True, severity=2.5, pinned=True, rule="by hand",
    )  # fmt: skip


def fill(store: SQLiteProfileStore) -> None:
    """Store all of them; of the whole one also what people do with it later."""
    whole, bare, nobody = incidents()
    for incident in (whole, bare, nobody):
        store.save_incident(incident)
    store.save(record())
    store.add_note(whole.correlation_id, "seen before \udcfd", AT + timedelta(hours=1))
    store.pin(whole.correlation_id)
    store.save_incident(replace(whole, correlation_id="eeeeeeeeeeee"))
    store.drop_evidence(["eeeeeeeeeeee"])
    store.set_reason(bare.correlation_id, "said again")


def as_stored(data_dir: Path) -> dict[str, Any]:
    """All rows, and what each artefact holds and says of itself; nothing that depends on zstd or the clock."""
    with closing(sqlite3.connect(data_dir / "monitord.db")) as connection:
        connection.row_factory = sqlite3.Row
        tables = {
            table: [_row(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1")]  # noqa: S608
            for table in ("incident", "profile_capture", "event")
        }
        tables_of = (
            "SELECT sql FROM sqlite_master WHERE tbl_name IN ('incident', 'profile_capture') AND sql > ''"
        )
        schema = sorted(row[0] for row in connection.execute(tables_of))
    artefacts = open_folder(data_dir / "artefacts", create=False).artefacts
    files = {}
    for key in sorted(artefacts.list()):
        metadata = artefacts.get_metadata(key)
        attributes = dict(metadata.attributes)
        files[key] = [
            _SIZES.sub(":0", artefacts.retrieve_data(key).decode()), _bare(attributes), dict(metadata.tags), metadata.content_type,
        ]  # fmt: skip
    return {"schema": schema, "tables": tables, "artefacts": files}


def _row(row: sqlite3.Row) -> dict[str, Any]:
    cells = {name: cell for name, cell in dict(row).items() if name != _WITHOUT}
    if cells.get("history"):
        cells["history"] = json.dumps(packed_of(cells["history"]))
    return {name: cell.hex() if isinstance(cell, bytes) else cell for name, cell in cells.items()}


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _bare(each) for name, each in value.items() if name != _WITHOUT}
    return value


def main() -> None:
    """Write the file anew."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "data")
        fill(store)
        store.close()
        GOLDEN.write_text(json.dumps(as_stored(Path(folder) / "data"), indent=1) + "\n")
    sys.stdout.write(f"{GOLDEN}\n")


if __name__ == "__main__":
    main()
