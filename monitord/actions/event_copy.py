"""Copies events to `[events] url`, for `monitord events copy` and for the recorder's errand, which this is.

May be killed at any moment: a batch is there with the mark that counts it, or not at all, and the next round
goes on behind the mark.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from monitord.actions.identities import identities
from monitord.actions.workspace import Workspace
from monitord.analytics.rows import rows_of
from monitord.analytics.tables import INCIDENTS, Table
from monitord.children import answer, end_with_parent
from monitord.durable import durable_write, read_regular
from monitord.errors import BusyError, ConfigError, MonitordError, NotFoundError, StorageError, UsageError
from monitord.export.cleaning import Cleaner, Identities
from monitord.fleet.day_rows import Row, RowCleaner
from monitord.fleet.identity import HostIdentity, host_identity
from monitord.fleet.ship_state import FOLDER
from monitord.model import Event, counted
from monitord.ownership import make_folder
from monitord.recorder.locks import hold
from monitord.storage.artefacts.secret_sources import read_url
from monitord.storage.artefacts.urls import shown_url
from monitord.storage.events.identity import EVENTS_PER_MICROSECOND, id_at, time_of_id
from monitord.storage.events.rows import clipped, row_of
from monitord.storage.folder import check_data_dir

if TYPE_CHECKING:
    from monitord.storage.events.far import FarEvents, Mark
    from monitord.storage.past import PastReader

CONFIGURED = "events.url"
"""Names the configured URL in place of one."""
LOCK_FILE = "events.lock"
ROUNDS_FILE = "events.json"
BATCH = 1000
A_ROUND = 20_000
_ROUNDS_KEPT = 64
# An incident's events begin an hour before it, and come when its evidence is there.
_MAY_CHANGE = timedelta(hours=2)
_ALL_EVERY = timedelta(days=1)  # what came with a clock that was behind lies before the mark
_EVIDENCE_STAYS = timedelta(hours=72)
_LAST = datetime(2109, 12, 31, tzinfo=UTC)  # what ids can hold
_TEXTS = Table(
    "events", "event", "taken_at", (),
    (("process", "text"), ("module", "text"), ("function", "text"), ("payload", "text")),
)  # fmt: skip
Clean = Callable[[list[Event]], list[Event]]


@dataclass(slots=True)
class CopiedEvents:
    """What one round did: `copied` were not there before; `is_whole`: nothing waits for the next round."""

    to: str
    host_id: str
    looked_at: int = 0
    copied: int = 0
    is_whole: bool = True
    note: str | None = None

    def as_line(self) -> str:
        """What was done, in words."""
        rest = "" if self.is_whole else "; the next round goes on"
        note = f"; {self.note}" if self.note else ""
        return (
            f"{counted(self.copied, 'new event')} of {self.looked_at:,} copied as {self.host_id}{rest}{note}"
        )


def events_url(workspace: Workspace, place: str | None) -> str:
    """Return the URL: as given, as stands in the place given, or as configured.

    Raises UsageError, ConfigError.
    """
    from monitord.storage.events.far import check_events_url

    url = workspace.settings.events.url if place in (None, CONFIGURED) else place or ""
    if not url:
        raise ConfigError(
            "cannot find a URL of copied events; try `monitord config set events.url postgresql://…`"
        )
    url = read_url(url, "events")
    check_events_url(url)
    return url


def copy_events(workspace: Workspace, place: str | None = None, at_most: int | None = None) -> CopiedEvents:
    """Copy the events that are not there yet; with `at_most` that many, and only what is new since last time.

    Raises BusyError while another copy goes on, NotFoundError when nothing was ever recorded here,
    PermissionDeniedError for root in another user's data directory, and StorageError when the database
    can't.
    """
    url = events_url(workspace, place)
    settings = workspace.settings
    check_data_dir(workspace.data_dir, owners_alone="monitord events copy")
    with hold(workspace.data_dir / LOCK_FILE, "cannot copy events: another copy is at it"):
        who = host_identity(workspace.data_dir, pseudonym=settings.ship.pseudonym)
        from monitord.storage.events.far import ForeignEventsError

        try:
            return _Copy(workspace, url, who, at_most).run()
        except ForeignEventsError as error:
            who = host_identity(workspace.data_dir, pseudonym=settings.ship.pseudonym, not_this=who.host_id)
            done = _Copy(workspace, url, who, at_most).run()
            done.note = f"{error}: this one is {who.host_id} from now on"
            return done


class _Copy:
    """One round under one name."""

    def __init__(self, workspace: Workspace, url: str, who: HostIdentity, at_most: int | None) -> None:
        self._workspace, self._url, self._who, self._at_most = workspace, url, who, at_most
        self._settings = workspace.settings.events
        self._now = datetime.now(UTC)
        self._now_us = id_at(self._now) // EVENTS_PER_MICROSECOND
        self._ends_at_s = time.monotonic() + self._settings.deadline_s
        self._done = CopiedEvents(shown_url(url), who.host_id)

    def run(self) -> CopiedEvents:
        from monitord.storage.events.far import FarEvents

        within_s = self._settings.deadline_s
        place = FarEvents.to_write(self._url, self._who.host_id, within_s)
        with self._workspace.past() as reader, place as far:
            mark = far.mark()
            rounds = self._rounds()
            if mark is not None and mark.round not in rounds:
                from monitord.storage.events.far import ForeignEventsError

                raise ForeignEventsError(f"cannot copy events as {self._who.host_id}: another host does")
            self._copy(reader, far, mark, rounds)
        return self._done

    def _copy(self, reader: PastReader, far: FarEvents, mark: Mark | None, rounds: list[str]) -> None:
        from monitord.storage.events.far import Mark, remove_stale

        came = min(mark.through, id_at(self._now)) if mark else 0
        changing = max(0, came - id_span(_MAY_CHANGE))  # from there on events may be other ones than before
        is_all = mark is None or self._at_most is None or self._is_day_over(mark)
        since = max(0 if is_all else changing, mark.since if mark else 0)
        after = Mark(self._who.host_id, came, self._now_us, 0, self._new_round(rounds))
        if mark is not None and not is_all:
            after = replace(after, whole_us=mark.whole_us)
        clean = self._cleaner(reader)
        seen: set[int] = set()
        incidents: set[str] = set()
        for batch, is_last in _batches(_from(reader, since)):
            fresh = [event for event in batch if _id(event) >= changing]
            seen.update(_id(event) for event in fresh)
            incidents.update(event.correlation_id for event in fresh if event.correlation_id)
            if self._at_most is None:
                far.more_time()  # by hand all of it goes, as long as the server answers
            absent = far.absent([_id(event) for event in batch])
            wanted = [event for event in batch if _id(event) >= changing or event.id in absent]
            after = replace(after, through=_id(batch[-1]))
            stale = remove_stale(changing, incidents if is_last and came else (), seen)
            far.put(clean(wanted), mark, after, stale)
            mark = after
            self._done.looked_at += len(batch)
            self._done.copied += len(absent)
            if not is_last and self._is_enough():
                self._done.is_whole = False
                return

    def _is_enough(self) -> bool:
        if self._at_most is None:
            return False
        return self._done.copied >= self._at_most or time.monotonic() > self._ends_at_s

    def _is_day_over(self, mark: Mark) -> bool:
        return not 0 <= self._now_us - mark.whole_us < _ALL_EVERY // timedelta(microseconds=1)

    # ------------------------------------------------------------------------------------ redacting

    def _cleaner(self, reader: PastReader) -> Clean:
        """What makes events fit to leave; it looks at what there is only when there is something to clean."""
        if not self._settings.redact:
            return lambda events: events
        made: list[RowCleaner] = []

        def clean(events: list[Event]) -> list[Event]:
            if events and not made:
                names = identities()
                ours = Identities(names.users, names.hosts, names.machine_ids, self._who.key, names.found)
                made.append(RowCleaner(Cleaner(ours)))
                with suppress(NotFoundError):
                    rows = rows_of(reader, INCIDENTS, self._now - _EVIDENCE_STAYS, None, self._who.host_id)
                    made[0].learn(INCIDENTS, rows)
            cleaned = made[0].clean(_TEXTS, map(_texts, events)) if events else []
            return [_with_texts(event, row) for event, row in zip(events, cleaned, strict=True)]

        return clean

    # ------------------------------------------------------------------------------------ rounds

    def _rounds(self) -> list[str]:
        """Names of our last rounds: another one there is another host's, such as a clone of this one."""
        try:
            held = msgspec.json.decode(read_regular(self._rounds_path, 1 << 20), type=dict[str, list[str]])
        except FileNotFoundError:
            return []
        except msgspec.MsgspecError:
            return []  # damaged: then what is there counts as another's
        except OSError as error:
            raise StorageError(f"cannot read which rounds of copying were ours: {error.strerror}") from error
        return held.get("rounds", [])

    def _new_round(self, before: list[str]) -> str:
        """Draw a round's name; noted before it is used, so it is known as ours wherever this is killed."""
        name = secrets.token_hex(8)
        make_folder(self._rounds_path.parent)
        kept = {"rounds": [*before[1 - _ROUNDS_KEPT :], name]}
        try:
            durable_write(self._rounds_path, msgspec.json.encode(kept))
        except OSError as error:
            raise StorageError(f"cannot note a round of copying: {error.strerror}") from error
        return name

    @property
    def _rounds_path(self) -> Path:
        return self._workspace.data_dir / FOLDER / ROUNDS_FILE


