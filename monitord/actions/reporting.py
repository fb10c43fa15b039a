"""What is known of one incident, put together for a report, a summary, a bundle: cleaned, in one form."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from monitord import __version__
from monitord.actions.identities import identities
from monitord.actions.incidents import timeline
from monitord.actions.workspace import Workspace
from monitord.errors import MonitordError, NotFoundError
from monitord.export.cleaning import Cleaner, Identities
from monitord.export.evidence import Evidence, evidence_of
from monitord.export.explaining import explain_incident
from monitord.export.report import Material, cleaned, document_of
from monitord.export.shapes import consumer_row
from monitord.export.surroundings import surroundings_of
from monitord.model import BEFORE
from monitord.redaction import printable
from monitord.storage.views import IncidentView


@dataclass(frozen=True, slots=True)
class Known:
    """One incident as it may leave. `document` is a report's; `evidence` its profile as it is stored.

    `cleaner` knows what is to be hidden in all that leaves with it; None: nothing is.
    """

    view: IncidentView
    document: Mapping[str, Any]
    evidence: Evidence | None
    cleaner: Cleaner | None

    @property
    def identities(self) -> Identities | None:
        """What another process, or another file, needs to hide the same under the same stand-ins."""
        return self.cleaner.identities if self.cleaner else None


def known_of(workspace: Workspace, name: str, *, raw: bool = False, in_brief: bool = False) -> Known:
    """Put together what is known of an incident; `in_brief` without its profile, timeline and doctor.

    Raises NotFoundError for no such incident. What can't be read of its evidence is told in the document.
    """
    trouble: list[str] = []
    with workspace.reader() as reader:
        view = reader.incident(reader.find(name).correlation_id)
        sentences = explain_incident(view, surroundings_of(reader, view))
        found = None if in_brief else _evidence(view, reader.payload, trouble)
    before = timeline(workspace, view) if not in_brief and _has_box(view) else None
    if before is not None and before.trouble:
        trouble.append(f"{before.trouble}.")
    material = Material(
        view,
        datetime.now(UTC),
        sentences,
        steps=(before and before.steps) or (),
        processes=list(map(consumer_row, before.consumers)) if before else (),
        checks=() if in_brief else _checks(workspace),
        versions=None if in_brief else _versions(view),
        trouble=[printable(line) for line in trouble],
    )
    document = document_of(material)
    if raw:
        return Known(view, document, found, None)
    safe, cleaner = cleaned(document, view, identities([view]))
    return Known(view, safe, found, cleaner)


def _evidence(view: IncidentView, read: Any, trouble: list[str]) -> Evidence | None:
    try:
        return evidence_of(view, read)
    except NotFoundError:
        return None  # the document says why
    except MonitordError as error:
        trouble.append(f"Its profile can't be read: {error}.")
        return None


def _has_box(view: IncidentView) -> bool:
    return any(record.role == BEFORE for record in view.captures)


def _checks(workspace: Workspace) -> list[dict[str, Any]]:
    from monitord.actions.doctor import diagnose, plain

    return [plain(check) for check in diagnose(workspace)]


def _versions(view: IncidentView) -> dict[str, str]:
    found = {
        "monitord": __version__,
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    return {**found, **dict(_tools(view))}


def _tools(view: IncidentView) -> Iterator[tuple[str, str]]:
    """The profilers that took part, with their versions."""
    for record in view.captures:
        if record.profiler and record.profiler_version and record.profiler not in ("context", "ring"):
            yield record.profiler, record.profiler_version
