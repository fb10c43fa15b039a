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
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from monitord.errors import StorageError
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
from monitord.storage.cells import as_stored, time_of
from monitord.storage.facts import CAPTURE_COLUMNS, INCIDENT_COLUMNS, Facts
from monitord.storage.schema import ARTEFACTS_NAME

KIND_INCIDENT = "incident"
KIND_CAPTURE = "capture"
# What never changes once it is stored.
FIXED_OF_CAPTURE = tuple(
    name
    for name in CAPTURE_COLUMNS
    if name
    not in ("profile_path", "is_leading", "artefact_key", "size_bytes", "stored_bytes", "checksum", "state")
)
FIXED_OF_INCIDENT = tuple(
    name
    for name in INCIDENT_COLUMNS
    if name not in ("reason", "history", "not_captured", "hotspots", "late", "pinned", "is_summary")
    and name not in ("artefact_key", "stored_bytes", "state")
)
_IN_HEADER = ("correlation_id", "rule", "process_name", "raised_at", "pinned")
_BULKY = ("history", "hotspots", "not_captured")
_JSON_TYPE, _TEXT_TYPE = "application/json", "text/plain"
_CONTENT_TYPES = {
    **dict.fromkeys(("context-json", "py-spy-dump", "speedscope"), _JSON_TYPE),
    **dict.fromkeys(("folded", "eu-stack", "sample", "spindump"), _TEXT_TYPE),
}
_UNFIT_FOR_TAGS = re.compile(r"[^A-Za-z0-9 +=._:/@-]")  # what every provider takes, and nobody misreads
_TAG_LIMIT = 128
_MAKE_ROOM = "monitord status"


def store_evidence(
    artefacts: StorageManager, incident: Facts, facts: Facts, capture: Capture, taken: Collection[str] = ()
) -> str | None:
    """Store a capture's bytes, if it left any, and note in its facts where they are; the key.

    `taken` are keys that rows name already: their artefacts may lie where we can't see them.
    """
    payload = capture.payload if capture.payload is not None else capture.path
    if payload is None:
        return None
    about = _without_bulk(incident)
    describe = _describe_capture(about, facts)
    names = _names(facts, capture.role, capture.format or "bin")
    try:
        stored = _store_under_free(artefacts, (key for key in names if key not in taken), payload, describe)
    except (ArtefactError, SpoolFullError) as error:  # only this evidence: the rest of the incident counts
        is_full = isinstance(error, SpoolFullError)
        status, fix = (CaptureStatus.REFUSED, _MAKE_ROOM) if is_full else (CaptureStatus.TOOL_ERROR, None)
        facts["status"], facts["failure_reason"], facts["fix"] = status.value, str(error), fix
        step = {"profiler": capture.profiler, "status": status.value, "reason": str(error), "fix": fix}
        incident["not_captured"].append(step)
        return None
    facts["artefact_key"], facts["profile_path"] = stored.key, f"{ARTEFACTS_NAME}/{stored.key}"
    facts["size_bytes"], facts["stored_bytes"] = stored.size, stored.stored_size
    facts["checksum"] = stored.checksum
    return stored.key


def rewrite_capture_header(artefacts: StorageManager, incident: Facts, row: Facts) -> None:
    """Let a capture's artefact say of itself what its row says; the bytes stay. Raises ArtefactError."""
    facts = {name: row[name] for name in CAPTURE_COLUMNS}
    key = row["artefact_key"]
    artefacts.store_data(
        key, artefacts.retrieve_data(key), **_describe_capture(_without_bulk(incident), facts)
    )


def _without_bulk(incident: Facts) -> Facts:
    return {name: value for name, value in incident.items() if name not in _BULKY}


def _describe_capture(about: Facts, facts: Facts) -> dict[str, Any]:
    return {
        "tags": _tags(KIND_CAPTURE, about),
        "content_type": _CONTENT_TYPES.get(facts["format"] or "", DEFAULT_CONTENT_TYPE),
        "attributes": {"kind": KIND_CAPTURE, "incident": about, "capture": facts},
    }


def store_incident_artefact(artefacts: StorageManager, incident: Facts, captures: Sequence[Facts]) -> str:
    """Write the incident's own artefact, new or again, and note in its facts where it is; the key."""
    elsewhere = ("artefact_key", "stored_bytes", "state")
    kept = {name: incident[name] for name in INCIDENT_COLUMNS if name not in elsewhere}
    kept["annotations"] = incident.get("annotations", [])
    rows = [{name: capture[name] for name in CAPTURE_COLUMNS} for capture in captures]
    payload = json.dumps({"incident": kept, "captures": rows}, separators=(",", ":")).encode("ascii")
    describe: dict[str, Any] = {
        "tags": _tags(KIND_INCIDENT, incident),
        "content_type": _JSON_TYPE,
        "attributes": {"kind": KIND_INCIDENT, **{name: incident[name] for name in _IN_HEADER}},
    }
    if incident["artefact_key"] is not None:
        stored = artefacts.store_data(incident["artefact_key"], payload, **describe)
    else:
        free = _names({**incident, "captured_at": incident["raised_at"]}, "incident", "json")
        stored = _store_under_free(artefacts, free, payload, describe)
    incident["artefact_key"], incident["stored_bytes"] = stored.key, stored.stored_size
    return stored.key