def id_span(span: timedelta) -> int:
    """How far the ids of events are apart that lie so long apart."""
    return span // timedelta(microseconds=1) * EVENTS_PER_MICROSECOND


def _id(event: Event) -> int:
    assert event.id is not None  # noqa: S101  it was read from a store
    return event.id


def _from(reader: PastReader, since: int) -> Iterator[Event]:
    return (event for event in reader.each_event(time_of_id(since), _LAST) if _id(event) >= since)


def _batches(events: Iterator[Event]) -> Iterator[tuple[list[Event], bool]]:
    """Yield events in batches; with the last one True."""
    batch = list(islice(events, BATCH))
    while batch:
        following = list(islice(events, BATCH))
        yield batch, not following
        batch = following


def _texts(event: Event) -> Row:
    payload = json.dumps(event.payload, separators=(",", ":")) if event.payload else None
    return (event.process_name, event.module, event.function, payload)


def _with_texts(event: Event, row: Row) -> Event:
    """The event with these texts; a stand-in longer than what it stands for may not fit."""
    process, module, function, payload = (cell if isinstance(cell, str) else None for cell in row)
    made = replace(
        event, process_name=clipped(process), module=clipped(module), function=clipped(function),
        payload=json.loads(payload) if payload else {},
    )  # fmt: skip
    try:
        row_of(made)
    except UsageError:
        return replace(made, payload={})
    return made


def main() -> int:
    """Copy what is new, and say how it went as an errand does."""
    parser = argparse.ArgumentParser(prog="monitord events copy")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--data-dir", type=Path, required=True)
    arguments = parser.parse_args()
    end_with_parent()
    try:
        from monitord import logs, rights

        logs.configure("warning")
        rights.keep_only(())  # from here on it talks to a network
        outcome, detail = (
            "ok",
            copy_events(Workspace(arguments.data_dir, arguments.config), at_most=A_ROUND).as_line(),
        )
    except (BusyError, NotFoundError) as error:
        outcome, detail = "ok", str(error)
    except (MonitordError, OSError) as error:
        outcome, detail = "failed", str(error)
    answer(outcome, detail)
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # a driver's thread that hangs in a network must not hold up the end
