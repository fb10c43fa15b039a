"""Where everything is kept: nothing acknowledged is lost, nothing half-written is visible.

The only home of SQLAlchemy. Names are looked up when they are first used (PEP 562), because the asking
half (`StoreReader` and its values) must start fast and never loads SQLAlchemy, which the writing half needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitord.lazy_exports import names_from

if TYPE_CHECKING:
    from monitord.storage.artefacts import ArtefactError
    from monitord.storage.folder import check_data_dir
    from monitord.storage.ids import new_correlation_id
    from monitord.storage.profile_store import ProfileStore
    from monitord.storage.queries import RecentProfilesViewModel, StoreReader
    from monitord.storage.store import SQLiteProfileStore, open_store
    from monitord.storage.views import Counts, IncidentView, NotCaptured, RecentFilter, Usage
    from monitord.storage.writer import Writer

_HOMES = {
    "ArtefactError": "artefacts",
    "Counts": "views",
    "IncidentView": "views",
    "NotCaptured": "views",
    "ProfileStore": "profile_store",
    "RecentFilter": "views",
    "RecentProfilesViewModel": "queries",
    "SQLiteProfileStore": "store",
    "StoreReader": "queries",
    "Usage": "views",
    "Writer": "writer",
    "check_data_dir": "folder",
    "new_correlation_id": "ids",
    "open_store": "store",
}

__all__ = [
    "ArtefactError",
    "Counts",
    "IncidentView",
    "NotCaptured",
    "ProfileStore",
    "RecentFilter",
    "RecentProfilesViewModel",
    "SQLiteProfileStore",
    "StoreReader",
    "Usage",
    "Writer",
    "check_data_dir",
    "new_correlation_id",
    "open_store",
]

__getattr__ = names_from(__name__, _HOMES)
