"""`python -m monitord.notify`: sends what the recorder stored to the receivers that are configured; ends.

A child of the recorder without its rights. The first line on stdin, and each later one, is what the recorder
has to say; it may be killed at any moment.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from monitord import config, rights
from monitord.config.telling import NotifySettings
from monitord.errors import BusyError, MonitordError
from monitord.notify.messages import trial_message
from monitord.notify.sender import Sender
from monitord.notify.sending import hand_over_within
from monitord.recorder.locks import hold
from monitord.recorder.status import MESSAGES_FILE, RECEIVER_FAILED, write_status

LOCK_FILE = "messages.lock"
_LONGEST_LINE = 1 << 20


def main() -> int:
    """Send what is due, or with --test one message to each receiver; the exit status."""
    parser = argparse.ArgumentParser(prog="monitord messages")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--test", action="store_true", help="one message to each, answers as JSON on stdout")
    parser.add_argument("--only", help="with --test: to this receiver alone")
    arguments = parser.parse_args()
    try:
        settings = config.load(arguments.config).settings
        rights.keep_only(())  # from here on it talks to a network
        if arguments.test:
            return _try_each(settings.notify, arguments.only)
        return _send(arguments.data_dir, settings.notify)
    except MonitordError as error:
        print(f"monitord messages: {error}", file=sys.stderr)  # noqa: T201  the one line a refusal owes
        is_sender = arguments.data_dir is not None and not isinstance(error, BusyError)
        if is_sender:  # else the file is somebody else's to write
            told = {"written_at": datetime.now(UTC), "complaints": [str(error)], "receivers": {}}
            write_status(arguments.data_dir, told, MESSAGES_FILE)
        return error.exit_code


def _send(data_dir: Path, settings: NotifySettings) -> int:
    events: SimpleQueue[Any] = SimpleQueue()
    first = sys.stdin.buffer.readline(_LONGEST_LINE)
    with hold(data_dir / LOCK_FILE, "cannot send messages: another sender is at it"):
        _put(events, first)
        threading.Thread(target=_listen, args=(events,), daemon=True).start()
        return 0 if Sender(data_dir, settings, events).run() else RECEIVER_FAILED


def _listen(events: SimpleQueue[Any]) -> None:
    while line := sys.stdin.buffer.readline(_LONGEST_LINE):
        _put(events, line)
    events.put(None)


def _put(events: SimpleQueue[Any], line: bytes) -> None:
    for told in json.loads(line or b"[]"):
        events.put(told)


def _try_each(settings: NotifySettings, only: str | None) -> int:
    """One after the other: a person waits, and sees which."""
    message = trial_message(datetime.now(UTC)).as_json()
    for receiver in settings.enabled_receivers:
        if only in (None, receiver.name):
            error = hand_over_within(receiver, message, settings.deadline_s)
            answer = {
                "name": receiver.name,
                "kind": receiver.kind,
                "url": receiver.shown_url,
                "error": str(error) if error else None,
            }
            print(json.dumps(answer), flush=True)  # noqa: T201  read by who started us
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # a thread that hangs in a network must not hold up the end
