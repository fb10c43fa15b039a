"""An incident in plain sentences, made from what was recorded and from nothing else.

A sentence without evidence is not written; what is not known is said as such. Pure: given the incident, and
what else is stored of that time and kind. Names come from processes: texts are printable, never instructions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median

from monitord.export.baseline_diff import against_baseline
from monitord.export.context import context_of, is_told, only_waited, waiting_of
from monitord.export.series import watched_by
from monitord.export.units import quantity, span
from monitord.model import (
    BEFORE,
    BY_PY_SPY,
    DURING_THE_ALERT,
    PYTHON_NOT_READ,
    SNAPSHOT,
    UNKNOWN_CAUSE,
    Cause,
    ProfileRecord,
    counted,
    in_words,
    not_read_share,
)
from monitord.redaction import printable
from monitord.redaction.naming import display_name
from monitord.storage.ids import short_id
from monitord.storage.views import HotFunction, IncidentView

HOT_SHARE = 0.05
_NOT_KNOWN = "what it was doing is not known"
_FUNCTIONS = 3
_FEWEST_BEFORE = 2  # samples from which "before that" can be said
_MANY_BEFORE = 10  # and from which on nobody need be told how few they are


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else is stored: incidents within minutes, earlier ones of the same program, what was hot then."""

    meanwhile: Sequence[ProfileRecord] = ()
    earlier: Sequence[ProfileRecord] = ()
    recurring: Sequence[HotFunction] = ()


@dataclass(frozen=True, slots=True)
class Sentence:
    """One statement, what it is about, and on what it rests: ids of incidents, a function, readings.

    `about` is cause, who, before, where, context, normal, meanwhile, unknown or further.
    """

    about: str
    text: str
    evidence: tuple[str, ...] = field(default=())


def sentence_row(sentence: Sentence) -> dict[str, object]:
    """Return a sentence as plain data."""
    return {"about": sentence.about, "text": sentence.text, "evidence": list(sentence.evidence)}


def explain_incident(view: IncidentView, around: Surroundings) -> tuple[Sentence, ...]:
    """Return the sentences, in the order in which one would tell them."""
    return tuple(
        sentence
        for part in (_cause, _who, _before, _where, _context, _normal, _meanwhile, _unknown, _further)
        for sentence in part(view, around)
    )


def cause_words(cause: Cause) -> str:
    """The sentence that names a cause, and how sure it is."""
    sure = "" if cause.confidence == "unknown" else f" ({cause.confidence})"
    kind = "" if cause.kind == UNKNOWN_CAUSE else f"{cause.kind}: "
    return f"{kind}{cause.sentence.rstrip('.')}{sure}"


def _cause(view: IncidentView, _around: Surroundings) -> Iterator[Sentence]:
    cause = view.cause
    if cause is None:
        return
    rests_on = tuple(f"{label}: {text}" for label, text in cause.evidence)
    yield Sentence("cause", f"Cause: {printable(cause_words(cause))}.", rests_on)
    if cause.runner_up:
        yield Sentence("cause", f"It may be {printable(cause.runner_up)} instead.")
    if cause.decides:
        yield Sentence("cause", f"What would decide: {printable(cause.decides).rstrip('.')}.")
    for label, text in cause.evidence:
        yield Sentence("cause", f"{printable(label)}: {printable(text).rstrip('.')}.")  # may name a process


def _who(view: IncidentView, _around: Surroundings) -> Iterator[Sentence]:
    who = display_name(view.process_name, view.record.command_line)
    pid = f" (pid {view.record.pid}" + (f", {printable(view.record.user)})" if view.record.user else ")")
    named = f"{who}{pid if view.record.pid else ''}" if view.process_name else "The machine"
    yield Sentence(
        "who", f"At {_moment(view.raised_at)}, {named}: {printable(view.reason)}.", (view.correlation_id,)
    )
    lasted_s = (view.raised_at - view.crossed_at).total_seconds()
    if lasted_s > 0 and view.rule != SNAPSHOT:
        yield Sentence("who", f"It had begun {span(lasted_s)} earlier, at {_moment(view.crossed_at)}.")
    process = view.process
    if process is not None and process.started_at < view.crossed_at:
        old = span((view.crossed_at - process.started_at).total_seconds())
        unit = f", in {printable(process.unit)}" if process.unit else ""
        yield Sentence("who", f"The process was {old} old then{unit}.")


