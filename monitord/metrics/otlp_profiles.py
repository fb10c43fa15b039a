"""A profile in the messages of OTLP's signal of profiles, which is still in development (extra `otlp`).

What is built here is development version 1 of it, which the protocol has a header for. The same profile makes
the same bytes at every try, and each of its parts has its own 16-byte `profile_id`: it is known again when it
comes twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from monitord.errors import MonitordError
from monitord.installation import install_command
from monitord.metrics.otlp_messages import LARGEST_INTEGER, described, known, put, rejected, text_of
from monitord.profiles.representation import OTHER_STACKS, OUTER_LEFT_OUT

PROFILES = "/v1development/profiles"
VERSION_HEADER = {"OTLP-Profiles-Development-Version": "1"}
REQUEST_BYTES = 1 << 20
"""No request is larger before it is compressed; receivers take 4 MiB and more."""
PARTS_AT_MOST = 16
_RESERVED_BYTES = 64 << 10  # of a request: its resource, and what it says of the whole profile
_STACK_BYTES, _CALL_BYTES, _FRAME_BYTES, _THREAD_BYTES, _TEXT_BYTES = 80, 6, 80, 120, 8
_OUTER_BYTES = 200
# What the messages must have, so that another layout is refused and not half filled. A later development
# version has the original payload elsewhere.
_LAYOUT = {
    "ProfilesDictionary": (
        *("mapping_table", "location_table", "function_table", "link_table"),
        *("string_table", "attribute_table", "stack_table"),
    ),
    "Profile": (
        *("sample_type", "samples", "time_unix_nano", "duration_nano", "period_type", "period"),
        *("profile_id", "attribute_indices", "original_payload"),
    ),
    "Sample": ("stack_index", "attribute_indices", "values"),
    "Stack": ("location_indices",),
    "Location": ("mapping_index", "lines", "attribute_indices"),
    "Line": ("function_index", "line"),
    "Function": ("name_strindex", "filename_strindex"),
    "Mapping": ("filename_strindex",),
    "KeyValueAndUnit": ("key_strindex", "value"),
    "ValueType": ("type_strindex", "unit_strindex"),
}
_TYPES = {"python": "cpython", "native": "native", "kernel": "kernel"}  # of OpenTelemetry's words
_OTHER, _OUTER = -1, -2


class _Frame(msgspec.Struct, frozen=True):
    kind: str
    name: str
    file: str | None = None
    line: int | None = None
    module: str | None = None


class _Thread(msgspec.Struct, frozen=True):
    pid: int | None = None
    thread_id: int | None = None
    name: str | None = None
    is_idle: bool = False


class _Document(msgspec.Struct):
    """What is needed of the form `profile-json` (monitord/profiles/json_writer.py)."""

    unit: str
    period_s: float | None
    frames: list[_Frame]
    threads: list[_Thread]
    stacks: list[tuple[int, list[int], int | float]]


@dataclass(frozen=True, slots=True)
class ProfileAbout:
    """What a profile does not know of itself; `name` is its own for ever, and makes its ids."""

    name: str
    taken_at_ns: int
    duration_ns: int
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Stack:
    """A stack (root first, numbers into the document's frames) with its value as a whole number."""

    thread: _Thread
    frames: Sequence[int]
    value: int


def require_profiles() -> None:
    """Raise where the installed definitions are none that can be filled, with what to type."""
    try:
        from opentelemetry.proto.collector.profiles.v1development import profiles_service_pb2  # noqa: F401
        from opentelemetry.proto.profiles.v1development.profiles_pb2 import DESCRIPTOR
    except ImportError:
        raise MonitordError(_unfit()) from None
    held = DESCRIPTOR.message_types_by_name
    for message, names in _LAYOUT.items():
        if message not in held or not set(names) <= set(held[message].fields_by_name):
            raise MonitordError(_unfit())


def _unfit() -> str:
    return (
        "cannot send profiles: this opentelemetry-proto has another layout of the experimental signal than"
        f" version 1.45 ({install_command('otlp')}, then opentelemetry-proto==1.45.*);"
        ' or leave "profiles" out of otlp.signals'
    )


def empty_request() -> bytes:
    """Return a request without any profile, which a receiver of profiles answers with 200."""
    from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import (
        ExportProfilesServiceRequest,
    )

    return bytes(ExportProfilesServiceRequest().SerializeToString())


def rejected_profiles(answer: bytes) -> tuple[int, str]:
    """Return how many profiles of those that it answers it did not take, and why in its words."""
    from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import (
        ExportProfilesServiceResponse,
    )

    return rejected(answer, ExportProfilesServiceResponse, "rejected_profiles")


def profile_requests(
    written: bytes, about: ProfileAbout, limit_bytes: int = REQUEST_BYTES, parts: int = PARTS_AT_MOST
) -> Iterator[bytes]:
    """Yield a profile, written as `profile-json`, as ExportProfilesServiceRequests of at most `limit_bytes`.

    The heaviest stacks come first; what does not fit into so many parts is one stack in the last, so that all
    values together are the profile's. None without any stack.
    """
    document = msgspec.json.decode(written, type=_Document)
    divided = _divided(document, limit_bytes - _RESERVED_BYTES, parts)
    for number, stacks in enumerate(divided):
        facts = dict(about.facts)
        if len(divided) > 1:
            facts |= {"monitord.profile.part": number + 1, "monitord.profile.parts": len(divided)}
        yield _Message(document, about, number, facts).with_stacks(stacks)


def _divided(document: _Document, limit_bytes: int, parts_at_most: int) -> list[list[_Stack]]:
    """The stacks of each request."""
    weights = _Weights(document)
    whole = _whole_numbers(document)
    parts: list[list[_Stack]] = [[]]
    used = 0
    for number, stack in enumerate(whole):
        cost = weights.add(stack)
        if used + cost > limit_bytes and parts[-1]:
            if len(parts) == parts_at_most:
                rest = sum(one.value for one in whole[number:])
                parts[-1].append(_Stack(_Thread(), (_OTHER,), min(rest, LARGEST_INTEGER)))
                break
            parts.append([])
            weights.clear()
            used, cost = 0, weights.add(stack)
        fits = cost <= limit_bytes  # alone
        parts[-1].append(stack if fits else weights.innermost(stack, limit_bytes))
        used += cost
    return parts if whole else []


def _whole_numbers(document: _Document) -> list[_Stack]:
    """All stacks, the heaviest first, rounded so that their sum is the profile's; without those of 0."""
    found, total, given = [], 0, 0
    for thread, frames, value in sorted(document.stacks, key=lambda one: -one[2]):
        total += value  # type: ignore[assignment]  # stays whole while all of them are
        share = round(total) - given
        given += share
        if share > 0:
            found.append(_Stack(document.threads[thread], frames, min(share, LARGEST_INTEGER)))
    return found


class _Weights:
    """How many bytes a stack takes at most in a request that has others already."""

    def __init__(self, document: _Document) -> None:
        self._frames = document.frames
        self._seen: set[int | _Thread] = set()

    def clear(self) -> None:
        """A new request has none yet."""
        self._seen.clear()

    def add(self, stack: _Stack) -> int:
        """Return what it takes, and remember what it brings."""
        cost = _STACK_BYTES
        if stack.thread not in self._seen:
            self._seen.add(stack.thread)
            cost += _THREAD_BYTES + _size(stack.thread.name)
        for number in stack.frames:
            cost += _CALL_BYTES
            if number not in self._seen:
                self._seen.add(number)
                cost += self._frame(number)
        return cost

    def innermost(self, stack: _Stack, limit_bytes: int) -> _Stack:
        """Return what fits of a stack that alone is too large: the frames next to its leaf."""
        left = limit_bytes - _STACK_BYTES - _THREAD_BYTES - _size(stack.thread.name) - _OUTER_BYTES
        count = 0
        for number in reversed(stack.frames):
            left -= _CALL_BYTES + self._frame(number)
            if left < 0:
                break
            count += 1
        kept = stack.frames[len(stack.frames) - count :]
        return _Stack(stack.thread, (_OUTER, *kept), stack.value)

    def _frame(self, number: int) -> int:
        frame = self._frames[number]
        return _FRAME_BYTES + _size(frame.name) + _size(frame.file) + _size(frame.module)


def _size(text: str | None) -> int:
    return _TEXT_BYTES + len(text_of(text).encode()) if text else 0


class _Message:
    """One request in the making: its dictionary grows while samples are added.

    In each table the first entry is the zero value, so that 0 means none.
    """

    def __init__(self, document: _Document, about: ProfileAbout, part: int, facts: Mapping[str, Any]) -> None:
        from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import (
            ExportProfilesServiceRequest,
        )

        self._document = document
        self._request = ExportProfilesServiceRequest()
        self._tables = self._request.dictionary
        self._known: dict[tuple[str, object], int] = {}
        for table in ("mapping", "location", "function", "link", "attribute", "stack"):
            self._table(table).add()
        self._tables.string_table.append("")
        resource = self._request.resource_profiles.add()
        profile = described(resource, resource.scope_profiles).profiles.add()
        profile.profile_id = hashlib.sha256(f"{about.name}\0{part}".encode()).digest()[:16]
        profile.time_unix_nano, profile.duration_nano = about.taken_at_ns, about.duration_ns
        unit = document.unit
        self._say_type(profile.sample_type, unit, "count" if unit == "samples" else unit)
        if document.period_s and unit == "samples":
            self._say_type(profile.period_type, "cpu", "nanoseconds")
            profile.period = min(round(document.period_s * 1e9), LARGEST_INTEGER)
        profile.attribute_indices.extend(self._attributes(facts))
        self._profile = profile

    def with_stacks(self, stacks: Sequence[_Stack]) -> bytes:
        """Return the request with these, as bytes; those that can't be told apart are one sample."""
        samples: dict[tuple[int, tuple[int, ...]], int] = {}
        for stack in stacks:
            thread = stack.thread
            facts = {
                "thread.name": thread.name,
                "thread.id": thread.thread_id,
                "process.pid": thread.pid,
                "monitord.waiting": thread.is_idle or None,
            }
            key = (self._stack(stack.frames), tuple(self._attributes(facts)))
            samples[key] = min(samples.get(key, 0) + stack.value, LARGEST_INTEGER)
        for (number, attributes), value in samples.items():
            sample = self._profile.samples.add()
            sample.stack_index = number
            sample.attribute_indices.extend(attributes)
            sample.values.append(value)
        return bytes(self._request.SerializeToString(deterministic=True))

    def _say_type(self, kind: Any, name: str, unit: str) -> None:
        kind.type_strindex, kind.unit_strindex = self._string(name), self._string(unit)

    def _stack(self, frames: Sequence[int]) -> int:
        locations = tuple(self._location(self._frame(number)) for number in reversed(frames))  # leaf first
        return self._entry("stack", locations, lambda made: made.location_indices.extend(locations))

    def _frame(self, number: int) -> _Frame:
        made = {_OTHER: OTHER_STACKS, _OUTER: OUTER_LEFT_OUT}.get(number)
        return self._document.frames[number] if made is None else _Frame("native", made)

    def _location(self, frame: _Frame) -> int:
        found = self._known.get(("location", frame))
        if found is not None:
            return found
        function, mapping = self._function(frame), self._mapping(frame.module)
        attributes = self._attributes({"profile.frame.type": _TYPES.get(frame.kind)})

        def fill(made: Any) -> None:
            made.mapping_index = mapping
            made.attribute_indices.extend(attributes)
            line = made.lines.add()
            line.function_index, line.line = function, min(max(0, frame.line or 0), LARGEST_INTEGER)

        return self._entry("location", frame, fill)

    def _function(self, frame: _Frame) -> int:
        name, file = self._string(frame.name), self._string(frame.file or "")

        def fill(made: Any) -> None:
            made.name_strindex, made.filename_strindex = name, file

        return self._entry("function", (name, file), fill)

    def _mapping(self, module: str | None) -> int:
        if not module:
            return 0
        name = self._string(module)

        def fill(made: Any) -> None:
            made.filename_strindex = name

        return self._entry("mapping", name, fill)

    def _attributes(self, facts: Mapping[str, Any]) -> list[int]:
        return [self._attribute(key, fact) for key, fact in known(facts)]

    def _attribute(self, key: str, fact: Any) -> int:
        name = self._string(key)

        def fill(made: Any) -> None:
            made.key_strindex = name
            put(made.value, fact)

        return self._entry("attribute", (name, type(fact), fact), fill)

    def _string(self, text: str) -> int:
        safe = text_of(text)
        number = self._known.get(("string", safe)) if safe else 0
        if number is None:
            number = self._known["string", safe] = len(self._tables.string_table)
            self._tables.string_table.append(safe)
        return number

    def _entry(self, table: str, key: object, fill: Callable[[Any], object]) -> int:
        """The number of the entry of this key, made where there is none."""
        number = self._known.get((table, key))
        if number is None:
            held = self._table(table)
            number = self._known[table, key] = len(held)
            fill(held.add())
        return number

    def _table(self, name: str) -> Any:
        return getattr(self._tables, f"{name}_table")
