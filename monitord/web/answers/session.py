"""What every page needs to know: who answers, whether it may act, and whether somebody records."""

from __future__ import annotations

from typing import Any

import monitord
from monitord.actions.recorder import recorder_trouble
from monitord.web.question import Question


def about(asked: Question) -> dict[str, Any]:
    """Say which monitord this is, whose store it reads, and what keeps its answers from being whole."""
    asked.only()
    found = recorder_trouble(asked.workspace.data_dir)
    return {
        "version": monitord.__version__,
        "data_dir": str(asked.workspace.data_dir),
        "allows_actions": asked.allows_actions,
        "trouble": found.text if found else None,
    }
