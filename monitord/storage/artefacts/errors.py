"""How keeping bytes fails: the same errors from every provider, so that callers need not know which it is."""

from __future__ import annotations

from monitord.errors import StorageError


class ArtefactError(StorageError):
    """This one artefact can't be had: missing, damaged, encrypted; others may well be fine."""


class InvalidKeyError(ArtefactError):
    """The key can't name an artefact; nothing was looked up or written."""


class MissingArtefactError(ArtefactError):
    """There is no artefact of this key."""


class ArtefactExistsError(ArtefactError):
    """There is an artefact of this key already, and it was not to be replaced."""


class ArtefactChangedError(ArtefactError):
    """Another artefact is under this key by now, or none: what was to be done was meant for the old one."""


class DamagedArtefactError(ArtefactError):
    """The bytes are not what was stored: cut off, changed, tampered with, or never written by monitord."""


class WrongKeyError(ArtefactError):
    """It is encrypted with a key that is not at hand; nothing says that it was changed."""


class ArchivedElsewhereError(ArtefactError):
    """Its bytes lie in an archive that is not configured here; nothing is wrong with it."""


class DiskFullError(StorageError):
    """There is no room left (disk, quota, or a provider's own limit). Trying again at once does not help."""


class SpoolFullError(DiskFullError):
    """What waits here for a remote provider has reached its limit; the disk itself may well have room."""


class AccessDeniedError(StorageError):
    """The provider refuses: permissions, credentials. Trying again does not help."""

    exit_code = 4


class TransientError(StorageError):
    """Time ran out, the connection broke, the server is busy or restarting: worth another try.

    The only error that a retry answers; every provider decides which of its own errors become one.
    """

    exit_code = 75
