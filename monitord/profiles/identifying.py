"""Adds to hotspots what the source text says of them: ids that outlive edits, and the hottest line itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from monitord.model import Hotspot
from monitord.profiles.ast_ids import Source, SourceCache
from monitord.profiles.source_scopes import SourceError

MAX_LINE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class SourceText:
    """A source file as it was handed in. `text` None: it could not be read (`state` says how).

    `is_newer` tells that the file was written after the process had started: what runs is another text.
    """

    text: str | None
    module: str | None = None
    modified_ns: int = 0
    is_newer: bool = False


def identify(
    spots: Iterable[Hotspot], source_of: Callable[[str], SourceText | None], cache: SourceCache | None = None
) -> tuple[Hotspot, ...]:
    """Give the hotspots with their ids; those whose source is not to be had keep the function's id only.

    `source_of` gives a file's text, or None when nobody wants to look at it.
    """
    cache = cache or SourceCache()
    return tuple(_identified(spot, source_of, cache) for spot in spots)


def _identified(spot: Hotspot, source_of: Callable[[str], SourceText | None], cache: SourceCache) -> Hotspot:
    file = spot.file if spot.kind == "python" else None
    given = source_of(file) if file else None
    if given is None or file is None:
        return spot
    spot = replace(spot, module=given.module or spot.module)
    if given.text is None:
        return replace(spot, source_state="unreadable")
    if given.is_newer:
        return replace(spot, source_state="changed")
    try:
        return _with_facts(spot, cache.get(file, given.text, given.modified_ns))
    except SourceError:
        return replace(spot, source_state="unparsable")


def _with_facts(spot: Hotspot, source: Source) -> Hotspot:
    facts = source.facts(spot.function, spot.line)
    scope = source.find(spot.function, spot.line)
    if facts is None or scope is None:
        return replace(spot, source_state="changed")
    return replace(
        spot,
        func_id=facts.func_id,
        stmt_id=facts.stmt_id,
        func_hash=facts.func_hash,
        arity=facts.arity,
        ast_version=facts.ast_version,
        source_state="same",
        source_line=facts.line[:MAX_LINE_CHARACTERS] if facts.line else None,
        statements=tuple(
            replace(statement, stmt_id=source.stmt_id(scope, statement.line)) for statement in spot.statements
        ),
    )
