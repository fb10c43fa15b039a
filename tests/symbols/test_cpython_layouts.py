"""Layouts: one a minor version; what is not known, or can't be, is refused by name."""

from __future__ import annotations

import random
import struct

import pytest

from monitord.symbols.cpython_layouts import (
    COOKIE,
    ORDERS,
    PUBLISHED_BYTES,
    TABLES,
    UnknownPythonError,
    layout_of,
)

GOOD = {
    "interpreters": 808, "next_interpreter": 7272, "threads": 7344, "next_thread": 8, "thread_id": 160,
    "current_frame": 72, "previous": 8, "code": 0, "instruction": 56, "owner": 74, "file_name": 112, "name": 128,
    "line_table": 136, "first_line": 68, "instructions": 208, "type": 8, "text_state": 32, "text_length": 16,
    "text_bytes": 40,
}  # fmt: skip


def published(version: int, **changed: int) -> bytes:
    names = ORDERS[version >> 24 & 0xFF, version >> 16 & 0xFF].split()
    words = {**dict.fromkeys(names, 0), **GOOD, "version": version, **changed}
    return (COOKIE + struct.pack(f"<{len(names)}Q", *(words[name] for name in names))).ljust(
        PUBLISHED_BYTES, b"\0"
    )


def test_every_order_names_each_word_once() -> None:
    for order in ORDERS.values():
        names = order.split()
        assert len(names) == len(set(names))
        assert set(GOOD) <= set(names)


@pytest.mark.parametrize("version", [0x030D05F0, 0x030E00F0, 0x030F02F0, 0x030F00C1])
def test_what_is_published_is_believed_where_it_can_be(version: int) -> None:
    layout = layout_of(published(version), None)
    assert layout.version == (version >> 24, version >> 16 & 0xFF)
    assert (layout.interpreters, layout.frame_path, layout.name) == (808, (72,), 128)


@pytest.mark.parametrize(
    ("head", "version", "words"),
    [
        (b"", None, "a Python before 3.11"),
        (bytes(900), 0x030A0DF0, "Python 3.10.13"),
        (bytes(900), 0x030D00F0, "Python 3.13.0"),  # it should publish its layout
        (bytes(900), 0x030C00A3, "Python 3.12.0a3"),
        (COOKIE + struct.pack("<Q", 0x031000F0) + bytes(900), None, "Python 3.16.0"),
        (COOKIE + struct.pack("<Q", 0x030F00A2) + bytes(900), None, "Python 3.15.0a2"),
        (COOKIE + struct.pack("<Q", 0x030F00B4) + bytes(900), None, "Python 3.15.0b4"),
        (COOKIE + struct.pack("<Q", 1 << 40) + bytes(900), None, "Python 0.0.0"),
    ],
)
def test_an_unknown_version_is_refused_by_name(head: bytes, version: int | None, words: str) -> None:
    with pytest.raises(UnknownPythonError, match=f"^{words}$"):
        layout_of(head, version)


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("value", [1 << 63, 1 << 30, 5000000])
def test_an_offset_that_can_not_be_is_refused(name: str, value: int) -> None:
    with pytest.raises(UnknownPythonError, match="can't be"):
        layout_of(published(0x030E00F0, **{name: value}), None)


def test_whatever_is_published_is_refused_or_small() -> None:
    """No offset makes a reader read a megabyte, or before the beginning."""
    chance, believed = random.Random(4), 0
    for _ in range(5000):
        changed = {
            chance.choice(list(GOOD)): chance.choice([0, 1, 7, 64, 255, 2047, chance.randrange(1 << 64)])
            for _ in range(3)
        }
        try:
            layout = layout_of(published(chance.choice([0x030D00F0, 0x030F00F0]), **changed), None)
        except UnknownPythonError:
            continue
        believed += 1
        assert layout.frame_bytes <= 264
        assert 0 < layout.first_traceable < layout.instructions < 2048
        assert layout.instruction + 8 <= layout.owner < layout.frame_bytes
    assert believed > 100
    assert set(TABLES) == {(3, 11), (3, 12)}
