"""Where everything of a fleet lies in its bucket, and what of a bucket is ours. Pure: paths in, values out.

v1/<table>/date=YYYY-MM-DD/host=<host id>/day.parquet          rows of one day (UTC), replaced while it runs
v1/artefact/date=YYYY-MM-DD/host=<host id>/<id>.tar.zst        evidence of an incident of that day
v1/host/host=<host id>/host.json                               who ships under this name, and how it goes
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from monitord.analytics.shipped import COMPACTED
from monitord.analytics.tables import TABLES, Table

VERSION = "v1"
ARTEFACTS = "artefact"
HOSTS = "host"
DAY_FILE = "day.parquet"
ARTEFACT_SUFFIX = ".tar.zst"
HOST_FILE = "host.json"
_HOST_ID = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?")
_INCIDENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_DAY = re.compile(r"date=([0-9]{4}-[0-9]{2}-[0-9]{2})")
_TABLES = {table.folder: table for table in TABLES}


@dataclass(frozen=True, slots=True)
class DayFile:
    """Rows of one table, host and day."""

    table: Table
    day: date
    host_id: str

    @property
    def path(self) -> str:
        return f"{day_folder(self.table, self.day)}/host={checked_host_id(self.host_id)}/{DAY_FILE}"


@dataclass(frozen=True, slots=True)
class ArtefactFile:
    """The evidence of one incident, as one archive."""

    day: date
    host_id: str
    correlation_id: str

    @property
    def path(self) -> str:
        if not _INCIDENT_ID.fullmatch(self.correlation_id):
            raise ValueError(f"invalid id of an incident {self.correlation_id[:80]!r}")
        folder = f"{VERSION}/{ARTEFACTS}/date={self.day}/host={checked_host_id(self.host_id)}"
        return f"{folder}/{self.correlation_id}{ARTEFACT_SUFFIX}"


@dataclass(frozen=True, slots=True)
class HostFile:
    """What a host says of itself."""

    host_id: str

    @property
    def path(self) -> str:
        return f"{VERSION}/{HOSTS}/host={checked_host_id(self.host_id)}/{HOST_FILE}"


def table_folder(table: Table) -> str:
    """Return the folder of all days of a table."""
    return f"{VERSION}/{table.folder}"


def day_folder(table: Table, day: date) -> str:
    """Return the folder of all hosts on a day (UTC)."""
    return f"{table_folder(table)}/date={day}"


def compacted_path(table: Table, day: date) -> str:
    """Return where `fleet compact` lays what it makes of a day."""
    return f"{day_folder(table, day)}/host={COMPACTED}/{DAY_FILE}"


def parse(path: str) -> DayFile | ArtefactFile | HostFile | None:
    """Return what a path of the bucket names; None for a path of others."""
    parts = path.split("/")
    if parts[0] != VERSION or len(parts) not in (4, 5):
        return None
    host_id = parts[-2].removeprefix("host=")
    if parts[-2] == host_id or not is_host_id(host_id):
        return None
    if len(parts) == 4:
        return HostFile(host_id) if (parts[1], parts[3]) == (HOSTS, HOST_FILE) else None
    day = parse_day(parts[2])
    if day is None:
        return None
    if parts[1] in _TABLES:
        return DayFile(_TABLES[parts[1]], day, host_id) if parts[4] == DAY_FILE else None
    return _artefact(parts[4], day, host_id) if parts[1] == ARTEFACTS else None


def parse_day(folder: str) -> date | None:
    """Return the day of a folder `date=YYYY-MM-DD`; None for another name."""
    match = _DAY.fullmatch(folder)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def is_host_id(text: str) -> bool:
    """Whether a host may be called so: small letters, digits, dots and dashes; 007 is a name, too."""
    return _HOST_ID.fullmatch(text) is not None


def checked_host_id(host_id: str) -> str:
    """Return the id itself; raises ValueError."""
    if not is_host_id(host_id):
        raise ValueError(f"invalid host id {host_id[:80]!r}, expected small letters, digits, dots and dashes")
    return host_id


def _artefact(name: str, day: date, host_id: str) -> ArtefactFile | None:
    correlation_id = name.removesuffix(ARTEFACT_SUFFIX)
    if name == correlation_id or not _INCIDENT_ID.fullmatch(correlation_id):
        return None
    return ArtefactFile(day, host_id, correlation_id)
