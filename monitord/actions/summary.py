"""One incident in a few lines, redacted, ready to paste."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitord.actions.reporting import known_of
from monitord.actions.workspace import Workspace

if TYPE_CHECKING:
    from monitord.export.summary import Summary


def summary(workspace: Workspace, name: str, *, raw: bool = False) -> Summary:
    """Return an incident in a few lines, without secrets and identities; `raw` hides nothing.

    `as_text()` and `as_markdown()` write it. Raises NotFoundError for no such incident.
    """
    from monitord.export.summary import summary_of

    return summary_of(known_of(workspace, name, raw=raw, in_brief=True).document)
