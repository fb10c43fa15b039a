"""Text that came from processes, made fit for files that other programs read.

JSON: control characters and everything beyond ASCII are escaped by the encoder; bytes that are not UTF-8
become the four characters `\\xNN`, because a lone surrogate is refused by strict JSON readers.
CSV (RFC 4180): one line a row, and no cell that a spreadsheet would take for a formula.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from monitord.redaction import printable

# OWASP, "CSV Injection": these begin a formula; the full-width forms do in some locales.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_LONGEST_CELL = 32_767  # what a spreadsheet takes; Python's own reader refuses more than 131,072
_SURROGATE = re.compile("[\ud800-\udfff]")


def plain(text: str) -> str:
    """Write undecodable bytes (kept as surrogates) as `\\xNN`; the rest of the text stays as it is."""
    return text if text.isascii() else _SURROGATE.sub(lambda match: _escaped(ord(match[0])), text)


def iso(moment: datetime) -> str:
    """Write a time as all our data has it, ISO-8601 in UTC to the millisecond: 2026-11-20T03:00:05.120Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_text(value: object, *, indent: int | None = 2) -> str:
    """Write JSON in ASCII: safe for any terminal, locale and strict reader. NaN and infinity are refused."""
    return json.dumps(plain_values(value), ensure_ascii=True, allow_nan=False, indent=indent)


def plain_values(value: Any) -> Any:
    """Return the same structure with every text and name in it `plain`."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, Mapping):
        return {plain(str(name)): plain_values(held) for name, held in value.items()}
    return [plain_values(held) for held in value] if isinstance(value, list | tuple) else value


def csv_rows(keys: Sequence[str], rows: Iterable[Mapping[str, object]], *, header: bool = True) -> str:
    """Write RFC 4180 with CRLF, safe to open in a spreadsheet; structured values stand as JSON."""
    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\r\n")
    if header:
        writer.writerow([_cell(key) for key in keys])
    for row in rows:
        writer.writerow([_cell(row.get(key)) for key in keys])
    return sheet.getvalue()


def _escaped(code: int) -> str:
    is_byte = 0xDC80 <= code <= 0xDCFF  # PEP 383
    return f"\\x{code - 0xDC00:02x}" if is_byte else f"\\u{code:04x}"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    text = value if isinstance(value, str) else json_text(value, indent=None)
    safe = printable(text)
    safe = "'" + safe if any(one.startswith(_FORMULA_STARTS) for one in (text, text.lstrip())) else safe
    return safe if len(safe) <= _LONGEST_CELL else safe[: _LONGEST_CELL - 1] + "…"
