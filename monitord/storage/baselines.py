"""Which incident holds a program's baseline: kept in the global state by the program's id.

A baseline is an incident of the rule `baseline`: retention, `show` and `compare` treat it as any other.
"""

from __future__ import annotations

import json
from datetime import timedelta

from monitord.storage.state import Storage

_PREFIX = "baseline/"
_KEPT = timedelta(days=30)  # as long as the summaries, which hold the hotspots
_TRIED_AGAIN = timedelta(days=1)


def baseline_id(state: Storage, program: str) -> str | None:
    """Return the baseline's correlation id; "" when none could be taken lately; None when none was tried."""
    item = state.get(_PREFIX + program)
    if item is None:
        return None
    try:
        kept = json.loads(item.data)
    except ValueError:
        return None
    return kept if isinstance(kept, str) else None


def note_baseline(state: Storage, program: str, correlation_id: str) -> None:
    """From now on this incident is the program's baseline; "" remembers for a day that none was to be had."""
    ttl = _KEPT if correlation_id else _TRIED_AGAIN
    state.set(_PREFIX + program, json.dumps(correlation_id).encode(), ttl=ttl)
