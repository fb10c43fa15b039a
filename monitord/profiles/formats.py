"""The table of formats, and the one door to all parsers.

To add a format: one file with one function of this shape, one line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import BinaryIO, Protocol

from monitord.profiles.errors import ProfileError
from monitord.profiles.limits import opened
from monitord.profiles.representation import Profile


class Parser(Protocol):
    """Reads one format; raises ProfileError for any other bytes."""

    def __call__(self, source: BinaryIO, *, pid: int | None = None) -> Profile: ...


# Format → module of this room and its function. Loaded when needed: a child reads one format and ends.
FORMATS: Mapping[str, tuple[str, str]] = {
    "py-spy-dump": ("py_spy_dump", "parse_dump"),
    "speedscope": ("speedscope", "parse_speedscope"),
    "folded": ("folded", "parse_folded"),
    "perf-script": ("perf_script", "parse_perf_script"),
    "eu-stack": ("eu_stack", "parse_eu_stack"),
    "sample": ("macos_sample", "parse_sample"),
    "spindump": ("macos_spindump", "parse_spindump"),
    "scalene": ("scalene", "parse_scalene"),
    "ring": ("ring", "parse_ring"),
    "tachyon": ("tachyon", "parse_tachyon"),
}


def parser_for(format_name: str) -> Parser:
    """Give the parser of a format; ProfileError names the known ones."""
    if format_name not in FORMATS:
        raise ProfileError(f"invalid profile format {format_name!r}: expected one of {', '.join(FORMATS)}")
    module, function = FORMATS[format_name]
    parser: Parser = getattr(import_module(f"monitord.profiles.{module}"), function)
    return parser


def parse(format: str, data: bytes | BinaryIO, *, pid: int | None = None) -> Profile:  # noqa: A002  # the word of the table
    """Read evidence of a known format, from bytes or from an open binary file (read as a stream).

    With `pid`, only that process's stacks are taken where the format names processes. Raises ProfileError
    and nothing else, whatever the input.
    """
    parser = parser_for(format)
    try:
        return parser(opened(data), pid=pid)
    except MemoryError as error:
        raise ProfileError("cannot read the profile: it needs more memory than allowed") from error
    except OSError as error:
        raise ProfileError(f"cannot read the profile: {error.strerror or error}") from error
