"""`export`: incidents as one file for a ticket, redacted unless told otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from monitord.actions.comparing import evidence
from monitord.actions.exporting import (
    bundle_of,
    incident_archive,
    profile_in_form,
    write_export,
)
from monitord.actions.exporting import report as report_of
from monitord.actions.incidents import find
from monitord.actions.querying import companion_file
from monitord.actions.times import parse_period
from monitord.actions.workspace import ignore
from monitord.cli.context import CliContext
from monitord.cli.listing import ProcessFlag, SinceFlag, UntilFlag
from monitord.cli.output import STDOUT, chosen
from monitord.cli.script_run import cleared_progress, show_progress
from monitord.cli.terminal import emit_bytes, say
from monitord.errors import UsageError
from monitord.export.evidence import Written
from monitord.model import counted
from monitord.redaction import printable
from monitord.storage.ids import short_id
from monitord.storage.views import RecentFilter


class ExportFormat(StrEnum):
    """What can be written: incidents, one incident's profile, or all that is known of one."""

    JSON = "json"
    CSV = "csv"
    FOLDED = "folded"
    SPEEDSCOPE = "speedscope"
    PPROF = "pprof"
    FLAMEGRAPH = "flamegraph"
    PROFILE_JSON = "profile-json"
    REPORT = "report"
    MARKDOWN = "markdown"
    BUNDLE = "bundle"
    DUCKDB = "duckdb"

    @property
    def is_of_one(self) -> bool:
        return self not in (ExportFormat.JSON, ExportFormat.CSV, ExportFormat.DUCKDB)


ENDINGS = {
    ".speedscope.json": (ExportFormat.SPEEDSCOPE,),
    ".report.html": (ExportFormat.REPORT,),
    ".json": (ExportFormat.JSON, ExportFormat.SPEEDSCOPE, ExportFormat.PROFILE_JSON),
    ".csv": (ExportFormat.CSV,),
    ".html": (ExportFormat.FLAMEGRAPH, ExportFormat.REPORT),
    ".md": (ExportFormat.MARKDOWN, ExportFormat.REPORT),
    ".folded": (ExportFormat.FOLDED,),
    ".txt": (ExportFormat.FOLDED,),
    ".pprof": (ExportFormat.PPROF,),
    ".pb.gz": (ExportFormat.PPROF,),
    ".tar.zst": (ExportFormat.BUNDLE,),
    ".tzst": (ExportFormat.BUNDLE,),
    ".duckdb": (ExportFormat.DUCKDB,),
}
"""What a file's ending says: the format it stands for alone, then others that may end so."""
_OWN_ENDINGS = {ExportFormat.REPORT: ".report.html", ExportFormat.BUNDLE: ".tar.zst"}
"""What is written to a file of its own where a person looks and named none."""


def export(
    context: CliContext,
    incident_ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="As for `show`; without any: all in the period.")
    ] = None,
    since: SinceFlag = None,
    until: UntilFlag = None,
    process: ProcessFlag = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="A file, a format's name, or - for stdout."),
    ] = None,
    wanted: Annotated[
        ExportFormat | None,
        typer.Option(
            "--format", help="Of incidents json, csv, duckdb (all views of `query`); of one: the others."
        ),
    ] = None,
    bundle: Annotated[
        bool,
        typer.Option("--bundle", help="All of one incident as a .tar.zst: report, data, profile, doctor."),
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Hide nothing: write everything as it is stored.")
    ] = False,
) -> None:
    """Write incidents to a file, without secrets and without the names of users and machines."""
    names = incident_ids or []
    where, file_format = _chosen(output, wanted, is_bundle=bundle)
    start, end = parse_period(since, until, datetime.now(UTC))
    if file_format.is_of_one and (len(names) != 1 or start or end or process):
        raise UsageError(f"invalid call: {file_format} is of one incident, expected one id and nothing else")
    if output is None:
        where = _without_a_name(context, names, file_format)
    if file_format.is_of_one:
        _export_one(context, names[0], file_format, where, raw=raw)
        return
    if file_format is ExportFormat.DUCKDB:
        if names or process:
            raise UsageError(
                "invalid call: duckdb is of all that was kept, expected --since, --until or nothing"
            )
        with companion_file(context.workspace, start, end, raw=raw) as (content, hidden):
            put(where, content)
        report("a DuckDB file", hidden, where)
        return
    period = RecentFilter(limit=None, since=start, until=end, process=process)
    watch = ignore if where == STDOUT else show_progress
    found = bundle_of(context.workspace, names, period, raw=raw, watch=watch)
    written = found.as_json() if file_format is ExportFormat.JSON else found.as_csv()
    with cleared_progress():
        put(where, (text.encode() for text in written))
    report(counted(found.count, "incident"), found.hidden, where)
    for correlation_id, number in found.replaced.items():
        say(f"{counted(number, 'value')} replaced by the second scan in incident {short_id(correlation_id)}")


