"""Small state by key, apart for each user and session: cooldowns, last runs, plans, preferences, sessions.

The only key-value store there is. `open_state(url)` opens one; the daemon's lies in its database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitord.lazy_exports import names_from
from monitord.storage.state.errors import InvalidOptionsError, StateFullError, StateUnavailableError
from monitord.storage.state.items import (
    ANY,
    DEADLINE_S,
    Put,
    Remove,
    Storage,
    StorageItem,
)
from monitord.storage.state.names import Namespace, SessionNamespace, UserNamespace
from monitord.storage.state.storage import NamespacedStorage

if TYPE_CHECKING:
    from monitord.storage.state.opening import open_state

__all__ = [
    "ANY",
    "DEADLINE_S",
    "InvalidOptionsError",
    "Namespace",
    "NamespacedStorage",
    "Put",
    "Remove",
    "SessionNamespace",
    "StateFullError",
    "StateUnavailableError",
    "Storage",
    "StorageItem",
    "UserNamespace",
    "open_state",
]

__getattr__ = names_from(__name__, {"open_state": "opening"})
