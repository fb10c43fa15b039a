"""Bytes of a ring: read as the kernel writes them, and whatever they are, nothing raises, loops or grows."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.perf_events import records

TRAILER = struct.pack("=IIQ", 7, 8, 1_000)


def record(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack("=IHH", kind, flags, 8 + len(body)) + body


def sample(pid: int, thread: int, at_ns: int, *frames: int) -> bytes:
    return record(9, struct.pack(f"=IIQQ{len(frames)}Q", pid, thread, at_ns, len(frames), *frames))


def mapped(path: bytes, flags: int = 2, length: int = 4096) -> bytes:
    fields = struct.pack("=IIQQQIIQQII", 5, 5, 0x1000, length, 512, 8, 1, 99, 0, 5, 2)
    return record(10, fields + path + b"\0" * (8 - len(path) % 8) + TRAILER, flags)


def test_a_sample_has_its_frames_without_the_markers_between_them() -> None:
    """The kernel says by a marker whose addresses follow; they are no addresses."""
    kernel, user = (1 << 64) - 128, (1 << 64) - 512
    data = sample(5, 6, 77, kernel, 0xFFFFFFFF81000000, user, 0x401000, 0x402000)
    assert list(records.samples(data)) == [(77, 5, 6, (0xFFFFFFFF81000000, 0x401000, 0x402000))]


def test_samples_of_nobody_are_left_out() -> None:
    """Pid 0 is outside of our namespace, -1 nearly gone: neither names a process."""
    data = sample(0, 0, 1, 5) + sample(0xFFFFFFFF, 0xFFFFFFFF, 2, 5) + sample(3, 4, 3, 5)
    assert list(records.samples(data)) == [(3, 3, 4, (5,))]
    assert list(records.threads_that_ran(data)) == [(3, 4)]


def test_only_what_was_asked_for_is_read() -> None:
    data = sample(3, 3, 30, 5) + sample(4, 4, 20, 5) + sample(3, 3, 10, 5)
    assert [one[0] for one in records.samples(data, since_ns=20)] == [30, 20]
    assert [one[0] for one in records.samples(data, pids=frozenset({3}))] == [30, 10]


def test_equal_stacks_are_one_value() -> None:
    """Thousands of samples of a burner share their frames."""
    one, two = records.samples(sample(3, 3, 2, 1 << 40, 1 << 41) + sample(3, 3, 1, 1 << 40, 1 << 41))
    assert one[3] is two[3]


@pytest.mark.parametrize("cut", range(1, 48))
def test_a_record_that_was_cut_ends_the_reading(cut: int) -> None:
    """The oldest record is overwritten from its end."""
    whole, older = sample(3, 3, 2, 5, 6), sample(4, 4, 1, 7, 8)
    data = (whole + older)[:-cut]
    assert list(records.samples(data)) == [(2, 3, 3, (5, 6))]
    assert list(records.threads_that_ran(data)) == [(3, 3)]


def test_a_count_of_frames_beyond_its_record_is_no_sample() -> None:
    data = bytearray(sample(3, 3, 2, 5, 6))
    struct.pack_into("=Q", data, 24, 3)
    assert list(records.samples(bytes(data))) == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (mapped(b"/usr/lib/x.so"), records.Mapped(1_000, 5, 0x1000, 0x2000, 512, 2049, 99, "/usr/lib/x.so")),
        (
            record(3, struct.pack("=II", 5, 6) + b"name\0\0\0\0" + TRAILER, 1 << 13),
            records.Named(1_000, 5, 6, "name", True),
        ),
        (
            record(3, struct.pack("=II", 5, 6) + b"a\xff\n\0\0\0\0\0" + TRAILER),
            records.Named(1_000, 5, 6, "a\udcff\n", False),
        ),
        (record(7, struct.pack("=IIIIQ", 9, 5, 9, 5, 1_000) + TRAILER), records.Forked(1_000, 9, 5, 9)),
        (record(4, struct.pack("=IIIIQ", 9, 1, 9, 1, 1_000) + TRAILER), records.Ended(1_000, 9, 9)),
    ],
)
def test_side_records_are_read_as_the_kernel_writes_them(data: bytes, expected: records.SideRecord) -> None:
    [(at_ns, pid, raw)] = records.raw_side_records(data)
    assert (at_ns, pid, records.side_record(raw)) == (1_000, expected.pid, expected)


def test_what_is_mapped_as_data_names_no_code() -> None:
    assert list(records.raw_side_records(mapped(b"/x", flags=2 | 1 << 13))) == []


def test_a_mapping_past_the_end_of_memory_is_none() -> None:
    [(_, _, raw)] = records.raw_side_records(mapped(b"/x", length=(1 << 64) - 1))
    assert records.side_record(raw) is None


def test_lost_records_are_counted() -> None:
    said = record(2, struct.pack("=QQ", 1, 40) + TRAILER) + record(13, struct.pack("=Q", 2) + TRAILER)
    assert records.lost(said + sample(3, 3, 1, 5)) == 42


def read_all(data: bytes) -> None:
    found = list(records.samples(data))
    ran = list(records.threads_that_ran(data))
    assert len(found) <= len(ran) <= len(data) // 8
    assert sum(len(frames) for _, _, _, frames in found) <= len(data) // 8
    records.lost(data)
    raw = list(records.raw_side_records(data))
    assert sum(len(one) for _, _, one in raw) <= len(data)
    for _, _, one in raw:
        read = records.side_record(one)
        if isinstance(read, records.Mapped):
            assert len(read.path) <= 4096
        elif isinstance(read, records.Named):
            assert len(read.name) <= 64


@given(st.binary(max_size=4096))
def test_no_bytes_raise_loop_or_grow(data: bytes) -> None:
    read_all(data)
    records.side_record(data)


kinds = st.sampled_from([2, 3, 4, 7, 9, 10, 13]) | st.integers(0, 2**32 - 1)
made = st.builds(record, kinds, st.binary(max_size=300), st.integers(0, 2**16 - 1))


@given(st.lists(made, max_size=20), st.integers(0, 400))
def test_no_records_raise_loop_or_grow(parts: list[bytes], cut: int) -> None:
    """Well-formed headers around anything at all, cut anywhere."""
    data = b"".join(parts)
    read_all(data[: len(data) - cut])


@given(st.binary(min_size=8, max_size=200), st.integers(0, 199), st.integers(0, 255))
def test_no_changed_byte_raises(path: bytes, at: int, byte: int) -> None:
    data = bytearray(mapped(path) + sample(3, 3, 2, 5, 6))
    data[at % len(data)] = byte
    read_all(bytes(data))
