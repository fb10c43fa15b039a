"""Writes pprof's gzipped protocol buffer, which `go tool pprof` and most profile viewers read.

Only what a Profile needs of github.com/google/pprof/proto/profile.proto (version 3): field numbers stand
beside what they hold. A protocol buffer is `key, value` pairs; a key is the field's number << 3 | the wire
type.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable

from monitord.profiles.frame_text import encodable
from monitord.profiles.representation import Frame, Profile, Thread
from monitord.profiles.writing import About

_VARINT, _BYTES = 0, 2
_MAX_INT64 = 2**63 - 1


def write_pprof(profile: Profile, about: About) -> bytes:
    """Values are samples and, where the period is known, nanoseconds; threads are labels."""
    return gzip.compress(_Message(profile, about).encoded(), 6, mtime=0)


class _Message:
    """Collects the tables of one Profile message while its samples are written."""

    def __init__(self, profile: Profile, about: About) -> None:
        self._profile = profile
        self._about = about
        self._strings: dict[str, int] = {"": 0}
        self._mappings: dict[str, int] = {}
        self._functions: dict[tuple[str, str], int] = {}
        self._period_ns = round((profile.period_s or 0) * 1e9) if profile.unit == "samples" else 0

    def encoded(self) -> bytes:
        profile = self._profile
        units = [(profile.unit, "count" if profile.unit == "samples" else profile.unit)]
        units += [("cpu", "nanoseconds")] if self._period_ns else []
        parts = [_bytes(1, self._value_type(*unit)) for unit in units]  # sample_type
        parts += [_bytes(2, self._sample(*item)) for item in profile.stacks.items()]
        parts += [_bytes(4, self._location(number, frame)) for number, frame in enumerate(profile.frames, 1)]
        parts += [
            _bytes(3, _number(1, number) + _number(5, self._string(name)) + _number(7, 1))
            for name, number in self._mappings.items()  # id, filename, has_functions
        ]
        parts += [
            _bytes(5, _number(1, number) + _number(2, self._string(name)) + _number(4, self._string(file)))
            for (name, file), number in self._functions.items()  # id, name, filename
        ]
        parts += [_number(9, self._about.taken_at_ns), _number(10, round(self._about.duration_s * 1e9))]
        if self._period_ns:
            parts += [_bytes(11, self._value_type("cpu", "nanoseconds")), _number(12, self._period_ns)]
        parts += [_number(13, self._string(text)) for text in (self._about.title, *profile.notes)]  # comment
        return b"".join(parts + [_bytes(6, text.encode()) for text in self._strings])  # string_table, last

    def _string(self, text: str) -> int:
        return self._strings.setdefault(encodable(text), len(self._strings))

    def _value_type(self, kind: str, unit: str) -> bytes:
        return _number(1, self._string(kind)) + _number(2, self._string(unit))

    def _sample(self, key: tuple[Thread, tuple[int, ...]], value: float) -> bytes:
        thread, stack = key
        values = [round(value)] + (
            [min(round(value * self._period_ns), _MAX_INT64)] if self._period_ns else []
        )
        labels = _bytes(3, self._label("thread", thread.name)) if thread.name else b""
        for word, number in (("thread_id", thread.thread_id), ("pid", thread.pid)):
            if number is not None:
                labels += _bytes(3, _number(1, self._string(word)) + _number(3, number))
        locations = _packed(1, [number + 1 for number in reversed(stack)])  # leaf first
        return locations + _packed(2, values) + labels

    def _label(self, key: str, text: str) -> bytes:
        return _number(1, self._string(key)) + _number(2, self._string(text))

    def _location(self, number: int, frame: Frame) -> bytes:
        function = (frame.name, frame.file or frame.module or "")
        function_id = self._functions.setdefault(function, len(self._functions) + 1)
        line = _number(1, function_id) + _number(2, frame.line or 0)
        mapping = self._mappings.setdefault(frame.module or "python", len(self._mappings) + 1)
        return _number(1, number) + _number(2, mapping) + _bytes(4, line)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # int64: negative numbers are ten bytes of their two's complement
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _number(field: int, value: int) -> bytes:
    """A whole number; 0 is what is not there."""
    return _varint(field << 3 | _VARINT) + _varint(value) if value else b""


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(value)) + value


def _packed(field: int, values: Iterable[int]) -> bytes:
    return _bytes(field, b"".join(map(_varint, values)))
