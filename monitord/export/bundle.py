"""Incidents made fit to leave this machine: redacted, scanned again, refused when anything is left.

The first pass replaces secrets and identities; the second scan shares no rule with it and fails closed,
naming its rule and never the secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from monitord import __version__
from monitord.errors import MonitordError
from monitord.export.shapes import CSV_DETAIL_KEYS, detail, flat_detail
from monitord.export.text import csv_rows, iso, json_text
from monitord.redaction import Redactor, find_secrets, redact_argv
from monitord.storage.views import IncidentView

FORMAT = "monitord-export/1"


class LeakError(MonitordError):
    """The second scan found something; nothing was written."""


@dataclass(frozen=True, slots=True)
class Identities:
    """Who this machine is, so that its names can be taken out wherever they stand."""

    users: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    machine_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bundle:
    """What is to be written, and how often each rule hid something; `hidden` is None for a raw one."""

    incidents: tuple[Mapping[str, Any], ...]
    exported_at: datetime
    hidden: Mapping[str, int] | None = field(default_factory=dict)

    def as_json(self) -> str:
        """One object: who wrote it, what was hidden, the incidents as `show -o json` has them."""
        document = {
            "format": FORMAT,
            "monitord": __version__,
            "exported_at": iso(self.exported_at),
            "redacted": self.hidden is not None,
            "hidden": self.hidden,
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
    """The same without secrets and identities; raises LeakError when the second scan still finds one."""
    shaped = [detail(view) for view in views]
    users = {view.process.user for view in views if view.process and view.process.user}
    redactor = Redactor(
        users=(*identities.users, *users), hosts=identities.hosts, machine_ids=identities.machine_ids
    )
    for incident in shaped:
        redactor.learn(incident)  # a secret found in one place is removed in every other
        if incident["process"]:
            words = incident["process"]["command_line"]
            redactor.learn(" ".join(words))  # `--password` and its value are two words
            incident["process"]["command_line"] = list(redact_argv(words))
    safe = tuple(_redacted(redactor, incident) for incident in shaped)
    for incident in safe:
        _refuse_leaks(incident)
    return Bundle(safe, now, dict(sorted(redactor.counts.items())))


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


def _refuse_leaks(incident: Mapping[str, Any]) -> None:
    for path, text in _texts("", incident):
        rules = find_secrets(text)
        if rules:
            raise LeakError(
                f"export refused, nothing written: in {incident['correlation_id']} something secret is left "
                f"at {path} (rule {', '.join(rules)}); leave that one out, or say --raw if the receiver may "
                "see everything"
            )


def _texts(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every text with where it stands; also as `key=value`, and the words of a list joined."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key in _OWN_KEYS:
                continue
            yield from _texts(f"{path}.{key}".lstrip("."), inner)
            if isinstance(inner, str):
                yield f"{path}.{key}".lstrip("."), f"{key}={inner}"
    elif isinstance(value, list):
        if all(isinstance(item, str) for item in value):
            yield path, " ".join(value)
        for index, inner in enumerate(value):
            yield from _texts(f"{path}[{index}]", inner)
