"""`compare`: what is hotter, cooler, new or gone between two incidents, and whether the code changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitord.cli.context import CliContext, JsonFlag, wants_json
from monitord.cli.export import put_profile
from monitord.cli.listing import NoPagerFlag
from monitord.cli.output import written_to
from monitord.cli.show import IdArgument
from monitord.cli.terminal import Style, cut, cut_left, display_width, emit_json, page, width, wrap
from monitord.errors import UsageError
from monitord.export.encoding import iso
from monitord.model import counted
from monitord.redaction import printable
from monitord.storage.ids import short_id

if TYPE_CHECKING:
    from monitord.actions.comparing import Comparison

_LEAST_NAME = 16  # columns below which a name says nothing
_SHOWN = 20
_UNCHANGED = "unchanged"
_LEAST_SHARE = 0.005  # what is shown as 1 % or more
_PAINTS = {"hotter": "red", "new": "red", "cooler": "green", "gone": "green", _UNCHANGED: "dim"}
_CODE = {"changed": "code changed", "same": "same code", "renamed": "renamed", "unknown": ""}


class CompareFormat(StrEnum):
    """What can be written to a file."""

    FLAMEGRAPH = "flamegraph"


def compare(
    context: CliContext,
    before: IdArgument,
    after: Annotated[str | None, typer.Argument(metavar="ID", help="The later one.")] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Compare with its program's baseline.")
    ] = False,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="TABLE|JSON|FILE", help="table, json, or the file to write."),
    ] = None,
    json: JsonFlag = False,
    file_format: Annotated[
        CompareFormat | None, typer.Option("--format", help="flamegraph: both in one, into -o FILE.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also show noise and what is the same.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Hide nothing in the file.")] = False,
    no_pager: NoPagerFlag = False,
) -> None:
    """Compare the profiles of two incidents, function by function, then statement by statement."""
    if file_format is None and (output or "").lower().endswith(".html"):
        file_format = CompareFormat.FLAMEGRAPH
    if file_format is None and (file := output or "").lower().endswith(".json"):
        with written_to(file):
            compare(context, before, after, baseline, "json", json, None, everything, raw, no_pager)
        return
    as_json = _checked(output, json, file_format, raw)
    from monitord.actions import comparing
    from monitord.actions.exporting import flame_graph_of_both

    first, second = comparing.both_sides(context.workspace, before, after, baseline=baseline)
    if file_format is not None and output is not None:
        put_profile(flame_graph_of_both(first, second, raw=raw), output)
        return
    comparison = comparing.compare(first.comparable, second.comparable)
    heads = [
        {
            "correlation_id": one.view.correlation_id,
            "title": one.title,
            "captured_at": iso(one.record.captured_at),
        }
        for one in (first, second)
    ]
    if as_json:
        emit_json({"before": heads[0], "after": heads[1], **comparison.found})
        return
    page(_told(heads, comparison, everything, width(), context.style()), allowed=not no_pager)


def _checked(output: str | None, json: bool, file_format: CompareFormat | None, raw: bool) -> bool:
    """Whether JSON is wanted; raises UsageError for words that contradict each other."""
    if file_format is not None:
        if output is None or json:
            raise UsageError(
                "invalid call: expected a file to write, as in `monitord compare A B --format"
                " flamegraph -o diff.html`"
            )
        return False
    if raw:
        raise UsageError("invalid --raw: expected with --format flamegraph -o FILE")
    if output not in (None, "table", "json"):
        raise UsageError(f"invalid -o {output}: expected table, json, or a file that ends in .json or .html")
    return wants_json(output, json)


def _told(
    heads: Sequence[Mapping[str, str]], comparison: Comparison, everything: bool, columns: int, style: Style
) -> Iterator[str]:
    """The lines of the answer."""
    found = comparison.found
    counts = found["before_samples"], found["after_samples"]
    for word, head, count in zip(("before", "after"), heads, counts, strict=True):
        text = f"{short_id(head['correlation_id'])}  {printable(head['title'])}, {counted(count, 'sample')}"
        yield style.paint(f"{word:<8}", "dim") + cut(text, columns - 8)
    moved = [one for one in comparison.moved if _is_seen(one)]
    worth_it = [*moved[:_SHOWN], *comparison.edited[:_SHOWN]]
    shown = list(found["differences"]) if everything else worth_it
    yield ""
    if shown:
        yield style.paint(cut("before    now   change        verdict  function", columns), "dim")
    for one in shown:
        yield from _difference(one, columns, style)
    if not comparison.moved:
        yield from wrap("no function's share moved by more than chance explains", columns)
    for remark in _remarks(found, len(comparison.moved) - len(moved[:_SHOWN]), everything):
        yield from wrap(printable(remark), columns)


def _is_seen(one: Mapping[str, Any]) -> bool:
    """Whether a share of its own is more than 0 % in the table: callers move with what they call."""
    return any(one[side]["self_share"] >= _LEAST_SHARE for side in ("before", "after"))


def _difference(one: Mapping[str, Any], columns: int, style: Style) -> Iterator[str]:
    before, after = one["before"]["self_share"], one["after"]["self_share"]
    verdict = _verdict(one)
    moved = f"{(after - before) * 100:+4.0f} ±{one['noise'] * 100:<3.0f}"
    shares = f"{before * 100:4.0f} % {after * 100:4.0f} %  {moved}"
    painted = style.paint(f"{verdict:>12}", _PAINTS.get(verdict, "dim"))
    name, code = printable(one["function"]), _code(one)
    indent = len(shares) + 15
    head = f"{shares} {painted}  "
    if columns - indent < _LEAST_NAME:  # a line of its own
        yield head.rstrip()
        indent, head = 2, "  "
    room = columns - indent
    text = cut(f"{name}  ({code})" if code else name, room)
    where = cut_left(printable(one["file"] or ""), room - display_width(text) - 2)
    yield f"{head}{text}  {where}".rstrip()
    if one["is_noise"]:
        return
    for statement in one["statements"]:
        if statement["verdict"] != "same":
            said = cut(f"› {_statement(statement)}", columns - indent)
            yield f"{'':{indent}}{style.paint(said, 'dim')}"


def _verdict(one: Mapping[str, Any]) -> str:
    """The verdict, where the row's numbers show it: what moved may be what a function calls."""
    return "noise" if one["is_noise"] else _seen(one["verdict"], *_own(one))


