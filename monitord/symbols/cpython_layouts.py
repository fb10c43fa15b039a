"""Where the fields of CPython's structures lie.

3.11 and 3.12: by a table. From 3.13 on: as the interpreter publishes it (`_Py_DebugOffsets` in
Include/internal/pycore_debug_offsets.h), in an order of each minor version's own. What is published is the
target's word: an offset that can't be is refused, as is a version without a table.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

COOKIE = b"xdebugpy"
_FINAL, _CANDIDATE = 0xF0, 0xC0  # of PY_VERSION_HEX: earlier ones may still change their order
_FAR, _NEAR = 1 << 20, 2048  # no structure of an interpreter is a megabyte, no other is two kilobytes


class UnknownPythonError(Exception):
    """A CPython whose structures are not known here; says which."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Offsets in bytes. `frame_path` leads from a thread's state to its innermost frame."""

    version: tuple[int, int]
    is_free_threaded: bool
    interpreters: int
    next_interpreter: int
    threads: int
    next_thread: int
    thread_id: int
    frame_path: tuple[int, ...]
    previous: int
    code: int
    instruction: int
    owner: int
    local_code_index: int  # of a frame, and below the copies of a code object: 0 where there are none
    local_codes: int
    file_name: int
    name: int
    first_line: int
    line_table: int
    instructions: int
    type: int
    text_length: int
    text_state: int
    text_bytes: int

    @property
    def frame_bytes(self) -> int:
        """What stands before a frame's variables."""
        return self.owner // 8 * 8 + 8

    @property
    def count(self) -> int:
        """Of the items of a code or bytes object: behind the type, in every version."""
        return self.type + 8

    @property
    def first_traceable(self) -> int:
        """Of a code object, in instructions: before a pointer that others may keep there, and its copies."""
        return self.instructions - (24 if self.local_codes else 16)

    @property
    def type_name(self) -> int:
        return self.count + 8

    @property
    def bytes_content(self) -> int:
        return self.count + 16

    @property
    def wide_text_bytes(self) -> int:
        """Where the letters of a text begin that is not ASCII: behind its UTF-8, and before 3.12 wchar_t."""
        return self.text_bytes + (24 if self.version == (3, 11) else 16)


def _tabled(version: tuple[int, int], **offsets: int | tuple[int, ...]) -> Layout:
    same = {
        "is_free_threaded": False, "interpreters": 40, "next_interpreter": 0, "next_thread": 8,
        "instruction": 56, "local_code_index": 0, "local_codes": 0, "file_name": 112, "name": 128,
        "line_table": 136, "type": 8, "text_length": 16, "text_state": 32,
    }  # fmt: skip
    return Layout(version, **{**same, **offsets})  # type: ignore[arg-type]  # of one call below each


# Include/internal/pycore_runtime.h, pycore_interp.h, pycore_frame.h, cpython/pystate.h and cpython/code.h.
TABLES: Mapping[tuple[int, int], Layout] = {
    (3, 11): _tabled(
        (3, 11), threads=16, thread_id=160, frame_path=(56, 8), previous=48, code=32, owner=69, first_line=72,
        instructions=184, text_bytes=48,
    ),
    (3, 12): _tabled(
        (3, 12), threads=72, thread_id=144, frame_path=(56, 0), previous=8, code=0, owner=70, first_line=68,
        instructions=192, text_bytes=40,
    ),
}  # fmt: skip

