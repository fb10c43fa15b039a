"""The sender: takes in what is to be told, tries each receiver when it is due, ends when nothing is soon."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from monitord.config.telling import NotifySettings
from monitord.errors import MonitordError, NotFoundError
from monitord.model import ProfileRecord, TriggerMetric
from monitord.notify.errors import NotSentError
from monitord.notify.messages import incident_message, storage_message
from monitord.notify.outbox_file import encoded, read_outbox, write_outbox
from monitord.notify.sending import hand_over_apart
from monitord.recorder.status import MESSAGES_FILE, write_status
from monitord.storage.past import PastReader
from monitord.storage.similar import incident_with_times
from monitord.storage.views import RecentFilter

_LOOKED_BACK = timedelta(hours=24)
_INCIDENTS_AT_MOST = 2048  # fewer than the outbox remembers, or one of them were told again
_SOON_S = 1.0  # what is due later is left to the next sender
_SHORTEST_WAIT_S = 0.05

Told = Mapping[str, Any]
"""A line from the recorder: `ready`, ids that have all they will get, or `storage`, an alert."""


class Sender:
    """One at a time on a data directory. `events` gets lines of the recorder, and None when it is gone."""

    def __init__(self, data_dir: Path, settings: NotifySettings, events: SimpleQueue[Any]) -> None:
        self._data_dir = data_dir
        self._settings = settings
        self._events = events
        self._receivers = {one.name: one for one in settings.enabled_receivers}
        self._outbox = read_outbox(data_dir, _now())
        self._ready: set[str] = set()
        self._in_flight: set[str] = set()
        self._is_alone = False
        self._written = b""
        self._unnoted: str | None = None

    def run(self) -> bool:
        """Send until nothing is due soon; whether every receiver takes what it is sent."""
        while True:
            self._wait(0)
            now = _now()
            next_incident = self._admit_incidents(now)
            for name in self._outbox.release(self._settings, now):
                _log(f"gave up message {name}: nobody took it for a day")
            due = [name for name in self._outbox.due(now) if name not in self._in_flight]
            tries = [(name, self._outbox.begin(name)) for name in due if not self._is_alone]
            next_due = min(
                filter(None, (self._outbox.next_due(self._settings, now), next_incident)), default=None
            )
            self._write(next_due)
            for name, one in tries:
                self._try(name, one.id, one.message)
            wait_s = (next_due - now).total_seconds() if next_due else float("inf")
            if not self._in_flight and (wait_s > _SOON_S or self._is_alone) and self._events.empty():
                return not self._complaints()
            self._wait(_SOON_S if self._in_flight else max(_SHORTEST_WAIT_S, min(wait_s, _SOON_S)))

    def _try(self, name: str, message_id: str, message: Told) -> None:
        self._in_flight.add(name)
        hand_over_apart(
            self._receivers[name],
            message,
            self._settings.deadline_s,
            lambda error: self._events.put((name, message_id, error)),
        )

    def _wait(self, within_s: float) -> None:
        """Until something happened; then take in all that did."""
        with suppress(Empty):
            self._take(self._events.get_nowait() if within_s == 0 else self._events.get(timeout=within_s))
            while True:
                self._take(self._events.get_nowait())

    def _take(self, event: Any) -> None:
        match event:
            case None:
                self._is_alone = True
            case (name, message_id, error):
                self._in_flight.discard(name)
                self._outbox.note(name, message_id, error, _now())
                self._tell(name, message_id, error)
            case {"storage": alert}:
                message = storage_message(alert)
                self._outbox.admit(message, str(alert["check"]), self._settings, _now())
            case {"ready": ids}:
                self._ready.update(ids)

    def _tell(self, name: str, message_id: str, error: NotSentError | None) -> None:
        if error is not None:
            what = "gave up" if error.is_final else "could not send"
            _log(f"{what} message {message_id} to {name}: {error}")

    def _admit_incidents(self, now: datetime) -> datetime | None:
        """Take in what was stored and is ready, or old enough; when the next one will be."""
        self._outbox.since = min(self._outbox.since, now)  # the clock may have been set back
        since = max(self._outbox.since, now - _LOOKED_BACK)
        after = timedelta(seconds=self._settings.after_s)
        upcoming = []
        try:
            with PastReader(self._data_dir) as reader:
                seen = frozenset(self._outbox.seen)
                for record in reversed(reader.recent(RecentFilter(_INCIDENTS_AT_MOST, since))):
                    if record.correlation_id in seen or record.trigger_metric is TriggerMetric.MANUAL:
                        continue
                    raised_at = record.raised_at or record.captured_at
                    is_ready = record.correlation_id in self._ready
                    if is_ready or not raised_at <= now < raised_at + after:
                        self._admit(reader, record, now, is_ready=is_ready)
                    else:
                        upcoming.append(raised_at + after)
        except NotFoundError:
            return None  # nothing was ever stored
        return min(upcoming, default=None)

    def _admit(self, reader: PastReader, record: ProfileRecord, now: datetime, *, is_ready: bool) -> None:
        try:
            view = incident_with_times(reader, record.correlation_id)
            message = incident_message(view, is_ready=is_ready)
        except NotFoundError:
            return  # deleted meanwhile
        except Exception as error:  # noqa: BLE001  around one incident: it must not cost all others their message
            said = str(error) if isinstance(error, MonitordError) else type(error).__name__
            _log(f"cannot tell incident {record.correlation_id}: {said}")
            self._outbox.skip(record.correlation_id)
            return
        self._outbox.admit(message, record.process_name, self._settings, now)

    def _write(self, next_due: datetime | None) -> None:
        """Before anything is tried: attempts count, and what was told is not told again."""
        held = encoded(self._outbox)
        if held != self._written:
            try:
                write_outbox(self._data_dir, held)
            except OSError as error:
                self._unnoted = f"cannot note what was sent: {error.strerror}; some may come twice"
            else:
                self._written, self._unnoted = held, None
        write_status(self._data_dir, self._status(next_due), MESSAGES_FILE)

    def _complaints(self) -> list[str]:
        return [*filter(None, [self._unnoted]), *self._outbox.complaints()]

    def _status(self, next_due: datetime | None) -> Mapping[str, Any]:
        shown = ("sent", "failed", "last_sent_at", "last_error", "last_error_at")
        boxes = self._outbox.boxes
        return {
            "written_at": _now(),
            "next_due_at": next_due,
            "complaints": self._complaints(),
            "receivers": {
                name: {
                    "kind": receiver.kind,
                    "waiting": len(boxes[name].waiting) if name in boxes else 0,
                    "held": len(boxes[name].held) + boxes[name].held_more if name in boxes else 0,
                    **{key: getattr(boxes[name], key) if name in boxes else None for key in shown},
                }
                for name, receiver in self._receivers.items()
            },
        }


def _log(line: str) -> None:
    print(f"monitord messages: {line}", file=sys.stderr)  # noqa: T201  to the recorder's log


def _now() -> datetime:
    return datetime.now(UTC)
