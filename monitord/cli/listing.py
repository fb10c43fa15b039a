"""Lists in every form: a table for people, JSON, JSON lines, CSV for programs; the same flags everywhere."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain, islice
from typing import Annotated, Any, Generic, NoReturn, TypeVar, get_args

import typer

from monitord.actions.preferences import preferences
from monitord.actions.times import parse_period
from monitord.cli.context import CliContext, JsonFlag, RecorderWatch, look_like, wants_json
from monitord.cli.terminal import emit, emit_json, page, say
from monitord.errors import NotFoundError, UsageError
from monitord.export.encoding import csv_rows, json_text

T = TypeVar("T")
POLL_S = 1.0


class ListOutput(StrEnum):
    """How a list is written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


SinceFlag = Annotated[
    str | None,
    typer.Option("-S", "--since", metavar="TIME", help='From then on: "2h", "3am", "last monday", …'),
]
UntilFlag = Annotated[
    str | None, typer.Option("-U", "--until", metavar="TIME", help="Up to then; as for --since.")
]
ProcessFlag = Annotated[
    str | None,
    typer.Option("--process", metavar="NAME", help="Part of what PROCESS shows, or a pattern: 'py*'."),
]
PidFlag = Annotated[int | None, typer.Option("--pid", min=1, help="Only this process number.")]
RuleFlag = Annotated[str | None, typer.Option("--rule", metavar="NAME", help="Only of this rule.")]
UserFlag = Annotated[str | None, typer.Option("--user", metavar="NAME", help="Only processes of this user.")]
UnitFlag = Annotated[
    str | None,
    typer.Option("--unit", metavar="NAME", help="Part of the unit, container or group, or a pattern."),
]
CauseFlag = Annotated[
    str | None, typer.Option("--cause", metavar="CLASS", help='Only this cause: "lock", "unknown".')
]
PinnedFlag = Annotated[bool, typer.Option("--pinned", help="Only what is kept for good.")]
ListOutputFlag = Annotated[
    ListOutput | None, typer.Option("-o", "--output", help="A format, or a file whose ending names it.")
]
UtcFlag = Annotated[bool, typer.Option("--utc", help="Times in UTC instead of local.")]
NoPagerFlag = Annotated[bool, typer.Option("--no-pager", help="Never page.")]


@dataclass(frozen=True, slots=True)
class View:
    """How the answer is shown."""

    output: ListOutput
    oldest_first: bool
    utc: bool
    use_pager: bool
    is_quiet: bool = False


def view_of(
    context: CliContext,
    output: ListOutput | None,
    *,
    json: bool,
    reverse: bool,
    follow: bool,
    utc: bool,
    no_pager: bool,
) -> View:
    """Return how an answer is shown; raises UsageError where the flags contradict each other."""
    chosen = ListOutput.JSON if wants_json(output, json) else output or ListOutput.TABLE
    if follow and chosen is ListOutput.JSON:
        raise UsageError("invalid -o json with -f: an array never ends, expected -o jsonl")
    if chosen is not ListOutput.TABLE:  # programs get what they ask for, whatever a person prefers
        return View(chosen, reverse or follow, utc, use_pager=False)
    preferred = preferences(context.workspace)
    use_pager = preferred["pager"] and not no_pager and not follow
    return View(chosen, reverse or follow, utc or preferred["utc"], use_pager)


@dataclass(frozen=True, slots=True)
class Asked:
    """What every list is asked for: how many, of which period, whether it goes on, how it is shown."""

    limit: int
    since: datetime | None
    until: datetime | None
    follow: bool
    view: View


def _asked(
    context: CliContext,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=1_000_000, help="Show at most N.")] = 20,
    since: SinceFlag = None,
    until: UntilFlag = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Wait for new ones until Ctrl-C.")] = False,
    reverse: Annotated[bool, typer.Option("-r", "--reverse", help="Reverse the order.")] = False,
    output: ListOutputFlag = None,
    json: JsonFlag = False,
    utc: UtcFlag = False,
    no_pager: NoPagerFlag = False,
) -> Asked:
    start, end = parse_period(since, until, datetime.now(UTC))
    view = view_of(context, output, json=json, reverse=reverse, follow=follow, utc=utc, no_pager=no_pager)
    return Asked(limit, start, end, follow, view)


