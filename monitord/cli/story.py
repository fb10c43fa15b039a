"""An incident told to a person, section by section."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from monitord.actions.desktop import can_open_pages
from monitord.actions.incidents import Timeline
from monitord.cli.cause import cause_lines
from monitord.cli.consumers import SHOWN, consumers_table, more_than
from monitord.cli.functions import functions_table, worth_showing
from monitord.cli.history import LABEL, history_lines
from monitord.cli.rows import evidence_paint, tool_name
from monitord.cli.strip import Steps, strip, strip_title
from monitord.cli.terminal import Style, cut, cut_left, display_width, pad, wrap
from monitord.cli.when import full_stamp, local_stamp
from monitord.export.baseline_diff import against_baseline
from monitord.export.context import context_of, is_told, only_waited, waiting_of
from monitord.export.recurrence import time_this_week
from monitord.export.units import age, quantity, span
from monitord.export.verdicts import happened, verdict_of
from monitord.model import (
    BEFORE,
    BEFORE_THE_ALERT,
    BY_PY_SPY,
    DURING_THE_ALERT,
    ONLY_WAITED,
    SNAPSHOT,
    UNKNOWN_CAUSE,
    CaptureStatus,
    Hotspot,
    ProfileRecord,
    TriggerMetric,
    counted,
    in_words,
)
from monitord.profiles.verdict import OF_CPU
from monitord.redaction import printable
from monitord.storage.ids import short_id
from monitord.storage.views import IncidentView

if TYPE_CHECKING:
    from monitord.profiles.consumers import Consumer

_LABEL = LABEL
_TOLD_NOTES = ("ring", ONLY_WAITED, "looks", "threads", "unnamed", "explained", "java", "behind", "first_try")
_HOTSPOTS = 10
_PHASES = {
    BEFORE_THE_ALERT: ("Before the alert", "(seen while the window lasted)"),
    DURING_THE_ALERT: ("During the alert", "(what only the profile taken then shows)"),
}
_PENDING = {
    "running": "is being taken now: ask again in a moment",
    "waiting": "waits for its turn (one profile is taken at a time): ask again later",
}


def tell(
    view: IncidentView,
    *,
    now: datetime,
    utc: bool,
    width: int,
    style: Style,
    pending: str | None = None,
    before: Timeline = Timeline(),
) -> Iterator[str]:
    """Yield the lines of `show`; `pending` says whether a profile is "running" or "waiting", `again` how
    often it happened.
    """
    page = ProfileBrowserView(style, max(width, 40), now, utc)
    said = verdict_of(view, pending)
    yield from page.headline(view, said)
    yield from page.consumers(before.consumers)
    if view.metric not in OF_CPU:  # what grew, moved or waited is where it went; what ran comes second
        yield from page.cause(view)
    yield from page.functions(view)
    yield from page.timeline(view, before.steps or ())
    yield from page.evidence(view, _PENDING.get(pending or "", ""))
    yield from page.missing(view, said)
    yield from page.notes(view)
    if view.metric in OF_CPU:
        yield from page.cause(view)
    yield from page.facts(view, said)
    yield from page.context(view)
    yield from page.next_steps(view)


class ProfileBrowserView:
    """The requirement's view of one capture: where and how its story is written."""

    def __init__(self, style: Style, width: int, now: datetime, utc: bool) -> None:
        self._style = style
        self._width = width
        self._now = now
        self._utc = utc

    @property
    def _room_for_paths(self) -> int:
        return self._width - 2 - _LABEL - 1

    def _is_cut(self, path: str) -> bool:
        return display_width(printable(path)) > self._room_for_paths

    def headline(self, view: IncidentView, said: str) -> Iterator[str]:
        """The verdict, then which incident this is, when and how much it was."""
        marks = [word for word, holds in (("late", view.late), ("kept", view.pinned)) if holds]
        for line in wrap(said, self._width):
            yield self._style.paint(line, "bold")
        when = f"{full_stamp(view.raised_at, utc=self._utc)}, {age(view.raised_at, self._now)}"
        who = [f"pid {view.record.pid}"] if view.record.pid else []
        again = view.record
        told = [
            short_id(view.correlation_id),
            when,
            *who,
            happened(view),
            *filter(None, [time_this_week(again.times_this_week, again.times_this_week_at_least)]),
            *(f"[{mark}]" for mark in marks),
        ]
        for line in wrap(" · ".join(told), self._width):
            yield self._style.paint(line, "dim")

    def cause(self, view: IncidentView) -> Iterator[str]:
        """What speaks for the cause that the verdict names, or why it is not known."""
        if view.cause is not None and (lines := list(cause_lines(view.cause, self._width, self._fact))):
            yield from self._title("What speaks for it" if view.cause.kind != UNKNOWN_CAUSE else "The cause")
            yield from lines

    def facts(self, view: IncidentView, said: str) -> Iterator[str]:
        process = view.process
        yield from self._title("The request" if view.metric is TriggerMetric.MANUAL else "The alert")
        yield from self._fact("why", printable(view.reason), "yellow")
        if view.metric is not TriggerMetric.MANUAL:
            limit = f", {quantity(view.threshold.value, view.threshold.unit)}" if view.threshold else ""
            yield from self._fact("rule", f"{printable(view.rule)}{limit} for {span(view.window_s)}")
        if view.suppressed_by and printable(view.suppressed_by) not in said:
            yield from self._fact("no capture", printable(view.suppressed_by))
        if view.repeat_count:
            again = counted(view.repeat_count, "further alert")
            whose = "" if view.metric.is_machine_wide else " of this process"
            yield from self._fact("repeats", f"{again}{whose}, counted here and not captured again")
        if process:
            user = f", user {printable(process.user)}" if process.user else ""
            began = local_stamp(process.started_at, self._now, utc=self._utc)
            yield from self._fact("process", f"parent {process.parent_pid}{user}, started {began}")
            place = process.unit or process.container_id or process.cgroup
            if place:
                yield from self._fact("runs in", printable(place))
            if process.executable:
                yield from self._fact("program", printable(process.executable))
            if process.command_line:
                yield from self._fact("command", printable(" ".join(process.command_line)))
        if view.is_summary:
            yield from self._fact("note", "the evidence is gone with age; this summary is what stays")

    def timeline(self, view: IncidentView, steps: Steps) -> Iterator[str]:
        """The hottest function second by second, then a line a value."""
        if steps:
            yield from self._title(*strip_title(steps, is_snapshot=view.rule == SNAPSHOT))
            yield f"  {strip(steps, self._width - 2, self._style)}"
        length, lines = history_lines(view, self._width, self._style)
        if lines:
            yield from self._title(f"The {length} before it")
            yield from lines

    def consumers(self, consumers: Sequence[Consumer]) -> Iterator[str]:
        """Who ran, the busiest first."""
        if consumers:
            yield from self._title("Who ran", more_than(consumers, SHOWN))
            table = consumers_table(consumers[:SHOWN], self._width - 2, self._style)
            yield from (f"  {line}" for line in table)

    def functions(self, view: IncidentView) -> Iterator[str]:
        if not view.hotspots:
            return
        best = view.record
        samples = f"{_samples(best)}, " if best.sample_count else ""
        busy = f", target at {best.target_cpu_percent:.0f} % of a core" if best.target_cpu_percent else ""
        where = f"({printable(best.profiler or '?')}: {samples}{best.duration_seconds} s{busy})"
        if best.role == BEFORE:
            when = "" if view.rule == SNAPSHOT else f"{BEFORE_THE_ALERT}, "
            where = f"({when}from the black box: {_samples(best)})"
        if now := worth_showing([spot for spot in view.hotspots if spot.seen is None]):
            yield from self._title("Where it waited" if only_waited(view) else "Where the time went", where)
            yield from self._table(now)
        if python := [spot for spot in view.hotspots if spot.seen == BY_PY_SPY]:
            yield from self._title(
                "In Python", "(by py-spy, whose samples do not explain all of the CPU used)"
            )
            yield from self._table(python)
        for seen, (title, aside) in _PHASES.items():
            if spots := [spot for spot in view.hotspots if spot.seen == seen]:
                yield from self._title(title, aside)
                yield from self._table(spots)
        if (told := waiting_of(view)) and not is_told(view, told):
            yield from (
                f"  {self._style.paint(line, 'dim')}" for line in wrap(printable(told), self._width - 2)
            )
        if said := against_baseline(view):
            yield ""
            yield from (f"  {line}" for line in wrap(said, self._width - 2))
        if view.late:
            yield "  " + self._style.paint(
                "taken when the spike was over: it shows what came after", "yellow"
            )

    def _table(self, spots: Sequence[Hotspot]) -> Iterator[str]:
        yield from functions_table(spots[:_HOTSPOTS], self._width, self._style)

    def context(self, view: IncidentView) -> Iterator[str]:
        """What the record taken beside the profile says of the process and the machine."""
        lines = context_of(view)
        if not lines:
            return
        yield from self._title("What the process was like", "(when it was captured)")
        for label, text in lines:
            yield from self._fact(label, printable(text))

    def evidence(self, view: IncidentView, coming: str) -> Iterator[str]:
        kept = [record for record in view.captures if record.status.has_evidence]
        yield from self._title(
            "What was captured", "" if kept else "(nothing yet)" if coming else "(nothing)"
        )
        if coming:
            yield from self._fact("profile", coming, "yellow")
        wide = max((len(in_words(record.status)) for record in kept), default=0)
        has_before = any(record.role == BEFORE for record in kept)
        for record in kept:
            status = self._style.paint(f"{in_words(record.status):<{wide}}", *evidence_paint(record.status))
            room = self._width - 2 - _LABEL - 1 - wide - 2
            first, *more = wrap(cut(_how(record, has_before), 5 * room), room)
            role = pad(cut(printable(record.role), _LABEL), _LABEL)
            yield f"  {role} {status}  {first}".rstrip()
            yield from (f"  {'':{_LABEL}} {'':{wide}}  {line}" for line in more)
            if record.profile_path:
                yield f"  {'':{_LABEL}} {cut_left(printable(record.profile_path), self._room_for_paths)}"
            if record.fix:
                yield f"  {'':{_LABEL}} fix: {self._style.paint(printable(record.fix), 'green')}"

    def missing(self, view: IncidentView, said: str) -> Iterator[str]:
        """What failed, why and what to type; a reason that the verdict `said` is told once."""
        steps = {  # a refusal holds for the first look and the profile, and may have been told above
            (tool_name(step.profiler) or "", step.status, step.reason, step.fix): None
            for step in view.not_captured
            if step.fix or not step.reason or step.reason != view.suppressed_by
        }
        if any(record.role == BEFORE and record.status.has_evidence for record in view.captures):
            # Of a process that is gone there is what it ran before: nothing is missing.
            steps = {step: None for step in steps if step[1] != CaptureStatus.TARGET_GONE}
        if steps:
            yield from self._title("What could not be captured")
        for name, status, reason, fix in steps:
            tool = pad(cut(printable(name), _LABEL), _LABEL)
            why = printable(reason or "")
            yield from self._wrapped(f"  {tool} ", in_words(status), "" if why in said else why)
            if fix:
                # Never wrapped: a person copies it.
                yield f"  {'':{_LABEL}} fix: {self._style.paint(printable(fix), 'green')}"

    def notes(self, view: IncidentView) -> Iterator[str]:
        if not view.notes:
            return
        yield ""
        yield self._style.paint("Notes", "bold")
        for note in view.notes:
            stamp = local_stamp(note.taken_at, self._now, utc=self._utc)
            for line in wrap(printable(note.text), self._width - 4 - len(stamp)):
                yield f"  {stamp}  {line}"
                stamp = " " * len(stamp)

    def next_steps(self, view: IncidentView) -> Iterator[str]:
        yield from self._title("Next")
        number = short_id(view.correlation_id)
        steps = [(f"monitord summary {number}", "a few lines to paste")]
        if view.hotspots and not view.is_summary:
            page = (
                f"open {number}" if can_open_pages(os.environ) else f"export {number} -o {number}.report.html"
            )
            steps.append((f"monitord {page}", "all of it on one page"))
        steps.append((f"monitord export {number} -o {number}.json", "a redacted copy for a ticket"))
        if any(self._is_cut(record.profile_path) for record in view.captures):
            steps.append((f"monitord reveal {number}", "where its evidence lies"))
        if not view.pinned and not view.is_summary:
            steps.append((f"monitord keep {number}", "keep it past its age"))
        if view.baseline and view.hotspots and not view.is_summary:
            steps.append((f"monitord compare {number} --baseline", "what is new, function by function"))
        if view.record.pid:
            steps.append((f"monitord recent --pid {view.record.pid}", "what else this process did"))
        width = max(len(command) for command, _ in steps)
        fits = all(2 + width + 2 + len(purpose) <= self._width for _, purpose in steps)
        for command, purpose in steps:
            typed, why = self._style.paint(command, "cyan"), self._style.paint(purpose, "dim")
            if fits:
                yield f"  {typed}{' ' * (width - len(command))}  {why}"
            else:
                yield from (f"  {typed}", f"      {why}")

    def _title(self, title: str, aside: str = "") -> Iterator[str]:
        yield ""
        fits = display_width(f"{title} {aside}") <= self._width
        yield self._style.paint(title, "bold") + (
            f" {self._style.paint(aside, 'dim')}" if aside and fits else ""
        )
        if not fits:
            for line in wrap(cut(aside, 3 * self._width), self._width - 2):
                yield f"  {self._style.paint(line, 'dim')}"

    def _fact(self, label: str, text: str, *paint: str) -> Iterator[str]:
        head = f"  {pad(label, _LABEL)} "
        for index, line in enumerate(wrap(text, self._width - len(head))):
            yield (self._style.paint(head, "dim") if index == 0 else " " * len(head)) + self._style.paint(
                line, *paint
            )

    def _wrapped(self, head: str, word: str, text: str) -> Iterator[str]:
        """`head`, a word painted red, then text wrapped beside them."""
        indent = display_width(head)
        first, *more = wrap(f"{word}: {text}" if text else word, self._width - indent)
        yield head + self._style.paint(first[: len(word)], "red") + first[len(word) :]
        yield from (" " * indent + line for line in more)


def _how(record: ProfileRecord, has_before: bool) -> str:
    is_of_then = has_before and record.role == "profile" and not record.late
    parts = [
        printable(record.profiler) if record.profiler and record.profiler != record.role else "",
        DURING_THE_ALERT if is_of_then else "",
        _samples(record),
        f"{record.duration_seconds} s" if record.duration_seconds else "",
        f"target at {record.target_cpu_percent:.0f} %" if record.target_cpu_percent is not None else "",
        "late" if record.late else "",
        f"plan {plan}" if (plan := (record.notes or {}).get("plan")) else "",
        *((record.notes or {}).get(name, "") for name in (() if record.role == "context" else _TOLD_NOTES)),
        quantity(record.size_bytes, "disk_bytes") if record.size_bytes else "",
        record.failure_reason or "",
    ]
    return printable(", ".join(part for part in parts if part))


def _samples(record: ProfileRecord) -> str:
    count = record.sample_count
    return counted(count, "sample") if count else ""
