"""Artefacts by their keys, wherever they lie: listed, described, read, removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from monitord.actions.confirming import require_confirmation
from monitord.actions.workspace import Workspace
from monitord.errors import NotFoundError, StorageError, UsageError
from monitord.export.encoding import iso
from monitord.model import short_id
from monitord.redaction import printable
from monitord.storage.artefacts import (
    ArtefactError,
    DamagedArtefactError,
    InvalidKeyError,
    MissingArtefactError,
    StorageMetadata,
    WrongKeyError,
    is_probe,
)
from monitord.storage.schema import ARTEFACTS_NAME

if TYPE_CHECKING:
    from monitord.storage.artefacts import StorageManager

LISTED_KEYS = ("key", "kind", "process", "size_bytes", "stored_bytes", "created_at", "problem")


@dataclass(frozen=True, slots=True)
class ListedArtefact:
    """One artefact of a list; without metadata `problem` says why."""

    key: str
    metadata: StorageMetadata | None
    problem: str | None = None

    def as_row(self) -> dict[str, Any]:
        """Return it with the keys of docs/output.md."""
        held = self.metadata
        return {
            "key": self.key,
            "kind": held.tags.get("kind") if held else None,
            "process": held.tags.get("process") if held else None,
            "size_bytes": held.size if held else None,
            "stored_bytes": held.stored_size if held else None,
            "created_at": iso(held.created_at) if held else None,
            "problem": printable(self.problem) if self.problem else None,
        }


def list_artefacts(workspace: Workspace, prefix: str) -> Iterator[ListedArtefact]:
    """Yield artefacts whose keys begin so, by key, which is oldest first."""
    with workspace.artefacts() as artefacts:
        for key in artefacts.list(prefix):
            if is_probe(key):
                continue
            try:
                yield ListedArtefact(key, artefacts.get_metadata(key))
            except MissingArtefactError:
                continue  # deleted since it was listed
            except ArtefactError as error:
                yield ListedArtefact(key, None, str(error))


def describe_artefact(workspace: Workspace, key: str) -> dict[str, Any]:
    """Say what an artefact says of itself, whose it is, and where it lies; its bytes are not read."""
    from monitord.recorder.artefact_stores import place_of

    with workspace.artefacts() as artefacts:
        held = _metadata(artefacts, key)
    owner = _owner(workspace, key)
    return {
        "key": held.key,
        "kind": held.tags.get("kind"),
        "incident": owner[0] if owner else None,
        "row": owner[1] if owner else None,
        "place": place_of(workspace.settings.storage, workspace.data_dir / ARTEFACTS_NAME, key),
        "size_bytes": held.size,
        "stored_bytes": held.stored_size,
        "created_at": iso(held.created_at),
        "updated_at": iso(held.updated_at),
        "checksum": held.checksum,
        "content_type": held.content_type,
        "compression": held.compression,
        "encrypted_with": held.encryption.key_id if held.encryption else None,
        "archived_in": held.archived_in,
        "tags": {printable(name): printable(value) for name, value in sorted(held.tags.items())},
    }


@contextmanager
def open_artefact(workspace: Workspace, key: str) -> Iterator[BinaryIO]:
    """Open an artefact's plain bytes for the block; reading others than were stored raises StorageError."""
    with workspace.artefacts() as artefacts:
        _metadata(artefacts, key)
        with artefacts.open(key) as source:
            yield source


def remove_artefacts(
    workspace: Workspace, keys: Sequence[str], *, confirmed: bool
) -> Iterator[tuple[str, int]]:
    """Remove artefacts for good, and yield each key with the bytes it freed; their rows say so afterwards.

    One that is not there, and a missing confirmation, are raised at once.
    """
    with workspace.artefacts() as artefacts:
        for key in keys:
            with suppress(DamagedArtefactError, WrongKeyError):  # these can be removed, too
                _metadata(artefacts, key)
    for key in keys:
        owner = _owner(workspace, key)
        if owner is not None:
            name = short_id(owner[0])
            workspace.tell(f"{key} is evidence of incident {name}; `monitord show {name}` shows it")
    require_confirmation(confirmed, f"remove {len(keys)} for good", "storage", "rm", *keys)
    return _remove_each(workspace, keys)


def _remove_each(workspace: Workspace, keys: Sequence[str]) -> Iterator[tuple[str, int]]:
    with workspace.store(whole=True) as store:
        for key in keys:
            yield key, store.remove_artefact(key)


def _metadata(artefacts: StorageManager, key: str) -> StorageMetadata:
    try:
        return artefacts.get_metadata(key)
    except InvalidKeyError as error:
        raise UsageError(str(error)) from error
    except MissingArtefactError as error:
        raise NotFoundError(
            f"cannot find artefact {key!r}; `monitord storage ls` lists what there is"
        ) from error


def _owner(workspace: Workspace, key: str) -> tuple[str, int | None] | None:
    """Whose evidence it is; None too when the database can't be asked."""
    try:
        with workspace.reader() as reader:
            return reader.owner(key)
    except (NotFoundError, StorageError):
        return None