def _own(one: Mapping[str, Any]) -> tuple[float, float]:
    return one["before"]["self_share"], one["after"]["self_share"]


def _seen(verdict: str, before: float | None, after: float | None) -> str:
    """The verdict of two shares as they are shown: rounded to the same number they are unchanged."""
    if verdict == "same" or (verdict in ("hotter", "cooler") and _percent(before) == _percent(after)):
        return _UNCHANGED
    return verdict


def _percent(share: float | None) -> str:
    return f"{share * 100:.0f} %" if share is not None else "–"


def _code(one: Mapping[str, Any]) -> str:
    if one["code"] == "renamed":
        return f"was {printable(one['was'])}, same code"
    if one["code"] == "same" and _verdict(one) == "hotter":
        return "same code, slower"
    return _CODE[one["code"]]


def _statement(one: Mapping[str, Any]) -> str:
    lines = [one["before_line"], one["after_line"]]
    known = [str(line) for line in dict.fromkeys(lines) if line is not None]
    shares = one["before_share"], one["after_share"]
    return f"line {' → '.join(known)}: {' → '.join(map(_percent, shares))} {_seen(one['verdict'], *shares)}"


def _remarks(found: Mapping[str, Any], cut_off: int, everything: bool) -> Iterator[str]:
    noisy = sum(one["is_noise"] for one in found["differences"])
    if not everything and (noisy or cut_off > 0):
        more = f"{cut_off} more differ; " if cut_off > 0 else ""
        yield ""
        yield f"{more}{noisy} moved by less than chance explains (--all shows them)"
    if any(one["code"] == "same" and _verdict(one) == "hotter" for one in found["differences"]):
        yield "slower: the same code has a larger share of the samples"
    yield from (f"note: {note}" for note in found["notes"])
