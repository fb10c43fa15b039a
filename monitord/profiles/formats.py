"""The table of formats, and the one door to all parsers.

To add a format: one file with one function of this shape, one line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO, Protocol

from monitord.profiles.errors import ProfileError
from monitord.profiles.eu_stack import parse_eu_stack
from monitord.profiles.folded import parse_folded
from monitord.profiles.limits import opened
from monitord.profiles.macos_sample import parse_sample
from monitord.profiles.macos_spindump import parse_spindump
from monitord.profiles.perf_script import parse_perf_script
from monitord.profiles.py_spy_dump import parse_dump
from monitord.profiles.representation import Profile
from monitord.profiles.speedscope import parse_speedscope


class Parser(Protocol):
    """Reads one format; raises ProfileError for what is none of it."""

    def __call__(self, source: BinaryIO, *, pid: int | None = None) -> Profile: ...


FORMATS: Mapping[str, Parser] = {
    "py-spy-dump": parse_dump,
    "speedscope": parse_speedscope,
    "folded": parse_folded,
    "perf-script": parse_perf_script,
    "eu-stack": parse_eu_stack,
    "sample": parse_sample,
    "spindump": parse_spindump,
}


def parse(format: str, data: bytes | BinaryIO, *, pid: int | None = None) -> Profile:  # noqa: A002  # the word of the table
    """Read evidence of a known format, from bytes or from an open binary file (read as a stream).

    With `pid`, only that process's stacks are taken where the format names processes. Raises ProfileError
    and nothing else, whatever the input.
    """
    parser = FORMATS.get(format)
    if parser is None:
        raise ProfileError(f"unknown profile format {format!r}: expected one of {', '.join(FORMATS)}")
    try:
        return parser(opened(data), pid=pid)
    except MemoryError as error:
        raise ProfileError("reading this profile needs more memory than it may use") from error
    except OSError as error:
        raise ProfileError(f"the profile can't be read: {error.strerror or error}") from error
