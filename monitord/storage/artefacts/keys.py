"""What may name an artefact: the same on every provider, so that one may take another's place.

A key is ASCII letters, digits, `.`, `_` and `-` in parts between single slashes. No part begins with a
dot: `.`, `..` and a provider's own temporary names can't be asked for.
"""

from __future__ import annotations

import re
from typing import TypeGuard

from monitord.storage.artefacts.errors import InvalidKeyError

KEY_LIMIT = 512
PART_LIMIT = 200
PROBE_PREFIX = "health-probe-"  # reserved: what a health check writes and deletes is nobody's evidence
PLANS_KEY = "capture-plans.json.zst"  # reserved, too
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*\Z")
_UNFIT = re.compile(r"[^A-Za-z0-9._/-]")


def check_key(key: str) -> str:
    """Return the key itself; raises InvalidKeyError with the reason."""
    reason = _why_not(key)
    if reason is not None:
        raise InvalidKeyError(f"invalid key {key[:80]!r}: {reason}")
    return key


def is_probe(key: str) -> bool:
    """Whether a health check wrote it."""
    return key.startswith(PROBE_PREFIX)


def has_no_row(key: str) -> bool:
    """Whether it belongs to no incident: a probe, or the copy of the capture plans."""
    return is_probe(key) or key == PLANS_KEY


def is_key(key: object) -> TypeGuard[str]:
    """Whether `check_key` takes it; only text can be one."""
    return isinstance(key, str) and _why_not(key) is None


def _why_not(key: str) -> str | None:
    if not key:
        return "it is empty"
    if len(key) > KEY_LIMIT:
        return f"it is longer than {KEY_LIMIT} characters"
    if key.startswith("/"):
        return "it is absolute"
    unfit = _UNFIT.search(key)
    if unfit:
        return f"it holds {unfit.group()!r} (letters, digits, . _ - and / between parts are fine)"
    for part in key.split("/"):
        if not part:
            return "it has an empty part"
        if len(part) > PART_LIMIT:
            return f"a part is longer than {PART_LIMIT} characters"
        if not _PART.match(part):
            return "a part begins with a dot"
    return None
