"""An incident's files: one artefact for each capture that left bytes, and one for the incident itself.

The incident's own artefact (`…-incident.json.zst`) holds everything its rows hold: reason, history, pin,
failed captures. It is written after the others and rewritten when the incident is pinned or becomes a
summary, so that a lost database comes back from the folder alone, and no sidecar has to be kept in step.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitord.errors import DamagedRowError, StorageError
from monitord.model import Capture, CaptureStatus
from monitord.storage.artefacts import (
    ArtefactError,
    ArtefactExistsError,
    SpoolFullError,
    StorageManager,
    StorageMetadata,
    is_key,
)
from monitord.storage.artefacts.metadata import DEFAULT_CONTENT_TYPE
from monitord.storage.cells import (
    SENSELESS,
    Row,
    as_stored,
    columns_of,
    plain,
    read_plain,
    time_cell,
    time_of,
)
from monitord.storage.records import BARE, IncidentRecords, StoredCapture, StoredIncident
from monitord.storage.schema import ARTEFACTS_NAME
from monitord.storage.views import Note

KIND_INCIDENT = "incident"
KIND_CAPTURE = "capture"


def _all_but(record: type[Any], *names: str) -> tuple[str, ...]:
    return tuple(name for name in columns_of(record) if name not in names)


_ELSEWHERE = ("artefact_key", "stored_bytes", "state")  # of an incident: known from its artefact itself
_BULKY = ("history", "hotspots", "not_captured", "cause")
_IN_ARTEFACT = _all_but(StoredIncident, *_ELSEWHERE)
_ABOUT = _all_but(StoredIncident, *_BULKY)
_OF_CAPTURE = _all_but(StoredCapture, "id")
# What never changes once it is stored.
FIXED_OF_CAPTURE = _all_but(StoredCapture, *BARE, "id", "is_leading", "state")
FIXED_OF_INCIDENT = _all_but(StoredIncident, "reason", "late", "pinned", "is_summary", *_BULKY, *_ELSEWHERE)
_IN_HEADER = ("correlation_id", "rule", "process_name", "raised_at", "pinned")
_SENSELESS = (DamagedRowError, *SENSELESS)
_JSON_TYPE, _TEXT_TYPE = "application/json", "text/plain"
_CONTENT_TYPES = {
    **dict.fromkeys(("context-json", "ring", "py-spy-dump", "speedscope"), _JSON_TYPE),
    **dict.fromkeys(("folded", "eu-stack", "sample", "spindump"), _TEXT_TYPE),
}
_UNFIT_FOR_TAGS = re.compile(r"[^A-Za-z0-9 +=._:/@-]")  # what every provider takes, and nobody misreads
_TAG_LIMIT = 128
_LAST_ROW_ID = 2**53  # JSON's readers keep it exactly, and it leaves room for rows to come
_MAKE_ROOM = "monitord status"


def store_evidence(
    artefacts: StorageManager,
    incident: StoredIncident,
    row: StoredCapture,
    capture: Capture,
    taken: Collection[str] = (),
) -> StoredCapture:
    """Store a capture's bytes, if it left any; its record, which says where they are or why not.

    `taken` are keys that rows name already: their artefacts may lie where we can't see them.
    """
    payload = capture.payload if capture.payload is not None else capture.path
    if payload is None:
        return row
    names = (key for key in _names(row, row.captured_at, row.role, row.format or "bin") if key not in taken)
    try:
        return located(row, _store_under_free(artefacts, names, payload, _describe_capture(incident, row)))
    except SpoolFullError as error:  # only this evidence: the rest of the incident counts
        return replace(row, status=CaptureStatus.REFUSED, failure_reason=str(error), fix=_MAKE_ROOM)
    except ArtefactError as error:
        return replace(row, status=CaptureStatus.TOOL_ERROR, failure_reason=str(error), fix=None)


def located(row: StoredCapture, stored: StorageMetadata) -> StoredCapture:
    """Say where a capture's bytes lie, and what they are."""
    return replace(
        row,
        artefact_key=stored.key,
        profile_path=f"{ARTEFACTS_NAME}/{stored.key}",
        size_bytes=stored.size,
        stored_bytes=stored.stored_size,
        checksum=stored.checksum,
    )


