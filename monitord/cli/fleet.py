"""`fleet …`: the questions of `recent`, `hot`, `show`, `compare` and `query`, put to many hosts at once."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from monitord.actions import fleet, fleet_engines
from monitord.actions.times import parse_duration, parse_time
from monitord.cli.context import CliContext
from monitord.cli.fleet_tables import (
    MACHINE,
    PROCESSES,
    RECENT,
    Shown,
    any_text,
    listing_of,
    percent,
    share,
    stamp,
    where,
    within_text,
)
from monitord.cli.listing import (
    Asked,
    CauseFlag,
    PinnedFlag,
    ProcessFlag,
    RuleFlag,
    UnitFlag,
    UserFlag,
    listed,
)
from monitord.cli.table import Cell, draw
from monitord.cli.terminal import emit, emit_json, say, width
from monitord.cli.when import full_stamp
from monitord.errors import UsageError
from monitord.export.encoding import iso
from monitord.export.units import quantity
from monitord.model import TriggerMetric, counted
from monitord.redaction import printable
from monitord.storage.views import HotFilter, RecentFilter


class FleetEngine(StrEnum):
    """What answers a question in SQL."""

    DUCKDB = "duckdb"
    SPARK = "spark"


class PrintedFor(StrEnum):
    """Whose SQL is printed."""

    SPARK = "spark"
    CLICKHOUSE = "clickhouse"


HostFlag = Annotated[
    str | None, typer.Option("--host", metavar="NAME", help="Only this host, or a pattern: 'web*'.")
]
BucketFlag = Annotated[
    str | None,
    typer.Option(
        "--bucket",
        metavar="URL",
        help="Another bucket than the configured one: a URL, or file:/PATH that holds it.",
    ),
]

_YESTERDAY = "yesterday 00:00 UTC"
_A_WEEK = "00:00 UTC, 7 days ago"
HOST_KEYS = (
    "host_id", "first_at", "last_at", "incidents", "severity_max", "last_incident_at", "minutes",
    "machine_percent_mean", "machine_percent_max", "memory_percent_max", "cpu_count",
)  # fmt: skip
RECENT_KEYS = (
    "host_id", "correlation_id", "raised_at", "rule", "trigger_metric", "trigger_value", "severity",
    "process_name", "pid", "user", "unit", "version", "hottest_function", "cause", "reason", "profiler",
    "status", "late", "pinned",
)  # fmt: skip
HOT_KEYS = (
    "function", "module", "file", "line", "hosts", "processes", "incidents", "self_share_mean",
    "self_share_max", "total_share_max", "last_at",
)  # fmt: skip
SAME_KEYS = ("rule", "what", "process", "cause", "hosts", "incidents", "began_at", "ended_at")
COMPARE_KEYS = (
    "function", "module", "hosts", "hosts_hotter", "processes", "share_before", "share_after", "ratio",
)  # fmt: skip


@listed(begins=_YESTERDAY, follows=False)
def hosts(context: CliContext, asked: Asked, host: HostFlag = None, bucket: BucketFlag = None) -> None:
    """List the hosts of the fleet: until when each was heard of, its load, its incidents."""
    columns = (
        Shown("HOST", lambda row: row["host_id"], paint=("bold",), least=12),
        Shown("LAST", stamp("last_at"), gives_way=1),
        Shown("INCIDENTS", lambda row: str(row["incidents"]), right=True),
        Shown("CPU", percent("machine_percent_mean"), right=True, gives_way=2),
        Shown("AT MOST", percent("machine_percent_max"), right=True, gives_way=3),
        Shown("MEMORY", percent("memory_percent_max"), right=True, gives_way=4),
        Shown("CPUS", lambda row: str(row["cpu_count"] or "–"), right=True, gives_way=5),
    )
    whom = _of(asked, host, bucket, days=1)
    rows = fleet.hosts(context.workspace, whom)
    listing_of(context, HOST_KEYS, columns, rows, asked.view, "no host shipped anything", whom)


@listed(begins=_A_WEEK, follows=False)
def recent(
    context: CliContext,
    asked: Asked,
    host: HostFlag = None,
    bucket: BucketFlag = None,
    grep: Annotated[
        str | None,
        typer.Option("-g", "--grep", metavar="TEXT", help="Part of the reason, name or command line."),
    ] = None,
    process: ProcessFlag = None,
    metric: Annotated[TriggerMetric | None, typer.Option("--metric", help="Only this trigger.")] = None,
    rule: RuleFlag = None,
    user: UserFlag = None,
    unit: UnitFlag = None,
    function: Annotated[
        str | None, typer.Option("--function", metavar="NAME", help="Part of the hottest, or a pattern.")
    ] = None,
    cause: CauseFlag = None,
    pinned: PinnedFlag = False,
) -> None:
    """List incidents of all hosts, newest first."""
    wanted = RecentFilter(
        process=process, metric=metric, rule=rule, user=user, unit=unit, function=function, cause=cause,
        pinned=pinned or None, text=grep,
    )  # fmt: skip
    whom = _of(asked, host, bucket, days=7)
    rows = fleet.recent(context.workspace, whom, wanted)
    listing_of(context, RECENT_KEYS, RECENT, rows, asked.view, "no incident matches", whom)


@listed(begins=_YESTERDAY, follows=False)
def hot(
    context: CliContext,
    asked: Asked,
    host: HostFlag = None,
    bucket: BucketFlag = None,
    function: Annotated[str | None, typer.Option("--function", help="Only this function.")] = None,
    module: Annotated[str | None, typer.Option("--module", help="Only functions of this module.")] = None,
    process: ProcessFlag = None,
) -> None:
    """List the functions that took most time over all hosts."""
    columns = (
        Shown("SELF", share("self_share_mean"), right=True, paint=("red",)),
        Shown("AT MOST", share("self_share_max"), right=True, gives_way=3),
        Shown("HOSTS", lambda row: str(row["hosts"]), right=True),
        Shown("LAST", stamp("last_at"), gives_way=2),
        Shown("FUNCTION", lambda row: row["function"], paint=("bold",), least=12),
        Shown("WHERE", where, least=12, keeps_end=True),
    )
    wanted = HotFilter(function=function, module=module, process=process)
    whom = _of(asked, host, bucket, days=1)
    rows = fleet.hot(context.workspace, whom, wanted)
    listing_of(context, HOT_KEYS, columns, rows, asked.view, "no function was hot on any host", whom)


@listed(begins=_YESTERDAY, follows=False)
def same(
    context: CliContext,
    asked: Asked,
    host: HostFlag = None,
    bucket: BucketFlag = None,
    within: Annotated[
        str, typer.Option("--within", metavar="TIME", help='How near to each other: "5min".')
    ] = "5min",
    at_least: Annotated[
        int, typer.Option("--hosts", metavar="N", min=2, max=1_000_000, help="On so many hosts at least.")
    ] = 2,
    process: ProcessFlag = None,
    rule: RuleFlag = None,
) -> None:
    """List incidents that came on several hosts at once: one rule, one function, within minutes."""
    columns = (
        Shown("HOSTS", lambda row: str(row["hosts"]), right=True, paint=("red",)),
        Shown("INCIDENTS", lambda row: str(row["incidents"]), right=True, gives_way=3),
        Shown("BEGAN", stamp("began_at")),
        Shown("WITHIN", within_text, right=True, gives_way=1),
        Shown("RULE", lambda row: row["rule"] or "–", gives_way=2),
        Shown("WHAT", lambda row: row["what"] or "–", paint=("bold",), least=12),
        Shown("PROCESS", lambda row: row["process"] or "–", least=8, gives_way=4),
    )
    window_s = parse_duration(within).total_seconds()
    whom = _of(asked, host, bucket, days=1)
    rows = fleet.same(
        context.workspace, whom, window_s=window_s, hosts_at_least=at_least,
        process=process, rule=rule,
    )  # fmt: skip
    listing_of(context, SAME_KEYS, columns, rows, asked.view, "no incident came on several hosts", whom)


@listed(begins=_A_WEEK, follows=False)
def compare(
    context: CliContext,
    asked: Asked,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version that arrived.")],
    host: HostFlag = None,
    bucket: BucketFlag = None,
    before: Annotated[
        str | None, typer.Option("--before", metavar="VERSION", help="Compared with this one alone.")
    ] = None,
    factor: Annotated[
        float, typer.Option("--factor", min=1.0, max=100.0, help="Hotter: from so many times on.")
    ] = 1.1,
    process: ProcessFlag = None,
) -> None:
    """List functions that got hotter after a version arrived, and on how many hosts."""
    columns = (
        Shown("HOTTER ON", lambda row: f"{row['hosts_hotter']} of {row['hosts']}", right=True),
        Shown("BEFORE", share("share_before"), right=True, gives_way=2),
        Shown("AFTER", share("share_after"), right=True, gives_way=1),
        Shown("RATIO", lambda row: f"×{row['ratio']:.2f}" if row["ratio"] else "new", right=True),
        Shown("FUNCTION", lambda row: row["function"], paint=("bold",), least=12),
        Shown("MODULE", lambda row: row["module"] or "–", least=8, gives_way=3),
    )
    words = {"before": before, "process": process, "factor": factor}
    whom = _of(asked, host, bucket, days=7)
    rows = fleet.compare(context.workspace, whom, version, **words)  # type: ignore[arg-type]  # one each
    nothing = f"no host had both version {printable(version)} and one before it"
    listing_of(context, COMPARE_KEYS, columns, rows, asked.view, nothing, whom)


def show(
    context: CliContext,
    name: Annotated[str, typer.Argument(metavar="HOST|ID", help="A host with --at, or an incident's id.")],
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="The host at that moment.")] = None,
    within: Annotated[
        str, typer.Option("--within", metavar="TIME", help="So long before and after.")
    ] = "5min",
    save: Annotated[
        Path | None, typer.Option("--save", metavar="DIR", help="Write the evidence into a new folder.")
    ] = None,
    bucket: BucketFlag = None,
    as_json: bool = False,
) -> None:
    """Show one host at a moment, or an incident of any host with its evidence."""
    if at is not None:
        if save is not None:
            raise UsageError("invalid --save with --at: a moment has no evidence, expected an incident's id")
        moment = parse_time(at, datetime.now(UTC))
        asked = fleet.Asked(host=name, url=bucket)
        found = fleet.at_moment(context.workspace, asked, moment, parse_duration(within))
        _show_moment(context, found, moment, as_json=as_json)
        return
    incident = fleet.incident(context.workspace, fleet.Asked(url=bucket), name)
    if save is not None:
        fleet.save_evidence(incident, save)
    _show_incident(incident, as_json=as_json)


@listed(follows=False)
def query(
    context: CliContext,
    asked: Asked,
    words: Annotated[
        list[str],
        typer.Argument(metavar="SQL", help="A SELECT; or hot, same … and values (hosts=10)."),
    ],
    host: HostFlag = None,
    bucket: BucketFlag = None,
    engine: Annotated[
        FleetEngine, typer.Option("--engine", help="What answers: DuckDB here, or your Spark.")
    ] = FleetEngine.DUCKDB,
    script: Annotated[
        PrintedFor | None, typer.Option("--print", help="Print the question's SQL for this engine's client.")
    ] = None,
) -> None:
    """Ask all hosts in SQL: incidents, events, hotspots, process_minutes, machine_minutes."""
    whom, notes = _of(asked, host, bucket), list[str]()
    if script is not None:
        emit(fleet_engines.printed(context.workspace, whom, words, script.value))
        return
    if engine is FleetEngine.SPARK or fleet_engines.is_question(words[0]):
        ask = fleet_engines.ask_elsewhere if engine is FleetEngine.SPARK else fleet_engines.ask_here
        found = ask(context.workspace, whom, words)
        keys, values = found.columns, found.rows
    else:
        fleet_engines.refuse_values(words)
        with fleet.query(context.workspace, whom, words[0]) as answer:
            keys, values = tuple(column.name for column in answer.columns), [*answer.rows]
            notes = list(answer.notes)
    rows = [dict(zip(keys, row, strict=True)) for row in values]
    columns = [Shown(key, lambda row, key=key: any_text(row[key])) for key in keys]  # type: ignore[misc]  # a default is a parameter
    listing_of(context, keys, columns, rows, asked.view, "no row")
    for note in notes:
        say(f"monitord: {printable(note)}")


def compact(
    context: CliContext,
    before: Annotated[
        str, typer.Option("--before", metavar="TIME", help="Days before that day (UTC); hosts ship no more.")
    ] = "2d",
    bucket: BucketFlag = None,
    as_json: bool = False,
) -> None:
    """Make one file of each table and day of all hosts, sorted by host, and remove the many that it holds.

    It needs the right to write and to delete. Answers are the same before, meanwhile and after.
    """
    day = parse_time(before, datetime.now(UTC)).astimezone(UTC).date()
    done = []
    for one in fleet.compact(context.workspace, day, bucket):
        done.append(one)
        if not as_json and one.files:
            size = quantity(one.size_bytes, "disk_bytes")
            emit(
                f"{one.table} of {one.day}: {counted(one.files, 'file')} became one"
                f" of {counted(one.rows, 'row')} ({size}); {counted(one.removed, 'file')} removed\n"
            )
        for note in one.notes:
            say(f"monitord: {printable(note)}")
    if as_json:
        emit_json([{**asdict(one), "day": one.day.isoformat()} for one in done])
    elif not done:
        say("nothing to compact")


def _of(asked: Asked, host: str | None, bucket: str | None, *, days: int | None = None) -> fleet.Asked:
    """Whom and when; without --since as many `days` before its end as a question usually has."""
    since = asked.since
    if since is None and days is not None:
        since = fleet.beginning(asked.until, days)
    return fleet.Asked(since, asked.until, host, asked.limit, bucket)


def _show_moment(context: CliContext, found: fleet.HostMoment, moment: datetime, *, as_json: bool) -> None:
    if as_json:
        emit_json(
            {
                "host_id": found.host_id,
                "at": iso(moment),
                "machine": [*map(fleet.plain_row, found.machine)],
                "processes": [*map(fleet.plain_row, found.processes)],
                "incidents": [*map(fleet.plain_row, found.incidents)],
            }
        )
        return
    emit(f"{printable(found.host_id)} around {full_stamp(moment, utc=True)}\n")
    for title, columns, rows in (
        ("machine", MACHINE, found.machine),
        ("processes", PROCESSES, found.processes),
        ("incidents", RECENT, found.incidents),
    ):
        emit(f"\n{title}: {counted(len(rows), 'row')}\n")
        cells = [[Cell(printable(one.text(row)), one.paint) for one in columns] for row in rows]
        if rows:
            lines = draw([one.column for one in columns], cells, width=width(), style=context.style())
            emit("".join(f"{line}\n" for line in lines))


def _show_incident(found: fleet.HostIncident, *, as_json: bool) -> None:
    if as_json:
        emit_json(
            {**fleet.plain_row(found.row), "evidence": found.evidence(), "why_no_evidence": found.why_none}
        )
        return
    emit(f"host       {printable(found.row['host_id'])}\n")
    emit(f"incident   {printable(found.row['correlation_id'])}\n")
    for line in found.summary():
        emit(f"{printable(line)}\n")
    if found.why_none:
        emit(f"evidence   {printable(found.why_none)}\n")
