"""A report as Markdown: for a ticket, a chat, a file beside the code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import singledispatch
from itertools import groupby
from typing import Any

from monitord.export.markdown import cell, code, fenced, inline, table
from monitord.export.sections import (
    Document,
    Facts,
    Findings,
    Graph,
    History,
    Place,
    Section,
    Strip,
    Table,
    Text,
    hidden_words,
    sections,
)
from monitord.export.units import bar, quantity, span, sparkline

_DEEPEST = 40  # frames of the hottest way
_LEAST_WAY = 0.02


def write_markdown(document: Document, graph: Mapping[str, Any] | None) -> bytes:
    """Return the text; of the flame graph its hottest way is told."""
    lines = [
        f"# {inline(document['verdict'])}",
        "",
        f"**{inline(document['headline'])}**, {inline(document['when'])}, incident {code(document['name'])}",
        "",
        inline(document["why"]),
    ]
    for section in sections(document, graph):
        lines += ["", *_section(section)]
    lines += ["", "---", "", hidden_words(document)]
    lines.append(f"Made by monitord {inline(document['monitord'])} at {document['made_at']}.")
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def _section(section: Section) -> Iterator[str]:
    yield f"## {inline(section.title)}"
    if section.aside:
        yield from ("", f"*{inline(section.aside)}*")
    for block in section.blocks:
        yield ""
        yield from _block(block)


@singledispatch
def _block(block: Any) -> list[str]:
    raise TypeError(f"no Markdown for {type(block).__name__}")


@_block.register
def _(block: Text) -> list[str]:
    text = inline(block.text)
    return [f"**{text}**" if block.is_warning else text]


@_block.register
def _(block: Facts) -> list[str]:
    return [f"- **{inline(label)}**: {inline(text)}" for label, text in block.rows]


@_block.register
def _(block: Findings) -> list[str]:
    lines = []
    for one in block.items:
        if one.outcome == "ok":
            continue
        outcome = f"**{inline(one.outcome)}**, " if one.outcome else ""
        name = f"{inline(one.name)}: " if one.name else ""
        lines.append(f"- {outcome}{name}{inline(one.text)}")
        lines += [f"  Fix: {code(one.fix)}"] if one.fix else []
    fine = [one.name for one in block.items if one.outcome == "ok"]
    return [*lines, *([f"- in order: {inline(', '.join(fine))}"] if fine else [])]


@_block.register
def _(block: Table) -> list[str]:
    rows = []
    for row in block.rows:
        shares = [f"{share * 100:.0f} %" for share in row[: block.shares]]
        rows.append([*shares, *map(_cell, row[block.shares :])])
    return table(block.columns, rows)


def _cell(told: object) -> str:
    place = told if isinstance(told, Place) else Place(str(told))
    source = code(place.source).replace("|", "\\|") if place.source else ""
    return f"{cell(place.where)} {source}".rstrip()


@_block.register
def _(block: History) -> list[str]:
    lines = []
    for one in block.series:
        known = [value for value in one["values"] if value is not None]
        low, high = (quantity(value, one["unit"]) for value in (min(known), max(known)))
        reach = low if low == high else f"{low} … {high}"
        mark = "  (what the rule watched)" if one["is_triggering"] else ""
        lines.append(f"{one['name']:<10} {sparkline(one['values'], 50)}  {reach}{mark}")
    return fenced(lines)


@_block.register
def _(block: Strip) -> list[str]:
    lines = []
    for name, same in groupby(block.steps, key=lambda step: step["function"]):
        steps = list(same)
        used = max(step["cpu_percent"] for step in steps)
        began, ended = -steps[0]["at_s"], -steps[-1]["at_s"]
        when = f"{span(began)} before" if began == ended else f"{span(began)} to {span(ended)} before"
        lines.append(f"{when:<24} {bar(used / 100, 10)} {used:4.0f} %  {name or '(nothing ran)'}")
    return fenced(lines)


@_block.register
def _(block: Graph) -> list[str]:
    return fenced(_hottest_way(block.data))


def _hottest_way(data: Mapping[str, Any]) -> Iterator[str]:
    """From the root, each time the function below that took most: the widest tower of the graph."""
    below: defaultdict[int, list[int]] = defaultdict(list)
    nodes: Sequence[Sequence[Any]] = data["nodes"]
    for number, node in enumerate(nodes):
        below[node[0]].append(number)
    whole = data["total"] or 1
    at, depth = 0, 0
    while nodes and depth < _DEEPEST:
        _parent, function, total, own, _before = nodes[at]
        name, place, _kind = data["functions"][function]
        itself = f", itself {own / whole * 100:.0f} %" if own / whole >= _LEAST_WAY else ""
        where = f"  ({place})" if place else ""
        yield f"{total / whole * 100:4.0f} %  {'  ' * min(depth, 20)}{name}{where}{itself}"
        widest = max(below[at], key=lambda number: nodes[number][2], default=None)
        if widest is None or nodes[widest][2] / whole < _LEAST_WAY:
            return
        at, depth = widest, depth + 1
