"""That a message could not be handed over, and whether it may go better later."""

from __future__ import annotations

from monitord.errors import MonitordError


class NotSentError(MonitordError):
    """A receiver did not take a message; the words never hold its URL.

    `is_final`: trying again can't help. `retry_after_s` is what the receiver asked for.
    """

    def __init__(self, reason: str, *, is_final: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.is_final = is_final
        self.retry_after_s = retry_after_s
