"""Single events, how many there are, and letting the oldest go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from monitord.actions.confirming import require_confirmation
from monitord.actions.workspace import Workspace
from monitord.errors import UsageError
from monitord.model import Event

if TYPE_CHECKING:
    from monitord.storage.events.stats import EventStats


def event(workspace: Workspace, event_id: str) -> Event:
    """Return one event; raises NotFoundError, UsageError for an invalid id."""
    with workspace.reader() as reader:
        return reader.event(event_id)


def event_stats(workspace: Workspace) -> EventStats:
    """How many events there are, and what they take."""
    with workspace.reader() as reader:
        return reader.event_stats()


def prune_events(
    workspace: Workspace, older_than: timedelta | None, max_events: int | None, *, confirmed: bool
) -> int:
    """Delete the oldest events that no incident needs, by age or beyond a number; how many.

    What belongs to an incident goes with it, but for samples, which it has in its own history.
    """
    if older_than is None and max_events is None:
        raise UsageError("invalid call: neither an age nor a number, expected --older-than or --max")
    words = [] if older_than is None else ["--older-than", f"{older_than.total_seconds():g}s"]
    words += [] if max_events is None else ["--max", str(max_events)]
    require_confirmation(confirmed, "delete events", "events", "prune", *words)
    before = None if older_than is None else datetime.now(UTC) - older_than
    with workspace.store() as store:
        return store.prune_events(max_events=max_events, before=before)
