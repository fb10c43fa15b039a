"""The recorder: what it costs, how full its store is, its jobs, what is degraded."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from monitord.actions import recorder
from monitord.web.question import Question


def overview(asked: Question) -> dict[str, Any]:
    """Tell how the recorder and its store are, and this server's cache; without either it says so."""
    asked.only()
    cache = asked.workspace.cache_counts()
    return {**recorder.overview(asked.workspace).as_json(), "cache": cache and asdict(cache)}
