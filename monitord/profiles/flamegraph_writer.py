"""Writes a flame graph as one page: nothing is loaded, nothing is sent, and names stay text.

The page's script and style are files of this room, named in its content security policy by their hash: a name
that managed to become markup would still not run. Its data lie in a block that no browser executes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from pathlib import Path

from monitord.model import counted
from monitord.profiles.comparing import compare
from monitord.profiles.flame_tree import FlameTree, grow
from monitord.profiles.frame_text import encodable
from monitord.profiles.ranking import hotspots
from monitord.profiles.representation import Profile
from monitord.profiles.writing import About

_HERE = Path(__file__).parent
_TABLE_ROWS = 50
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src '{script_hash}'; \
style-src '{style_hash}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
<header>
<h1>{title}</h1>
<p>{summary}</p>
<form role="search">
<label for="search">Search</label> <input id="search" type="search" autocomplete="off" spellcheck="false" \
placeholder="function or file">
<button type="button" id="reset" disabled>Whole profile</button>
</form>
</header>
<main>
<p id="said" role="status" aria-live="polite">&nbsp;</p>
<div id="graph" role="group" aria-label="Flame graph: callers above, what they called below, width is share" \
aria-describedby="keys"></div>
<noscript><p>The graph needs JavaScript; the table below does not.</p></noscript>
<p id="keys">Click or <kbd>Enter</kbd>: zoom. <kbd>Esc</kbd>: out again. Arrow keys: move. \
<kbd>/</kbd>: search. {legend}</p>
<h2>The same as a table</h2>
{table}
{notes}
</main>
<script type="application/json" id="profile">{data}</script>
<script>{script}</script>
</html>
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


def _page(profile: Profile, before: Profile | None, about: About) -> bytes:
    tree = grow(profile, before)
    style, script = _asset("flamegraph.css"), _asset("flamegraph.js")
    notes = [*profile.notes, *(before.notes if before else ())]
    if tree.left_out:
        notes.append(f"left out of the graph, too narrow to be seen: {counted(tree.left_out, 'branch')}")
    page = _PAGE.format(
        title=_escaped(about.title),
        summary=_escaped(_summary(profile, before, about)),
        style=style,
        script=script,
        style_hash=_source_hash(style),
        script_hash=_source_hash(script),
        legend=_LEGEND_OF_TWO if before else _LEGEND,
        table=_table(profile) if before is None else _table_of_two(before, profile),
        notes="".join(f"<p>Note: {_escaped(note)}</p>" for note in notes),
        data=_data(tree, profile.unit),
    )
    return page.encode("utf-8")


def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _source_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _escaped(text: str) -> str:
    return html.escape(_visible(text), quote=True)


def _visible(text: str) -> str:
    """Without characters that turn a line around, break it or hide in it: they are shown by their number."""
    return "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}" for character in encodable(text)
    )


def _summary(profile: Profile, before: Profile | None, about: About) -> str:
    now = [f"{profile.total:,.0f} {profile.unit}", profile.tool]
    if about.duration_s:
        now.append(f"{about.duration_s:.0f} s")
    then = f"before: {before.total:,.0f} {before.unit}; now: " if before else ""
    return then + ", ".join(now)


def _data(tree: FlameTree, unit: str) -> str:
    """JSON in ASCII that can't end its own block."""
    document = {
        "unit": unit,
        "total": tree.total,
        "before": tree.total_before,
        "functions": [[_visible(part) for part in function] for function in tree.functions],
        "nodes": [
            [n.parent, n.function, _short(n.total), _short(n.own), _short(n.total_before)] for n in tree.nodes
        ],
    }
    text = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _short(value: float) -> float:
    return int(value) if value == int(value) else round(value, 3)


def _table(profile: Profile) -> str:
    spots = hotspots(profile, _TABLE_ROWS)
    rows = "".join(
        f"<tr><td>{spot.self_share:.1%}</td><td>{spot.total_share:.1%}</td><td>{_escaped(spot.function)}</td>"
        f"<td>{_escaped(_place(spot.file, spot.line, spot.module))}</td></tr>\n"
        for spot in spots
    )
    caption = f"The {len(spots)} hottest functions; threads that only waited are left out"
    return _table_of(caption, ("self", "total", "function", "place"), rows)


def _table_of_two(before: Profile, after: Profile) -> str:
    compared = compare(before, after).differences[:_TABLE_ROWS]
    rows = "".join(
        f"<tr><td>{one.before.self_share:.1%}</td><td>{one.after.self_share:.1%}</td>"
        f"<td>{_escaped(one.function)}</td><td>{_escaped(one.file or '')}</td>"
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
