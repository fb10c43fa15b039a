"""What there is to choose from, for a shell that completes what one types: a few hundred at most."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

from monitord.actions.workspace import Workspace
from monitord.export.units import age
from monitord.model import in_words
from monitord.storage.views import RecentFilter

_MOST = 200
Suggestion = tuple[str, str]
"""What can be typed, and what it is."""


def incidents(workspace: Workspace) -> Iterator[Suggestion]:
    """Yield the newest incidents by the names that every table shows."""
    from monitord.storage.ids import short_id

    now = datetime.now(UTC)
    with workspace.reader() as reader:
        for record in reader.each_recent(RecentFilter(limit=_MOST)):
            when = age(record.raised_at or record.captured_at, now)
            said = f"{record.process_name} {in_words(record.trigger_metric)} {when}"
            yield short_id(record.correlation_id), said


def of_incidents(workspace: Workspace, field: str) -> Iterator[Suggestion]:
    """Yield what stands in a field of the newest incidents (`user`, `cause`, …), each once."""
    with workspace.reader() as reader:
        records = reader.recent(RecentFilter(limit=_MOST))
    for value in dict.fromkeys(getattr(record, field, None) for record in records):
        if value:
            yield str(value), ""


def rules(workspace: Workspace) -> Iterator[Suggestion]:
    for rule in workspace.settings.rules:
        yield rule.name, f"{in_words(rule.metric)}{'' if rule.is_enabled else ', off'}"


def plans(workspace: Workspace) -> Iterator[Suggestion]:
    from monitord.actions.plans import list_plans

    for plan in list_plans(workspace):
        yield plan.name, "capture plan"


def indexes_on_request(_workspace: Workspace) -> Iterator[Suggestion]:
    """Yield the indexes of events that can be created and dropped."""
    from monitord.storage.events.statements import ON_REQUEST

    for each in ON_REQUEST:
        yield each.short_name, f"by {', '.join(each.columns)}"


def processes(_workspace: Workspace) -> Iterator[Suggestion]:
    """Yield the processes that run now, by number, with their names."""
    import psutil

    for process in psutil.process_iter(["pid", "name"]):
        yield str(process.info["pid"]), process.info["name"] or ""


def names_of_processes(workspace: Workspace) -> Iterator[Suggestion]:
    """Yield names of incidents' processes, then of those that run now."""
    from monitord.errors import MonitordError

    try:
        yield from of_incidents(workspace, "process_name")
    except MonitordError:
        pass  # no store yet: what runs can be named all the same
    for name in dict.fromkeys(name for _pid, name in processes(workspace)):
        yield name, "runs now"


def settings(workspace: Workspace) -> Iterator[Suggestion]:
    """Yield every key of the configuration, with the value in force."""
    from monitord.actions.settings import all_settings, rule_keys

    loaded = workspace.config()
    found = {each.key: str(each.value) for each in all_settings(loaded)}
    yield from {**dict.fromkeys(rule_keys(loaded), "of a rule"), **found}.items()


def artefacts(workspace: Workspace) -> Iterator[Suggestion]:
    from monitord.actions.artefacts import list_artefacts

    for each in islice(list_artefacts(workspace, ""), _MOST):
        yield each.key, each.metadata.tags.get("process", "") if each.metadata else "damaged"