def rewrite_capture_header(artefacts: StorageManager, incident: StoredIncident, row: StoredCapture) -> None:
    """Let a capture's artefact say of itself what its row says; the bytes stay. Raises ArtefactError."""
    key = row.artefact_key
    assert key is not None  # noqa: S101 - only what has an artefact has a header
    artefacts.store_data(key, artefacts.retrieve_data(key), **_describe_capture(incident, row))


def _describe_capture(incident: StoredIncident, row: StoredCapture) -> Mapping[str, Any]:
    return {
        "tags": _tags(KIND_CAPTURE, incident),
        "content_type": _CONTENT_TYPES.get(row.format or "", DEFAULT_CONTENT_TYPE),
        "attributes": {
            "kind": KIND_CAPTURE,
            "incident": plain(incident, _ABOUT),
            "capture": plain(row, _OF_CAPTURE),
        },
    }


def store_incident_artefact(artefacts: StorageManager, records: IncidentRecords) -> IncidentRecords:
    """Write the incident's own artefact, new or again; the records, which say where it is."""
    incident = records.incident
    notes = [[time_cell(note.taken_at), note.text] for note in records.notes]
    held = {
        "incident": {**plain(incident, _IN_ARTEFACT), "annotations": notes},
        "captures": [plain(capture) for capture in records.captures],
    }
    payload = json.dumps(held, separators=(",", ":")).encode("ascii")
    describe: Mapping[str, Any] = {
        "tags": _tags(KIND_INCIDENT, incident),
        "content_type": _JSON_TYPE,
        "attributes": {"kind": KIND_INCIDENT, **plain(incident, _IN_HEADER)},
    }
    if incident.artefact_key is not None:
        stored = artefacts.store_data(incident.artefact_key, payload, **describe)
    else:
        free = _names(incident, incident.raised_at, "incident", "json")
        stored = _store_under_free(artefacts, free, payload, describe)
    return records.changed(artefact_key=stored.key, stored_bytes=stored.stored_size)


def _tags(kind: str, incident: StoredIncident) -> dict[str, str]:
    """What policies choose by. Only the incident's own artefact is rewritten with its pin."""
    tags = {
        "kind": kind,
        "process": incident.process_name,
        "severity": f"{incident.severity:.3g}",
        "rule": incident.rule,
        "correlation_id": incident.correlation_id,
        "pinned": "yes" if incident.pinned else "no",
    }
    return {name: _UNFIT_FOR_TAGS.sub("_", text)[:_TAG_LIMIT] for name, text in tags.items()}


def _store_under_free(
    artefacts: StorageManager, names: Iterator[str], payload: bytes | Path, describe: Mapping[str, Any]
) -> StorageMetadata:
    """Store under the first name that nothing has yet."""
    while True:
        try:
            return artefacts.store_data(next(names), payload, replace=False, **describe)
        except ArtefactExistsError:
            continue


def _names(record: StoredIncident | StoredCapture, at: datetime, role: str, suffix: str) -> Iterator[str]:
    stem = f"{_stamp(at)}-{record.pid or 0}-{record.correlation_id}-{_plain(role)}"
    for number in itertools.count(1):
        yield f"{stem}{f'-{number}' if number > 1 else ''}.{_plain(suffix)}.zst"


def _stamp(at: datetime) -> str:
    return (
        at.astimezone(UTC)
        .replace(microsecond=0)
        .isoformat()
        .replace("-", "")
        .replace(":", "")
        .replace("+0000", "Z")
    )


