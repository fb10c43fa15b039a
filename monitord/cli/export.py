"""`export`: incidents as one file for a ticket, redacted unless told otherwise."""

from __future__ import annotations

import os
import secrets
import socket
import stat
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from monitord.cli.place import Place
from monitord.cli.terminal import emit, say
from monitord.cli.times import parse_period
from monitord.errors import MonitordError, NotFoundError, PermissionDeniedError, UsageError
from monitord.export.bundle import Bundle, Identities, raw_bundle, redacted_bundle
from monitord.storage.views import IncidentView, RecentFilter


class ExportFormat(StrEnum):
    """What can be written."""

    JSON = "json"
    CSV = "csv"


def export(
    place: Place,
    incident_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID...]", help="As for `show`; none: all of the period.")
    ] = None,
    since: Annotated[str | None, typer.Option("-S", "--since", metavar="TIME", help="From when on.")] = None,
    until: Annotated[str | None, typer.Option("-U", "--until", metavar="TIME", help="Up to when.")] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Where to; - is stdout.")
    ] = None,
    file_format: Annotated[ExportFormat, typer.Option("--format", help="json or csv.")] = ExportFormat.JSON,
    raw: Annotated[bool, typer.Option("--raw", help="As stored, with nothing hidden.")] = False,
) -> None:
    """Write incidents to a file, without secrets and without the names of users and machines."""
    if output is None:
        raise UsageError("name the file to write: `monitord export … -o incident.json`, or -o - for stdout")
    now = datetime.now(UTC)
    start, end = parse_period(since, until, now)
    views = _chosen(place, incident_ids or [], RecentFilter(limit=None, since=start, until=end))
    bundle = raw_bundle(views, now) if raw else redacted_bundle(views, now, _identities(views))
    text = bundle.as_json() if file_format is ExportFormat.JSON else bundle.as_csv()
    if output == "-":
        emit(text)
    else:
        _write(Path(output), text)
    _report(bundle, "stdout" if output == "-" else output)


def _chosen(place: Place, names: list[str], period: RecentFilter) -> list[IncidentView]:
    reader = place.reader()
    if names and (period.since or period.until):
        raise UsageError("name incidents or a period, not both")
    records = [reader.find(name) for name in names] if names else reader.recent(period)
    if not records:
        raise NotFoundError("no incident in that period; `monitord recent` lists what there is")
    return [
        reader.incident(correlation_id) for correlation_id in dict.fromkeys(r.correlation_id for r in records)
    ]


def _identities(views: list[IncidentView]) -> Identities:
    """Who this machine and its users are, as far as texts may name them."""
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


def _write(path: Path, text: str) -> None:
    """The whole file or none of it, for its owner alone; a device or a pipe is written to as it is."""
    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            path.write_bytes(text.encode())
            return
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(
            draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text.encode())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except PermissionError as error:
        raise PermissionDeniedError(f"{path}: can't be written: {error.strerror}") from error
    except OSError as error:
        raise MonitordError(f"{path}: can't be written: {error.strerror}") from error


def _report(bundle: Bundle, where: str) -> None:
    """On stderr: what was written and what was hidden in it."""
    count = len(bundle.incidents)
    say(f"wrote {count} incident{'s' if count != 1 else ''} to {where}")
    if bundle.hidden is None:
        say("nothing was hidden (--raw): look through it before you pass it on")
    elif bundle.hidden:
        listed = ", ".join(f"{number} × {rule}" for rule, number in bundle.hidden.items())
        say(f"hidden: {listed}")
    else:
        say("hidden: nothing had to be")
