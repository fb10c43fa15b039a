"""How much evidence is read at most, and the reader that holds to it.

A capture of ten seconds is a thousand times smaller; what reaches these limits is broken or hostile.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

from monitord.profiles.errors import ProfileError

MAX_INPUT_BYTES = 256 * 2**20
MAX_JSON_BYTES = 48 * 2**20
MAX_LINE_BYTES = 2**20
MAX_DEPTH = 1_000
MAX_FRAMES = 100_000
MAX_STACKS = 100_000
MAX_CELLS = 4_000_000  # frames of all distinct stacks together: 32 MB of references
MAX_NAME = 1_000
MAX_VALUE = 10**15


class LineReader:
    """Gives the lines of evidence as text, without their ends, in bounded memory.

    A line longer than the limit is left out and counted in `overlong`; `is_cut` tells that the input
    went on behind the byte limit. Bytes that are not UTF-8 are kept as surrogates.
    """

    def __init__(self, source: BinaryIO, *, max_bytes: int | None = None) -> None:
        self._source = source
        self._left = MAX_INPUT_BYTES if max_bytes is None else max_bytes
        self.overlong = 0
        self.is_cut = False

    def __iter__(self) -> Iterator[str]:
        while raw := self._source.readline(MAX_LINE_BYTES):
            self._left -= len(raw)
            if self._left < 0:
                self.is_cut = True
                return
            if len(raw) >= MAX_LINE_BYTES and not raw.endswith(b"\n"):
                self.overlong += 1
                self._skip_line()
                continue
            yield raw.decode("utf-8", "surrogateescape").rstrip("\r\n")

    def _skip_line(self) -> None:
        while raw := self._source.readline(MAX_LINE_BYTES):
            self._left -= len(raw)
            if raw.endswith(b"\n") or self._left < 0:
                return


def opened(data: bytes | BinaryIO) -> BinaryIO:
    """Give bytes and binary files alike as a file."""
    return io.BytesIO(data) if isinstance(data, bytes) else data


def read_json(source: BinaryIO, max_bytes: int | None = None) -> object:
    """Give the JSON value in `source`; ProfileError when it is too big, too deep or none."""
    import json  # costs 8 ms, which parsers of text need not pay

    most = MAX_JSON_BYTES if max_bytes is None else min(max_bytes, MAX_JSON_BYTES)
    raw = source.read(most + 1)
    if len(raw) > most:
        raise ProfileError(f"the file is bigger than the {most >> 20} MiB that are read of it")
    try:
        value: object = json.loads(raw.decode("utf-8", "surrogateescape"))
    except RecursionError as error:
        raise ProfileError("the JSON is nested too deeply") from error
    except ValueError as error:
        raise ProfileError(f"invalid or truncated JSON: {error}") from error
    return value


def whole_number(value: object, default: int | None = None) -> int | None:
    """Give `value` if it is an integer of sane size (bool is none), else the default."""
    if isinstance(value, int) and not isinstance(value, bool) and -MAX_VALUE <= value <= MAX_VALUE:
        return value
    return default
