"""Profiles of incidents by OTLP: what was taken before or during an alert, at least once under its ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from monitord.actions.exporting import profile_in_form
from monitord.actions.workspace import Workspace
from monitord.config import Settings
from monitord.errors import MonitordError, StorageError
from monitord.export.evidence import MAX_EVIDENCE_BYTES, Evidence
from monitord.metrics.otlp_client import NotTakenError, OtlpClient
from monitord.metrics.otlp_ledger import PROFILES_LEDGER_FILE, SETTLED, note, open_ledger, untold
from monitord.metrics.otlp_messages import nanoseconds, told_of
from monitord.metrics.otlp_profiles import (
    PROFILES,
    VERSION_HEADER,
    ProfileAbout,
    empty_request,
    profile_requests,
    rejected_profiles,
    require_profiles,
)
from monitord.model import BEFORE, ProfileRecord, counted
from monitord.profiles.formats import FORMATS
from monitord.storage.artefacts.errors import AccessDeniedError, TransientError
from monitord.storage.queries import StoreReader
from monitord.storage.views import IncidentView

_INCIDENTS_AT_MOST = 16  # a round: each profile is read, redacted and written by a child
_ROLES = (BEFORE, "profile")
# The path or the method is not there, or version 1 of a signal in development is not taken (400, as the
# protocol says it): asked with an empty request, it can be nothing else.
_TAKES_NONE = frozenset({400, 404, 405, 415, 501})


@dataclass(slots=True)
class _Sent:
    """What became of the profiles of a round."""

    profiles: int = 0
    refused: int = 0
    words: str = ""
    unread: int = 0

    def __str__(self) -> str:
        refused = f", {self.refused} refused by it{f' ({self.words})' if self.words else ''}"
        unread = f", {self.unread} that can't be read"
        return (
            f"{counted(self.profiles, 'profile')}{refused if self.refused else ''}"
            f"{unread if self.unread else ''}"
        )


def send_profiles(workspace: Workspace, settings: Settings, client: OtlpClient) -> str:
    """Send the profiles of incidents that were not taken yet; what was sent, in words.

    Raises NotTakenError, MonitordError.
    """
    require_profiles()
    now, path = datetime.now(UTC), workspace.data_dir / PROFILES_LEDGER_FILE
    settled = _settled(settings)
    ledger = open_ledger(path, now, settled)
    sent = _Sent()
    is_asked = False
    with workspace.reader() as reader:
        for view in islice(untold(reader, ledger, now, settled), _INCIDENTS_AT_MOST):
            key = ledger.key_of(view.correlation_id)
            for record in _profiles_of(view):
                if not is_asked:  # before the first is read for nothing
                    _ask_for_profiles(client, settings.otlp.endpoint)
                    is_asked = True
                _send_one(client, reader, view, record, key, sent)
            note(path, ledger, [view], now)
    return str(sent)


def _settled(settings: Settings) -> timedelta:
    """So long after an alert its profile may still be taken."""
    taken_s = settings.capture.duration_s + settings.capture.grace_s
    return SETTLED + timedelta(seconds=taken_s)


def _profiles_of(view: IncidentView) -> Iterator[ProfileRecord]:
    for record in view.captures:
        is_kept = record.status.has_evidence and record.artefact_key is not None
        if record.role in _ROLES and is_kept and record.format in FORMATS:
            yield record


def _ask_for_profiles(client: OtlpClient, endpoint: str) -> None:
    try:
        client.post(PROFILES, empty_request(), VERSION_HEADER)
    except NotTakenError as error:
        if error.status not in _TAKES_NONE:
            raise
        raise MonitordError(
            f"cannot send profiles to {endpoint}: it takes none ({error} at {PROFILES});"
            ' let it take them (docs/metrics.md), or leave "profiles" out of otlp.signals'
        ) from error


def _send_one(
    client: OtlpClient,
    reader: StoreReader,
    view: IncidentView,
    record: ProfileRecord,
    key: bytes,
    sent: _Sent,
) -> None:
    written = _written(reader, view, record, key)
    if written is None:
        sent.unread += 1
        return
    refused, words, parts = 0, "", 0
    for request in profile_requests(written, _about(view, record, key)):
        parts += 1
        try:
            rejected, said = rejected_profiles(client.post(PROFILES, request, VERSION_HEADER))
        except NotTakenError as error:
            if not error.is_bad_data:
                raise
            rejected, said = 1, str(error)
        refused, words = refused + rejected, words or said
    if refused:
        sent.refused, sent.words = sent.refused + 1, sent.words or words
    elif parts:
        sent.profiles += 1


def _written(reader: StoreReader, view: IncidentView, record: ProfileRecord, key: bytes) -> bytes | None:
    """The profile, redacted, as profile-json; None where it can't be had, now and for ever."""
    assert record.artefact_key is not None  # noqa: S101  `_profiles_of` gives none; tells mypy
    try:
        payload = reader.payload(record.artefact_key, MAX_EVIDENCE_BYTES)
    except (TransientError, AccessDeniedError):
        raise
    except StorageError:
        return None
    try:
        return profile_in_form(Evidence(view, record, payload), "profile-json", raw=False, key=key).content
    except MonitordError:
        return None


def _about(view: IncidentView, record: ProfileRecord, key: bytes) -> ProfileAbout:
    told = told_of(view, key)
    return ProfileAbout(
        name=f"{view.correlation_id}\0{record.artefact_key}",
        taken_at_ns=nanoseconds(record.captured_at),
        duration_ns=max(0, record.duration_seconds) * 1_000_000_000,
        facts={
            "monitord.incident.id": view.correlation_id,
            "monitord.rule": view.rule,
            "monitord.metric": view.metric.value,
            "monitord.capture.role": record.role,
            "monitord.profiler": record.profiler,
            "process.executable.name": told["process_name"],
            "process.pid": record.pid,
        },
    )