def _tags(kind: str, incident: Facts) -> dict[str, str]:
    """What policies choose by. Only the incident's own artefact is rewritten with its pin."""
    tags = {
        "kind": kind,
        "process": incident["process_name"],
        "severity": f"{incident['severity']:.3g}",
        "rule": incident["rule"],
        "correlation_id": incident["correlation_id"],
        "pinned": "yes" if incident["pinned"] else "no",
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


def _names(facts: Facts, role: str, suffix: str) -> Iterator[str]:
    at = time_of(facts["captured_at"])
    stem = f"{_stamp(at)}-{facts['pid'] or 0}-{facts['correlation_id']}-{_plain(role)}"
    for number in itertools.count(1):
        yield f"{stem}{f'-{number}' if number > 1 else ''}.{_plain(suffix)}.zst"


def _stamp(at: datetime) -> str:
    return at.replace(microsecond=0).isoformat().replace("-", "").replace(":", "").replace("+0000", "Z")


def _plain(word: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", word)[:24]


def remove_evidence(artefacts: StorageManager, keys: Sequence[str | None]) -> int:
    """Remove artefacts by keys of rows, durably; the bytes they took. Invalid keys are skipped."""
    return sum(artefacts.delete(key) for key in keys if key is not None and is_key(key))


def discard_evidence(artefacts: StorageManager, keys: Sequence[str]) -> None:
    """Remove evidence after a failed save: what can't be removed now is adopted later."""
    with contextlib.suppress(StorageError, OSError):
        remove_evidence(artefacts, keys)


def read_incident_artefact(artefacts: StorageManager, key: str) -> tuple[Facts, list[Facts]]:
    """Incident and rows as they were when the artefact was written; raises ArtefactError."""
    payload = artefacts.retrieve_data(key)
    try:
        held = json.loads(payload)
        incident = {**_known(held["incident"], INCIDENT_COLUMNS), "artefact_key": key, "state": "active"}
        captures = [{**_known(row, CAPTURE_COLUMNS), "state": row["state"]} for row in held["captures"]]
        incident["annotations"] = [
            [str(at), str(text)] for at, text in held["incident"].get("annotations", [])
        ]
        for moment in (incident["raised_at"], *(at for at, _text in incident["annotations"])):
            time_of(moment)
        if not captures:
            raise ArtefactError(f"{key} has no captures")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtefactError(f"{key} is not an incident of monitord") from error
    incident["stored_bytes"] = artefacts.get_metadata(key).stored_size
    return incident, captures


def read_capture_artefact(artefacts: StorageManager, key: str) -> tuple[Facts, Facts]:
    """A capture's row, and what it knows of its incident; its bytes are checked. Raises ArtefactError."""
    stored = artefacts.get_metadata(key)
    if stored.archived_in is None:  # else they lie where we perhaps can't look; it tells of itself here
        stored = artefacts.verify(key)
    try:
        about, row = stored.attributes["incident"], stored.attributes["capture"]
        incident = {
            **_known({**{name: [] for name in _BULKY}, **_mapping(about)}, INCIDENT_COLUMNS),
            "artefact_key": None,
            "stored_bytes": 0,
            "state": "active",
        }
        capture = {
            **_known(_mapping(row), CAPTURE_COLUMNS),
            "artefact_key": key,
            "profile_path": f"{ARTEFACTS_NAME}/{key}",
            "state": "active",
        }
        time_of(capture["captured_at"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtefactError(f"{key} is not a capture of monitord") from error
    capture["size_bytes"], capture["checksum"] = stored.size, stored.checksum
    capture["stored_bytes"] = stored.stored_size
    return incident, capture


def kind_of(metadata: StorageMetadata) -> str:
    """What an artefact holds: KIND_INCIDENT, KIND_CAPTURE, or something that is not ours."""
    return str(metadata.attributes.get("kind"))


def difference_of_capture(found: StorageMetadata, row: Facts) -> str | None:
    """Name the columns in which an artefact's header, which no checksum covers, differs from its row."""
    held = found.attributes.get("capture")
    return _difference(held, row, FIXED_OF_CAPTURE) if isinstance(held, Mapping) else "what it is of"


def difference_of_incident(artefacts: StorageManager, row: Facts) -> str | None:
    """Say how an incident's row, its own artefact and that one's header differ. Raises ArtefactError."""
    key = row["artefact_key"]
    held, _captures = read_incident_artefact(artefacts, key)
    header = artefacts.get_metadata(key).attributes
    return _difference(held, row, FIXED_OF_INCIDENT) or _difference(header, held, _IN_HEADER)


def _difference(held: Mapping[str, Any], row: Facts, names: Sequence[str]) -> str | None:
    """Earlier versions knew fewer columns: what one of both lacks is not compared."""
    both = [name for name in names if name in held and name in row]
    differing = [name for name in both if as_stored(held[name]) != as_stored(row[name])]
    return ", ".join(differing) or None


def is_same_checksum(one: str | None, other: str | None) -> bool:
    """Whether two checksums agree; rows written by earlier versions hold bare hex digits."""
    return (one or "").removeprefix("sha256:") == (other or "").removeprefix("sha256:")


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError("not a table")
    return value


def _known(facts: Mapping[str, Any], columns: Sequence[str]) -> Facts:
    """Only what we have columns for; what a newer monitord added is left out."""
    return {name: facts[name] for name in columns if name in facts}
