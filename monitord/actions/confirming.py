"""What can't be undone is done only when it was confirmed; the refusal says what to type."""

from __future__ import annotations

import shlex

from monitord.errors import UsageError


def require_confirmation(confirmed: bool, what: str, *words: str) -> None:
    """Raise UsageError, with the words of monitord that do it, unless it was confirmed."""
    if not confirmed:
        raise UsageError(f"nothing deleted; to {what}: `{shlex.join(('monitord', *words, '--yes'))}`")
