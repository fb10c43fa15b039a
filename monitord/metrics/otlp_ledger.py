"""Which incidents an endpoint has taken: a small file a signal, noted after each batch: none is left out.

A crash between an answer and the note sends a batch once more, byte for byte, and so with the same ids.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from monitord.durable import durable_write, read_regular
from monitord.errors import NotFoundError, StorageError
from monitord.model import TriggerMetric
from monitord.storage.queries import StoreReader
from monitord.storage.views import IncidentView, RecentFilter

LEDGER_FILE, PROFILES_LEDGER_FILE = "otlp.json", "otlp-profiles.json"
LOOKED_BACK = timedelta(days=7)
"""An endpoint that is away for longer misses what is older."""
SETTLED = timedelta(seconds=60)
"""So long an incident's evidence may still come."""


class Ledger(msgspec.Struct):
    """What was raised before `since` is never told; `sent` has when each was raised that need not be sent.

    `secret` (hexadecimal) makes stand-ins for names: the same ones when an incident is sent again.
    """

    since: datetime
    sent: dict[str, datetime] = {}
    secret: str = ""

    def key_of(self, correlation_id: str) -> bytes:
        """Return the key of one incident's stand-ins: those of two can't be laid side by side."""
        return hmac.digest(self.secret.encode(), correlation_id.encode(), "sha256")


def open_ledger(path: Path, now: datetime, settled: timedelta = SETTLED) -> Ledger:
    """Read what was noted; a new one begins now, as does one in place of a damaged one.

    Raises StorageError where it can't be written.
    """
    try:
        ledger = msgspec.json.decode(read_regular(path), type=Ledger)
    except (OSError, ValueError, RecursionError):
        ledger = Ledger(now - settled)
    ledger.since = min(_aware(ledger.since), now)  # the clock may have been set back
    if not ledger.secret:
        ledger.secret = os.urandom(32).hex()
        note(path, ledger, (), now)  # before it is used
    return ledger


def note(path: Path, ledger: Ledger, views: Iterable[IncidentView], now: datetime) -> None:
    """Note incidents as told, and forget those that are too old to be asked for; raises StorageError."""
    ledger.sent |= {view.correlation_id: view.raised_at for view in views}
    ledger.sent = {one: at for one, at in ledger.sent.items() if _aware(at) > now - LOOKED_BACK}
    try:
        durable_write(path, msgspec.json.encode(ledger))
    except OSError as error:
        raise StorageError(f"cannot note what was sent: {error.strerror}; some may come twice") from error


def untold(
    reader: StoreReader, ledger: Ledger, now: datetime, settled: timedelta = SETTLED
) -> Iterator[IncidentView]:
    """Yield what is settled and was not taken yet, oldest first; what a person asked for is left out."""
    wanted = RecentFilter(limit=None, since=max(ledger.since, now - LOOKED_BACK))
    try:
        waiting = [
            one.correlation_id
            for one in reader.each_recent(wanted)
            if one.correlation_id not in ledger.sent
            and one.trigger_metric is not TriggerMetric.MANUAL
            and not now - settled < (one.raised_at or one.captured_at) <= now
        ]
    except NotFoundError:
        return  # nothing was ever stored
    for correlation_id in reversed(waiting):
        try:
            yield reader.incident(correlation_id)
        except StorageError:
            continue  # damaged or deleted meanwhile: `monitord db check` tells the former


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
