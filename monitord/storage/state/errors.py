"""How keeping state fails. That a key is not there is no error: `get` gives None."""

from __future__ import annotations

from monitord.errors import StorageError, UsageError


class InvalidOptionsError(UsageError):
    """An id, key, time to live or combination that can't be; nothing was read or written."""


class StateFullError(StorageError):
    """No room without losing what was promised to stay; nothing was written."""


class StateUnavailableError(StorageError):
    """The backend does not answer, or refuses."""

    exit_code = 75


class StateUnusableError(StateUnavailableError):
    """The backend cannot be used from here: a library or a folder is missing, and another try is useless."""

    exit_code = 1
