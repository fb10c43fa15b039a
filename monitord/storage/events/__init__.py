"""The event store: everything that monitord sees and does, in the order of time, found by what it is about.

Names are looked up when they are first used: asking through `filters` and `statements` needs no SQLAlchemy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitord.lazy_exports import names_from

if TYPE_CHECKING:
    from monitord.storage.events.access import DataAccess, EventPlan
    from monitord.storage.events.filters import EventFilter, cursor_after
    from monitord.storage.events.pruning import Pruner
    from monitord.storage.events.statements import QueryOptimizer
    from monitord.storage.events.stats import EventStats
    from monitord.storage.events.store import EventStore

_HOMES = {
    "DataAccess": "access",
    "EventFilter": "filters",
    "EventPlan": "access",
    "EventStats": "stats",
    "EventStore": "store",
    "Pruner": "pruning",
    "QueryOptimizer": "statements",
    "cursor_after": "filters",
}

__all__ = [
    "DataAccess",
    "EventFilter",
    "EventPlan",
    "EventStats",
    "EventStore",
    "Pruner",
    "QueryOptimizer",
    "cursor_after",
]

__getattr__ = names_from(__name__, _HOMES)