# The words behind the cookie, in their order.
_HEAD = "version free_threaded runtime_size finalizing interpreters "
_INTERPRETER = "interpreter_size id next_interpreter threads "
_IMPORTS = "gc modules sysdict builtins ceval_gil gil gil_enabled gil_locked gil_holder "
_GENERATIONS = "code_generation local_code_generation "
_THREAD = "thread_size previous_thread next_thread interpreter current_frame "
_IDS = "pthread thread_id datastack_chunk status "
_FRAME = "frame_size previous code instruction localsplus owner "
_FRAME_AFTER_3_13 = "stackpointer local_code_index "
_CODE = "code_size file_name plain_name name line_table first_line argcount variables kinds instructions "
_TYPE = "object_size type type_size type_name type_repr type_flags "
_TUPLE_AND_LIST = "tuple_size tuple_items tuple_count list_size list_items list_count "
_SET = "set_size set_used set_table set_mask "
_OTHERS = "dict_size dict_keys dict_values float_size float_value long_size long_tag long_digits "
_BYTES = "bytes_size bytes_count bytes_content "
_TEXT = "text_size text_state text_length text_bytes"
ORDERS: Mapping[tuple[int, int], str] = {
    (3, 13): _HEAD + _INTERPRETER + _IMPORTS + _THREAD + _IDS + _FRAME + _CODE + _TYPE + _TUPLE_AND_LIST
    + _OTHERS + _BYTES + _TEXT,
    (3, 14): _HEAD + _INTERPRETER + "main_thread " + _IMPORTS + _GENERATIONS + _THREAD + _IDS
    + _FRAME + _FRAME_AFTER_3_13 + _CODE + "local_codes " + _TYPE + _TUPLE_AND_LIST + _SET
    + _OTHERS + _BYTES + _TEXT,
    (3, 15): _HEAD + _INTERPRETER + "main_thread " + _IMPORTS + _GENERATIONS + _THREAD
    + "base_frame profiled_frame profiled_frame_number " + _IDS
    + "holds_gil gil_requested exception exception_state exception_value "
    + _FRAME + _FRAME_AFTER_3_13 + _CODE + "local_codes " + _TYPE
    + "type_basicsize type_dictoffset heap_type_size cached_keys " + _TUPLE_AND_LIST + _SET
    + _OTHERS + _BYTES + _TEXT,
}  # fmt: skip
_FAR_FIELDS = ("interpreters", "next_interpreter", "threads")
_NEAR_FIELDS = (
    "next_thread", "thread_id", "current_frame", "previous", "code", "instruction", "owner", "file_name",
    "name", "first_line", "line_table", "instructions", "type", "text_state", "text_length", "text_bytes",
)  # fmt: skip
PUBLISHED_BYTES = 8 + 8 * max(len(order.split()) for order in ORDERS.values())


def layout_of(head: bytes, version: int | None) -> Layout:
    """The layout of the runtime that begins with these bytes. `version`: Py_Version, from 3.11 on.

    Raises UnknownPythonError.
    """
    if head[:8] == COOKIE:
        return _published(head)
    if version is None:
        raise UnknownPythonError("a Python before 3.11")
    if _is_in_the_making(version) or (layout := TABLES.get(_minor(version))) is None:
        raise UnknownPythonError(named(version))
    return layout


def _published(head: bytes) -> Layout:
    version = struct.unpack_from("<Q", head, 8)[0]
    order = ORDERS.get(_minor(version))
    if order is None or version >= 1 << 32 or _is_in_the_making(version):
        raise UnknownPythonError(named(version))
    names = order.split()
    words = dict(zip(names, struct.unpack_from(f"<{len(names)}Q", head, 8), strict=True))
    layout = Layout(
        _minor(version), bool(words["free_threaded"]), frame_path=(words["current_frame"],),
        local_code_index=words.get("local_code_index", 0), local_codes=words.get("local_codes", 0),
        **{name: words[name] for name in (*_FAR_FIELDS, *_NEAR_FIELDS) if name != "current_frame"},
    )  # fmt: skip
    if not _can_be(words, layout):
        raise UnknownPythonError(f"{named(version)} (it publishes offsets that can't be)")
    return layout


def _can_be(words: Mapping[str, int], layout: Layout) -> bool:
    """Within their structures, and in the order that every version has them in."""
    order = [layout.code, layout.previous, layout.instruction, layout.owner]
    if layout.local_code_index:
        order.insert(3, layout.local_code_index)
    names = [layout.first_line, layout.file_name, layout.name, layout.line_table, layout.instructions]
    return (
        all(words[name] < _FAR for name in _FAR_FIELDS)
        and all(words[name] < _NEAR for name in _NEAR_FIELDS)
        and layout.local_codes < _NEAR
        and order == sorted(order)
        and layout.code + 8 <= layout.previous <= layout.instruction - 8
        and layout.instruction + 8 <= order[3] <= layout.owner <= 256
        and names == sorted(names)
        and layout.type + 16 < layout.first_line
        and layout.count <= layout.text_length
        and layout.text_length + 8 <= layout.text_state < layout.text_bytes <= 256
    )


def _minor(version: int) -> tuple[int, int]:
    return version >> 24 & 0xFF, version >> 16 & 0xFF


def _is_in_the_making(version: int) -> bool:
    return version & 0xF0 not in (_FINAL, _CANDIDATE)


def named(version: int) -> str:
    """Python 3.13.2, from PY_VERSION_HEX; with `a` or `b` before it was finished."""
    stage = {0xA0: "a", 0xB0: "b", 0xC0: "rc"}.get(version & 0xF0)
    last = f"{stage}{version & 0xF}" if stage else ""
    return f"Python {version >> 24 & 0xFF}.{version >> 16 & 0xFF}.{version >> 8 & 0xFF}{last}"
