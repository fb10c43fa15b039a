"""Messages on the desktop of the session that asks: of a recorder that belongs to none, as the machine's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from monitord.actions import incidents
from monitord.actions.lists import follow_recent
from monitord.actions.workspace import Workspace
from monitord.config.telling import NotifySettings, ReceiverSettings
from monitord.errors import NotFoundError
from monitord.model import ProfileRecord, TriggerMetric
from monitord.notify.messages import incident_message
from monitord.notify.outbox import Outbox
from monitord.notify.receivers import load
from monitord.notify.sending import hand_over
from monitord.storage.views import RecentFilter

_NAME = "desktop"


def show_on_desktop(workspace: Workspace) -> Iterator[str | None]:
    """Show each incident from now on in this session, and yield its title; None at each step in between.

    By the `[notify]` that is configured: folded, limited, quiet at night. Raises NotFoundError without a
    desktop. Never ends.
    """
    receiver = ReceiverSettings(name=_NAME, kind="desktop")
    reason = load("desktop").check(receiver)
    if reason is not None:
        raise NotFoundError(f"cannot show messages: {reason}")
    settings = msgspec.structs.replace(workspace.settings.notify, receivers=(receiver,))
    return _shown(workspace, settings, receiver)


def _shown(
    workspace: Workspace, settings: NotifySettings, receiver: ReceiverSettings
) -> Iterator[str | None]:
    outbox, begun = Outbox(datetime.now(UTC)), datetime.now(UTC)
    waiting: dict[str, tuple[ProfileRecord, float]] = {}
    for fresh in follow_recent(workspace, RecentFilter(limit=1)):
        for record in reversed(fresh):
            is_new = (record.raised_at or record.captured_at) >= begun
            if is_new and record.trigger_metric is not TriggerMetric.MANUAL:
                waiting.setdefault(record.correlation_id, (record, time.monotonic()))
        for name, (record, since_s) in list(waiting.items()):
            if _admit(
                workspace, outbox, record, settings, is_late=time.monotonic() - since_s > settings.after_s
            ):
                del waiting[name]
        now = datetime.now(UTC)
        outbox.release(settings, now)
        for _ in outbox.due(now):
            one = outbox.begin(_NAME)
            error = hand_over(receiver, one.message, settings.deadline_s)
            outbox.note(_NAME, one.id, error, datetime.now(UTC))
            yield str(one.message["title"]) if error is None else f"{one.message['title']}: {error}"
        yield None


def _admit(
    workspace: Workspace, outbox: Outbox, record: ProfileRecord, settings: NotifySettings, *, is_late: bool
) -> bool:
    """Put an incident down when its evidence is there or it is late; False: it is waited for."""
    try:
        view = incidents.incident(workspace, record.correlation_id)
    except NotFoundError:
        return True  # deleted meanwhile
    is_ready = view.cause is not None and incidents.pending_profile(workspace, view) is None
    if is_ready or is_late:
        message = incident_message(view, is_ready=is_ready)
        outbox.admit(message, record.process_name, settings, datetime.now(UTC))
    return is_ready or is_late