def _before(view: IncidentView, _around: Surroundings) -> Iterator[Sentence]:
    watched = watched_by(view.metric)
    if watched is None:
        return
    unit, read = watched
    began = view.process.started_at if view.process else None
    points = [
        point
        for point in view.history
        if point.taken_at < view.crossed_at and (began is None or point.taken_at >= began)
    ]
    read_at = [(point.taken_at, value) for point in points if (value := read(point)) is not None]
    known = [value for _at, value in read_at]
    if len(known) < _FEWEST_BEFORE:
        return
    since = span((view.crossed_at - read_at[0][0]).total_seconds())
    usual, highest = quantity(median(known), unit), quantity(max(known), unit)
    said = f"at {usual}" if usual == highest else f"at {usual} (median), at most {highest}"
    count = counted(len(known), "sample")
    few = f" ({count})" if len(known) < _MANY_BEFORE else ""
    yield Sentence("before", f"In the {since} before that{few} it stood {said}.", (count,))


def _where(view: IncidentView, _around: Surroundings) -> Iterator[Sentence]:
    record = view.record
    hot = [spot for spot in view.hotspots if spot.self_share >= HOT_SHARE and not spot.seen][:_FUNCTIONS]
    if not hot:
        return
    is_before = record.role == BEFORE
    tool = printable(record.profiler or "the profiler")
    if is_before:
        tool = "The black box" if view.rule == SNAPSHOT else "Before the alert the black box"
    samples = f" in {counted(record.sample_count, 'sample')}" if record.sample_count else ""
    not_read = not_read_share(view.hotspots)
    for n, spot in enumerate(hot):
        place = f" ({printable(spot.file)}:{spot.line})" if spot.file and spot.line else ""
        error = f" ± {spot.share_error * 100:.0f}" if spot.share_error and spot.share_error >= 0.005 else ""
        share = f"{spot.self_share * 100:.0f}{error} % of its time"
        if spot.function == PYTHON_NOT_READ:  # never the first, where anything was read
            said = f"Of {share} the Python functions were not read."
            yield Sentence("where", said, (record.correlation_id,))
            continue
        share = f"at least {share}" if not_read and spot.kind == "python" else share
        does = "wait" if only_waited(view) else "spend"
        start = f"{tool} saw it {does} {share}{samples}" if n == 0 else f"A further {share} went"
        yield Sentence("where", f"{start} in {printable(spot.function)}{place}.", (record.correlation_id,))
        if spot.source_line:
            yield Sentence("where", f"The hottest line there is: {printable(spot.source_line.strip())}")
    for spot in [spot for spot in view.hotspots if spot.seen][:_FUNCTIONS]:
        where = f"{spot.self_share * 100:.0f} % in {printable(spot.function)}"
        line = f" ({printable(spot.file)}:{spot.line})" if spot.file and spot.line else ""
        said = f"While the rule's window lasted it spent {where}, which the profile after it does not show."
        if spot.seen == DURING_THE_ALERT:
            why = "of which less was read before" if not_read else "which the time before does not show"
            said = f"During the alert it spent {where}{line}, {why}."
        if spot.seen == BY_PY_SPY:
            said = f"Of the Python code py-spy saw {where}{line}; that does not explain all of the CPU used."
        yield Sentence("where", said)
    if (waits := waiting_of(view)) and not is_told(view, waits):
        yield Sentence("where", f"Beside that, {printable(waits)}.")
    if view.late:
        yield Sentence("where", "That profile was taken when the spike was over: it shows what came after.")


def _context(view: IncidentView, _around: Surroundings) -> Iterator[Sentence]:
    """What was measured of it besides stacks; what the machine was like is told with it."""
    for label, text in context_of(view):
        yield Sentence("context", f"{label.capitalize()}: {printable(text)}.", (view.correlation_id,))