def listed(
    *, since: str | None = None, begins: str | None = None, follows: bool = True
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command, whose second parameter is what was Asked, the options that every list has.

    `since` is where it begins unless told; `begins` says so in the help of a command that finds it itself;
    `follows` gives it --follow.
    """

    def with_flags(function: Callable[..., None]) -> Callable[..., None]:
        context, *flags = inspect.signature(_asked, eval_str=True).parameters.values()
        _context, _request, *own = inspect.signature(function, eval_str=True).parameters.values()
        names = [each.name for each in own]

        def run(context: CliContext, **words: Any) -> None:
            mine = {name: words.pop(name) for name in names}
            function(context, _asked(context, **words), **mine)

        flags = [_beginning(each, since, begins) if each.name == "since" else each for each in flags]
        flags = [each for each in flags if follows or each.name != "follow"]
        at = [each.name for each in flags].index("output")  # how it is shown comes last
        return look_like(function, run, [context, *flags[:at], *own, *flags[at:]])

    return with_flags


def _beginning(flag: inspect.Parameter, since: str | None, begins: str | None) -> inspect.Parameter:
    """--since with what it is unless told."""
    told = copy(get_args(flag.annotation)[1])
    told.show_default = begins or told.show_default
    return flag.replace(default=since, annotation=Annotated[str | None, told])


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """What is listed: keys, an item as plain data, the lines of a table, what to say when there is none."""

    keys: Sequence[str]
    shape: Callable[[T], Mapping[str, Any]]
    table: Callable[[Sequence[T], View, bool], Iterable[str]]
    nothing: str

    def write(self, newest_first: Sequence[T], view: View, *, first: bool = True) -> None:
        """Write the items; `first` is False for what follows what was written before."""
        ordered = list(reversed(newest_first)) if view.oldest_first else list(newest_first)
        if view.output is ListOutput.JSON:
            emit_json([self.shape(item) for item in ordered])
        elif view.output is ListOutput.JSONL:
            emit("".join(json_text(self.shape(item), indent=None) + "\n" for item in ordered))
        elif view.output is ListOutput.CSV:
            emit(csv_rows(self.keys, map(self.shape, ordered), header=first))
        elif ordered:
            page(self.table(ordered, view, first), allowed=view.use_pager)
        elif first and not view.is_quiet:
            say(self.nothing)

    def answer(self, newest_first: Iterator[T], view: View) -> None:
        """Write the items as they come: there may be as many as the store has.

        Where there is no store to list from that is said, and a program still gets an empty list.
        """
        try:
            first = list(islice(newest_first, 1))  # opens the store: before anything is written
        except NotFoundError:
            self.write([], replace(view, is_quiet=True))
            raise
        self._write_each(chain(first, newest_first), view)

    def follow(self, batches: Iterable[Sequence[T]], view: View, watch: RecorderWatch) -> NoReturn:
        """Write what there is and what comes, until Ctrl-C or until the reader leaves."""
        for number, newest_first in enumerate(batches):
            self.write(newest_first, view, first=number == 0)
            sys.stdout.flush()
            watch.tell()
            time.sleep(POLL_S)
        raise AssertionError("what is followed never ends")

    def _write_each(self, newest_first: Iterable[T], view: View) -> None:
        if view.output is ListOutput.TABLE or view.oldest_first:
            self.write(list(newest_first), view)
        elif view.output is ListOutput.JSON:
            opening, newline, inner = "[", "\n", "\n  "
            for item in newest_first:
                text = json_text(self.shape(item))
                emit(f"{opening}\n  {text.replace(newline, inner)}")
                opening = ","
            emit("[]\n" if opening == "[" else "\n]\n")
        else:
            is_first = True
            for item in newest_first:
                self.write([item], view, first=is_first)
                is_first = False
            if is_first:
                self.write([], view)
