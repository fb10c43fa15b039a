"""Hosts that ship: each with a data directory, a store and a configuration of its own; and what lies in a bucket."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.made_fleet import NEW
from monitord import config
from monitord.actions.identities import identities
from monitord.actions.workspace import Workspace
from monitord.analytics.parquet import read, schema_of
from monitord.analytics.tables import INCIDENTS, Table
from monitord.errors import NotFoundError
from monitord.fleet.layout import DayFile, parse
from monitord.fleet.shipping import Shipped, Shipper
from monitord.model import Cause, Hotspot, Incident, ProcessDetails
from monitord.storage import SQLiteProfileStore, new_correlation_id, open_store
from monitord.storage.objects import open_objects
from monitord.storage.past import PastReader
from tests.fakes import KEY, a_capture, an_alert
from tests.pasts import Past

SECRET = "hunter2-Zx81Qw90"
ANY: dict[str, Any] = {
    "process": "", "function": "", "module": "", "unit": "", "metric": "", "rule": "", "user": "", "cause": "",
    "text": "", "incident": "", "pinned": False, "window_s": 300, "hosts": 2, "version": NEW, "before": "",
    "factor": 1.2, "limit": 1000,
}  # fmt: skip
"""What stands for any in a question to a fleet."""


def an_incident(at: datetime, name: str = "burn", function: str = "validate") -> Incident:
    alert = an_alert(raised_at=at, crossed_at=at, process_name=name)
    words = ("python3", "shop.py", "--password", SECRET)
    process = ProcessDetails(KEY, name, 1, at, user="carol", command_line=words)
    cause = Cause("lock", "burn waits for a lock that pid 7 holds", "likely")
    spots = (Hotspot(function, "/home/carol/shop.py", 6, 0.9, 1.0),)
    captures = (a_capture(hotspots=spots, sample_count=100, started_at=at),)
    return Incident(new_correlation_id(), alert, process, captures=captures, cause=cause)


@dataclass
class Host:
    """One recorder's data, as the rest of monitord finds it."""

    folder: Path
    url: str
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.configure()

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def config_path(self) -> Path:
        return self.folder / "config.toml"

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.data_dir, self.config_path)

    def configure(self, **options: Any) -> None:
        self.options |= options
        held = {"url": self.url, "artefacts": False, **self.options}
        lines = [f"{name} = {json.dumps(value)}" for name, value in held.items()]
        self.config_path.write_text("\n".join(["[ship]", *lines]) + "\n")

    def opened(self) -> closing[SQLiteProfileStore]:
        return closing(open_store(self.data_dir))

    def save(self, at: datetime, **changes: Any) -> str:
        incident = an_incident(at, **changes)
        with self.opened() as store:
            store.save_incident(incident)
        return incident.correlation_id

    def look(self, since: datetime, seconds: float, step_s: float = 15.0) -> None:
        past = Past(at=since)
        past.looks(seconds, step_s)
        with self.opened() as store:
            for batch in past.batches():
                store.add_history(batch)

    def ship(
        self,
        now: datetime | None = None,
        *,
        everything: bool = True,
        archive_of: Callable[[str], bytes] | None = None,
    ) -> Shipped:
        return self.shipper(now, archive_of).run(everything=everything)

    def shipper(
        self, now: datetime | None = None, archive_of: Callable[[str], bytes] | None = None
    ) -> Shipper:
        at = now or datetime.now(UTC)

        def nothing(name: str) -> bytes:
            raise NotFoundError(name)

        settings = config.load(self.config_path).settings.ship
        reader = PastReader(self.data_dir)
        return Shipper(self.data_dir, settings, reader, identities(), archive_of or nothing, lambda: at)


@dataclass(frozen=True)
class Bucket:
    """What lies at a URL, read as any host of the fleet may read it."""

    url: str

    def paths(self) -> list[str]:
        with closing(open_objects(self.url)) as objects:
            return [one.path for one in objects.list()]

    def read(self, path: str) -> bytes:
        with closing(open_objects(self.url)) as objects:
            return objects.read(path, 1 << 30)[1]

    def rows(self, table: Table = INCIDENTS) -> list[dict[str, Any]]:
        """All rows of a table, whoever shipped them."""
        names = [name for name, _kind in table.columns]
        found = []
        for path in self.paths():
            file = parse(path)
            if isinstance(file, DayFile) and file.table is table:
                with tempfile.NamedTemporaryFile(suffix=".parquet") as local:
                    local.write(self.read(path))
                    local.flush()
                    for row in read(Path(local.name), table):
                        cells = dict(zip(names, row, strict=True))
                        assert cells["host_id"] == file.host_id
                        assert cells[table.at].astimezone(UTC).date() == file.day
                        found.append(cells)
        return found

    def host(self, host_id: str) -> dict[str, Any]:
        held: dict[str, Any] = json.load(io.BytesIO(self.read(f"v1/host/host={host_id}/host.json")))
        return held


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(str(row["correlation_id"]) for row in rows)


__all__ = ["SECRET", "Bucket", "Host", "an_incident", "ids", "replace", "timedelta"]


def bomb(path: Path, table: Table, rows: int = 100_000) -> None:
    """Write rows whose first text is a megabyte in a dictionary of one."""
    long = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["f" * 1_000_000]))
    columns = {field.name: pa.nulls(rows, field.type) for field in schema_of(table)}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({**columns, "host_id": long}), path, compression="zstd", store_schema=False)
