"""Asks DuckDB over views of given Parquet files, in a child that can do nothing else and ends in time.

The child (`sandbox.py`) is killed when it has worked for `deadline_s`, because no interrupt ends every
function of SQL, and the kernel bounds its memory, because DuckDB counts only a part of what it takes.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

from monitord.analytics.tables import Kind, Table
from monitord.children import own_command, own_environment
from monitord.errors import MonitordError, UsageError
from monitord.installation import install_command
from monitord.redaction import printable

MEMORY_MB = 512
DEADLINE_S = 60.0
MAX_ROWS = 1_000_000
_LINE_BYTES = 16 << 20  # the child cuts what would be longer; JSON has up to 12 bytes a character
_PIECE_BYTES = 1 << 16
_SAID_AT_MOST = 500
LONGEST_DEADLINE_S = 86_400.0


@dataclass(frozen=True, slots=True)
class View:
    """A name that SQL can ask: these columns of these Parquet files, which a query reads and nothing else.

    A file without one of the columns says null there. `at` names the column whose time is in [since, until).
    The files are sound: one that is torn fails the whole question.
    """

    name: str
    columns: tuple[tuple[str, Kind], ...]
    files: tuple[str, ...]
    shipped: Mapping[str, Any] = field(default_factory=dict)
    at: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(
        cls,
        table: Table,
        files: Sequence[str],
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> View:
        """Return the view of a frozen table over these files, each row in one of them only."""
        return cls(table.name, table.columns, tuple(files), at=table.at, since=since, until=until)

    def as_plain(self) -> dict[str, Any]:
        """Return it as JSON can hold it, for the child."""
        ends = ((">=", self.since), ("<", self.until))
        bounds = [(self.at, sign, moment.isoformat()) for sign, moment in ends if moment is not None]
        told = {"name": self.name, "columns": self.columns, "files": self.files}
        return {**told, "shipped": self.shipped, "bounds": bounds}

    @classmethod
    def of_hosts(
        cls,
        table: Table,
        files: Sequence[str],
        *,
        is_thorough: bool = False,
        whole_days: Sequence[str] | None = None,
    ) -> View:
        """Return the view of files that hosts shipped: torn and foreign ones are passed over, as notes say.

        `is_thorough` has them read to their ends first. A question of ours says of which days it wants all:
        of these it gets a day's sums in the place of its hours, where a host shipped them.
        """
        columns = table.columns
        summed = None
        if whole_days is not None and table.last is not None:
            columns += ((table.last[0], dict(columns)[table.last[1]]),)
            marker = table.sums[0][0]
            summed = {"days": whole_days, "marker": marker, "sum_of": dict(table.sum_of), "last": table.last}
        told = {"stored": table.stored, "most_rows": table.most_rows, "is_thorough": is_thorough}
        return cls(table.name, columns, tuple(files), {**told, "summed": summed})


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an answer. `kind` "json": lists and structures as plain values."""

    name: str
    kind: Kind | str


@dataclass(slots=True)
class Answer:
    """Columns, then rows, once. Times are aware UTC, text where Python lacks them; infinity and NaN are None.

    When all rows were read `notes` says in words what is missing: rows past the limit, text that was cut.
    """

    columns: tuple[Column, ...]
    rows: Iterator[tuple[Any, ...]]
    notes: list[str] = field(default_factory=list)


