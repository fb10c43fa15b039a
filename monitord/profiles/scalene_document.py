"""Scalene's JSON as it is kept: what it measured, and nothing that tells where on whose machine it ran.

Only what is known and wanted is taken over: stacks, lines and functions that did something, their source
texts (redacted by the caller's function), totals. Paths inside the program's folder begin with that folder's
name, a home becomes `~`; a relative path that climbs out of its folder is refused and counted. Scalene adds
up over all its switchings on, so a later document minus an earlier one is what happened between. Field names
are Scalene's (2.4).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from monitord.profiles.errors import ProfileError
from monitord.profiles.limits import MAX_DEPTH, MAX_STACKS, MAX_VALUE, read_json, whole_number
from monitord.redaction import redact_name

Document = dict[str, Any]
_SHARES = ("n_cpu_percent_python", "n_cpu_percent_c", "n_sys_percent")
_LEVELS = ("n_malloc_mb", "n_avg_mb", "n_peak_mb", "n_growth_mb", "n_copy_mb_s", "n_gpu_percent")
_TOTALS = ("elapsed_time_sec", "max_footprint_mb", "growth_rate")
_WORD = re.compile(r"(.+) (\S{1,500}:[0-9]{1,9};?)")
_ESCAPED = ("\\u003c", "<")  # Scalene writes source lines for its web page
_MAX_LINES = 20_000
_MAX_SOURCE = 200
_LEAST_PERCENT = 0.5  # of all the time: below that a line is noise


@dataclass(frozen=True, slots=True)
class Names:
    """How names are made fit to keep: the program's folder, the user's home, and what hides secrets.

    The folder's own name stays: `app/main.py` is how other tools' profiles know that file (see `place_of`).
    """

    root: str
    home: str
    redact: Callable[[str], str] = str

    def path(self, path: str) -> str | None:
        """A path as it is kept; None for one that climbs out of where it belongs."""
        kept = self._placed(path)
        return kept and redact_name(kept)

    def _placed(self, path: str) -> str | None:
        if path.startswith("<"):
            return path
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts or "\0" in path:
            return None
        whole = "/".join(parts)
        if not path.startswith("/"):
            return whole or None
        for folder, mark in ((self.root, self.root.rpartition("/")[2] + "/"), (self.home, "~/")):
            inside = folder.strip("/") + "/"
            if inside != "/" and f"{whole}/".startswith(inside) and whole + "/" != inside:
                return mark + whole[len(inside) :]
        return f"/{whole}"


@dataclass(frozen=True, slots=True)
class HotLine:
    """One line of source and its share of the time, in percent of all of it; memory in bytes, if measured."""

    file: str
    line: int
    python_percent: float
    native_percent: float
    system_percent: float
    source: str = ""
    allocated_bytes: int | None = None
    peak_bytes: int | None = None

    @property
    def percent(self) -> float:
        return self.python_percent + self.native_percent + self.system_percent


def kept_document(raw: bytes, names: Names) -> Document:
    """The document as it is kept; {} when Scalene saw nothing. Raises ProfileError for other documents."""
    found = read_json(io.BytesIO(raw))
    if not isinstance(found, dict) or (found and not isinstance(found.get("files"), dict)):
        raise ProfileError("invalid Scalene profile: expected an object with files")
    if not found:
        return {}
    refused = 0
    files: Document = {}
    for path, entry in found["files"].items():
        name = names.path(str(path))
        if name is None or not isinstance(entry, dict):
            refused += 1
            continue
        files[name] = {
            "percent_cpu_time": _number(entry.get("percent_cpu_time")),
            **{kind: list(_busy(entry.get(kind), names.redact)) for kind in ("lines", "functions")},
        }
    stacks, stacks_refused = _stacks(found.get("stacks"), names)
    document: Document = {name: _number(found.get(name)) for name in _TOTALS}
    program = names.path(str(found.get("program") or ""))
    return {
        **document,
        "memory": found.get("memory") is True,
        "program": program or "",
        "files": files,
        "stacks": stacks,
        "names_refused": refused + stacks_refused,
    }


def difference(later: Document, earlier: Document) -> Document:
    """What `later` has more than `earlier`; both as `kept_document` gives them."""
    if not earlier or not later:
        return later
    before = {tuple(words): seen for words, seen in earlier["stacks"]}
    stacks = [
        [words, left]
        for words, seen in later["stacks"]
        if (left := _less(seen, before.get(tuple(words))))["count"] > 0
    ]
    counts = [_count(document["stacks"]) for document in (later, earlier)]
    files = {
        path: _files_less(entry, earlier["files"].get(path, {}), counts)
        for path, entry in later["files"].items()
    }
    elapsed_s = max(0.0, later["elapsed_time_sec"] - earlier["elapsed_time_sec"])
    return {**later, "files": files, "stacks": stacks, "elapsed_time_sec": elapsed_s}


def as_bytes(document: Document) -> bytes:
    """As JSON that Scalene's parser reads."""
    return json.dumps(document, sort_keys=True).encode("utf-8", "surrogateescape")


