"""`python -m monitord.daemon.courier`: brings what waits in the spool to where it belongs, and ends.

A child of the recorder, because clients of far providers and waiting for networks have no place in it. May be
killed at any moment: each of its steps leaves everything in one of the two places at least.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from monitord import config, logs
from monitord.config import Settings
from monitord.daemon.courier_status import CourierStatus, read_courier_status, write_courier_status
from monitord.daemon.holdings import whole_holdings
from monitord.daemon.sending import MORE
from monitord.errors import BusyError, MonitordError
from monitord.storage.artefacts.urls import shown_url
from monitord.storage.artefacts.wrappers.draining import Drained
from monitord.storage.artefacts.wrappers.spooled import SpooledProvider
from monitord.storage.schema import ARTEFACTS_NAME

LIFE_S = 600.0  # then it ends; whoever started it starts another if something waits still
_REFUSED_SHOWN = 5


def main() -> int:
    """Settle what waits; the exit code of the trouble when it could not."""
    parser = argparse.ArgumentParser(prog="monitord courier")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--life", type=float, default=LIFE_S)
    parser.add_argument("--while-stdin", action="store_true", help="end when stdin is closed")
    arguments = parser.parse_args()
    if arguments.while_stdin:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        loaded = config.load(arguments.config)
        logs.configure(loaded.settings.log.level, loaded.settings.log.style)
        is_settled = run(loaded.settings, arguments.data_dir, arguments.life)
    except MonitordError as error:
        print(f"monitord courier: {error}", file=sys.stderr)  # noqa: T201  the one line a refusal owes
        return error.exit_code
    return 0 if is_settled else MORE


def run(settings: Settings, data_dir: Path, life_s: float = LIFE_S) -> bool:
    """Drain until nothing is left or life is over, and leave word of how it went; whether all is settled.

    Raises what the far provider raises, after it was written down; BusyError when another one is at it.
    """
    holdings = whole_holdings(settings)(data_dir / ARTEFACTS_NAME)
    try:
        if holdings.spool is not None:
            url = shown_url(settings.storage.url)
            return _Errand(holdings.spool, data_dir, url).run(time.monotonic() + life_s)
        return True
    finally:
        holdings.close()


class _Errand:
    """One courier's work, with its file kept in step."""

    def __init__(self, spool: SpooledProvider, data_dir: Path, url: str) -> None:
        self._spool = spool
        self._data_dir = data_dir
        self._status = read_courier_status(data_dir) or CourierStatus()
        self._status.url = url

    def run(self, until_s: float) -> bool:
        """Drain, again while it leads to something."""
        is_settled = False
        while not is_settled and time.monotonic() < until_s:
            done = Drained()
            try:
                self._spool.drain(until_s - time.monotonic(), done)
            except BusyError:
                raise
            except MonitordError as error:
                self._note(done, error)
                raise
            self._note(done, None)
            is_settled = done.is_nothing
        return is_settled

    def _note(self, done: Drained, error: MonitordError | None) -> None:
        status, waiting = self._status, self._spool.waiting()
        status.moved += done.moved
        status.moved_bytes += done.moved_bytes
        status.deleted += done.deleted
        status.refused = done.refused[:_REFUSED_SHOWN]
        status.waiting_artefacts, status.waiting_bytes = waiting.artefacts, waiting.stored_bytes
        status.waiting_deletions = waiting.deletions
        now = datetime.now(UTC).isoformat()
        status.last_error = str(error) if error else None
        if error:
            status.last_error_at = now
        if not error or not done.is_nothing:
            status.last_success_at = now
        write_courier_status(self._data_dir, status)


def _end_with_parent() -> None:
    """Whoever started us holds the other end of stdin: closed, by whatever death, we have no errand left."""
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # a client's thread that hangs in a network must not hold up the end