class Engine:
    """Answers one question after another over the same views; each in a child of its own."""

    def __init__(self, order: Mapping[str, Any], deadline_s: float, started: Started | None = None) -> None:
        self._order = order
        self._deadline_s = deadline_s
        self._started = started or Started()
        self._running: list[_Child] = []

    def ask(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Answer:
        """Answer one SELECT; `parameters` are its `$name`s.

        Raises UsageError for SQL that is refused or wrong, MonitordError when it takes too long or too much.
        """
        order = {**self._order, "sql": sql, "parameters": dict(parameters or {})}
        child = _Child(order, self._deadline_s, self._started.taken())
        self._running.append(child)
        head = next(child.lines, None)
        if not isinstance(head, dict):
            raise child.failure({})
        if "columns" not in head:
            raise child.failure(head)
        answer = Answer(tuple(Column(name, kind) for name, kind in head["columns"]), iter(()))
        answer.rows = _rows(child, answer)
        return answer

    def close(self) -> None:
        """End what still runs; an answer that was not read to its end has no more rows."""
        for child in self._running:
            child.end()


@contextlib.contextmanager
def open_engine(
    views: Sequence[View],
    *,
    memory_mb: int = MEMORY_MB,
    deadline_s: float = DEADLINE_S,
    max_rows: int = MAX_ROWS,
    threads: int = 2,
    started: Started | None = None,
    narrower: str = "",
) -> Iterator[Engine]:
    """Yield an engine over these views; no child is left when it is closed. The first one may wait already.

    `narrower` says what to try where a question takes too much, of who has neither --memory nor --timeout.

    Raises MonitordError when the extra is missing, UsageError for an invalid deadline.
    """
    need_extra()
    if not 0 < deadline_s <= LONGEST_DEADLINE_S:
        raise UsageError(f"invalid timeout {deadline_s:g} s, expected more than 0 and at most one day")
    told = [view.as_plain() for view in views]
    limits = {"memory_mb": memory_mb, "threads": threads, "max_rows": max_rows, "deadline_s": deadline_s}
    engine = Engine({"views": told, **limits, "narrower": narrower}, deadline_s, started)
    try:
        yield engine
    finally:
        engine.close()


def need_extra(what: str = "answer") -> None:
    """Raise MonitordError where DuckDB or pyarrow is not installed."""
    if find_spec("duckdb") is None or find_spec("pyarrow") is None:
        raise MonitordError(
            f"cannot {what}: this needs the extra `analytics`; try {install_command('analytics')}"
        )


def _rows(child: _Child, answer: Answer) -> Iterator[tuple[Any, ...]]:
    times = [index for index, column in enumerate(answer.columns) if column.kind == "time"]
    for line in child.lines:
        if isinstance(line, dict):
            if "rows" not in line:
                raise child.failure(line)
            answer.notes += line["notes"]
            child.end(has_told=True)
            return
        for index in times:
            line[index] = _time(line[index])
        yield tuple(line)
    raise child.failure({})


def _time(text: str | None) -> datetime | str | None:
    """A time as DuckDB writes it; those before Christ, after 9999 and infinity stay text."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return text


class Started:
    """A child that loads DuckDB before its order is known: its parent finds the files meanwhile."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Started:
        self._process = _start()
        return self

    def taken(self) -> subprocess.Popen[bytes]:
        """Return the child, else a new one; it is the caller's from now on."""
        process, self._process = self._process, None
        return process or _start()

    def __exit__(self, *_about: object) -> None:
        if self._process is not None:
            _end(self._process)


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        own_command("monitord.analytics", keeps_bytecode=False),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=own_environment(),
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> int:
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    return process.wait()


class _Child:
    """One question at work. Only the time that one waits for it counts, not what happens to its rows."""

    def __init__(self, order: Mapping[str, Any], deadline_s: float, process: subprocess.Popen[bytes]) -> None:
        self._left_s = deadline_s
        self._deadline_s = deadline_s
        self._memory_mb = order["memory_mb"]
        self._narrower = order["narrower"]
        self._views = [view["name"] for view in order["views"]]
        self._is_late = False
        self._process = process
        assert self._process.stdin is not None  # noqa: S101  a pipe; tells mypy
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()  # left open: the child ends when we do
        self.lines = self._lines()

    def _lines(self) -> Iterator[Any]:
        assert self._process.stdout is not None  # noqa: S101  a pipe; tells mypy
        stream, held = self._process.stdout.fileno(), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while piece := self._piece(selector, stream):
                held += piece
                if b"\n" not in piece and len(held) <= _LINE_BYTES:
                    continue
                *whole, rest = held.split(b"\n")
                held = rest
                if len(held) > _LINE_BYTES:
                    return
                yield from map(json.loads, whole)

    def _piece(self, selector: selectors.BaseSelector, stream: int) -> bytes:
        began_s = time.monotonic()
        ready = selector.select(max(self._left_s, 0.0))
        self._left_s -= time.monotonic() - began_s
        if not ready:
            self._is_late = True
            return b""
        return os.read(stream, _PIECE_BYTES)

    def failure(self, said: Mapping[str, Any]) -> MonitordError:
        """End it, and return why there is no answer."""
        status = self.end()
        if said.get("error") == "sql":
            reason = printable(" ".join(str(said["detail"]).split()))[:_SAID_AT_MOST]
            return UsageError(f"{reason}; expected one SELECT over {', '.join(self._views)}")
        if said.get("error") == "views":
            detail = printable(" ".join(str(said["detail"]).split()))[:_SAID_AT_MOST]
            return MonitordError(f"cannot read what was stored: {detail}; try monitord doctor")
        if self._is_late or status == -24:  # SIGXCPU
            narrower = self._narrower or "a shorter period, or --timeout"
            return MonitordError(f"cannot answer within {self._deadline_s:g} s; try {narrower}")
        if said.get("error") == "memory" or status < 0:
            narrower = self._narrower or "fewer columns or a shorter period, or --memory"
            return MonitordError(f"cannot answer within {self._memory_mb} MB of memory; try {narrower}")
        return MonitordError(f"cannot answer: the child that asks DuckDB ended with status {status}")

    def end(self, *, has_told: bool = False) -> int:
        """End it at once, if it has not ended itself; return its status, of a signal negative.

        One that has told all would only take its memory down piece by piece: its status says nothing.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0 if self._is_late or has_told else 0.2)
        return _end(self._process)
