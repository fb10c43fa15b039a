"""An incident's files: one artefact for each capture that left bytes, and one for the incident itself.

The incident's own artefact (`…-incident.json.zst`) holds everything its rows hold: reason, history, pin,
failed captures. It is written after the others and rewritten when the incident is pinned or becomes a
summary, so that a lost database comes back from the folder alone, and no sidecar has to be kept in step.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from monitord.errors import StorageError
from monitord.model import Capture, CaptureStatus
from monitord.storage.artefacts import ArtefactError, ArtefactStore, is_key
from monitord.storage.cells import time_of
from monitord.storage.facts import CAPTURE_COLUMNS, INCIDENT_COLUMNS, Facts
from monitord.storage.schema import ARTEFACTS_NAME

KIND_INCIDENT = "incident"
KIND_CAPTURE = "capture"
_BULKY = ("history", "hotspots", "not_captured")


def store_evidence(artefacts: ArtefactStore, incident: Facts, facts: Facts, capture: Capture) -> str | None:
    """Store a capture's bytes, if it left any, and note in its facts where they are; the key."""
    payload = capture.payload if capture.payload is not None else capture.path
    if payload is None:
        return None
    key = _free_key(artefacts, facts, capture.role, capture.format or "bin")
    about = {name: value for name, value in incident.items() if name not in _BULKY}
    metadata = {"kind": KIND_CAPTURE, "incident": about, "capture": facts}
    try:
        stored = artefacts.put(key, payload, metadata)
    except ArtefactError as error:  # this evidence can't be had; the rest of the incident still counts
        facts["status"], facts["failure_reason"] = CaptureStatus.TOOL_ERROR.value, str(error)
        step = {"profiler": capture.profiler, "status": facts["status"], "reason": str(error), "fix": None}
        incident["not_captured"].append(step)
        return None
    facts["artefact_key"], facts["profile_path"] = key, f"{ARTEFACTS_NAME}/{key}"
    facts["size_bytes"], facts["stored_bytes"] = stored.size_bytes, stored.stored_bytes
    facts["checksum"] = stored.checksum
    return key


def store_incident_artefact(artefacts: ArtefactStore, incident: Facts, captures: Sequence[Facts]) -> str:
    """Write the incident's own artefact, new or again, and note in its facts where it is; the key."""
    key: str = incident["artefact_key"] or _free_key(
        artefacts, {**incident, "captured_at": incident["raised_at"]}, "incident", "json"
    )
    incident["artefact_key"] = key
    kept = {name: incident[name] for name in INCIDENT_COLUMNS if name not in ("stored_bytes", "state")}
    rows = [{name: capture[name] for name in CAPTURE_COLUMNS} for capture in captures]
    payload = json.dumps({"incident": kept, "captures": rows}, separators=(",", ":")).encode("ascii")
    named = {
        name: incident[name] for name in ("correlation_id", "rule", "process_name", "raised_at", "pinned")
    }
    stored = artefacts.put(key, payload, {"kind": KIND_INCIDENT, **named}, replace=True)
    incident["stored_bytes"] = stored.stored_bytes
    return key


def _free_key(artefacts: ArtefactStore, facts: Facts, role: str, suffix: str) -> str:
    at = time_of(facts["captured_at"])
    stem = f"{_stamp(at)}-{facts['pid'] or 0}-{facts['correlation_id']}-{_plain(role)}"
    key, n = f"{stem}.{_plain(suffix)}.zst", 1
    while artefacts.exists(key):
        n += 1
        key = f"{stem}-{n}.{_plain(suffix)}.zst"
    return key


def _stamp(at: datetime) -> str:
    return at.replace(microsecond=0).isoformat().replace("-", "").replace(":", "").replace("+0000", "Z")


def _plain(word: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", word)[:24]


def remove_evidence(artefacts: ArtefactStore, keys: Sequence[str | None]) -> int:
    """Remove files by their keys, durably; the bytes they took. A row's key that is none reaches no file."""
    freed = sum(artefacts.delete(key) for key in keys if key is not None and is_key(key))
    artefacts.sync()
    return freed


def discard_evidence(artefacts: ArtefactStore, keys: Sequence[str]) -> None:
    """As `remove_evidence`, after a failed save: what can't be removed now is adopted later."""
    with contextlib.suppress(StorageError, OSError):
        remove_evidence(artefacts, keys)


def read_incident_artefact(artefacts: ArtefactStore, key: str) -> tuple[Facts, list[Facts]]:
    """Incident and rows as they were when the artefact was written; raises ArtefactError."""
    _metadata, payload = artefacts.read(key)
    try:
        held = json.loads(payload)
        incident = {**_known(held["incident"], INCIDENT_COLUMNS), "artefact_key": key, "state": "active"}
        captures = [{**_known(row, CAPTURE_COLUMNS), "state": row["state"]} for row in held["captures"]]
        time_of(incident["raised_at"])
        if not captures:
            raise ArtefactError(f"{key} has no captures")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtefactError(f"{key} is not an incident of monitord") from error
    incident["stored_bytes"] = artefacts.stored_bytes(key)
    return incident, captures


def read_capture_artefact(artefacts: ArtefactStore, key: str) -> tuple[Facts, Facts]:
    """A capture's row, and what it knows of its incident; the payload is checked. Raises ArtefactError."""
    metadata, stored = artefacts.metadata(key), artefacts.describe(key)
    try:
        about, row = metadata["incident"], metadata["capture"]
        incident = {
            **_known({**{name: [] for name in _BULKY}, **about}, INCIDENT_COLUMNS),
            "artefact_key": None,
            "stored_bytes": 0,
            "state": "active",
        }
        capture = {
            **_known(row, CAPTURE_COLUMNS),
            "artefact_key": key,
            "profile_path": f"{ARTEFACTS_NAME}/{key}",
            "state": "active",
        }
        time_of(capture["captured_at"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtefactError(f"{key} is not a capture of monitord") from error
    capture["size_bytes"], capture["checksum"] = stored.size_bytes, stored.checksum
    capture["stored_bytes"] = stored.stored_bytes
    return incident, capture


def _known(facts: dict[str, Any], columns: Sequence[str]) -> Facts:
    """Only what we have columns for; what a newer monitord added is left out."""
    return {name: facts[name] for name in columns if name in facts}
