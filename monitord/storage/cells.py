"""How values lie in SQLite's cells, both ways and without loss.

Times are 'YYYY-MM-DD HH:MM:SS.ffffff' in UTC, which SQLite's own date functions understand and which
sort as text. Text is TEXT when it is valid Unicode and otherwise a BLOB with the raw bytes it came from.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

from monitord.zstandard import zstd

ZstdError = zstd.ZstdError


def time_cell(moment: datetime) -> str:
    """Write an aware time as text in UTC with microseconds; a naive one is a bug of the caller."""
    if moment.tzinfo is None:
        raise ValueError("a time without its zone can't be stored")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def time_of(cell: str) -> datetime:
    """Read the aware time in a cell, also what CURRENT_TIMESTAMP wrote (whole seconds)."""
    return datetime.fromisoformat(cell).replace(tzinfo=UTC)


def text_cell(text: str | None) -> str | bytes | None:
    """Text that SQLite can hold: itself, or its raw bytes when they are not valid UTF-8."""
    if text is None:
        return None
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape" if _is_escaped(text) else "replace")
    return text


def _is_escaped(text: str) -> bool:
    """Whether every lone surrogate stands for a raw byte (U+DC80 to U+DCFF)."""
    return all(not 0xD800 <= ord(c) <= 0xDFFF or 0xDC80 <= ord(c) <= 0xDCFF for c in text)


def text_of(cell: str | bytes) -> str:
    """Read the text in a cell; raw bytes come back as surrogateescape."""
    return cell.decode("utf-8", "surrogateescape") if isinstance(cell, bytes) else cell


def as_stored(value: Any) -> Any:
    """The value as it comes back from its cell: code points that are not text become "?"."""
    return text_of(text_cell(value) or "") if isinstance(value, str) else value


def lenient_text(cell: bytes) -> str:
    """A text column's bytes, whatever they are: one that is not UTF-8 must not hide all other rows."""
    return cell.decode("utf-8", "surrogateescape")


def optional_text_of(cell: str | bytes | None) -> str | None:
    """Read the text in a cell that may be empty: None stays None."""
    return None if cell is None else text_of(cell)


def number_cell(value: float) -> float:
    """A number SQLite keeps: it would turn not-a-number into NULL."""
    return 0.0 if math.isnan(value) else float(value)


def json_cell(value: Any) -> str:
    """Write compact JSON in ASCII: raw bytes in names survive as \\udcXX."""
    return json.dumps(value, separators=(",", ":"))


def packed_cell(value: Any) -> bytes:
    """Write compressed JSON, for what is read whole or not at all."""
    return zstd.compress(json_cell(value).encode("ascii"), level=9)


def packed_of(cell: bytes) -> Any:
    """Read the value in a packed cell."""
    return json.loads(zstd.decompress(cell))
