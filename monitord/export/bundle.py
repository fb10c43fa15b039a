"""Incidents made fit to leave this machine: redacted, scanned again, and what is left replaced.

The first pass replaces secrets and identities. The second scan goes by other means; what it finds is replaced
and counted, and everything else is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from monitord import __version__
from monitord.export.shapes import CSV_DETAIL_KEYS, detail, flat_detail
from monitord.export.text import csv_rows, iso, json_text
from monitord.redaction import Redactor, SecondScan
from monitord.storage.views import IncidentView

FORMAT = "monitord-export/1"


@dataclass(frozen=True, slots=True)
class Identities:
    """This machine's names, so that they can be replaced wherever they stand."""

    users: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    machine_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bundle:
    """What is to be written, and how often each rule hid something; `hidden` is None for a raw one.

    `replaced` counts by incident what only the second scan found.
    """

    incidents: tuple[Mapping[str, Any], ...]
    exported_at: datetime
    hidden: Mapping[str, int] | None = field(default_factory=dict)
    replaced: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> str:
        """One object: who wrote it, what was hidden, the incidents as `show -o json` has them."""
        document = {
            "format": FORMAT,
            "monitord": __version__,
            "exported_at": iso(self.exported_at),
            "redacted": self.hidden is not None,
            "hidden": self.hidden,
            "replaced": self.replaced,
            "incidents": list(self.incidents),
        }
        return json_text(document) + "\n"

    def as_csv(self) -> str:
        """One row an incident, RFC 4180."""
        return csv_rows(CSV_DETAIL_KEYS, [flat_detail(incident) for incident in self.incidents])


def raw_bundle(views: Sequence[IncidentView], now: datetime) -> Bundle:
    """Everything as it is stored."""
    return Bundle(tuple(detail(view) for view in views), now, None)


def redacted_bundle(views: Sequence[IncidentView], now: datetime, identities: Identities) -> Bundle:
    """The same without secrets and identities, and without what a second scan still finds."""
    shaped = [detail(view) for view in views]
    users = {view.process.user for view in views if view.process and view.process.user}
    redactor = Redactor(
        users=(*identities.users, *users), hosts=identities.hosts, machine_ids=identities.machine_ids
    )
    for incident in shaped:
        redactor.learn(incident)  # a secret found in one place is removed in every other
        if incident["process"]:
            words = incident["process"]["command_line"]
            redactor.learn_words(words)
            incident["process"]["command_line"] = redactor.words(words)
    safe = [_redacted(redactor, incident) for incident in shaped]
    replaced: dict[str, int] = {}
    scan = SecondScan(redactor.secrets)
    for number, incident in enumerate(safe):
        before = scan.replaced
        safe[number] = _scanned(scan, incident)
        if scan.replaced > before:
            replaced[incident["correlation_id"]] = scan.replaced - before
    return Bundle(tuple(safe), now, dict(sorted(redactor.counts.items())), replaced)


# Our own words and numbers: they say nothing about anybody and must stay comparable.
_OWN_KEYS = frozenset(
    {"id", "correlation_id", "captured_at", "raised_at", "crossed_at", "taken_at", "started_at", "checksum"}
    | {"func_id", "stmt_id", "func_hash", "ast_version"}
)


def _redacted(redactor: Redactor, value: Any) -> Any:
    """The same shape with every text redacted, but for our own ids and times."""
    walked = redactor.value(value)
    return _restore(value, walked)


def _restore(before: Any, after: Any) -> Any:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return {
            key: before[key] if key in _OWN_KEYS else _restore(before.get(key), inner)
            for key, inner in after.items()
        }
    if isinstance(before, list) and isinstance(after, list):
        return [_restore(old, new) for old, new in zip(before, after, strict=True)]
    return after


def _scanned(scan: SecondScan, value: Any, key: str = "") -> Any:
    """The same shape, scanned again; a command line as one."""
    if isinstance(value, str):
        return value if key in _OWN_KEYS else scan.text(value)
    if isinstance(value, Mapping):
        return {name: _scanned(scan, inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list):
        is_words = key == "command_line" and all(isinstance(word, str) for word in value)
        return scan.words(value) if is_words else [_scanned(scan, inner, key) for inner in value]
    return value