def _export_one(context: CliContext, name: str, file_format: ExportFormat, where: str, *, raw: bool) -> None:
    """Write a profile, a report or a bundle; at a terminal what takes long says what it does."""
    workspace = context.workspace
    if file_format is ExportFormat.BUNDLE:
        with cleared_progress():
            written = incident_archive(workspace, name, raw=raw, tell=lambda step: show_progress(f"{step} …"))
        put(where, written.content)
        report("a bundle of 1 incident", written.hidden, where)
    elif file_format in (ExportFormat.REPORT, ExportFormat.MARKDOWN):
        is_markdown = file_format is ExportFormat.MARKDOWN or where.lower().endswith(".md")
        written = report_of(workspace, name, "markdown" if is_markdown else "html", raw=raw)
        put(where, written.content)
        report("a report of 1 incident", written.hidden, where)
    else:
        put_profile(profile_in_form(evidence(workspace, name), file_format.value, raw=raw), where)


def _chosen(output: str | None, wanted: ExportFormat | None, *, is_bundle: bool) -> tuple[str, ExportFormat]:
    if is_bundle:
        if wanted not in (None, ExportFormat.BUNDLE):
            raise UsageError(f"invalid call: --bundle and --format {wanted}, expected one of them")
        wanted = ExportFormat.BUNDLE
    where, named = chosen(output, wanted, ENDINGS, [each.value for each in ExportFormat])
    return where, ExportFormat(named or ExportFormat.JSON)


def _without_a_name(context: CliContext, names: Sequence[str], file_format: ExportFormat) -> str:
    """Stdout, where it leads somewhere else than to a screen; what is a file by nature gets a name there."""
    if not sys.stdout.isatty():
        return STDOUT
    ending = _OWN_ENDINGS.get(file_format)
    if ending is None:
        raise UsageError(
            "invalid call: expected a file to write, as in `monitord export ID -o incident.json`,"
            " or -o - for stdout"
        )
    return f"monitord-incident-{short_id(find(context.workspace, names[0]).correlation_id)}{ending}"


def put_profile(written: Written, output: str) -> None:
    """Write a profile's file, and say on stderr what was hidden in it."""
    put(output, written.content)
    report(counted(sum(written.sample_counts), "sample"), written.hidden, output)


def put(output: str, content: bytes | Iterable[bytes]) -> None:
    """Write a file, or to stdout for "-"; what comes in pieces is held piece by piece."""
    if output != "-":
        if note := write_export(Path(output), content):
            say(note)
        return
    for chunk in (content,) if isinstance(content, bytes) else content:
        emit_bytes(chunk)


def report(what: str, hidden: Mapping[str, int] | None, output: str) -> None:
    """Say on stderr what was written and what was hidden in it."""
    say(f"wrote {what} to {'stdout' if output == '-' else printable(output)}")
    if hidden is None:
        say("nothing was hidden (--raw): look through it before you pass it on")
    elif hidden:
        listed = ", ".join(f"{number} × {rule}" for rule, number in hidden.items())
        say(f"hidden: {listed}")
    else:
        say("no secrets found, nothing hidden")