def _normal(view: IncidentView, around: Surroundings) -> Iterator[Sentence]:
    earlier = [record for record in around.earlier if record.correlation_id != view.correlation_id]
    if earlier and view.rule != SNAPSHOT:
        last = earlier[0]  # the newest first
        who = display_name(view.process_name, view.record.command_line)
        times = "once" if len(earlier) == 1 else f"{len(earlier)} times"
        ago = span((view.raised_at - (last.raised_at or last.captured_at)).total_seconds())
        yield Sentence(
            "normal",
            f"The same rule fired for {who} {times} before, last {ago} earlier"
            f" ({short_id(last.correlation_id)}).",
            tuple(record.correlation_id for record in earlier[:20]),
        )
    if view.baseline is not None and (said := against_baseline(view)):
        yield Sentence("normal", said, (view.baseline.correlation_id,))
    for spot in around.recurring:
        if spot.incidents > 1 and not spot.function.startswith("["):  # code without a name is not one thing
            yield Sentence(
                "normal",
                f"{printable(spot.function)} was hot in {counted(spot.incidents, 'incident')},"
                f" with {spot.self_share_mean * 100:.0f} % on average.",
                (spot.function,),
            )


def _meanwhile(view: IncidentView, around: Surroundings) -> Iterator[Sentence]:
    points = [point for point in view.history if point.taken_at >= view.crossed_at]
    if points:
        machine = median(point.machine_percent for point in points)
        free = min(point.memory_available_bytes for point in points)
        yield Sentence(
            "meanwhile",
            f"Meanwhile the machine's processors were {machine:.0f} % busy,"
            f" and at least {quantity(free, 'bytes')} of memory were available.",
            (counted(len(points), "sample"),),
        )
        unseen = max((point.unattributed_cpu_percent or 0.0 for point in points), default=0.0)
        if unseen >= 20:
            yield Sentence(
                "meanwhile",
                f"Up to {unseen:.0f} % of a core was used by no process that the recorder sees:"
                " short-lived ones, or others of the same host outside this container.",
            )
    others = [record for record in around.meanwhile if record.correlation_id != view.correlation_id]
    if others:
        told = others[:_FUNCTIONS]
        count = "was another incident" if len(others) == 1 else f"were {len(others)} other incidents"
        which = ":" if len(others) == len(told) else ", such as"
        yield Sentence(
            "meanwhile",
            f"Within five minutes of it there {count}{which} {'; '.join(map(_named, told))}.",
            tuple(record.correlation_id for record in told),
        )


def _named(record: ProfileRecord) -> str:
    who = display_name(record.process_name, record.command_line)
    return f"{who}, {in_words(record.trigger_metric)} ({short_id(record.correlation_id)})"


def _unknown(view: IncidentView, _around: Surroundings) -> Iterator[Sentence]:
    if not view.hotspots:
        waits = dict(context_of(view)).get("waits")
        what = f"all that is known of what it was doing: {printable(waits)}" if waits else _NOT_KNOWN
        yield Sentence("unknown", f"There is no profile of it; {what}.")
    if view.is_summary:
        yield Sentence(
            "unknown", "Its evidence and history are gone with age; this is what was kept of them."
        )
    steps: dict[str, None] = {}
    for step in view.not_captured:
        reason = f": {printable(step.reason)}" if step.reason else ""
        fix = f" To change that: {printable(step.fix)}" if step.fix else ""
        tool = "The profile" if step.profiler in ("auto", "none") else printable(step.profiler)
        said = f"{tool} was not taken ({in_words(step.status)}){reason}."
        steps[said + fix] = None  # a refusal holds for the first look and the profile
    yield from (Sentence("unknown", text) for text in steps)
    for record in view.captures:
        if unnamed := (record.notes or {}).get("unnamed"):
            fix = f" To change that: {printable(record.fix)}" if record.fix else ""
            yield Sentence("unknown", f"Of its profile {printable(unnamed)}.{fix}")
    if view.suppressed_by and view.suppressed_by not in {step.reason for step in view.not_captured}:
        yield Sentence("unknown", f"No profile was taken because {printable(view.suppressed_by)}.")
    changed = next((spot for spot in view.hotspots if spot.source_state == "changed"), None)
    if changed is not None and changed.file:
        yield Sentence(
            "unknown",
            f"{printable(changed.file)} was changed after the process started: its lines are not what ran.",
        )


def _further(view: IncidentView, _around: Surroundings) -> Iterator[Sentence]:
    name = short_id(
        view.correlation_id
    )  # a line for each, so that no narrow screen breaks what is to be copied
    yield Sentence("further", f"To look further: `monitord show {name}`.", (view.correlation_id,))
    yield Sentence("further", f"Its events: `monitord events --incident {name}`.", (view.correlation_id,))


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
