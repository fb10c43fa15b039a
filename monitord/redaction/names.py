"""Names that a process gave: of functions, files, threads, folders. Short, many, nearly all harmless."""

from __future__ import annotations

import re

from monitord.redaction.patterns import hide_patterns
from monitord.redaction.words import HIDDEN, TRUNCATED

_MAX_NAME = 4096
# One look that most names pass: none of these, and no rule of the patterns can match.
_MAY_HOLD_SECRET = re.compile(
    r"(?i)pass|pwd|secret|token|key|sess|sid|cred|cookie|auth|bearer|basic|pin|psk|otp|jwt|://|%3a%2f|:[^\s@/:]{3,200}@"
    r"|eyj|\$[1256y]|hook|jdbc|[a-z0-9+/_-]{24}|[a-z0-9]{2,12}[_.-][a-z0-9_.-]{16}|\bpw\b|\bsig\b|cert|seed|code=|salt|nonce|private|licen"
)


def redact_name(name: str) -> str:
    """Give a name with what is secret in it hidden: a login in a path, a session's id, `password-…`."""
    if len(name) > _MAX_NAME:
        name = name[:_MAX_NAME] + TRUNCATED
    if _MAY_HOLD_SECRET.search(name) is None:
        return name
    return hide_patterns(name, _plain)


def _plain(_rule: str, value: str) -> str:
    return value if value in (HIDDEN, TRUNCATED) else HIDDEN
