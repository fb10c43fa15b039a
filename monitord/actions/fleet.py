"""What can be asked of many hosts at once, for the command line, the page and assistants alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitord.actions.files import new_folder
from monitord.actions.rule_names import unknown_rule
from monitord.actions.workspace import Workspace
from monitord.durable import durable_write
from monitord.errors import ConfigError, MonitordError, NotFoundError, StorageError, UsageError
from monitord.export.encoding import iso
from monitord.fleet.asking import Found, ask, asking, part, pattern
from monitord.fleet.bucket import Bucket, Scope, open_bucket
from monitord.fleet.questions import COMPARE, HOSTS, HOT, MACHINE, PROCESSES, RECENT, SAME, Question
from monitord.model import counted
from monitord.storage.artefacts.secret_sources import read_url
from monitord.storage.views import HotFilter, RecentFilter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitord.analytics.engine import Answer
    from monitord.fleet.compacting import Compacted

_HELD = timedelta(days=90)  # how far back an incident is looked for by its id
_FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
_LEAST_ID = 4
_LONGEST = timedelta(days=31)  # of a question that a server answers, with others waiting
_OF_THESE = " among what these hosts shipped of this time"
Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom and when: hosts by name or shell pattern, `since` inclusive, `until` exclusive; `url` of a bucket.

    None: all hosts, any time, the bucket of the configuration.
    """

    since: datetime | None = None
    until: datetime | None = None
    host: str | None = None
    limit: int = 20
    url: str | None = None

    @property
    def scope(self) -> Scope:
        """As a question has it."""
        return Scope(self.since, self.until, (self.host or "").lower())


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as programs are given it: its times as text."""
    return {name: iso(held) if isinstance(held, datetime) else held for name, held in row.items()}


def bucket_url(workspace: Workspace) -> str:
    """Return the URL of the fleet's bucket that is configured; "" for none."""
    return workspace.settings.bucket_url


def beginning(until: datetime | None, days: int) -> datetime:
    """Return when a question begins that nobody said it of: with the day (UTC) so many days before its end.

    Days that are asked for whole are answered from their sums.
    """
    last = ((until or datetime.now(UTC)).astimezone(UTC) - timedelta(microseconds=1)).date()
    return datetime.combine(last - timedelta(days=days), time(), UTC)


def bounded(since: datetime | None, until: datetime | None, days: int) -> tuple[datetime, datetime | None]:
    """Return a period that a server may be asked for; `days` as for `beginning`.

    Raises UsageError for one that is longer than a month.
    """
    end = until or datetime.now(UTC)
    since = since or beginning(until, days)
    if end - since > _LONGEST:
        raise UsageError(
            f"invalid period, expected at most {counted(_LONGEST.days, 'day')}; try `monitord fleet`"
        )
    return since, until


def noted(workspace: Workspace, ask: Callable[[Workspace], Rows]) -> tuple[Rows, list[str]]:
    """Return an answer's rows as programs are given them, and what was passed over for them."""
    notes: list[str] = []
    rows = ask(replace(workspace, tell=notes.append))
    return [plain_row(row) for row in rows], [note.removeprefix("monitord: ") for note in notes]


@contextmanager
def opened(workspace: Workspace, url: str | None) -> Iterator[Bucket]:
    """Open the bucket of a URL or of what holds it, else the configured one; raises ConfigError without."""
    url = url or bucket_url(workspace)
    if not url:
        raise ConfigError(
            "cannot ask a fleet: no bucket is configured;"
            " try `monitord config set fleet.url s3://BUCKET/PREFIX`, or --bucket URL"
        )
    bucket = open_bucket(
        read_url(url, "the fleet's bucket"), download_mb=workspace.settings.fleet.download_mb
    )
    try:
        yield bucket
    finally:
        bucket.close()


def hosts(workspace: Workspace, asked: Asked) -> Rows:
    """Return the hosts, those with most incidents first."""
    return _asked(workspace, HOSTS, asked)


