"""Everything monitord says no with: one line for a person, one exit code for a script.

A front room prints `str(error)` (what, where, what to type next) and exits with `error.exit_code`.
Anything that is not a MonitordError is a bug and shows its traceback.
"""


class MonitordError(Exception):
    """Something went wrong that the caller can understand and act on."""

    exit_code = 1


class UsageError(MonitordError):
    """The words of the call do not fit: an impossible filter, an ambiguous id."""

    exit_code = 2


class NotFoundError(MonitordError):
    """No such incident, process or service."""

    exit_code = 3


class PermissionDeniedError(MonitordError):
    """The operating system refuses; the message names the missing right and the fix."""

    exit_code = 4


class UnreachableError(MonitordError):
    """The daemon does not run, or does not answer."""

    exit_code = 5


class ConfigError(MonitordError):
    """The configuration can't be used; the message names file, line or path, and what was expected."""

    exit_code = 6


class BusyError(MonitordError):
    """Somebody else holds what is needed (a second daemon, a running capture); try again later."""

    exit_code = 75


class StorageError(MonitordError):
    """The store can't be read or written now: disk full, locked, read-only, damaged."""


class SchemaTooNewError(StorageError):
    """The database was written by a newer monitord; it was left untouched."""


class DamagedRowError(StorageError):
    """One row holds what nobody can have written; the others are sound."""
