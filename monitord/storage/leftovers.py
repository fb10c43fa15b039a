"""What nobody needs any more, or what rows and artefacts do not agree about; and what one finds by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine, select, update

from monitord.errors import UsageError
from monitord.model import short_id
from monitord.storage import upkeep
from monitord.storage.artefact_store import ArtefactStore
from monitord.storage.artefacts import has_no_row, is_key
from monitord.storage.recovery import known_keys
from monitord.storage.tables import incident, profile_capture
from monitord.storage.usage import abandoned_files


@dataclass(frozen=True, slots=True)
class Leftovers:
    """`parts` are temporary files whose writer is gone, `abandoned` what killed captures left in the spool,
    `quarantined` files past their time, `deletions` incidents whose deletion was broken off, `orphans`
    artefacts without a row, `missing` the reverse.
    """

    parts: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()
    abandoned_bytes: int = 0
    quarantined: tuple[str, ...] = ()
    quarantined_bytes: int = 0
    deletions: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def is_nothing(self) -> bool:
        found = (self.parts, self.abandoned, self.quarantined, self.deletions, self.orphans, self.missing)
        return not any(found)


def find_leftovers(
    engine: Engine, artefact_store: ArtefactStore, data_dir: Path, quarantined_before: datetime
) -> Leftovers:
    """Look only. Of two processes that write, one may see the other's artefact before its row."""
    captures = profile_capture.c
    old = upkeep.quarantined_before(data_dir, quarantined_before)
    abandoned = abandoned_files(data_dir)
    with engine.begin() as connection:  # the write lock, as in `recovery.adopt`: rows come after their files
        present = {key for key in artefact_store.artefacts.list() if not has_no_row(key)}
        known = known_keys(connection)
        half = [
            *connection.execute(select(incident.c.correlation_id).where(incident.c.state == "deleting")),
            *connection.execute(select(captures.correlation_id).where(captures.state == "deleting")),
        ]
        active = select(captures.artefact_key).where(
            captures.state == "active", captures.artefact_key.is_not(None)
        )
        named = set(filter(is_key, connection.execute(active).scalars()))
    return Leftovers(
        parts=artefact_store.folder.parts(),
        abandoned=tuple(sorted(path.name for path, _size in abandoned)),
        abandoned_bytes=sum(size for _path, size in abandoned),
        quarantined=tuple(sorted(name for name, _size in old)),
        quarantined_bytes=sum(size for _name, size in old),
        deletions=tuple(sorted({str(row[0]) for row in half})),
        orphans=tuple(sorted(present - known)),
        missing=tuple(sorted(named - present)) if artefact_store.can_see_remote else (),
    )


def remove_artefact(engine: Engine, artefact_store: ArtefactStore, key: str) -> int:
    """Remove one artefact and mark its row missing; the bytes it took, 0 when there was none.

    Raises UsageError for what an incident is rebuilt from: it goes with its incident.
    """
    with engine.connect() as connection:
        own = select(incident.c.correlation_id).where(incident.c.artefact_key == key)
        owner = connection.execute(own).scalar()
    if owner is not None:
        name = short_id(owner)
        raise UsageError(
            f"cannot remove {key}: incident {name} is rebuilt from it; `monitord delete {name}` removes both"
        )
    freed = artefact_store.artefacts.delete(key)
    with engine.begin() as connection:
        of_it = (profile_capture.c.artefact_key == key) & (profile_capture.c.state == "active")
        connection.execute(update(profile_capture).where(of_it).values(state="missing"))
    return freed
