"""Records of a ring as long, and as many, as a target makes them: for tests/test_steps_of_readers.py."""

from __future__ import annotations

import struct

from monitord.perf_events import records
from monitord.stacks.life import lives_in


def mapped_record(path: bytes, at: int = 1) -> bytes:
    fields = struct.pack("=IIQQQIIQQII", 1, 1, at, 1, 0, 8, 1, 1, 0, 5, 2)
    return struct.pack("=IHH", 10, 0, 88 + len(path)) + fields + path + struct.pack("=IIQ", 1, 1, 1)


def lived(n: int) -> object:
    """As much code, which lies apart, or one over the other; a process that was renamed and replaced as often."""
    named = struct.pack("=IHHII16sIIQ", 3, 1 << 13, 48, 1, 1, b"x", 1, 1, 1)
    ended = struct.pack("=IHHIIIIQIIQ", 4, 0, 48, 1, 1, 1, 1, 1, 1, 1, 1)
    told = (
        b"".join(mapped_record(b"/a", k) for k in range(n)),
        mapped_record(b"/a") * n,
        named * n,
        (named + ended) * n,
    )
    return [lives_in(1, one, ()) for one in told]


def read(n: int) -> object:
    """Samples with a stack each of its own, a sample as long as all of them, side records with long paths."""
    head = struct.pack
    samples = b"".join(head("=IHHIIQQ3Q", 9, 0, 56, 1, 1, k, 3, k, k, k) for k in range(n))
    long = head(f"=IHHIIQQ{n}Q", 9, 0, 32 + 8 * n, 1, 1, 1, n, *range(n))
    data = samples + long + mapped_record(b"/" + b"a" * n) + mapped_record(b"/a") * n
    sides = [records.side_record(raw) for _, _, raw in records.raw_side_records(data)]
    return list(records.samples(data)), list(records.threads_that_ran(data)), records.lost(data), sides
