"""What is said: one incident, several as one message, the storage in trouble; redacted as in an export."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from monitord.export.bundle import Bundle
from monitord.export.cleaning import Identities
from monitord.export.recurrence import time_this_week
from monitord.export.verdicts import happened
from monitord.model import UNKNOWN_CAUSE, counted
from monitord.redaction import printable, redact_text
from monitord.redaction.naming import display_name
from monitord.storage.ids import short_id
from monitord.storage.views import IncidentView

FORMAT = "monitord-message/1"
STORAGE = "storage"
"""What the storage's alerts are called where a receiver chooses rules."""
_TITLE, _TEXT, _FACT = 120, 1500, 400
_LISTED = 10
_ENTRY = ("id", "kind", "rule", "name", "at")


@dataclass(frozen=True, slots=True)
class Message:
    """One message: the same for every receiver, and at every try.

    `kind` is incident, summary, storage or test; `facts` are for programs, by the keys of
    docs/notifications.md.
    """

    id: str
    kind: str
    rule: str
    title: str
    text: str
    facts: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return what a program receives."""
        about = {"format": FORMAT, "id": self.id, "kind": self.kind, "host": host(), "rule": self.rule}
        return {**about, **self.facts, "title": self.title, "text": self.text}


def host() -> str:
    """Return this machine's name, printable."""
    return printable(socket.gethostname())[:64]


def incident_message(view: IncidentView, *, is_ready: bool) -> Message:
    """Tell one incident, and how often it came this week; unless `is_ready` more evidence may come."""
    told = next(iter(Bundle(lambda: [view], datetime.now(UTC), Identities()).incidents()))
    process: Mapping[str, Any] = told["process"] or {}
    who = display_name(str(told["process_name"]), process.get("command_line") or ())
    function = _function(told["hotspots"])
    cause: Mapping[str, Any] = told["cause"] or {}
    look = f"monitord show {short_id(view.correlation_id)}"
    kind = cause.get("kind") if cause.get("kind") != UNKNOWN_CAUSE else None
    lines = [
        told["verdict"],
        f"why: {told['reason']}",
        f"function: {function}" if function else "",
        f"cause: {kind}" if kind else "",
        time_this_week(view.record.times_this_week, view.record.times_this_week_at_least),
        "" if is_ready else "more evidence may still come",
        f"look further: {look}",
    ]
    facts = {
        "raised_at": told["raised_at"],
        "process": _fact(who),
        "pid": view.record.pid or None,
        "metric": view.metric.value,
        "value": view.value,
        "severity": view.severity,
        "function": function,
        "cause": kind,
        "sentence": _fact(told["verdict"]),
        "reason": _fact(told["reason"]),
        "repeats": view.repeat_count,
        "times_this_week": view.record.times_this_week,
        "times_this_week_at_least": view.record.times_this_week_at_least,
        "is_ready": is_ready,
        "look": look,
    }
    title = f"{host()}: {who or 'the machine'}: {happened(view)}"
    return Message(view.correlation_id, "incident", view.rule, _title(title), _text(lines), facts)


def summary_message(entries: Sequence[Mapping[str, str]], more: int) -> Message:
    """Tell several at once: `entries` have id, kind, rule, name and at (ISO 8601); `more` were not kept."""
    count = len(entries) + more
    lines = [
        f"{_clock(each['at'])} {each['rule']}: {each['name'] or 'the machine'}{_show(each)}"
        for each in entries[:_LISTED]
    ]
    if count > len(lines):
        lines.append(f"and {count - len(lines):,} more")
    lines.append("look further: monitord recent")
    rules = list(dict.fromkeys(each["rule"] for each in entries))
    shown = ", ".join(rules[:3]) + (", …" if len(rules) > 3 else "")
    title = f"{host()}: {counted(count, 'further incident')} ({shown})"
    listed = [{key: each[key] for key in _ENTRY} for each in entries[:_LISTED]]
    facts = {"count": count, "incidents": listed, "look": "monitord recent"}
    name = f"summary-{entries[0]['id']}-{count}"
    return Message(name, "summary", rules[0], _title(title), _text(lines), facts)


def storage_message(alert: Mapping[str, Any]) -> Message:
    """Tell that the storage is in trouble or no longer; `alert` is what the recorder gave."""
    check, at, is_over = str(alert["check"]), str(alert["at"]), bool(alert["is_over"])
    detail = redact_text(printable(str(alert["message"])))
    said = f"storage {'recovered' if is_over else 'in trouble'}: {check}"
    fix = redact_text(printable(str(alert.get("fix") or "")))
    lines = [detail, f"fix: {fix}" if fix and not is_over else "", "look further: monitord storage status"]
    facts = {
        "raised_at": at,
        "check": check,
        "level": "recovered" if is_over else str(alert["level"]),
        "sentence": _fact(detail),
        "look": "monitord storage status",
    }
    name = f"{STORAGE}-{check}-{at}-{facts['level']}"
    return Message(name, STORAGE, STORAGE, _title(f"{host()}: {said}"), _text(lines), facts)


def trial_message(now: datetime) -> Message:
    """Tell that this is a trial."""
    sentence = "This is a test: messages of monitord arrive here."
    facts = {"raised_at": now.isoformat(), "sentence": sentence, "look": "monitord status"}
    title = _title(f"{host()}: test of monitord's messages")
    return Message(f"test-{now:%Y%m%dT%H%M%S}", "test", "test", title, _text([sentence]), facts)


def _function(hotspots: Sequence[Mapping[str, Any]]) -> str | None:
    if not hotspots:
        return None
    spot = hotspots[0]
    file = str(spot["file"] or "").rsplit("/", 1)[-1]
    place = f" ({file}:{spot['line']})" if file and spot["line"] else f" ({file})" if file else ""
    return _fact(f"{spot['function']}{place}")


def _show(entry: Mapping[str, str]) -> str:
    return f": monitord show {short_id(entry['id'])}" if entry["kind"] == "incident" else ""


def _clock(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone():%H:%M}"


def _fact(text: str) -> str:
    return _cut(printable(text), _FACT)


def _title(text: str) -> str:
    return _cut(printable(text), _TITLE)


def _text(lines: Sequence[str]) -> str:
    return _cut("\n".join(_fact(line) for line in lines if line), _TEXT)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
