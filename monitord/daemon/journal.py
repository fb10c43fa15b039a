"""What the daemon does and meets itself, as events: starts and ends, jobs, trouble with the storage.

Written on the writer's thread and of little weight: when there is no room for an event it is lost, and
nothing waits for it. What belongs to an incident is not here: it is stored with the incident. `Messages` has
people told of both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.errors import MonitordError, StorageError
from monitord.logs import get_logger
from monitord.model import Alert, Event, EventType, Incident
from monitord.scheduling import TaskOutcome
from monitord.storage import SQLiteProfileStore, Writer
from monitord.storage.artefacts.monitor import StorageAlert

if TYPE_CHECKING:
    from monitord.config import Settings
    from monitord.daemon.message_supervisor import MessageSupervisor

_ROUTINE = frozenset({"storage_health"})  # every five minutes; said only when it does not go well


class Journal:
    """Takes down what happened to the daemon."""

    def __init__(self, store: SQLiteProfileStore, writer: Writer, messages: Messages | None = None) -> None:
        self._store = store
        self._writer = writer
        self._messages = messages

    def daemon(self, what: str, version: str) -> None:
        """Note that the daemon started or ended."""
        self._note(Event(EventType.DAEMON, datetime.now(UTC), payload={"what": what, "version": version}))

    def reload(self, *, refused: str | None = None, needs_restart: Sequence[str] = ()) -> None:
        """The configuration was read again: refused, or taken."""
        said: dict[str, object] = {"what": "reload refused" if refused else "reloaded"}
        said |= {"reason": refused} if refused else {}
        said |= {"needs_restart": list(needs_restart)} if needs_restart else {}
        self._note(Event(EventType.DAEMON, datetime.now(UTC), payload=said))

    def trouble(self, what: str, reason: str) -> None:
        """Record something that happened to the daemon, for people who look back."""
        self._note(Event(EventType.DAEMON, datetime.now(UTC), payload={"what": what, "reason": reason}))

    def repeat(self, correlation_id: str, alert: Alert) -> None:
        """Note a suppressed alert, which counts with the incident of the same process before it."""
        said: dict[str, object] = {
            "rule": alert.rule,
            "trigger_metric": alert.metric.value,
            "trigger_value": alert.value,
            "suppressed_by": alert.suppressed_by,
        }
        self._note(
            Event(
                EventType.REPEAT,
                alert.raised_at,
                pid=alert.target.pid if alert.target else None,
                start_ticks=alert.target.start_ticks if alert.target else None,
                process_name=alert.process_name,
                correlation_id=correlation_id,
                payload=said,
            )
        )

    def job(self, done: TaskOutcome) -> None:
        """A job ran."""
        if done.name in _ROUTINE and done.outcome == "ok":
            return
        said = {
            "job": done.name,
            "outcome": done.outcome,
            "detail": done.detail,
            "duration_s": round(done.duration_s, 3),
        }
        self._note(Event(EventType.JOB, done.started_at, payload=said))

    def storage(self, alert: StorageAlert) -> None:
        """The storage is in trouble, or no longer."""
        is_over = alert.recovered_at is not None
        said = {
            "check": alert.check,
            "level": "recovered" if is_over else alert.level.value,
            "detail": alert.message,
        }
        self._note(Event(EventType.STORAGE, alert.recovered_at or alert.raised_at, payload=said))
        if self._messages is not None:
            self._messages.storage(alert)

    def _note(self, event: Event) -> None:
        try:
            self._writer.submit(lambda: self._store_event(event), may_drop=True)
        except MonitordError:
            return  # the writer is closed: the daemon ends

    def _store_event(self, event: Event) -> None:
        try:
            self._store.events.store_event(event)
        except MonitordError as error:
            get_logger().debug("event.lost", type=event.event_type.value, reason=str(error))


class Messages:
    """What is told of what was stored. Until a receiver is configured there is no supervisor to carry."""

    def __init__(self, data_dir: Path, config_path: Path | None, writer: Writer) -> None:
        self._data_dir = data_dir
        self._config_path = config_path
        self._writer = writer
        self._supervisor: MessageSupervisor | None = None

    def use(self, settings: Settings) -> None:
        """Tell whom this configuration names from now on."""
        if not settings.notify.enabled_receivers:
            self.close(0.0)
            return
        if self._supervisor is None:
            from monitord.daemon.message_supervisor import MessageSupervisor

            self._supervisor = MessageSupervisor(self._data_dir, self._config_path, settings.notify.after_s)
        self._supervisor.use(settings.notify.after_s)

    @property
    def trouble(self) -> str | None:
        """Why messages wait, in words."""
        supervisor = self._supervisor
        return supervisor.trouble if supervisor is not None else None

    def saved(self, incident: Incident) -> None:
        """An incident is durable."""
        supervisor = self._supervisor  # a reload may take it away
        if supervisor is not None:
            supervisor.saved(incident)

    def settled(self, correlation_id: str) -> None:
        """An incident gets nothing more; it is told behind what the writer still has to save of it."""
        supervisor = self._supervisor
        if supervisor is not None:
            with contextlib.suppress(StorageError):  # the writer is closed or full: it is told in a while
                self._writer.submit(partial(supervisor.settled, correlation_id), may_drop=True)

    def storage(self, alert: StorageAlert) -> None:
        """The storage is in trouble, or no longer."""
        supervisor = self._supervisor  # a reload may take it away
        if supervisor is not None:
            supervisor.storage(alert)

    def poll(self) -> None:
        """Go on with what is due; never waits."""
        supervisor = self._supervisor  # a reload may take it away
        if supervisor is not None:
            supervisor.poll()

    def close(self, within_s: float) -> None:
        """End the sender; what it has not told is told by a later one."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.close(within_s)
