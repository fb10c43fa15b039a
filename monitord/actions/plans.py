"""Capture plans: how to profile some processes, from the recorder's next alert on."""

from __future__ import annotations

from collections.abc import Sequence

from monitord.actions.workspace import Workspace
from monitord.model import NamedPlan
from monitord.storage import plans


def set_plan(workspace: Workspace, plan: NamedPlan) -> None:
    """Set how to profile some processes; replaces the plan of its name. Raises UsageError."""
    with workspace.store() as store:
        store.keep_plan(plan)


def get_plan(workspace: Workspace, name: str) -> NamedPlan:
    """Return one plan; raises NotFoundError."""
    with workspace.reader() as reader:
        return plans.get_capture_plan(reader.storage, name)


def list_plans(workspace: Workspace) -> Sequence[NamedPlan]:
    """Return the plans in the order in which they are tried; damaged ones are told and left out."""
    with workspace.reader() as reader:
        return plans.list_capture_plans(reader.storage, lambda error: workspace.tell(f"monitord: {error}"))


def delete_plan(workspace: Workspace, name: str) -> None:
    """Delete a plan; raises NotFoundError."""
    with workspace.store() as store:
        store.drop_plan(name)
