"""A span of the black box: its own seconds, its own CPU, and a tree that adds up."""

from __future__ import annotations

import json
from io import BytesIO

import pytest

from monitord.profiles.ring_document import Ring, read_ring
from monitord.profiles.ring_slice import as_plain, cut, seconds
from tests.profiles.ring_documents import BEGAN_NS, RingDocument, python, shop

S = 1_000_000_000


def ring_of(document: RingDocument) -> Ring:
    return read_ring(BytesIO(document.payload()))


@pytest.mark.parametrize(
    ("since_s", "until_s"), [(0, 100), (12.5, 13.5), (80, 88), (99, 500), (-50, 3), (40, 20), (200, 300)]
)
def test_slices_hold_the_samples_of_their_time_alone(since_s: float, until_s: float) -> None:
    """Whatever the span, also one beyond the document: each sample is in it exactly if its time is."""
    ring = ring_of(shop())
    part = cut(ring, since_s, until_s)
    expected = [one for one in ring.samples if since_s * S <= one[0] < min(until_s, 100) * S]
    assert part.sample_count == len(expected)
    assert part.cpu_s == pytest.approx(len(expected) / 19, abs=0.001)
    assert part.tree.total == len(expected)
    assert json.loads(json.dumps(as_plain(part)))["tree"]["total"] == len(expected)


def test_slices_beside_each_other_make_the_whole() -> None:
    """No sample is lost between two spans, and none counts twice."""
    ring = ring_of(shop())
    parts = [cut(ring, at, at + 7.3).sample_count for at in [7.3 * number for number in range(14)]]
    assert sum(parts) == len(ring.samples)


def test_a_second_names_who_used_most_of_it() -> None:
    """Quiet seconds are told as well, and each second keeps its place whatever the document's beginning."""
    made = RingDocument(length_s=10)
    busy, calm = made.process(1, "busy"), made.process(2, "calm")
    made.ran(busy, [python("spin")], 3, 5)
    made.ran(calm, [python("wait")], 3, 4, 0.3)
    found = seconds(ring_of(made), BEGAN_NS)
    assert [one.at_s for one in found] == list(range(10))
    assert [one.name for one in found] == [None, None, None, "busy", "busy", *[None] * 5]
    assert found[3].cpu_percent == pytest.approx(130, abs=6)
    assert found[3].process_percent == pytest.approx(100, abs=1)
    later = seconds(ring_of(made), BEGAN_NS - 2 * S)
    assert [one.name for one in later][5:7] == ["busy", "busy"]
