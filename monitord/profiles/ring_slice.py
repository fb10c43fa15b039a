"""A span of what the black box held: who ran in it, and their stacks as one tree. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from monitord.model import counted
from monitord.profiles.consumers import Consumer, consumers
from monitord.profiles.flame_tree import FlameTree, grow
from monitord.profiles.ring import profile_of
from monitord.profiles.ring_document import Ring
from monitord.redaction import redact_name

MAX_SECONDS = 300
MOST_FUNCTIONS = 30
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Slice:
    """`cpu_s` is what all of them used, in seconds of one core; a tree's values are samples."""

    scope: str
    consumers: Sequence[Consumer]
    tree: FlameTree
    sample_count: int
    cpu_s: float
    notes: Sequence[str]


def cut(ring: Ring, since_s: float, until_s: float) -> Slice:
    """Return what ran between two moments, in seconds from the document's beginning."""
    part, since_ns = _part(ring, since_s, until_s)
    profile = profile_of(part)
    tree = grow(profile)
    weight = sum(sample[3] for sample in part.samples)
    return Slice(
        scope=ring.scope,
        consumers=consumers(part, since_ns),
        tree=tree,
        sample_count=len(part.samples),
        cpu_s=round(weight * ring.period_s, 3),
        notes=profile.notes,
    )


def ran(ring: Ring, since_s: float, until_s: float) -> tuple[Consumer, ...]:
    """Return who ran between two moments, as `cut`, and nothing of their stacks."""
    return consumers(*_part(ring, since_s, until_s))


def _part(ring: Ring, since_s: float, until_s: float) -> tuple[Ring, int]:
    """The document up to the second moment, with samples from the first on, and when that is."""
    length_ns = ring.ended_ns - ring.began_ns
    since_ns = min(max(0, int(since_s * _NS_PER_S)), length_ns)
    until_ns = min(max(since_ns, int(until_s * _NS_PER_S)), length_ns)
    samples = [sample for sample in ring.samples if since_ns <= sample[0] < until_ns]
    return replace(ring, samples=samples, ended_ns=ring.began_ns + until_ns), ring.began_ns + since_ns


@dataclass(frozen=True, slots=True)
class Hot:
    """A function and its own part of a slice's samples; `file` is empty where none is known."""

    function: str
    file: str
    self_share: float


def hottest(part: Slice, most: int) -> list[Hot]:
    """Return the functions that ran themselves, of all processes, the hottest first."""
    own: defaultdict[tuple[str, str], float] = defaultdict(float)
    for node in part.tree.nodes:
        if node.own:
            name, place, _kind = part.tree.functions[node.function]
            own[redact_name(name), redact_name(place)] += node.own
    ranked = sorted(own.items(), key=lambda item: -item[1])[:most]
    return [Hot(*of, round(count / part.tree.total, 4)) for of, count in ranked]


@dataclass(frozen=True, slots=True)
class Second:
    """A second of it: what all used of one core, and the process that used most of that.

    `at_s` is where it begins, in seconds from where counting began.
    """

    at_s: int
    cpu_percent: float
    pid: int | None = None
    name: str | None = None
    process_percent: float | None = None


def seconds(ring: Ring, since_ns: int) -> tuple[Second, ...]:
    """Return each whole second since that moment, oldest first, also those in which nothing ran."""
    count = (ring.ended_ns - since_ns) // _NS_PER_S
    offset_ns = ring.began_ns - since_ns
    tallies: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for at_ns, thread, _stack, weight in ring.samples:
        tallies[(offset_ns + at_ns) // _NS_PER_S][ring.process_of(thread)] += weight
    return tuple(_second(ring, at_s, tallies.get(at_s, Counter())) for at_s in range(min(count, MAX_SECONDS)))


def _second(ring: Ring, at_s: int, used: Counter[int]) -> Second:
    percent = 100 * ring.period_s
    if not used:
        return Second(at_s, 0.0)
    number, most = max(used.items(), key=lambda item: (item[1], -item[0]))
    process = ring.processes[number]
    assert process is not None  # noqa: S101 - samples name sound entries only; tells mypy
    name = redact_name(process.name)
    return Second(at_s, round(used.total() * percent, 1), process.pid, name, round(most * percent, 1))


def as_plain(part: Slice) -> dict[str, Any]:
    """Return it as plain data; `tree` is what profiles/flamegraph.js draws, in samples."""
    tree = part.tree
    return {
        "consumers": [asdict(one) for one in part.consumers],
        "hottest": [asdict(one) for one in hottest(part, MOST_FUNCTIONS)],
        "tree": {
            "unit": "samples",
            "total": tree.total,
            "before": None,
            "functions": [
                [redact_name(name), redact_name(place), kind] for name, place, kind in tree.functions
            ],
            "nodes": [[node.parent, node.function, node.total, node.own, 0] for node in tree.nodes],
            "summary": f"{part.cpu_s:.1f} s of CPU in {counted(part.sample_count, 'sample')}",
            "notes": list(part.notes),
        },
        "cpu_seconds": part.cpu_s,
        "sample_count": part.sample_count,
    }
