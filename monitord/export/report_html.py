"""A report as one page that needs nothing else: nothing is loaded or sent, and foreign texts stay text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import singledispatch
from itertools import groupby
from pathlib import Path
from typing import Any

from monitord.export.sections import (
    Document,
    Facts,
    Finding,
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
from monitord.export.units import quantity, span
from monitord.model import counted
from monitord.profiles.flamegraph_writer import GRAPH_STYLE, PAGE_STYLE, SCRIPT, graph_markup
from monitord.profiles.page import escaped, page

_STYLE = Path(__file__).parent / "report.css"
_WIDE, _HIGH = 600, 48
_STRIP_HIGH = 90
_OUTCOMES = frozenset({"ok", "warning", "failure"})
_COLOURS = 6  # of functions that a strip tells apart; the others share one


def write_html(document: Document, graph: Mapping[str, Any] | None) -> bytes:
    """Return the page; `graph` is what `write_graph_data` wrote, None where there is no profile."""
    found = list(sections(document, graph))
    links = "".join(f'<a href="#{one.name}">{escaped(one.title)}</a>\n' for one in found)
    body = [
        '<header class="report">\n',
        f'<p class="quiet">monitord report, incident <b>{escaped(document["name"])}</b></p>\n',
        f"<h1>{escaped(_with_full_stop(document['verdict']))}</h1>\n",
        f'<p class="headline">{escaped(document["headline"])}</p>\n',
        f'<p class="quiet">{escaped(document["when"])}{_marks(document)}</p>\n',
        f'<p class="quiet">{escaped(document["why"])}</p>\n',
        f'</header>\n<nav aria-label="Sections">\n{links}</nav>\n<main class="report">\n',
        *map(_section, found),
        "</main>\n<footer>\n",
        f"<p>{escaped(hidden_words(document))}</p>\n",
        f"<p>Made by monitord {escaped(document['monitord'])} at {escaped(document['made_at'])}."
        " This page loads nothing and sends nothing.</p>\n</footer>\n",
    ]
    styles = [PAGE_STYLE, *([GRAPH_STYLE] if graph else []), _STYLE]
    title = f"{document['name']}: {document['headline']}"
    return page(title, "".join(body), styles, [SCRIPT] if graph else ())


def _with_full_stop(sentence: str) -> str:
    """As a heading: a name at its beginning stays as it is written."""
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def _marks(document: Document) -> str:
    marks = {"late": "late", "pinned": "kept", "summary": "summary"}
    shown = [word for key, word in marks.items() if document["incident"][key]]
    return "".join(f' <span class="mark">{word}</span>' for word in shown)


def _section(section: Section) -> str:
    title = f"{section.name}-title"
    aside = f'<span class="aside">{escaped(section.aside)}</span>' if section.aside else ""
    head = f'<h2 id="{title}">{escaped(section.title)} {aside}</h2>'
    blocks = "".join(map(_block, section.blocks))
    return f'<section id="{section.name}" aria-labelledby="{title}">\n{head}\n{blocks}</section>\n'


@singledispatch
def _block(block: Any) -> str:
    raise TypeError(f"no markup for {type(block).__name__}")


@_block.register
def _(block: Text) -> str:
    kind = ' class="warning"' if block.is_warning else ""
    return f"<p{kind}>{escaped(block.text)}</p>\n"


@_block.register
def _(block: Facts) -> str:
    rows = "".join(
        f"<div><dt>{escaped(label)}</dt><dd>{escaped(text)}</dd></div>\n" for label, text in block.rows
    )
    return f"<dl>\n{rows}</dl>\n"


@_block.register
def _(block: Findings) -> str:
    fine = [one for one in block.items if one.outcome == "ok"]
    shown = _listed([one for one in block.items if one.outcome != "ok"])
    folded = f"<details><summary>{len(fine)} in order</summary>\n{_listed(fine)}</details>\n"
    return shown + (folded if fine else "")


def _listed(items: Sequence[Finding]) -> str:
    return f'<ul class="findings">\n{"".join(map(_finding, items))}</ul>\n' if items else ""


def _finding(one: Finding) -> str:
    kind = one.outcome if one.outcome in _OUTCOMES else ""
    outcome = f'<span class="mark {kind}">{escaped(one.outcome)}</span> ' if one.outcome else ""
    name = f"<b>{escaped(one.name)}</b> " if one.name else ""
    fix = f'<div class="fix"><code>{escaped(one.fix)}</code></div>' if one.fix and one.outcome != "ok" else ""
    return f"<li>{outcome}{name}{escaped(one.text)}{fix}</li>\n"


@_block.register
def _(block: Table) -> str:
    head = "".join(f'<th scope="col">{escaped(word)}</th>' for word in block.columns)
    rows = "".join(f"<tr>{''.join(_cells(block, row))}</tr>\n" for row in block.rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n"


def _cells(block: Table, row: Sequence[Any]) -> Iterator[str]:
    for number, (word, cell) in enumerate(zip(block.columns, row, strict=True)):
        label = f'data-label="{escaped(word)}"'
        if number < block.shares:
            drawn = _bar(float(cell)) if number == 0 else ""
            yield f'<td class="share" {label}>{drawn}{cell * 100:.0f} %</td>'
        else:
            place = cell if isinstance(cell, Place) else Place(str(cell))
            code = f'<code class="source">{escaped(place.source)}</code>' if place.source else ""
            yield f"<td {label}>{escaped(place.where)}{code}</td>"


def _bar(share: float) -> str:
    wide = min(max(share, 0.0), 1.0) * 100
    rect = f'<rect width="{wide:.1f}" height="10"/>'
    return _svg(100, 10, rect, 'class="bar" aria-hidden="true"')


def _svg(wide: int, high: int, drawn: str, attributes: str) -> str:
    return f'<svg {attributes} viewBox="0 0 {wide} {high}" preserveAspectRatio="none">{drawn}</svg>'


def _image(label: str) -> str:
    return f'role="img" aria-label="{escaped(label)}"'


@_block.register
def _(block: History) -> str:
    rows = "".join(_series(one, block) for one in block.series)
    said = f"from {span(block.length_s)} before to the alert; the line marks when the limit was crossed"
    return f'<div class="history">\n{rows}</div>\n<p class="quiet">{escaped(said)}</p>\n'


def _series(series: Mapping[str, Any], block: History) -> str:
    values: Sequence[float | None] = series["values"]
    known = [value for value in values if value is not None]
    low, high = (quantity(one, series["unit"]) for one in (min(known), max(known)))
    reach = low if low == high else f"{low} … {high}"
    step = _WIDE / max(len(values) - 1, 1)
    drawn = "".join(_lines(values, step, max([*known, 0.0]) or 1.0))
    if block.crossed < len(values):
        x = f"{block.crossed * step:.1f}"
        drawn = f'<line x1="{x}" x2="{x}" y1="0" y2="{_HIGH}"/>{drawn}'
    kind = "series triggering" if series["is_triggering"] else "series"
    chart = _svg(_WIDE, _HIGH, drawn, _image(f"{series['name']}: {reach}"))
    name = escaped(series["name"])
    return f'<div class="{kind}"><span>{name}</span>{chart}<span>{escaped(reach)}</span></div>\n'


def _lines(values: Sequence[float | None], step: float, top: float) -> Iterator[str]:
    """A line for each stretch in which the value was known."""
    for is_known, stretch in groupby(enumerate(values), lambda one: one[1] is not None):
        if is_known:
            points = [(at * step, _HIGH - 2 - (value or 0.0) / top * (_HIGH - 6)) for at, value in stretch]
            yield f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


@_block.register
def _(block: Strip) -> str:
    used: Counter[str] = Counter()
    for step in block.steps:
        if step["function"]:
            used[step["function"]] += step["cpu_percent"]
    number = {name: index for index, (name, _used) in enumerate(used.most_common(_COLOURS))}
    top = max([100.0, *(step["cpu_percent"] for step in block.steps)])
    wide = _WIDE / len(block.steps)
    bars = "".join(_step(step, at * wide, wide, top, number) for at, step in enumerate(block.steps))
    began = span(-block.steps[0]["at_s"])
    label = _image(f"What ran in the {began} before the alert")
    return (
        _svg(_WIDE, _STRIP_HIGH, bars, f'class="strip" {label}')
        + f'\n<p class="ends"><span>{began} before</span><span>the alert</span></p>\n'
        + f'<ul class="legend">\n{"".join(_legend(used, number))}</ul>\n'
    )


def _legend(used: Counter[str], number: Mapping[str, int]) -> Iterator[str]:
    whole = used.total() or 1.0
    for name, index in number.items():
        share = f'<span class="quiet">{used[name] / whole * 100:.0f} %</span>'
        yield f'<li><span class="dot f{index}"></span>{escaped(name)} {share}</li>\n'
    if others := len(used) - len(number):
        yield f'<li><span class="dot fx"></span>{counted(others, "other function")}</li>\n'


def _step(step: Mapping[str, Any], x: float, wide: float, top: float, number: Mapping[str, int]) -> str:
    if not step["function"] or not step["cpu_percent"]:
        return ""
    high = max(step["cpu_percent"] / top * _STRIP_HIGH, 1.0)
    said = escaped(f"{step['function']}, {step['cpu_percent']:.0f} % of a core, at {step['at_s']:g} s")
    return (
        f'<rect class="f{number.get(step["function"], "x")}" x="{x:.1f}" y="{_STRIP_HIGH - high:.1f}" '
        f'width="{max(wide - 0.6, 0.5):.1f}" height="{high:.1f}"><title>{said}</title></rect>'
    )


@_block.register
def _(block: Graph) -> str:
    return graph_markup(block.data)