def recent(workspace: Workspace, asked: Asked, wanted: RecentFilter, incident: str = "") -> Rows:
    """Return incidents, newest first; of `wanted` what a fleet's table has."""
    return _asked(
        workspace,
        RECENT,
        asked,
        incident=pattern(f"{incident}*", is_whole=True) if incident else "",
        process=pattern(wanted.process),
        text=part(wanted.text),
        function=pattern(wanted.function),
        unit=pattern(wanted.unit),
        metric=wanted.metric.value if wanted.metric else "",
        rule=wanted.rule or "",
        user=wanted.user or "",
        cause=wanted.cause or "",
        pinned=bool(wanted.pinned),
    )


def hot(workspace: Workspace, asked: Asked, wanted: HotFilter) -> Rows:
    """Return the functions that took most time over all hosts."""
    return _asked(
        workspace,
        HOT,
        asked,
        process=pattern(wanted.process),
        function=wanted.function or "",
        module=wanted.module or "",
    )


def same(
    workspace: Workspace,
    asked: Asked,
    *,
    window_s: float = 300.0,
    hosts_at_least: int = 2,
    process: str | None = None,
    rule: str | None = None,
) -> Rows:
    """Return incidents of one kind that came on several hosts within so many seconds, the widest first."""
    if not 1 <= window_s <= 86_400:
        raise UsageError(f"invalid window of {window_s:g} s, expected 1s to 1d")
    values = {"window_s": window_s, "hosts": hosts_at_least}
    return _asked(workspace, SAME, asked, process=pattern(process), rule=rule or "", **values)


def compare(
    workspace: Workspace,
    asked: Asked,
    version: str,
    *,
    before: str | None = None,
    process: str | None = None,
    factor: float = 1.1,
) -> Rows:
    """Return the functions that got hotter after a version arrived, by how much and on how many hosts.

    A host counts as hotter from `factor` times its share before on. `before` names the version before.
    """
    values = {"version": version, "before": before or "", "factor": factor}
    return _asked(workspace, COMPARE, asked, process=pattern(process), **values)


@dataclass(frozen=True, slots=True)
class HostMoment:
    """One host around a moment: how it was minute by minute, who ran, what was raised."""

    host_id: str
    machine: Rows
    processes: Rows
    incidents: Rows


def at_moment(workspace: Workspace, asked: Asked, at: datetime, within: timedelta) -> HostMoment:
    """Return what a host (`asked.host`, its whole name) did around a moment; raises NotFoundError."""
    around = replace(asked, since=at - within, until=at + within)
    host = (asked.host or "").lower()
    machine = _asked(workspace, MACHINE, replace(around, limit=10_000), host=host)
    processes = _asked(workspace, PROCESSES, around, host=host)
    incidents = recent(workspace, around, RecentFilter())
    if not (machine or processes or incidents):
        raise NotFoundError(
            f"cannot find anything of host {host} around {at:%Y-%m-%d %H:%M} UTC;"
            " `monitord fleet hosts` lists hosts and until when each was heard of"
        )
    return HostMoment(host, machine, processes, incidents)


@dataclass(frozen=True, slots=True)
class HostIncident:
    """An incident of some host: its row, and the files of its evidence by name (none: `why_none`)."""

    row: dict[str, Any]
    files: Mapping[str, bytes]
    why_none: str | None = None

    def evidence(self) -> Any:
        """What `show -o json` says of it on its host; None where that was not shipped or can't be read."""
        try:
            return json.loads(self.files["incident.json"])["incidents"][0]
        except (KeyError, IndexError, TypeError, ValueError, RecursionError):
            return None

    def summary(self) -> list[str]:
        """The lines of its summary, as they came: foreign text; else what its row says."""
        if "summary.md" in self.files:
            return self.files["summary.md"].decode("utf-8", "replace").splitlines()
        kept = ("raised_at", "process_name", "reason", "hottest_function", "cause", "version")
        return [f"{name}: {self.row[name]}" for name in kept if self.row[name] is not None]


