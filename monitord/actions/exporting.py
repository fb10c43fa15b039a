"""Incidents and profiles as files: which ones, without which names, written whole or not at all."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from monitord.actions.files import write_file
from monitord.actions.workspace import Workspace
from monitord.errors import DamagedRowError, NotFoundError, UsageError
from monitord.export.bundle import Bundle, Identities
from monitord.export.evidence import Evidence, Written, write_difference, write_form
from monitord.model import counted
from monitord.storage.queries import StoreReader
from monitord.storage.views import IncidentView, RecentFilter


@dataclass(frozen=True, slots=True)
class ChosenIncidents:
    """Gives the incidents, read anew at each call: of all of them only the ids are held.

    Of a period, retention may delete some meanwhile: they are left out, and told once. A named one that is
    gone raises NotFoundError.
    """

    reader: StoreReader
    ids: Sequence[str]
    are_named: bool
    tell: Callable[[str], object]
    _told: set[str] = field(default_factory=set)

    def __call__(self) -> Iterator[IncidentView]:
        gone = 0
        for correlation_id in self.ids:
            try:
                view = self.reader.incident(correlation_id)
            except (NotFoundError, DamagedRowError) as error:
                if self.are_named:
                    raise
                if correlation_id not in self._told:
                    self.tell(f"monitord: left out: {error}")
                    self._told.add(correlation_id)
                    gone += 1
                continue
            yield view
        if gone:
            self.tell(f"monitord: left out of the period: {counted(gone, 'incident')}")


def choose(workspace: Workspace, names: Sequence[str], period: RecentFilter) -> ChosenIncidents:
    """Choose the incidents that are named, or all of a period; raises NotFoundError where there are none."""
    if names and (period.since or period.until or period.process):
        raise UsageError("invalid call: expected incidents, or a period or process, not both")
    reader = workspace.reader()
    records = (reader.find(name) for name in names) if names else reader.each_recent(period)
    ids = list(dict.fromkeys(record.correlation_id for record in records))
    if not ids:
        raise NotFoundError("cannot find an incident that matches; `monitord recent` lists what there is")
    return ChosenIncidents(reader, ids, bool(names), workspace.tell)


def bundle_of(
    workspace: Workspace, names: Sequence[str], period: RecentFilter, *, raw: bool = False
) -> Bundle:
    """Return incidents to be written as one file; `raw` hides nothing in them."""
    return Bundle(choose(workspace, names, period), datetime.now(UTC), None if raw else identities())


def profile_in_form(evidence: Evidence, form: str, *, raw: bool) -> Written:
    """Return a profile in a form of `monitord.profiles.writing`; `raw` hides nothing in it."""
    return write_form(evidence, form, None if raw else identities([evidence.view]))


def flame_graph_of_both(before: Evidence, after: Evidence, *, raw: bool) -> Written:
    """Return a flame graph of the second, coloured by what changed since the first."""
    return write_difference(before, after, None if raw else identities([before.view, after.view]))


def identities(views: Iterable[IncidentView] = ()) -> Identities:
    """Return the names of this machine and its users that texts may hold."""
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


def write_export(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write the whole file or none of it, for its owner alone; a device or a pipe is written to as it is."""
    write_file(path, content, keeps_mode=False, owner=_asker())


def _asker() -> tuple[int, int] | None:
    """Who typed sudo: the file is for them."""
    uid, gid = (os.environ.get(name, "") for name in ("SUDO_UID", "SUDO_GID"))
    return (int(uid), int(gid)) if os.geteuid() == 0 and uid.isdecimal() and gid.isdecimal() else None