def from_bytes(data: bytes) -> Document:
    """What `as_bytes` wrote; raises ProfileError."""
    found = read_json(io.BytesIO(data))
    if not isinstance(found, dict):
        raise ProfileError("invalid kept profile of Scalene")
    return found


def hot_lines(document: Document, limit: int = 20) -> tuple[HotLine, ...]:
    """Return the lines with the highest share, hottest first."""
    lines = [
        _line(file, entry) for file, kept in document.get("files", {}).items() for entry in kept["lines"]
    ]
    has_memory = document.get("memory") is True
    lines = [
        line for line in lines if line.percent >= _LEAST_PERCENT or (has_memory and line.allocated_bytes)
    ]
    lines.sort(key=lambda line: (-line.percent, -(line.allocated_bytes or 0), line.file, line.line))
    return tuple(lines[: max(0, limit)])


def sample_count(document: Document) -> int:
    """How many times Scalene looked and saw the program's code."""
    return _count(document.get("stacks", []))


# ---------------------------------------------------------------------------------------------------------


def _busy(lines: object, redact: Callable[[str], str]) -> Iterator[Document]:
    """Lines (or functions) that did something, without their timelines."""
    for entry in lines[:_MAX_LINES] if isinstance(lines, list) else ():
        if not isinstance(entry, dict):
            continue
        values = {name: _number(entry.get(name)) for name in (*_SHARES, *_LEVELS)}
        number = whole_number(entry.get("lineno"))
        if number is None or not any(values.values()):
            continue
        text = str(entry.get("line") or "").strip()[: 2 * _MAX_SOURCE].replace(*_ESCAPED)
        text = redact(text)[:_MAX_SOURCE]
        yield {"lineno": number, "line": text, **values}


def _stacks(found: object, names: Names) -> tuple[list[Any], int]:
    stacks: list[Any] = []
    refused = 0
    for entry in found[:MAX_STACKS] if isinstance(found, list) else ():
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], list)):
            refused += 1
            continue
        words = [_word(word, names) for word in entry[0][-MAX_DEPTH:]]
        seen = entry[1] if isinstance(entry[1], Mapping) else {"count": entry[1]}
        if None in words:
            refused += 1
            continue
        count = whole_number(seen.get("count"), 0) or 0
        times = {name: _number(seen.get(name)) for name in ("python_time", "c_time")}
        stacks.append([words, {"count": count, **times}])
    return stacks, refused


def _word(word: object, names: Names) -> str | None:
    """One frame, `FILE FUNCTION:LINE;`, its file made fit to keep."""
    found = _WORD.fullmatch(word) if isinstance(word, str) else None
    path = names.path(found[1]) if found else None
    return f"{path} {redact_name(found[2])}" if found and path else None


def _less(seen: Document, before: Document | None) -> Document:
    return seen if before is None else {name: max(0, value - before[name]) for name, value in seen.items()}


def _files_less(entry: Document, before: Document, counts: list[int]) -> Document:
    return {
        **entry,
        **{kind: _lines_less(entry[kind], before.get(kind, []), counts) for kind in ("lines", "functions")},
    }


def _lines_less(lines: list[Document], before: list[Document], counts: list[int]) -> list[Document]:
    """Percents are of all samples up to then: weighed by those, they can be subtracted."""
    earlier = {line["lineno"]: line for line in before}
    later_count, earlier_count = counts
    whole = later_count - earlier_count
    if whole <= 0:
        return []
    left = []
    for line in lines:
        old = earlier.get(line["lineno"], {})
        shares = {
            name: max(0.0, (line[name] * later_count - old.get(name, 0.0) * earlier_count) / whole)
            for name in _SHARES
        }
        if any(share >= _LEAST_PERCENT for share in shares.values()):
            left.append({**line, **shares})
    return left


def _count(stacks: list[Any]) -> int:
    return sum(seen["count"] for _words, seen in stacks)


def _line(file: str, entry: Document) -> HotLine:
    allocated, peak = (round(entry[name] * 1024 * 1024) for name in ("n_malloc_mb", "n_peak_mb"))
    python, native, system = (entry[name] for name in _SHARES)
    return HotLine(
        file, entry["lineno"], python, native, system, entry["line"], allocated or None, peak or None
    )


def _number(value: object) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) <= MAX_VALUE else 0.0  # type: ignore[arg-type]  # a number, as just seen
