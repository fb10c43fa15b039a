"""The black box's samples as a profile: machine-wide, or of one process with its descendants, ended ones too.

Only what ran was sampled, so no thread here is idle, and nothing that waits is hot.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from monitord.model import FEW_SAMPLES, counted
from monitord.profiles.builder import ProfileBuilder
from monitord.profiles.representation import RING, Profile, Thread
from monitord.profiles.ring_document import Ring, RingProcess, Sample, read_ring
from monitord.redaction import redact_name

_TICK_NS = 10_000_000  # USER_HZ is 100 wherever monitord runs
_LAST_TICK = 1 << 62
_READING_NS = 250_000_000  # a thread's Python stack is read so often: it stands for the samples around it
_SCOPES = {
    "own processes": "the black box saw this user's processes only",
    "dumps": "without the kernel's rings: stack dumps of whatever was hottest at each moment",
}


def parse_ring(source: BinaryIO, *, pid: int | None = None) -> Profile:
    """Read a document; with `pid`, what that process and its descendants ran since its alert's beginning."""
    return profile_of(read_ring(source), pid)


def profile_of(ring: Ring, pid: int | None = None) -> Profile:
    """Give the samples as a profile: `period_s` is what one of them stands for.

    What a process did in quiet times before the spike is left to the timeline. Where hardly anything ran
    since then, all that it ran counts.
    """
    builder = ProfileBuilder(RING)
    builder.period_s = ring.period_s
    builder.errors = ring.errors
    wanted = None if pid is None else family(ring, pid)
    samples = ring.samples if wanted is None else _of_alert(ring, samples_of(ring, wanted))
    counts: Counter[tuple[int, int]] = Counter()
    for _at_ns, thread, stack, weight in samples:
        counts[thread, stack] += weight
    placed: dict[int, tuple[int, ...]] = {}  # frames that only other processes ran stay out
    for (thread, stack), value in counts.items():
        if stack not in placed:
            placed[stack] = tuple(builder.frame(ring.frames[frame]) for frame in ring.stacks[stack] or ())
        builder.add(_label(ring, thread), placed[stack], value)
    builder.looks = _looks(ring, samples)
    for note in _notes(ring, samples):
        builder.note(note)
    return builder.build()


def _looks(ring: Ring, samples: Iterable[Sample]) -> int:
    """Each sample is one, but of those with a Python stack all that one reading stands for."""
    of_python = {number for number, frame in enumerate(ring.frames) if frame.kind == "python"}
    has_python = [not of_python.isdisjoint(stack or ()) for stack in ring.stacks]
    readings, others = set(), 0
    for at_ns, thread, stack, weight in samples:
        if has_python[stack]:
            readings.add((thread, at_ns // _READING_NS))
        else:
            others += weight
    return len(readings) + others


def samples_of(ring: Ring, wanted: frozenset[int]) -> Sequence[Sample]:
    """Return the samples of these processes."""
    return [sample for sample in ring.samples if ring.process_of(sample[1]) in wanted]


def _of_alert(ring: Ring, samples: Sequence[Sample]) -> Sequence[Sample]:
    if ring.since_ns is None:
        return samples
    from_ns = ring.since_ns - ring.began_ns
    found = [sample for sample in samples if sample[0] >= from_ns]
    return found if sum(sample[3] for sample in found) >= FEW_SAMPLES else samples


def family(ring: Ring, pid: int) -> frozenset[int]:
    """Return the numbers of the marked processes, else of those with this pid, and of their descendants."""
    known = [number for number, process in enumerate(ring.processes) if process is not None]
    marked = [number for number in known if _process(ring, number).is_target]
    found = set(marked or (number for number in known if _process(ring, number).pid == pid))
    children = _children(ring, known)
    waiting = list(found)
    while waiting:
        new = children[waiting.pop()] - found
        found |= new
        waiting += new
    return frozenset(found)


def _children(ring: Ring, known: Sequence[int]) -> defaultdict[int, set[int]]:
    """By process those that it started. Several may have had one pid, one after the other."""
    lives: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for number in known:
        process = _process(ring, number)
        lives[process.pid].append((process.start_ticks or 0, number))
    for one in lives.values():
        one.sort()
    found: defaultdict[int, set[int]] = defaultdict(set)
    for number in known:
        child = _process(ring, number)
        of_pid = lives.get(child.parent_pid, []) if child.parent_pid is not None else []
        born = _LAST_TICK if child.start_ticks is None else child.start_ticks
        before = bisect_right(of_pid, (born, len(ring.processes)))
        parent = next(
            (one for _start, one in reversed(of_pid[max(0, before - 2) : before]) if one != number), None
        )
        if parent is not None and _lived_at(_process(ring, parent), child):
            found[parent].add(number)
    return found


def _lived_at(parent: RingProcess, child: RingProcess) -> bool:
    if parent.ended_ns is None or child.start_ticks is None:
        return True
    return parent.ended_ns >= (child.start_ticks - 1) * _TICK_NS


def _process(ring: Ring, number: int) -> RingProcess:
    found = ring.processes[number]
    assert found is not None  # noqa: S101 - numbers of sound entries only; tells mypy
    return found


def _label(ring: Ring, thread: int) -> Thread:
    number, thread_id = ring.threads[thread] or (0, 0)
    process = _process(ring, number)
    return Thread(process.name or None, thread_id, process.pid)


def _notes(ring: Ring, samples: Iterable[Sample]) -> Iterable[str]:
    """What limits the profile, in words."""
    seen = {ring.process_of(sample[1]) for sample in samples}
    ended = sum(_process(ring, one).ended_ns is not None for one in seen)
    if ended:
        yield f"{counted(ended, 'process')} of it had ended"
    if ring.scope in _SCOPES and not ring.notes:  # else the first of these says it, with the reason
        yield _SCOPES[ring.scope]
    if ring.lost:
        yield f"{counted(ring.lost, 'sample')} lost: the ring was full before it was read"
    if ring.unreadable:
        yield f"{counted(ring.unreadable, 'Python stack')} could not be read while they changed"
    if ring.impossible:
        yield f"{counted(ring.impossible, 'impossible stack')} dropped"
    yield from (redact_name(note) for note in ring.notes)
