"""An incident told to a person, section by section."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from monitord.actions.incidents import Timeline
from monitord.cli.cause import cause_lines
from monitord.cli.consumers import SHOWN, consumers_table, more_than
from monitord.cli.history import LABEL, history_lines
from monitord.cli.rows import evidence_paint, tool_name
from monitord.cli.strip import Steps, strip, strip_title
from monitord.cli.terminal import Style, cut, cut_left, display_width, pad, wrap
from monitord.cli.when import full_stamp, local_stamp
from monitord.export.baseline_diff import against_baseline
from monitord.export.context import context_of, waiting_of
from monitord.export.units import age, bar, quantity, span
from monitord.export.verdicts import value_unit
from monitord.model import (
    BEFORE,
    BEFORE_THE_ALERT,
    BY_PY_SPY,
    DURING_THE_ALERT,
    SNAPSHOT,
    CaptureStatus,
    Hotspot,
    ProfileRecord,
    TriggerMetric,
    counted,
)
from monitord.redaction import printable
from monitord.redaction.naming import display_name
from monitord.storage.ids import short_id
from monitord.storage.views import IncidentView

if TYPE_CHECKING:
    from monitord.profiles.consumers import Consumer

_LABEL = LABEL
_TOLD_NOTES = ("ring", "looks", "threads", "unnamed", "explained", "java", "behind", "first_try")
_HOTSPOTS = 10
_PHASES = {
    BEFORE_THE_ALERT: ("Before the alert", "(seen while the window lasted)"),
    DURING_THE_ALERT: ("During the alert", "(what only the profile taken then shows)"),
}
_SHORTEST_PLACE = 8  # columns below which the end of a path says nothing
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
    """Yield the lines of `show`; `pending` says whether a profile is "running" or "waiting"."""
    page = ProfileBrowserView(style, max(width, 40), now, utc)
    yield from page.headline(view)
    yield from page.hottest(view)
    yield from page.strip(view, before.steps or ())
    yield from page.facts(view)
    yield from page.timeline(view)
    yield from page.consumers(before.consumers)
    yield from page.functions(view)
    yield from page.context(view)
    yield from page.evidence(view, _PENDING.get(pending or "", ""))
    yield from page.missing(view)
    yield from page.notes(view)
    yield from page.next_steps(view)


class ProfileBrowserView:
    """The requirement's view of one capture: where and how its story is written."""

    def __init__(self, style: Style, width: int, now: datetime, utc: bool) -> None:
        self._style = style
        self._width = width
        self._now = now
        self._utc = utc

    def headline(self, view: IncidentView) -> Iterator[str]:
        who = display_name(view.process_name, view.record.command_line)
        pid = f" (pid {view.record.pid})" if view.record.pid else ""
        value = quantity(view.value, value_unit(view))
        marks = [word for word, holds in (("late", view.late), ("kept", view.pinned)) if holds]
        tail = f"  [{', '.join(marks)}]" if marks else ""
        what = view.metric.value.replace("_", " ")
        if view.rule == SNAPSHOT:
            what, value = f"snapshot of {span(view.window_s)},", f"{value} of one core"
        text = f"{who}{pid}: {what} {value}"
        yield self._style.paint(cut(text, self._width - len(tail)), "bold") + self._style.paint(
            tail, "yellow"
        )
        yield ""
        if view.cause is not None:
            yield from cause_lines(view.cause, self._style, self._width, _LABEL, self._fact)

    def facts(self, view: IncidentView) -> Iterator[str]:
        process = view.process
        when = f"{full_stamp(view.raised_at, utc=self._utc)}, {age(view.raised_at, self._now)}"
        yield from self._fact("incident", short_id(view.correlation_id))
        yield from self._fact("when", when)
        yield from self._fact("why", printable(view.reason), "yellow")
        if view.metric is not TriggerMetric.MANUAL:
            limit = f", {quantity(view.threshold.value, view.threshold.unit)}" if view.threshold else ""
            yield from self._fact("rule", f"{printable(view.rule)}{limit} for {span(view.window_s)}")
        if view.suppressed_by:
            yield from self._fact("no capture", printable(view.suppressed_by))
        if view.repeat_count:
            again = "1 further alert" if view.repeat_count == 1 else f"{view.repeat_count:,} further alerts"
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

    def hottest(self, view: IncidentView) -> Iterator[str]:
        """On the first screen, whatever follows: the function that all this is for."""
        if view.hotspots:
            spot = view.hotspots[0]
            when = ", after the spike" if view.late else f", {spot.seen}" if spot.seen in _PHASES else ""
            text = cut(
                f"  {'hottest':<{_LABEL}} {spot.self_share * 100:.0f} % in {printable(spot.function)}{when}",
                self._width,
            )
            room = self._width - display_width(text) - 3
            place = cut_left(_place(spot), room) if spot.file and room > _SHORTEST_PLACE else ""
            yield f"{text} ({place})" if place else text

    def timeline(self, view: IncidentView) -> Iterator[str]:
        length, lines = history_lines(view, self._width, self._style)
        if lines:
            yield from self._title(f"The {length} before it")
            yield from lines

    def strip(self, view: IncidentView, steps: Steps) -> Iterator[str]:
        """The hottest function second by second."""
        if steps:
            yield from self._title(*strip_title(steps, is_snapshot=view.rule == SNAPSHOT))
            yield f"  {strip(steps, self._width - 2, self._style)}"
            yield ""

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
            yield from self._title("Where the time went", where)
            yield from self._hotspot_lines(now[:_HOTSPOTS])
        if python := [spot for spot in view.hotspots if spot.seen == BY_PY_SPY]:
            yield from self._title(
                "In Python", "(by py-spy, whose samples do not explain all of the CPU used)"
            )
            yield from self._hotspot_lines(python[:_HOTSPOTS])
        for seen, (title, aside) in _PHASES.items():
            if spots := [spot for spot in view.hotspots if spot.seen == seen]:
                yield from self._title(title, aside)
                yield from self._hotspot_lines(spots[:_HOTSPOTS])
        if told := waiting_of(view):
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

    def _hotspot_lines(self, spots: Sequence[Hotspot]) -> Iterator[str]:
        bar_width = 20 if self._width >= 100 else 10 if self._width >= 60 else 0
        errors = [_error(spot) for spot in spots]
        wide = max(map(len, errors))
        room = self._width - 2 - bar_width - 2 - 6 - wide - 6 - 2
        names = [printable(spot.function) for spot in spots]
        places = [_place(spot) for spot in spots]
        name_width = min(
            max(map(display_width, names)), max(room // 2, room - max(map(display_width, places)) - 2)
        )
        yield self._style.paint(f"  {'':{bar_width}}  {'self':>5}{'':{wide}} {'total':>5}  function", "dim")
        for spot, name, place, error in zip(spots, names, places, errors, strict=True):
            drawn = self._style.paint(bar(spot.self_share, bar_width), "red") if bar_width else ""
            self_share = f"{spot.self_share * 100:3.0f} %{self._style.paint(f'{error:{wide}}', 'dim')}"
            shown = self._style.paint(pad(cut(name, name_width), name_width), "bold")
            head = f"  {drawn}  {self_share} {spot.total_share * 100:3.0f} %  "
            yield f"{head}{shown}  {cut_left(place, room - name_width - 2)}".rstrip()
            yield from self._source_line(spot, 2 + bar_width + 2 + 5 + wide + 6 + 2)

    def _source_line(self, spot: Hotspot, indent: int) -> Iterator[str]:
        """The hottest line itself; kept only where the file was still what the process runs."""
        if spot.source_line:
            text = cut(printable(spot.source_line), self._width - indent - 2)
            yield " " * indent + self._style.paint(f"› {text}", "green")

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
        wide = max((len(record.status.value) for record in kept), default=0)
        has_before = any(record.role == BEFORE for record in kept)
        for record in kept:
            status = self._style.paint(f"{record.status.value:<{wide}}", *evidence_paint(record.status))
            room = self._width - 2 - _LABEL - 1 - wide - 2
            first, *more = wrap(cut(_how(record, has_before), 5 * room), room)
            role = pad(cut(printable(record.role), _LABEL), _LABEL)
            yield f"  {role} {status}  {first}".rstrip()
            yield from (f"  {'':{_LABEL}} {'':{wide}}  {line}" for line in more)
            if record.profile_path:
                yield f"  {'':{_LABEL}} {printable(record.profile_path)}"
            if record.fix:
                yield f"  {'':{_LABEL}} fix: {self._style.paint(printable(record.fix), 'green')}"

    def missing(self, view: IncidentView) -> Iterator[str]:
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
            yield from self._wrapped(f"  {tool} ", printable(status), printable(reason or ""))
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
        steps = [(f"monitord export {number} -o incident-{number}.json", "a redacted copy for a ticket")]
        if view.hotspots and not view.is_summary:
            steps.append(
                (f"monitord export {number} --format flamegraph -o {number}.html", "where the time went")
            )
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


def worth_showing(spots: Sequence[Hotspot]) -> list[Hotspot]:
    """Without rows of 0 %, unless there is nothing else."""
    return [spot for spot in spots if max(spot.self_share, spot.total_share) >= 0.005] or list(spots)


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


def _error(spot: Hotspot) -> str:
    """How far the self share may be off, in whole percent; nothing where that is too little to see."""
    percent = round((spot.share_error or 0.0) * 100)
    return f" ±{percent}" if percent else ""


def _place(spot: Hotspot) -> str:
    if spot.file is None:
        return printable(f"({spot.module})" if spot.module else f"({spot.kind})")
    return printable(f"{spot.file}:{spot.line}" if spot.line else spot.file)
