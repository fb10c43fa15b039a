"""Whose data: everybody's, a user's, or one of a user's sessions. Ids and keys are opaque, never parsed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from monitord.storage.state.errors import InvalidOptionsError

NAME_LIMIT_BYTES = 256


@dataclass(frozen=True, slots=True)
class UserNamespace:
    """What belongs to one user, outside any session."""

    user_id: str


@dataclass(frozen=True, slots=True)
class SessionNamespace:
    """What belongs to one session of one user."""

    user_id: str
    session_id: str


Namespace = UserNamespace | SessionNamespace | None
"""None is global. Nothing of one namespace is ever seen in another."""


class Address(NamedTuple):
    """Where an item lies. The three names stand apart all the way down: no joined text can be ambiguous.

    "" stands for "none", which no id can be: ids have at least one byte.
    """

    user_id: str
    session_id: str
    key: str


class Scope(NamedTuple):
    """A namespace to be removed; `session_id` None takes the user with all sessions."""

    user_id: str
    session_id: str | None


def address(namespace: Namespace, key: str) -> Address:
    """Return the checked address of a key; raises InvalidOptionsError."""
    user_id, session_id = _ids(namespace)
    return Address(user_id, session_id, _checked("key", key))


def scope(namespace: Namespace) -> Scope:
    """What goes when the whole namespace goes: a user's sessions go with the user."""
    user_id, session_id = _ids(namespace)
    return Scope(user_id, None if isinstance(namespace, UserNamespace) else session_id)


def namespace_of(user_id: str, session_id: str) -> Namespace:
    """Return the namespace that an address lies in."""
    if session_id:
        return SessionNamespace(user_id, session_id)
    return UserNamespace(user_id) if user_id else None


def _ids(namespace: Namespace) -> tuple[str, str]:
    match namespace:
        case None:
            return "", ""
        case UserNamespace(user_id):
            return _checked("user id", user_id), ""
        case SessionNamespace(user_id, session_id):
            return _checked("user id", user_id), _checked("session id", session_id)
    raise InvalidOptionsError(f"invalid namespace: expected a Namespace, got {type(namespace).__name__}")


def _checked(what: str, text: str) -> str:
    if not isinstance(text, str) or not text:
        raise InvalidOptionsError(f"invalid {what}: expected a text of 1 to {NAME_LIMIT_BYTES} bytes")
    if not text.isprintable():  # no control characters, no lone surrogates: they have no UTF-8
        raise InvalidOptionsError(f"invalid {what}: {text[:40]!r}, expected printable characters")
    size = len(text.encode())
    if size > NAME_LIMIT_BYTES:
        raise InvalidOptionsError(f"invalid {what}: {size} bytes, expected at most {NAME_LIMIT_BYTES}")
    return text
