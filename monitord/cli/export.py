"""`export`: incidents as one file for a ticket, redacted unless told otherwise."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from monitord.cli.context import CliContext
from monitord.cli.listing import ProcessFlag, SinceFlag, UntilFlag
from monitord.cli.terminal import emit_bytes, say
from monitord.cli.times import parse_period
from monitord.durable import durable_write
from monitord.errors import DamagedRowError, MonitordError, NotFoundError, PermissionDeniedError, UsageError
from monitord.export.bundle import Bundle, Identities
from monitord.model import counted
from monitord.storage.ids import short_id
from monitord.storage.queries import StoreReader
from monitord.storage.views import IncidentView, RecentFilter


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
    now = datetime.now(UTC)
    start, end = parse_period(since, until, now)
    if file_format.is_profile and (len(incident_ids or []) != 1 or start or end or process):
        raise UsageError(f"{file_format} is the profile of one incident: name one, and nothing else")
    views = _chosen(
        context, incident_ids or [], RecentFilter(limit=None, since=start, until=end, process=process)
    )
    if file_format.is_profile:
        _export_profile(context, next(iter(views())), file_format, output, raw=raw)
        return
    bundle = Bundle(views, now, None if raw else identities())
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
        raise UsageError("name the file to write: `monitord export ID -o incident.json`, or -o - for stdout")
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
        raise UsageError(f"-o {output} and --format {wanted} contradict each other; change one of them")
    return wanted or (ENDINGS[ending][0] if ending else ExportFormat.JSON)


def _export_profile(
    context: CliContext, view: IncidentView, form: ExportFormat, output: str, *, raw: bool
) -> None:
    from monitord.export.evidence import evidence_of, write_form

    evidence = evidence_of(view, context.reader().payload)
    written = write_form(evidence, form.value, None if raw else identities([view]))
    put(output, written.content)
    report(counted(sum(written.sample_counts), "sample"), written.hidden, output)


def put(output: str, content: bytes | Iterable[bytes]) -> None:
    """Write a file, or to stdout for "-"; what comes in pieces is held piece by piece."""
    if output != "-":
        _write(Path(output), content)
        return
    for chunk in (content,) if isinstance(content, bytes) else content:
        emit_bytes(chunk)


def _chosen(
    context: CliContext, names: list[str], period: RecentFilter
) -> Callable[[], Iterator[IncidentView]]:
    """The incidents that there are now, read anew each time: of all of them only the ids are held."""
    reader = context.reader()
    if names and (period.since or period.until or period.process):
        raise UsageError("name incidents, or a period or process, not both")
    records = (reader.find(name) for name in names) if names else reader.each_recent(period)
    chosen = list(dict.fromkeys(record.correlation_id for record in records))
    if not chosen:
        raise NotFoundError("no incident matches; `monitord recent` lists what there is")
    told: set[str] = set()
    return lambda: _views(reader, chosen, told, is_named=bool(names))


def _views(
    reader: StoreReader, chosen: Iterable[str], told: set[str], *, is_named: bool
) -> Iterator[IncidentView]:
    """The incidents; of a period what is still there, as retention may go on meanwhile.

    What is left out is said once: `told` has the ids.
    """
    gone = 0
    for correlation_id in chosen:
        try:
            view = reader.incident(correlation_id)
        except (NotFoundError, DamagedRowError) as error:
            if is_named:
                raise
            if correlation_id not in told:
                say(f"monitord: left out: {error}")
                told.add(correlation_id)
                gone += 1
            continue
        yield view
    if gone:
        say(f"monitord: left out of the period: {counted(gone, 'incident')}")


def identities(views: Iterable[IncidentView] = ()) -> Identities:
    """The names of this machine and its users that texts may hold."""
    user = os.environ.get("SUDO_USER") or os.environ.get("USER")
    return Identities(
        users=(user,) if user else (),
        hosts=(socket.gethostname(),),
        machine_ids=tuple(filter(None, (_machine_id(), *(view.boot_id for view in views)))),
    )


def _machine_id() -> str | None:
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _write(path: Path, content: bytes | Iterable[bytes]) -> None:
    """The whole file or none of it, for its owner alone; a device or a pipe is written to as it is."""
    try:
        durable_write(path, content, keeps_mode=False, owner=_asker())
    except PermissionError as error:
        raise PermissionDeniedError(f"{path}: can't be written: {error.strerror}") from error
    except OSError as error:
        more = "; make its folder first" if isinstance(error, FileNotFoundError) else ""
        raise MonitordError(f"{path}: can't be written: {error.strerror}{more}") from error


def _asker() -> tuple[int, int] | None:
    """Who typed sudo: the file is for them."""
    uid, gid = (os.environ.get(name, "") for name in ("SUDO_UID", "SUDO_GID"))
    return (int(uid), int(gid)) if os.geteuid() == 0 and uid.isdecimal() and gid.isdecimal() else None


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
