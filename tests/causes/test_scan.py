"""What looks like an object: every one that a loop over words finds, and nothing else."""

from __future__ import annotations

import random
import struct
from collections import Counter

import pytest

from monitord.causes.scan import LARGE_LENGTH, Piece


def is_object(count: int, pointer: int) -> bool:
    is_count = 0 < count < 1 << 16 or 1 << 31 <= count < 1 << 32
    return is_count and 1 << 16 <= pointer < 1 << 48 and pointer % 16 == 0


def planted(seed: int) -> bytes:
    """Words of every kind: counts, pointers, and what is just beside them."""
    chance = random.Random(seed)
    kinds = (
        lambda: chance.randrange(8), lambda: 0xFFFFFFFF, lambda: 0xC0000000, lambda: 1 << 16, lambda: 1 << 32,
        lambda: chance.randrange(1 << 44, 1 << 47) & ~15, lambda: chance.randrange(1 << 47),
        lambda: 0x95_9D40, lambda: chance.randrange(1 << 64), lambda: 1 << 48, lambda: 0xFFF0,
        lambda: LARGE_LENGTH, lambda: LARGE_LENGTH - 1, lambda: chance.randrange(1 << 24), lambda: chance.randrange(1 << 16),
    )  # fmt: skip
    return struct.pack("<4096Q", *(chance.choice(kinds)() for _ in range(4096)))


@pytest.mark.parametrize("seed", range(20))
def test_the_columns_say_what_a_loop_over_words_says(seed: int) -> None:
    data = planted(seed)
    words = struct.unpack("<4096Q", data)
    expected = [
        (index * 8, words[index + 1])
        for index in range(0, len(words), 2)
        if is_object(words[index], words[index + 1])
    ]
    piece = Piece(data)
    assert list(piece.objects()) == expected
    assert Counter(piece.types()) == Counter(pointer for _, pointer in expected)
    large = [
        (offset, pointer, words[offset // 8 + 2])
        for offset, pointer in expected
        if offset // 8 + 2 < len(words) and LARGE_LENGTH <= words[offset // 8 + 2] < 1 << 40
    ]
    assert list(piece.large()) == large


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 4095])
def test_a_piece_of_any_size_is_read_as_far_as_it_goes(size: int) -> None:
    assert list(Piece(b"\x01" * size).objects()) == []


def test_a_piece_full_of_large_lengths_is_bounded() -> None:
    data = struct.pack("<4Q", 1, 0x7F00_0000_0000, 1 << 20, 0) * 10_000
    assert len(list(Piece(data).large())) <= 1024
