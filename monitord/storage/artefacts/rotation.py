"""Another key for what is encrypted already: only data keys are wrapped anew, the bytes stay the same.

Others read, write and delete meanwhile, and win. It can be broken off and run again: what has the active key
already is left alone. Every reader must know the new key before the first artefact has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace as changed

from monitord.model import counted
from monitord.storage.artefacts.errors import ArtefactChangedError, ArtefactError, MissingArtefactError
from monitord.storage.artefacts.keyring import Keyring
from monitord.storage.artefacts.metadata import Encryption, StorageMetadata
from monitord.storage.artefacts.provider import Exchanging, StorageProvider
from monitord.storage.artefacts.wrappers.encrypted import ALGORITHM, bound, open_data_key
from monitord.storage.artefacts.wrappers.passing import exchanging
from monitord.storage.artefacts.wrappers.transfer import StoredBody


def rotate(
    provider: StorageProvider,
    keyring: Keyring,
    keys: Iterable[str],
    *,
    encrypted_as: Callable[[str], str] = str,
) -> int:
    """Wrap the data keys of these artefacts with the keyring's active key; how many were wrapped anew.

    `provider` is what stands below the encryption; `encrypted_as` gives the key under which something was
    encrypted where it lies under another name (an archive's copies). An artefact that can't be opened stops
    no other: the first such error (WrongKeyError, DamagedArtefactError) is raised at the end.
    """
    target, count, refusals = exchanging(provider), 0, []
    for key in keys:
        try:
            count += _rewrap(target, keyring, key, encrypted_as(key))
        except ArtefactError as error:
            refusals.append(error)
    if refusals:
        first = refusals[0]
        raise type(first)(
            f"cannot finish: the new key is in {count}, not in {counted(len(refusals), 'artefact')}: {first}"
        )
    return count


def _rewrap(provider: Exchanging, keyring: Keyring, key: str, encrypted_key: str) -> bool:
    while True:
        try:
            old = provider.get_metadata(key)
            if old.encryption is None or old.encryption.key_id == keyring.active.key_id:
                return False
            provider.exchange(
                key, StoredBody(provider, key, old), _with_new_key(keyring, encrypted_key, old), expected=old
            )
        except MissingArtefactError:
            return False
        except ArtefactChangedError:
            continue  # somebody replaced or rotated it meanwhile: look again
        return True


def _with_new_key(keyring: Keyring, key: str, old: StorageMetadata) -> StorageMetadata:
    data_key = open_data_key(keyring, key, old)
    active = keyring.active
    return changed(
        old, encryption=Encryption(ALGORITHM, active.key_id, active.wrap(data_key, bound(key, old)))
    )
