"""What obstore complains of, as one of our errors: HTTP's status and the server's code stand in its text."""

from __future__ import annotations

import re

from monitord.errors import StorageError
from monitord.storage.artefacts.errors import (
    AccessDeniedError,
    ArtefactExistsError,
    DiskFullError,
    MissingArtefactError,
    TransientError,
)

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound"}
_FULL = {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "EntityTooLarge"}
_DENIED = {"ExpiredToken", "InvalidToken", "AccessDenied"}
_PASSING = {"RequestTimeout", "SlowDown", "ConditionalRequestConflict", "OperationAborted"}
# Its client has no list without such a name, and no way past it.
_UNREADABLE_NAME = re.compile(r'invalid path: (?:Error parsing )?Path "([^"\n]{1,1100})"')
_ROLE_HOST = "169.254."  # where a machine in a cloud asks for its role's credentials


def status_of(error: Exception) -> int | None:
    """HTTP's status, when there was an answer."""
    match = _STATUS.search(str(error))
    return int(match[1]) if match else None


def explained_error(what: str, place: str, error: Exception, key: str | None) -> StorageError:
    """Return the error for one of obstore's; not found is the artefact `key`, or with None the bucket.

    `what` could not be done, and ends with the place where that is what it is about.
    """
    from obstore import exceptions

    text, status = str(error), status_of(error)
    code = match[1] if (match := _CODE.search(text)) else ""
    where = what if what.endswith(place) else f"{what}: {place}"
    line = f"{where}: {reason_of(text, status, code)}"
    if isinstance(error, FileNotFoundError) or status == 404:
        if key is not None and code not in _NO_BUCKET:
            return MissingArtefactError(f"cannot find artefact {key}")
        return StorageError(f"{line}; is the bucket's name right?")
    if code in _FULL or status == 507:
        return DiskFullError(line)
    if code in _PASSING or status in (408, 425, 429) or ((status or 0) >= 500 and status != 501):
        return TransientError(line)
    denied = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
    if isinstance(error, denied) or status in (401, 403) or code in _DENIED:
        return AccessDeniedError(line)
    if isinstance(error, exceptions.AlreadyExistsError):
        return ArtefactExistsError(f"{what}: it exists already")
    if status is None and _ROLE_HOST in text:
        return AccessDeniedError(
            f"{what}: no credentials; give access_key_id_file and secret_access_key_file"
        )
    if status is None and "HTTP error" in text and "certificate" not in text:
        return TransientError(line)
    return StorageError(line)


def reason_of(text: str, status: int | None, code: str) -> str:
    """What went wrong in a few words, from obstore's page of text."""
    if status is not None:
        return f"HTTP status {status}" + (f" ({code})" if code else "")
    if "TimedOut" in text:
        return "no answer in time"
    if match := _UNREADABLE_NAME.search(text):
        return f"somebody's object {match[1][:80]!r} has a name that ends every list; remove it"
    if match := re.search(r"InvalidCertificate\((\w+)|message: \"([^\"\n]{1,80})\"", text):
        return f"certificate refused: {match[1]}" if match[1] else match[2]
    if "IncompleteMessage" in text or "IncompleteBody" in text:
        return "the connection broke"
    return text.partition("\n")[0][-200:]