def incident(workspace: Workspace, asked: Asked, name: str) -> HostIncident:
    """Return an incident by its id or the beginning of one; raises NotFoundError, UsageError for several."""
    from monitord.fleet.evidence import fetch

    if len(name) < _LEAST_ID:
        raise UsageError(f"invalid id {name!r}, expected at least {_LEAST_ID} characters of it")
    since = asked.since or datetime.now(UTC) - _HELD
    asked = replace(asked, since=since, until=asked.until or _FOREVER, limit=3)
    found = recent(workspace, asked, RecentFilter(), name)
    if not found:
        raise NotFoundError(f"cannot find incident {name} on any host; `monitord fleet recent` lists them")
    if len(found) > 1:
        several = ", ".join(f"{row['correlation_id']} of {row['host_id']}" for row in found)
        raise UsageError(f"invalid id {name}: several incidents begin so ({several}), expected more of it")
    row = found[0]
    with opened(workspace, asked.url) as bucket:
        try:
            files = fetch(bucket, row["raised_at"].date(), row["host_id"], row["correlation_id"])
        except MonitordError as error:
            return HostIncident(row, {}, str(error))
    return HostIncident(row, files)


def save_evidence(found: HostIncident, folder: Path) -> None:
    """Write the files of its evidence into a new folder; raises UsageError for one that is there."""
    if not found.files:
        raise NotFoundError(f"cannot save evidence: {found.why_none or 'none was shipped'}")
    try:
        with new_folder(folder) as held:
            for name, content in found.files.items():
                durable_write(folder / name, content, replace=False, within=held)
    except FileExistsError as error:
        raise UsageError(f"invalid --save {folder}: it exists, expected a new folder") from error
    except OSError as error:
        raise StorageError(f"cannot save evidence in {folder}: {error.strerror}") from error


def compact(workspace: Workspace, before: date, url: str | None = None) -> Iterator[Compacted]:
    """Make one file of each table and day before this one, and yield what was done.

    Raises UsageError for days that hosts may still ship.
    """
    from monitord.analytics.tables import TABLES
    from monitord.fleet.compacting import compact, days_of

    latest = datetime.now(UTC).date() - timedelta(days=1)
    if before > latest:
        raise UsageError(f"invalid day {before}: hosts may still ship it, expected {latest} or earlier")
    with opened(workspace, url) as bucket:
        for table in TABLES:
            for day in days_of(bucket, table, before):
                done = compact(bucket, table, day)
                if done is not None:
                    yield done


@contextmanager
def query(workspace: Workspace, asked: Asked, sql: str, **limits: Any) -> Iterator[Answer]:
    """Yield the answer to a SELECT over all hosts' tables; `limits` are those of `open_engine`."""
    with (
        opened(workspace, asked.url) as bucket,
        asking(bucket, sql, asked.scope, max_rows=asked.limit, **limits) as answer,
    ):
        yield answer


def answered(workspace: Workspace, question: Question, asked: Asked, **values: Any) -> Found:
    """Answer one of the fleet's questions, and tell what has to be said of the answer."""
    with opened(workspace, asked.url) as bucket:
        found = ask(bucket, question, asked.scope, **values)
    for note in found.notes:
        workspace.tell(f"monitord: {note}")
    if (rule := values.get("rule")) and not found.rows:
        tell_of_unknown_rule(workspace, rule, found.rules)
    return found


def tell_of_unknown_rule(workspace: Workspace, rule: str, shipped: Iterable[str]) -> None:
    """Say so where nobody knows it; it may have raised something before, or elsewhere: nothing is refused."""
    known = [*(one.name for one in workspace.settings.rules), *shipped]
    if (unknown := unknown_rule(rule, known, _OF_THESE)) is not None:
        workspace.tell(f"monitord: {unknown}")


def _asked(workspace: Workspace, question: Question, asked: Asked, **values: Any) -> Rows:
    return answered(workspace, question, asked, limit=asked.limit, **values).rows
