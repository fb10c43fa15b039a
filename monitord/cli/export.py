"""`export`: incidents as one file for a ticket, redacted unless told otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from monitord.actions.comparing import evidence
from monitord.actions.exporting import bundle_of, profile_in_form, write_export
from monitord.actions.times import parse_period
from monitord.cli.context import CliContext
from monitord.cli.listing import ProcessFlag, SinceFlag, UntilFlag
from monitord.cli.terminal import emit_bytes, say
from monitord.errors import UsageError
from monitord.export.evidence import Written
from monitord.model import counted
from monitord.storage.ids import short_id
from monitord.storage.views import RecentFilter


class ExportFormat(StrEnum):
    """What can be written: incidents, or one incident's profile."""

    JSON = "json"
    CSV = "csv"
    FOLDED = "folded"
    SPEEDSCOPE = "speedscope"
    PPROF = "pprof"
    FLAMEGRAPH = "flamegraph"
    PROFILE_JSON = "profile-json"

    @property
    def is_profile(self) -> bool:
        return self not in (ExportFormat.JSON, ExportFormat.CSV)


ENDINGS = {
    ".speedscope.json": (ExportFormat.SPEEDSCOPE,),
    ".json": (ExportFormat.JSON, ExportFormat.SPEEDSCOPE, ExportFormat.PROFILE_JSON),
    ".csv": (ExportFormat.CSV,),
    ".html": (ExportFormat.FLAMEGRAPH,),
    ".folded": (ExportFormat.FOLDED,),
    ".txt": (ExportFormat.FOLDED,),
    ".pprof": (ExportFormat.PPROF,),
    ".pb.gz": (ExportFormat.PPROF,),
}
"""What a file's ending says: the format it stands for alone, then others that may end so."""


def export(
    context: CliContext,
    incident_ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="As for `show`; without any: all in the period.")
    ] = None,
    since: SinceFlag = None,
    until: UntilFlag = None,
    process: ProcessFlag = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="The file to write; - is stdout.")
    ] = None,
    wanted: Annotated[
        ExportFormat | None,
        typer.Option("--format", help="json, csv, or the profile of one. Default: as FILE ends."),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Hide nothing: write everything as it is stored.")
    ] = False,
) -> None:
    """Write incidents to a file, without secrets and without the names of users and machines."""
    output, file_format = _where(output), _format(output, wanted)
    names = incident_ids or []
    start, end = parse_period(since, until, datetime.now(UTC))
    if file_format.is_profile:
        if len(names) != 1 or start or end or process:
            raise UsageError(
                f"invalid call: {file_format} is the profile of one incident, expected one id and"
                " nothing else"
            )
        found = evidence(context.workspace, names[0])
        put_profile(profile_in_form(found, file_format.value, raw=raw), output)
        return
    period = RecentFilter(limit=None, since=start, until=end, process=process)
    bundle = bundle_of(context.workspace, names, period, raw=raw)
    written = bundle.as_json() if file_format is ExportFormat.JSON else bundle.as_csv()
    put(output, (text.encode() for text in written))
    report(counted(bundle.count, "incident"), bundle.hidden, output)
    for correlation_id, number in bundle.replaced.items():
        say(f"{counted(number, 'value')} replaced by the second scan in incident {short_id(correlation_id)}")


def _where(output: str | None) -> str:
    """The file that was named; without one, stdout, where it leads somewhere else than to a screen."""
    if output is not None:
        return output
    if sys.stdout.isatty():
        raise UsageError(
            "invalid call: expected a file to write, as in `monitord export ID -o incident.json`,"
            " or -o - for stdout"
        )
    return "-"


def _format(output: str | None, wanted: ExportFormat | None) -> ExportFormat:
    """The format that was asked for or that the file's ending names; they must not contradict each other."""
    name = Path(output or "-").name
    if wanted is None and name in {*ExportFormat, "table", "jsonl", "html"}:
        raise UsageError(f"invalid -o {name}, expected a file: -o incident.json, or -o - for stdout")
    ending = next((each for each in ENDINGS if name.endswith(each)), None)
    if ending is None and wanted is None and Path(name).suffix and not name.startswith("."):
        raise UsageError(
            f"invalid -o {output}, expected a file that ends in {', '.join(ENDINGS)}; or say --format"
        )
    if ending is not None and wanted not in (None, *ENDINGS[ending]):
        raise UsageError(f"invalid call: -o {output} and --format {wanted}, expected one format")
    return wanted or (ENDINGS[ending][0] if ending else ExportFormat.JSON)


def put_profile(written: Written, output: str) -> None:
    """Write a profile's file, and say on stderr what was hidden in it."""
    put(output, written.content)
    report(counted(sum(written.sample_counts), "sample"), written.hidden, output)


def put(output: str, content: bytes | Iterable[bytes]) -> None:
    """Write a file, or to stdout for "-"; what comes in pieces is held piece by piece."""
    if output != "-":
        write_export(Path(output), content)
        return
    for chunk in (content,) if isinstance(content, bytes) else content:
        emit_bytes(chunk)


def report(what: str, hidden: Mapping[str, int] | None, output: str) -> None:
    """Say on stderr what was written and what was hidden in it."""
    say(f"wrote {what} to {'stdout' if output == '-' else output}")
    if hidden is None:
        say("nothing was hidden (--raw): look through it before you pass it on")
    elif hidden:
        listed = ", ".join(f"{number} × {rule}" for rule, number in hidden.items())
        say(f"hidden: {listed}")
    else:
        say("no secrets found, nothing hidden")
