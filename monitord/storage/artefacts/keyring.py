"""The keys that encrypt artefacts: where they come from, and which of them encrypted what.

A key never appears in a text, a log or a metric: what is shown of it is its fingerprint, `key_id`.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from monitord.errors import ConfigError
from monitord.installation import install_command
from monitord.storage.artefacts.errors import WrongKeyError
from monitord.storage.artefacts.secret_sources import read_source

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
_FEWEST_VALUES = 12  # 32 random bytes have fewer different ones once in 10^20 keys: a typed or empty key
_HEX = re.compile(rb"[0-9A-Fa-f]{64}\Z")


class EncryptionKey:
    """A key of 32 bytes that wraps data keys with AES-256-GCM; shown and found by its fingerprint."""

    __slots__ = ("_cipher", "key_id")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES or len(set(secret)) < _FEWEST_VALUES:
            raise ConfigError(f"invalid key: expected {KEY_BYTES} random bytes")
        self._cipher = aes_gcm(secret)
        self.key_id = hashlib.sha256(b"monitord key id\0" + secret).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"EncryptionKey({self.key_id})"

    def wrap(self, data_key: bytes, bound_to: bytes) -> str:
        """The data key, encrypted, to be kept with what it encrypts; opens only with the same `bound_to`."""
        nonce = os.urandom(NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, data_key, bound_to)).decode("ascii")

    def unwrap(self, wrapped_key: str, bound_to: bytes) -> bytes:
        """Unwrap the data key. Raises InvalidTag or ValueError when anything is not as it was then."""
        held = base64.b64decode(wrapped_key, validate=True)
        return self._cipher.decrypt(held[:NONCE_BYTES], held[NONCE_BYTES:], bound_to)


class Keyring:
    """The key that encrypts what is stored from now on, and older ones that still open what they did."""

    def __init__(self, active: EncryptionKey, *older: EncryptionKey) -> None:
        self.active = active
        self._keys = {key.key_id: key for key in (*older, active)}

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self.key_ids)})"

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Fingerprints, the active key's first."""
        return (self.active.key_id, *(name for name in self._keys if name != self.active.key_id))

    def find(self, key_id: str, artefact: str) -> EncryptionKey:
        """Return the key of this fingerprint; raises WrongKeyError, which names the artefact."""
        try:
            return self._keys[key_id]
        except KeyError:
            raise WrongKeyError(
                f"cannot decrypt {artefact}: key {key_id[:16]!r} is missing "
                f"(present: {', '.join(self.key_ids)})"
            ) from None


def new_key() -> str:
    """A new key as a line of text (base64), to be put into a file of mode 0600."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode("ascii")


def load_keyring(sources: Sequence[str], environment: Mapping[str, str] = os.environ) -> Keyring:
    """Keys from where the configuration says, the active one first.

    A source is `file:/path`, `credential:name` (systemd) or `environment:NAME`; it holds 32 bytes, raw
    (files only), in hex or in base64. Raises ConfigError or PermissionDeniedError, which name the source.
    """
    if not sources:
        raise ConfigError(
            "invalid encryption key: none, expected file:/path, credential:name or environment:NAME"
        )
    return Keyring(*(_key_from(source, environment) for source in sources))


def _key_from(source: str, environment: Mapping[str, str]) -> EncryptionKey:
    try:
        return EncryptionKey(_decoded(read_source(source, environment)))
    except OSError as error:
        raise ConfigError(f"cannot read the key {source}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"invalid key in {source}: expected 32 bytes, raw, in hex or in base64") from error
    except ConfigError as error:
        raise ConfigError(f"cannot read the key {source}: {error}") from error


def _decoded(held: bytes) -> bytes:
    if len(held) == KEY_BYTES and not (held.isascii() and held.decode("ascii").isprintable()):
        return held  # 32 letters are a shorter key in base64, or a password
    text = held.strip()
    if _HEX.match(text):
        return bytes.fromhex(text.decode("ascii"))
    decoded = base64.b64decode(text.translate(bytes.maketrans(b"-_", b"+/")), validate=True)
    if len(decoded) != KEY_BYTES:
        raise ValueError("not a key")
    return decoded


def aes_gcm(key: bytes) -> AESGCM:
    """Return the cipher; imported here, because its 7 MB of memory are for those who encrypt."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise ConfigError(f"cannot import cryptography; install it: {install_command('crypto')}") from error
    return AESGCM(key)
