"""What waits for each receiver, what is held back, what was told: by this no kill loses a message.

A message is noted before it is tried and struck off when it was taken; after a kill in between it goes out
once more. Pure: the time is an argument, `outbox_file` reads and writes. Times are aware UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from monitord.config.telling import NotifySettings, ReceiverSettings
from monitord.model import counted
from monitord.notify.errors import NotSentError
from monitord.notify.messages import Message, summary_message
from monitord.notify.quiet import quiet_until
from monitord.redaction import printable, redact_text

PAUSES_S = (10.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)
GIVEN_UP_AFTER = timedelta(hours=24)
SEEN_AT_MOST = 4096
_LIMIT_PERIOD = timedelta(hours=24)
_WAITING_AT_MOST, _HELD_AT_MOST, _GROUPS_AT_MOST = 8, 64, 256
_RETRY_AFTER_AT_MOST_S = 3600.0
_IN_EVERY_MESSAGE = ("id", "kind", "host", "rule", "title", "text")

Moment = Annotated[datetime, Meta(tz=True)]
Count = Annotated[int, Meta(ge=0)]


class Waiting(msgspec.Struct):
    """A message on its way to one receiver; `attempts` counts the one that runs, too."""

    message: dict[str, Any]
    queued_at: Moment
    attempts: Count = 0

    def __post_init__(self) -> None:
        """Refuse what no receiver could be given: a damaged file must not end each sender."""
        if not all(isinstance(self.message.get(key), str) for key in _IN_EVERY_MESSAGE):
            raise ValueError("message: expected one with its texts")

    @property
    def id(self) -> str:
        return str(self.message["id"])


class Held(msgspec.Struct):
    """What is told later, together with others; repeats have the same `group`."""

    id: str
    kind: str
    rule: str
    name: str
    at: str
    group: str

    def __post_init__(self) -> None:
        datetime.fromisoformat(self.at).astimezone()  # ValueError or OverflowError where it is not a time


class Box(msgspec.Struct):
    """Everything of one receiver. `groups` says when something was told of each lately."""

    waiting: list[Waiting] = []
    held: list[Held] = []
    held_more: Count = 0
    queued_at: list[Moment] = []
    groups: dict[str, Moment] = {}
    failures: Count = 0
    retry_at: Moment | None = None
    sent: Count = 0
    failed: Count = 0
    last_sent_at: Moment | None = None
    last_error: str | None = None
    last_error_at: Moment | None = None

    def queue(self, message: Message, groups: set[str], now: datetime) -> None:
        """Put a message on its way."""
        self.waiting = [*self.waiting, Waiting(message.as_json(), now)]
        self.queued_at = [*self.queued_at, now]
        self.groups = {**self.groups, **dict.fromkeys(groups, now)}

    def hold(self, held: Held) -> None:
        """Keep for later; of too many the oldest are only counted."""
        self.held = [*self.held, held]
        self.held_more += max(0, len(self.held) - _HELD_AT_MOST)
        self.held = self.held[-_HELD_AT_MOST:]

    def forget_old(self, fold_s: float, now: datetime) -> None:
        """Drop what no limit asks for any more, also when the clock was set back."""
        self.queued_at = [at for at in self.queued_at if timedelta() <= now - at < _LIMIT_PERIOD]
        fresh = [(group, at) for group, at in self.groups.items() if 0 <= (now - at).total_seconds() < fold_s]
        self.groups = dict(fresh[-_GROUPS_AT_MOST:])

    def give_up(self, now: datetime) -> list[str]:
        """Drop what nobody took for a day, nor at a try behind it; the ids.

        Without that try a machine that slept, or whose clock was put right, would drop what it never tried.
        """
        old: list[Waiting] = []
        young: list[Waiting] = []
        for one in self.waiting:
            one.queued_at = min(one.queued_at, now)  # the clock may have been set back
            tried_at = min(self.last_error_at or one.queued_at, now)
            (old if tried_at - one.queued_at > GIVEN_UP_AFTER else young).append(one)
        self.waiting = young
        self.failed += len(old)
        return [one.id for one in old]

    def next_room(self, settings: NotifySettings, now: datetime) -> datetime | None:
        """When another message may be put on its way; None: not before one that waits has gone."""
        if len(self.waiting) >= _WAITING_AT_MOST:
            return None
        moments = [now, quiet_until(settings.quiet_hours, now) or now]
        if len(self.queued_at) >= settings.daily_limit:
            moments.append(self.queued_at[-settings.daily_limit] + _LIMIT_PERIOD)
        return max(moments)

    def is_due(self, now: datetime) -> bool:
        """Whether one that waits is to be tried; a clock that was set back holds nothing up."""
        pause = timedelta(seconds=_RETRY_AFTER_AT_MOST_S)
        return bool(self.waiting) and (self.retry_at is None or not now < self.retry_at <= now + pause)


class Outbox(msgspec.Struct):
    """The whole. `seen` are the ids of what was told or held, the newest last."""

    since: Moment
    seen: list[str] = []
    boxes: dict[str, Box] = {}
    trouble: str | None = None

    def admit(self, message: Message, name: str, settings: NotifySettings, now: datetime) -> None:
        """Put a message down for each receiver that wants its rule; repeats have the same `name`."""
        if message.id in self.seen:
            return
        self.skip(message.id)
        name = redact_text(printable(name[:80]))
        group = f"{message.rule} {message.facts.get('level', '')} {name}"
        for receiver in settings.enabled_receivers:
            if not wants(receiver, message.rule):
                continue
            box = self.boxes.setdefault(receiver.name, Box())
            box.forget_old(settings.fold_s, now)
            if group in box.groups or box.next_room(settings, now) != now:
                at = str(message.facts.get("raised_at") or now.isoformat())
                who = str(message.facts.get("process") or name)[:80]
                box.hold(Held(message.id, message.kind, message.rule, who, at, group))
            else:
                box.queue(message, {group}, now)

    def skip(self, message_id: str) -> None:
        """Note that there is nothing more to do about this one."""
        self.seen = [*self.seen, message_id][-SEEN_AT_MOST:]

    def release(self, settings: NotifySettings, now: datetime) -> list[str]:
        """Put what was held on its way, as one message, when its time has come; the ids that are given up."""
        names = {one.name for one in settings.enabled_receivers}
        self.boxes = {name: box for name, box in self.boxes.items() if name in names}
        given_up = [name for box in self.boxes.values() for name in box.give_up(now)]
        for box in self.boxes.values():
            box.forget_old(settings.fold_s, now)
            ripe = [held for held in box.held if held.group not in box.groups]
            if ripe and box.next_room(settings, now) == now:
                message = summary_message([msgspec.to_builtins(held) for held in ripe], box.held_more)
                box.held, box.held_more = [held for held in box.held if held not in ripe], 0
                box.queue(message, {held.group for held in ripe}, now)
        return given_up

    def begin(self, name: str) -> Waiting:
        """Note that one is tried now, the oldest of those tried least: it may take another than the first."""
        one = min(self.boxes[name].waiting, key=lambda each: each.attempts)
        one.attempts += 1
        return one

    def note(self, name: str, message_id: str, error: NotSentError | None, now: datetime) -> None:
        """Note how a try ended; one that was given up meanwhile counts only when it went well."""
        box = self.boxes.get(name)
        if box is None:
            return
        if error is None:
            box.waiting = [one for one in box.waiting if one.id != message_id]
            box.sent += 1
            self.trouble = None
            box.failures, box.retry_at, box.last_error, box.last_error_at = 0, None, None, None
            box.last_sent_at = now
            return
        box.last_error, box.last_error_at = str(error)[:300], now
        if error.is_final:
            box.failed += sum(one.id == message_id for one in box.waiting)
            box.waiting = [one for one in box.waiting if one.id != message_id]
            return
        pause_s = PAUSES_S[min(box.failures, len(PAUSES_S) - 1)]
        if error.retry_after_s is not None:
            pause_s = min(max(error.retry_after_s, pause_s), _RETRY_AFTER_AT_MOST_S)
        box.failures += 1
        box.retry_at = now + timedelta(seconds=pause_s)

    def due(self, now: datetime) -> list[str]:
        """The receivers that are to be tried now."""
        return [name for name, box in self.boxes.items() if box.is_due(now)]

    def next_due(self, settings: NotifySettings, now: datetime) -> datetime | None:
        """When there is something to do again; None: not before something happens."""
        return min(self._moments(settings, now), default=None)

    def _moments(self, settings: NotifySettings, now: datetime) -> Iterator[datetime]:
        fold = timedelta(seconds=settings.fold_s)
        for box in self.boxes.values():
            if box.waiting:
                yield now if box.is_due(now) or box.retry_at is None else box.retry_at
            room = box.next_room(settings, now)
            if room is not None:
                told = [box.groups.get(held.group) for held in box.held]
                yield from (max(room, at + fold) if at else room for at in told)

    def complaints(self) -> list[str]:
        """What does not go well, in words."""
        found = [self.trouble] if self.trouble else []
        for name, box in self.boxes.items():
            if box.last_error:
                count = counted(len(box.waiting), "message")
                found.append(f"{name}: {box.last_error}; {count} waiting, {box.failed:,} given up")
        return found


def wants(receiver: ReceiverSettings, rule: str) -> bool:
    """Whether a receiver is to hear of this rule, or of "storage"."""
    chosen = any(fnmatchcase(rule, pattern) for pattern in receiver.rules)
    return chosen and not any(fnmatchcase(rule, pattern) for pattern in receiver.not_rules)
