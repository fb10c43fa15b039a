"""Writes a flame graph as a page (`page.py` says what that may do), or as data for another page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monitord.model import counted
from monitord.profiles.comparing import compare
from monitord.profiles.flame_tree import FlameTree, grow
from monitord.profiles.page import data_block, escaped, page, visible
from monitord.profiles.ranking import hotspots
from monitord.profiles.representation import Profile
from monitord.profiles.writing import About

_HERE = Path(__file__).parent
PAGE_STYLE, GRAPH_STYLE = _HERE / "page.css", _HERE / "graph.css"
SCRIPT = _HERE / "flamegraph.js"
_TABLE_ROWS = 50
_SEARCH = """\
<form role="search">
<label for="search">Search</label> <input id="search" class="flame-search" type="search" \
autocomplete="off" spellcheck="false" placeholder="function or file">
<button type="button" id="reset" class="flame-reset" disabled>Whole profile</button>
</form>
"""
_GRAPH = """\
<p id="said" class="flame-said" role="status" aria-live="polite">&nbsp;</p>
<div id="graph" class="flame-graph" role="group" \
aria-label="Flame graph: callers above, what they called below, width is share" aria-describedby="keys"></div>
<noscript><p>The graph needs JavaScript; the table of functions does not.</p></noscript>
<p id="keys">Click or <kbd>Enter</kbd>: zoom. <kbd>Esc</kbd>: out again. Arrow keys: move. \
<kbd>/</kbd>: search. {legend}</p>
"""
_LEGEND = (
    'Colours: <span class="key python">Python</span> <span class="key native">native</span> '
    '<span class="key kernel">kernel</span>.'
)
_LEGEND_OF_TWO = (
    'Colours: <span class="key hotter">▲ hotter</span> <span class="key cooler">▼ cooler</span> than before; '
    "widths are those of now."
)


def write_flamegraph(profile: Profile, about: About) -> bytes:
    """Draw one profile; threads are the topmost level where there are several."""
    return _page(profile, None, about)


def write_differential(before: Profile, after: Profile, about: About) -> bytes:
    """Draw two profiles in one graph: the widths of `after`, coloured by what changed."""
    return _page(after, before, about)


def write_graph_data(profile: Profile, about: About, *, before: Profile | None = None) -> bytes:
    """The data of a graph as JSON, for a page that has `graph_markup` in it and runs SCRIPT."""
    tree = grow(profile, before)
    data = _data(tree, visible(profile.unit))
    data |= {"summary": visible(_summary(profile, before, about))}
    data |= {"notes": [visible(note) for note in _notes(profile, before, tree)]}
    return json.dumps(data, allow_nan=False).encode("ascii")


def graph_markup(data: Any) -> str:
    """The graph for a page with a head of its own: search, graph, data; `data` is write_graph_data's."""
    return _SEARCH + _GRAPH.format(legend=_LEGEND) + data_block("profile", data)


def _notes(profile: Profile, before: Profile | None, tree: FlameTree) -> list[str]:
    notes = [*profile.notes, *(before.notes if before else ())]
    if tree.left_out:
        notes.append(f"left out of the graph, too narrow to be seen: {counted(tree.left_out, 'branch')}")
    return notes


def _page(profile: Profile, before: Profile | None, about: About) -> bytes:
    tree = grow(profile, before)
    notes = _notes(profile, before, tree)
    body = [
        f"<header>\n<h1>{escaped(about.title)}</h1>\n<p>{escaped(_summary(profile, before, about))}</p>\n",
        f"{_SEARCH}</header>\n<main>\n",
        _GRAPH.format(legend=_LEGEND_OF_TWO if before else _LEGEND),
        "<h2>The same as a table</h2>\n",
        _table(profile) if before is None else _table_of_two(before, profile),
        *(f"<p>Note: {escaped(note)}</p>" for note in notes),
        "\n</main>\n",
        data_block("profile", _data(tree, profile.unit)),
    ]
    styles = (PAGE_STYLE, GRAPH_STYLE, _HERE / "flamegraph.css")
    return page(about.title, "".join(body), styles, [SCRIPT])


def _summary(profile: Profile, before: Profile | None, about: About) -> str:
    now = [_amount(profile), profile.tool]
    if about.duration_s:
        now.append(f"{about.duration_s:.0f} s")
    then = f"before: {_amount(before)}; now: " if before else ""
    return then + ", ".join(now)


def _amount(profile: Profile) -> str:
    """How many samples were taken, as everywhere; weighed ones stand for less time than that."""
    if profile.unit != "samples":
        return f"{profile.total:,.0f} {profile.unit}"
    taken = counted(profile.sample_count, "sample")
    is_weighed = profile.period_s and round(profile.total) != profile.sample_count
    return f"{taken} of {profile.total * (profile.period_s or 0):.1f} s of CPU time" if is_weighed else taken


def _data(tree: FlameTree, unit: str) -> dict[str, Any]:
    return {
        "unit": unit,
        "total": tree.total,
        "before": tree.total_before,
        "functions": [[visible(part) for part in function] for function in tree.functions],
        "nodes": [
            [n.parent, n.function, _short(n.total), _short(n.own), _short(n.total_before)] for n in tree.nodes
        ],
    }


def _short(value: float) -> float:
    return int(value) if value == int(value) else round(value, 3)


def _table(profile: Profile) -> str:
    spots = hotspots(profile, _TABLE_ROWS)
    rows = "".join(
        f"<tr><td>{spot.self_share:.1%}</td><td>{spot.total_share:.1%}</td><td>{escaped(spot.function)}</td>"
        f"<td>{escaped(_place(spot.file, spot.line, spot.module))}</td></tr>\n"
        for spot in spots
    )
    caption = f"The {len(spots)} hottest functions; threads that only waited are left out"
    return _table_of(caption, ("self", "total", "function", "place"), rows)


def _table_of_two(before: Profile, after: Profile) -> str:
    compared = compare(before, after).differences[:_TABLE_ROWS]
    rows = "".join(
        f"<tr><td>{one.before.self_share:.1%}</td><td>{one.after.self_share:.1%}</td>"
        f"<td>{escaped(one.function)}</td><td>{escaped(one.file or '')}</td>"
        f"<td>{'noise' if one.is_noise else one.verdict}</td></tr>\n"
        for one in compared
    )
    caption = f"The {len(compared)} functions whose self share moved most; noise: chance explains it"
    return _table_of(caption, ("before", "now", "function", "place", "verdict"), rows)


def _table_of(caption: str, words: Sequence[str], rows: str) -> str:
    head = "".join(f'<th scope="col">{word}</th>' for word in words)
    return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table>"


def _place(file: str | None, line: int | None, module: str | None) -> str:
    return (f"{file}:{line}" if line else file) if file else module or ""
