"""Resident memory, in which a segment that many share counts for one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitord.detection.passes import Pass, ReadValue
from monitord.detection.readings import Reading, Target
from monitord.model import ProcessRates

SAME_SEGMENT_SHARE = 0.1
"""Shared parts that differ by less than this are taken for the same memory."""


def one_of_each_segment(
    readings: Iterator[Reading],
    look: Pass,
    followed: Mapping[Target, ProcessRates | None],
    own: ReadValue,
    level: float,
) -> Iterator[Reading]:
    """All that break the level by memory of their own; of those that need shared memory for it, one each.

    A process that is followed already stands for its segment, else the largest does.
    """
    sharing: list[Reading] = []
    for reading in readings:
        value = own(reading.process, look.system) if reading.process is not None else None
        if value is None or value >= level or reading.value < level:
            yield reading
        else:
            sharing.append(reading)
    told: list[int] = []
    for reading in sorted(sharing, key=lambda each: (each.target not in followed, -each.value)):
        shared = shared_bytes(reading.process)
        if reading.target in followed or not any(_is_same(shared, other) for other in told):
            told.append(shared)
            yield reading


def shared_bytes(process: ProcessRates | None) -> int:
    """Return the bytes that it shares with others, or maps of files; 0 where that is not known."""
    if process is None or process.private_bytes is None:
        return 0
    return max(0, process.rss_bytes - process.private_bytes)


def _is_same(one: int, other: int) -> bool:
    return abs(one - other) <= SAME_SEGMENT_SHARE * max(one, other)
