"""One incident: shown, explained, pinned, noted, deleted, found on the disk.

It is named by its id, by the beginning of one, or by its row's number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from monitord.actions.confirming import require_confirmation
from monitord.actions.workspace import Workspace
from monitord.errors import MonitordError, NotFoundError
from monitord.export.evidence import timeline_of
from monitord.export.explaining import Sentence, explain_incident
from monitord.export.shapes import consumer_row
from monitord.export.surroundings import surroundings_of
from monitord.model import BEFORE, SNAPSHOT, ProfileRecord
from monitord.storage.ids import short_id
from monitord.storage.schema import ARTEFACTS_NAME, WARM_NAME
from monitord.storage.similar import incident_with_times
from monitord.storage.views import IncidentView

if TYPE_CHECKING:
    from monitord.profiles.consumers import Consumer


@dataclass(frozen=True, slots=True)
class Explanation:
    """An incident in sentences, in the order in which one would tell them."""

    correlation_id: str
    sentences: Sequence[Sentence]
    timeline: Timeline
    is_snapshot: bool = False


@dataclass(frozen=True, slots=True)
class Timeline:
    """The hottest function step by step before the alert; None where nobody saw it.

    A step has the keys of docs/output.md. `consumers`: who ran, of a snapshot. `trouble` is why what is
    stored can't be read.
    """

    steps: Sequence[Mapping[str, Any]] | None = None
    consumers: Sequence[Consumer] = ()
    trouble: str | None = None

    def as_json(self) -> dict[str, object]:
        """Return it with the keys of docs/output.md."""
        return {"timeline": self.steps, "processes": list(map(consumer_row, self.consumers))}


def incident(workspace: Workspace, name: str) -> IncidentView:
    """Return everything kept of one incident; raises NotFoundError, or UsageError when several begin so."""
    with workspace.reader() as reader:
        return incident_with_times(reader, reader.find(name).correlation_id)


def timeline(workspace: Workspace, view: IncidentView) -> Timeline:
    """Return what ran step by step before the alert, from the evidence that is stored; never raises."""
    if not any(record.role == BEFORE for record in view.captures):
        return Timeline()
    try:
        with workspace.reader() as reader:
            steps, ran = timeline_of(view, reader.payload, of_machine=view.rule == SNAPSHOT)
            return Timeline(steps, _as_consumers(ran))
    except MonitordError as error:
        return Timeline(trouble=f"the timeline before the alert can't be shown: {error}")


def _as_consumers(ran: Sequence[Mapping[str, Any]]) -> list[Consumer]:
    if not ran:
        return []
    from monitord.profiles.consumers import Consumer  # of snapshots alone

    return [Consumer(**one) for one in ran]


def pending_profile(workspace: Workspace, view: IncidentView) -> str | None:
    """Whether its profile is being taken ("running") or waits for its turn ("waiting"); None: neither."""
    from monitord.recorder.status import read_status

    status = read_status(workspace.data_dir)
    is_told = any(record.role == "profile" for record in view.captures)  # taken or refused
    if is_told or status is None or not status["is_running"]:
        return None
    capture, pending = status.get("capture"), status.get("pending")
    if isinstance(capture, Mapping) and capture.get("correlation_id") == view.correlation_id:
        return "running"
    return "waiting" if isinstance(pending, list) and view.correlation_id in pending else None


def explain(workspace: Workspace, name: str) -> Explanation:
    """Tell an incident in sentences, each made from what was recorded."""
    with workspace.reader() as reader:
        view = reader.incident(reader.find(name).correlation_id)
        sentences = explain_incident(view, surroundings_of(reader, view))
    return Explanation(
        view.correlation_id, sentences, timeline(workspace, view), is_snapshot=view.rule == SNAPSHOT
    )


def pin(workspace: Workspace, name: str, *, undo: bool = False) -> ProfileRecord:
    """Keep an incident past its age and out of the quotas, or let it go with age again."""
    record = find(workspace, name)
    with workspace.store() as store:
        store.pin(record.correlation_id, not undo)
    return find(workspace, record.correlation_id)


def add_note(workspace: Workspace, name: str, text: str) -> ProfileRecord:
    """Leave a note on an incident."""
    record = find(workspace, name)
    with workspace.store() as store:
        store.add_note(record.correlation_id, text, datetime.now(UTC))
    return record


def delete(workspace: Workspace, names: Sequence[str], *, confirmed: bool) -> Iterator[ProfileRecord]:
    """Delete incidents with their evidence for good, and yield each when it is gone.

    One that is not there, and a missing confirmation, are raised at once.
    """
    with workspace.reader() as reader:
        records = {record.correlation_id: record for record in map(reader.find, names)}
    again = map(short_id, records)
    require_confirmation(confirmed, f"delete {len(records)} for good", "delete", *again)
    return _delete_each(workspace, records)


def _delete_each(workspace: Workspace, records: Mapping[str, ProfileRecord]) -> Iterator[ProfileRecord]:
    with workspace.store() as store:
        for correlation_id, record in records.items():
            _forget_in_tiers(workspace, correlation_id)
            store.delete_incident(correlation_id)
            yield record


def _forget_in_tiers(workspace: Workspace, correlation_id: str) -> None:
    if (workspace.data_dir / WARM_NAME).is_dir():
        from monitord.analytics.tiers import forget  # only where there is a tier

        forget(workspace.data_dir, [correlation_id])


def place_of_evidence(workspace: Workspace, name: str) -> str:
    """Where an incident's best evidence lies: a path, or a URL without options and secrets."""
    from monitord.recorder.artefact_stores import place_of

    record = find(workspace, name)
    if record.artefact_key is not None:
        folder = workspace.data_dir / ARTEFACTS_NAME
        return place_of(workspace.settings.storage, folder, record.artefact_key)
    if record.profile_path:
        return record.profile_path
    own_name = short_id(record.correlation_id)
    raise NotFoundError(f"cannot find evidence of {own_name}; `monitord show {own_name}` says why")


def find(workspace: Workspace, name: str) -> ProfileRecord:
    """Return the incident's leading row; raises NotFoundError, or UsageError when several begin so."""
    with workspace.reader() as reader:
        return reader.find(name)