def _plain(word: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", word)[:24]


def remove_evidence(artefacts: StorageManager, keys: Iterable[object]) -> int:
    """Remove artefacts by keys of rows, durably; the bytes they took. Other values are skipped."""
    return sum(artefacts.delete(key) for key in keys if is_key(key))


def discard_evidence(artefacts: StorageManager, keys: Sequence[str]) -> None:
    """Remove evidence after a failed save: what can't be removed now is adopted later."""
    with contextlib.suppress(StorageError, OSError):
        remove_evidence(artefacts, keys)


def read_incident_artefact(artefacts: StorageManager, key: str) -> IncidentRecords:
    """Incident and rows as they were when the artefact was written; raises ArtefactError."""
    payload = artefacts.retrieve_data(key)
    try:
        held = json.loads(payload)
        records = IncidentRecords(
            read_plain(StoredIncident, {**held["incident"], "artefact_key": key, "state": "active"}),
            tuple(read_plain(StoredCapture, {**row, "id": _row_id(row)}) for row in held["captures"]),
            tuple(Note(time_of(at), str(text)) for at, text in held["incident"].get("annotations", [])),
        )
    except _SENSELESS as error:
        raise ArtefactError(f"cannot read {key}: it is not an incident of monitord") from error
    if not records.captures:
        raise ArtefactError(f"cannot read {key}: it has no captures")
    return records.changed(stored_bytes=artefacts.get_metadata(key).stored_size)


def _row_id(row: Row) -> int | None:
    """The id that a row had; None in what an earlier version wrote, and where no row can have it."""
    held = row.get("id")
    return held if type(held) is int and 0 < held <= _LAST_ROW_ID else None


def read_capture_artefact(artefacts: StorageManager, key: str) -> tuple[StoredIncident, StoredCapture]:
    """A capture's row, and what it knows of its incident; its bytes are checked. Raises ArtefactError."""
    stored = artefacts.get_metadata(key)
    if stored.archived_in is None:  # else they lie where we perhaps can't look; it tells of itself here
        stored = artefacts.verify(key)
    said: Mapping[str, Any] = stored.attributes
    elsewhere = {"artefact_key": None, "stored_bytes": 0, "state": "active"}
    try:
        incident = read_plain(StoredIncident, {**said["incident"], **elsewhere})
        row = read_plain(StoredCapture, {**said["capture"], "id": None, "state": "active"})
    except _SENSELESS as error:
        raise ArtefactError(f"cannot read {key}: it is not a capture of monitord") from error
    return incident, located(row, stored)


def kind_of(metadata: StorageMetadata) -> str:
    """What an artefact holds: KIND_INCIDENT, KIND_CAPTURE, or something that is not ours."""
    return str(metadata.attributes.get("kind"))


def difference_of_capture(found: StorageMetadata, row: StoredCapture) -> str | None:
    """Name the columns in which an artefact's header, which no checksum covers, differs from its row."""
    held = found.attributes.get("capture")
    return _difference(held, plain(row, FIXED_OF_CAPTURE)) if isinstance(held, Mapping) else "what it is of"


def difference_of_incident(artefacts: StorageManager, row: StoredIncident) -> str | None:
    """Say how an incident's row, its own artefact and that one's header differ. Raises ArtefactError."""
    key = row.artefact_key or ""
    held = read_incident_artefact(artefacts, key).incident
    header = artefacts.get_metadata(key).attributes
    of_row = _difference(plain(held), plain(row, FIXED_OF_INCIDENT))
    return of_row or _difference(header, plain(held, _IN_HEADER))


def _difference(held: Row, row: Row) -> str | None:
    """Earlier versions knew fewer columns: what one of both lacks is not compared."""
    differing = [name for name in row if name in held and as_stored(held[name]) != as_stored(row[name])]
    return ", ".join(differing) or None


def is_same_checksum(one: str | None, other: str | None) -> bool:
    """Whether two checksums agree; rows written by earlier versions hold bare hex digits."""
    return (one or "").removeprefix("sha256:") == (other or "").removeprefix("sha256:")
