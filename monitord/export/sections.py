"""What a report tells, in which order: blocks that each way of writing it draws in its own manner. Pure.

Everything comes from the document (`report.py`), so what was hidden there stands nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitord.export.units import quantity, span
from monitord.model import BEFORE, ONLY_WAITED, counted, in_words

Document = Mapping[str, Any]
_LEAST_SHARE = 0.005
_HOTSPOTS, _PROCESSES = 20, 12


@dataclass(frozen=True, slots=True)
class Facts:
    """Labels and what there is to say."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; `is_warning`: it limits what the rest can be trusted for."""

    text: str
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One point of a list; `outcome` is ok, warning, failure or "". `fix` is what to type."""

    text: str
    fix: str | None = None
    outcome: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """A list; those that are `ok` may be folded away."""

    items: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a function stands, and its hottest line where that was kept."""

    where: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` have a cell for each column: a text or a Place; the first `shares` of them are from 0 to 1."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    shares: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """Values over `length_s` seconds; what the rule watched crossed its limit at sample `crossed`."""

    series: Sequence[Mapping[str, Any]]
    length_s: float
    crossed: int


@dataclass(frozen=True, slots=True)
class Strip:
    """The hottest function step by step; the keys are those of `timeline` in docs/output.md."""

    steps: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Graph:
    """The flame graph's data: what `write_graph_data` wrote."""

    data: Mapping[str, Any]


Block = Facts | Text | Findings | Table | History | Strip | Graph


@dataclass(frozen=True, slots=True)
class Section:
    """A title, an aside to it, and blocks. `name` is its anchor."""

    name: str
    title: str
    blocks: Sequence[Block]
    aside: str = ""


def sections(document: Document, graph: Mapping[str, Any] | None) -> Iterator[Section]:
    """Yield the sections that have anything to say."""
    for part in (
        _cause(document),
        _history(document),
        _strip(document),
        _processes(document),
        _functions(document),
        _graph(document, graph),
        _process(document),
        _around(document),
        _done(document),
        _unknown(document, graph),
        _notes(document),
        _doctor(document),
        _versions(document),
    ):
        if part.blocks:
            yield part


def _cause(document: Document) -> Section:
    cause = document["incident"]["cause"]
    if not cause:
        return Section("cause", "Cause", ())
    rows = [("or else", cause["runner_up"]), ("decided by", cause["decides"])]
    rows += [(one["label"], one["text"]) for one in cause["evidence"]]
    facts = Facts([(label, text) for label, text in rows if text])
    return Section("cause", "Cause", (Text(f"{document['cause']}."), *([facts] if facts.rows else [])))


def _history(document: Document) -> Section:
    length = span(document["series_s"])
    block = History(document["series"], document["series_s"], document["crossed"])
    return Section("before", f"The {length} before it", (block,) if document["series"] else ())


def _strip(document: Document) -> Section:
    steps = document["timeline"]
    if not steps:
        return Section("ran", "What ran before the alert", ())
    return Section(
        "ran",
        "What ran before the alert",
        (Strip(steps),),
        "the hottest function of each moment, by the black box",
    )


def _processes(document: Document) -> Section:
    found = document["processes"]
    rows = [
        (
            one["share"],
            quantity(one["cpu_percent"], "percent"),
            f"{one['name']} (pid {one['pid']}){', ended' if one['ended'] else ''}",
            one["function"],
        )
        for one in found[:_PROCESSES]
    ]
    left = len(found) - len(rows)
    more = f"and {counted(left, 'process')} that used less" if left > 0 else ""
    table = Table(("of it", "cpu", "process", "hottest function"), rows, shares=1)
    return Section("who", "Who ran", (table,) if rows else (), more)


def _functions(document: Document) -> Section:
    incident = document["incident"]
    blocks: list[Block] = []
    spots = incident["hotspots"]
    worth = [one for one in spots if max(one["self_share"], one["total_share"]) >= _LEAST_SHARE] or spots
    if worth:
        rows = [
            (one["self_share"], one["total_share"], _named(one), _place(one)) for one in worth[:_HOTSPOTS]
        ]
        blocks.append(Table(("self", "total", "function", "place"), rows, shares=2))
    if incident["waiting"]:
        blocks.append(Text(f"Beside that, {incident['waiting']}."))
    baseline = incident["baseline"]
    if baseline and baseline["text"]:
        blocks.append(Text(baseline["text"]))
    if incident["late"]:
        blocks.append(Text("Taken when the spike was over: it shows what came after.", is_warning=True))
    best = next((one for one in incident["captures"] if one["id"] == incident["id"]), None)
    waited = best is not None and ONLY_WAITED in (best["notes"] or {})
    title = "Where it waited" if waited else "Where the time went"
    return Section("functions", title, blocks, _of_what(incident))


def _of_what(incident: Mapping[str, Any]) -> str:
    """By what the functions were seen."""
    best = next((one for one in incident["captures"] if one["id"] == incident["id"]), None)
    if best is None or not incident["hotspots"]:
        return ""
    tool = "by the black box, before the alert" if best["role"] == BEFORE else f"by {best['profiler'] or '?'}"
    samples = f", {counted(best['sample_count'], 'sample')}" if best["sample_count"] else ""
    lasted = f", {best['duration_seconds']} s" if best["duration_seconds"] and best["role"] != BEFORE else ""
    return f"{tool}{samples}{lasted}"


def _named(spot: Mapping[str, Any]) -> str:
    return f"{spot['function']} ({spot['seen']})" if spot["seen"] else str(spot["function"])


def _place(spot: Mapping[str, Any]) -> Place:
    where = spot["file"] or spot["module"] or ""
    where = f"{where}:{spot['line']}" if spot["file"] and spot["line"] else where
    return Place(where, (spot["source_line"] or "").strip())


def _graph(document: Document, graph: Mapping[str, Any] | None) -> Section:
    aside = "callers above, what they called below; the width is the share of the time"
    return Section("flame-graph", "Flame graph", (Graph(graph),) if graph else (), aside)


def _process(document: Document) -> Section:
    incident = document["incident"]
    process: Mapping[str, Any] = incident["process"] or {}
    place = process.get("unit") or process.get("container_id") or process.get("cgroup")
    rows: list[tuple[str, str]] = [
        (label, str(text))
        for label, text in (
            ("command", " ".join(process.get("command_line") or ())),
            ("program", process.get("executable")),
            ("user", process.get("user")),
            ("parent", process.get("parent_pid")),
            ("started", _moment(process["started_at"]) if process else None),
            ("runs in", place),
        )
        if text not in (None, "")
    ]
    rows += list(incident["context"].items())
    return Section("process", "The process", (Facts(rows),) if rows else (), "when it was captured")


def _around(document: Document) -> Section:
    told = [one["text"] for one in document["sentences"] if one["about"] in ("before", "normal", "meanwhile")]
    return Section("around", "Around it", (Findings([Finding(text) for text in told]),) if told else ())


def _done(document: Document) -> Section:
    rows = [
        (one["role"], one["profiler"] or "", in_words(one["status"]), _how(one))
        for one in document["incident"]["captures"]
    ]
    return Section(
        "done", "What was done", (Table(("step", "tool", "outcome", "how"), rows),) if rows else ()
    )


def _how(capture: Mapping[str, Any]) -> str:
    parts = [
        counted(capture["sample_count"], "sample") if capture["sample_count"] else "",
        f"{capture['duration_seconds']} s" if capture["duration_seconds"] else "",
        f"target at {capture['target_cpu_percent']:.0f} %"
        if capture["target_cpu_percent"] is not None
        else "",
        "late" if capture["late"] else "",
        quantity(capture["size_bytes"], "disk_bytes") if capture["size_bytes"] else "",
        capture["reason"] or "",
    ]
    return ", ".join(part for part in parts if part)


def _unknown(document: Document, graph: Mapping[str, Any] | None) -> Section:
    items = []
    for one in document["sentences"]:
        if one["about"] == "unknown":
            text, _, fix = one["text"].partition(" To change that: ")
            items.append(Finding(text, fix or None))
    items += [Finding(trouble) for trouble in document["trouble"]]
    if not items:
        items = [Finding("Nothing that was looked for is missing.")]
    return Section("unknown", "What is not known", (Findings(items),))


def _notes(document: Document) -> Section:
    rows = [(_moment(note["taken_at"]), note["text"]) for note in document["incident"]["annotations"]]
    return Section("notes", "Notes", (Facts(rows),) if rows else ())


def _moment(told: str) -> str:
    """A time of the document as people read it."""
    return f"{datetime.fromisoformat(told):%Y-%m-%d %H:%M:%S} UTC"


def _doctor(document: Document) -> Section:
    items = [Finding(one["detail"], one["fix"], one["outcome"], one["name"]) for one in document["doctor"]]
    return Section(
        "doctor", "What doctor found", (Findings(items),) if items else (), "when this report was made"
    )


def _versions(document: Document) -> Section:
    return Section("versions", "Versions", (Facts(list(document["versions"].items())),))


def hidden_words(document: Document) -> str:
    """Say what was hidden, in a sentence."""
    if not document["redacted"]:
        return "Nothing was hidden (--raw): look through it before you pass it on."
    hidden: Mapping[str, int] = document["hidden"]
    listed = ", ".join(f"{number} × {rule.replace('_', ' ')}" for rule, number in hidden.items())
    found = f"Hidden: {listed}." if listed else "No secrets were found."
    return f"{found} Users, hosts and addresses have stand-ins that are the same throughout this report."
