"""The tables that leave SQLite: warm and cold tiers, what a fleet's hosts ship, and the views of `query`.

Their columns and types are frozen: old files are read beside new ones for ever. A column may be added at the
end of a table (older files then say null); none is renamed, removed or given another type. Text is plain,
never a dictionary; times are microseconds UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "int64", "float64", "bool", "time"]


@dataclass(frozen=True, slots=True)
class Table:
    """One kind of row: `name` in questions, `folder` in a tier or bucket; `at` is the column of its day.

    `key` tells rows apart: of two with the same key the one that was written last counts. `most_rows` is
    more than any host has in a day. `sums` are columns behind the others that only files of hosts have: they
    spare a fleet's questions most rows (`monitord/fleet/day_sums.py`), and nobody's SQL sees them.
    """

    name: str
    folder: str
    at: str
    key: tuple[str, ...]
    columns: tuple[tuple[str, Kind], ...]
    most_rows: int = 20_000_000
    sums: tuple[tuple[str, Kind], ...] = ()
    last: tuple[str, str] | None = None
    """A name that only our questions to a fleet have, and the column that it is in a row without a sum."""
    sum_of: tuple[tuple[str, str], ...] = ()
    """Which of the sums counts in the place of which column."""

    @property
    def stored(self) -> tuple[tuple[str, Kind], ...]:
        """All columns that a file may have."""
        return self.columns + self.sums


INCIDENTS = Table(
    "incidents",
    "incident",
    "raised_at",
    ("host_id", "correlation_id"),
    (
        ("host_id", "text"),
        ("correlation_id", "text"),
        ("raised_at", "time"),
        ("crossed_at", "time"),
        ("ended_at", "time"),  # of its leading evidence
        ("rule", "text"),
        ("metric", "text"),
        ("value", "float64"),
        ("threshold", "float64"),
        ("threshold_unit", "text"),
        ("window_s", "float64"),
        ("severity", "float64"),
        ("process", "text"),  # the name that `recent` shows
        ("pid", "int64"),
        ("command", "text"),  # the command line, as it was redacted when it was read
        ("executable", "text"),
        ("user", "text"),
        ("unit", "text"),
        ("container_id", "text"),
        ("version", "text"),  # of the program, null where it is not known
        ("function", "text"),  # of the hottest, as the verdict names it; null where none is known
        ("module", "text"),
        ("func_id", "text"),
        ("file", "text"),
        ("line", "int64"),
        ("self_share", "float64"),
        ("statement", "text"),
        ("cause", "text"),
        ("cause_sentence", "text"),
        ("verdict", "text"),
        ("reason", "text"),
        ("profiler", "text"),
        ("status", "text"),
        ("captures", "int64"),
        ("late", "bool"),
        ("pinned", "bool"),
    ),
    most_rows=100_000,
)
EVENTS = Table(
    "events",
    "event",
    "taken_at",
    ("host_id", "event_id"),
    (
        ("host_id", "text"),
        ("event_id", "int64"),
        ("taken_at", "time"),
        ("event_type", "text"),
        ("pid", "int64"),
        ("process", "text"),
        ("module", "text"),
        ("function", "text"),
        ("arity", "int64"),
        ("correlation_id", "text"),
        ("ast_node_id", "text"),
        ("payload", "text"),  # JSON
    ),
)
HOTSPOTS = Table(
    "hotspots",
    "hotspot",
    "hour",
    ("host_id", "hour", "process", "version", "function", "module", "func_id", "code", "taken_from"),
    (
        ("host_id", "text"),
        ("hour", "time"),
        ("process", "text"),
        ("version", "text"),  # of the program, null where it is not known
        ("function", "text"),
        ("module", "text"),
        ("func_id", "text"),
        ("code", "text"),  # hash of the function's source: another one is another version of it
        ("file", "text"),
        ("line", "int64"),
        ("taken_from", "text"),  # capture, ring or baseline
        ("incidents", "int64"),
        ("self_samples", "int64"),
        ("total_samples", "int64"),
        ("process_samples", "int64"),
    ),
    most_rows=2_000_000,
    sums=(
        ("day_rows", "int64"),  # how many rows of the day it stands for; 0: another one does
        ("day_from", "time"),  # the first hour of its process, version and source
        ("day_until", "time"),  # the last hour that it sums
        ("day_incidents", "int64"),
        ("day_self_samples", "int64"),
        ("day_total_samples", "int64"),
        ("day_process_samples", "int64"),
    ),
    last=("last_hour", "hour"),
    sum_of=(
        ("hour", "day_from"),
        ("last_hour", "day_until"),
        ("incidents", "day_incidents"),
        ("self_samples", "day_self_samples"),
        ("total_samples", "day_total_samples"),
        ("process_samples", "day_process_samples"),
    ),
)
PROCESS_MINUTES = Table(
    "process_minutes",
    "process_minute",
    "taken_at",
    ("host_id", "taken_at", "pid", "process"),
    (
        ("host_id", "text"),
        ("taken_at", "time"),  # of the minute's busiest pass, which stands for it
        ("process", "text"),
        ("pid", "int64"),
        ("cpu_percent", "float64"),  # of one core
        ("rss_bytes", "int64"),
        ("threads", "int64"),
        ("fds", "int64"),
        ("disk_bytes_per_s", "int64"),
        ("network_bytes_per_s", "int64"),
    ),
)
MACHINE_MINUTES = Table(
    "machine_minutes",
    "machine_minute",
    "taken_at",
    ("host_id", "taken_at"),
    (
        ("host_id", "text"),
        ("taken_at", "time"),  # of the minute's busiest pass, which stands for it
        ("machine_percent", "float64"),  # of all cores
        ("memory_percent", "float64"),
        ("memory_available_bytes", "int64"),
        ("swap_used_bytes", "int64"),
        ("disk_bytes_per_s", "int64"),
        ("network_bytes_per_s", "int64"),
        ("load_1", "float64"),
        ("process_count", "int64"),
        ("cpu_count", "int64"),
    ),
    most_rows=100_000,
)
TABLES = (INCIDENTS, EVENTS, HOTSPOTS, PROCESS_MINUTES, MACHINE_MINUTES)
"""All of them, in the order in which they are listed."""
