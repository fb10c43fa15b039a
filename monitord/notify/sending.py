"""One try to hand a message to one receiver, on a thread of its own: nobody waits past its deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from monitord.config.telling import ReceiverSettings, check_receiver_url
from monitord.errors import MonitordError
from monitord.notify.errors import NotSentError
from monitord.notify.receivers import load
from monitord.storage.artefacts.secret_sources import held_url


def url_of(receiver: ReceiverSettings) -> str:
    """Return where a receiver is, read from where the configuration says; raises NotSentError."""
    if not receiver.is_url_elsewhere:
        return receiver.url
    try:
        url = held_url(receiver.url, f"the receiver {receiver.name}")
        check_receiver_url(receiver.kind, url)
    except ValueError as error:
        raise NotSentError(f"invalid {receiver.url}: {error}") from None
    except MonitordError as error:
        raise NotSentError(str(error)) from error
    return url


def hand_over(receiver: ReceiverSettings, message: Mapping[str, Any], within_s: float) -> NotSentError | None:
    """Try it here and now; the error, or None when it was taken. It may take longer than it should."""
    try:
        load(receiver.kind).send(receiver, url_of(receiver), message, within_s)
    except NotSentError as error:
        return error
    except Exception as error:  # noqa: BLE001  around one receiver: its fault must not cost the others
        return NotSentError(f"failed with {type(error).__name__}")  # the words might hold the URL
    return None


def hand_over_within(
    receiver: ReceiverSettings, message: Mapping[str, Any], within_s: float
) -> NotSentError | None:
    """Try it and wait, not much longer than `within_s`, whatever the receiver does; the error, or None."""
    answers: SimpleQueue[NotSentError | None] = SimpleQueue()
    hand_over_apart(receiver, message, within_s, answers.put)
    return answers.get()


def hand_over_apart(
    receiver: ReceiverSettings,
    message: Mapping[str, Any],
    within_s: float,
    tell: Callable[[NotSentError | None], object],
) -> None:
    """Try it on a thread; `tell` hears how it ended, once, when it is late as well."""
    said = threading.Event()
    lock = threading.Lock()

    def say(error: NotSentError | None) -> None:
        with lock:
            is_first = not said.is_set()
            said.set()
        if is_first or error is None:  # late, but it was taken: it must not be sent again
            tell(error)

    def late() -> None:
        if not said.wait(within_s + 1.0):
            say(NotSentError(f"did not answer within {within_s:g} s"))

    threading.Thread(target=lambda: say(hand_over(receiver, message, within_s)), daemon=True).start()
    threading.Thread(target=late, daemon=True).start()
