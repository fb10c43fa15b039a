"""The black box's document, checked: who ran when, on which stack (`monitord-ring`, version 1, JSON).

Names in it are processes' words, and where it lay others may have written since: every number, index and
length is checked, and what is damaged is counted and left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, TypeGuard

from monitord.profiles.errors import ProfileError
from monitord.profiles.idle_calls import told_name
from monitord.profiles.limits import MAX_DEPTH, MAX_FRAMES, MAX_NAME, MAX_STACKS, read_json
from monitord.profiles.representation import UNKNOWN, Frame

FORMAT, VERSION = "monitord-ring", 1
MAX_BYTES = 16 * 2**20  # what the rings of all CPUs hold together
MAX_PROCESSES = 20_000
MAX_THREADS = 50_000
MAX_SAMPLES = 1_000_000
MAX_RATE_HZ = 10_000
MAX_WEIGHT = 1_000_000
_MAX_NOTES, _MAX_NOTE = 20, 300
_LATEST_NS = 1 << 62
_LARGEST_ID = 1 << 31
_LARGEST_LINE = 10**9
_KINDS = ("python", "native", "kernel")
Sample = tuple[int, int, int, int]
"""Nanoseconds since the beginning, thread number, stack number, how many periods it stands for."""


@dataclass(frozen=True, slots=True)
class RingProcess:
    """One life of a process. `start_ticks` is None where it is not known, `ended_ns` while it lives."""

    pid: int
    name: str
    start_ticks: int | None = None
    parent_pid: int | None = None
    ended_ns: int | None = None
    is_target: bool = False


@dataclass(frozen=True, slots=True)
class Ring:
    """What was read. A table keeps the numbers of its entries: a damaged one is None.

    A sample's numbers are those of sound entries. `threads` are (process number, thread id); `stacks` frame
    numbers from the root to the leaf. Times are nanoseconds of CLOCK_BOOTTIME. `errors` counts samples that
    name nothing sound. What fired the alert began at `since_ns`; None: that is not known.
    """

    began_ns: int
    ended_ns: int
    rate_hz: float
    scope: str
    processes: Sequence[RingProcess | None]
    threads: Sequence[tuple[int, int] | None]
    frames: Sequence[Frame]
    stacks: Sequence[tuple[int, ...] | None]
    samples: Sequence[Sample]
    lost: int = 0
    unreadable: int = 0
    impossible: int = 0
    errors: int = 0
    notes: Sequence[str] = field(default=())
    since_ns: int | None = None

    def seconds_at(self, at_ns: int) -> float:
        """Return a moment of CLOCK_BOOTTIME in seconds from the beginning."""
        return (at_ns - self.began_ns) / 1e9

    def process_of(self, thread: int) -> int:
        """Return the number of the process that a sample's thread belongs to."""
        found = self.threads[thread]
        assert found is not None  # noqa: S101 - samples name sound entries only; tells mypy
        return found[0]

    @property
    def period_s(self) -> float:
        """How much CPU time one sample stands for."""
        return 1 / self.rate_hz


def read_ring(source: BinaryIO) -> Ring:
    """Read and check a document; raises ProfileError for anything else."""
    document = read_json(source, MAX_BYTES)
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        raise ProfileError(f"invalid document of the black box: expected an object of format {FORMAT!r}")
    if document.get("version") != VERSION:
        found = str(document.get("version"))[:20]
        raise ProfileError(f"invalid version of the black box's document {found!r}: expected {VERSION}")
    return _Reader(document).ring()


class _Reader:
    """Reads the tables in the order in which they name each other."""

    def __init__(self, document: Mapping[object, object]) -> None:
        self._document = document
        self._notes: list[str] = []

    def ring(self) -> Ring:
        began_ns, ended_ns = self._moment("began_ns"), self._moment("ended_ns")
        rate_hz = self._document.get("rate_hz")
        if not _is_rate(rate_hz):
            raise ProfileError(f"invalid rate_hz: expected more than 0, and {MAX_RATE_HZ:,} at most")
        if ended_ns < began_ns:
            raise ProfileError("invalid times: the document ends before it begins")
        processes = [_process(entry) for entry in self._table("processes", MAX_PROCESSES)]
        threads = [_thread(entry, processes) for entry in self._table("threads", MAX_THREADS)]
        frames = [_frame(entry) for entry in self._table("frames", MAX_FRAMES)]
        stacks = [_stack(entry, len(frames)) for entry in self._table("stacks", MAX_STACKS)]
        told = self._table("samples", MAX_SAMPLES)
        length_ns = ended_ns - began_ns
        read = (_sample(entry, threads, stacks, length_ns) for entry in told)
        samples = [sample for sample in read if sample is not None]
        if told and not samples:
            raise ProfileError("invalid document of the black box: no sample names a thread and a stack")
        scope, since_ns = self._document.get("scope"), self._document.get("since_ns")
        lost, unreadable, impossible = map(self._count, ("lost", "unreadable", "impossible"))
        return Ring(
            began_ns, ended_ns, float(rate_hz), str(scope)[:40], processes, threads, frames, stacks, samples,
            lost, unreadable, impossible, errors=len(told) - len(samples), notes=self._told_notes(),
            since_ns=_natural(since_ns, _LATEST_NS),
        )  # fmt: skip

    def _moment(self, name: str) -> int:
        value = _natural(self._document.get(name), _LATEST_NS)
        if value is None:
            raise ProfileError(f"invalid {name}: expected nanoseconds since the machine's start")
        return value

    def _count(self, name: str) -> int:
        return _natural(self._document.get(name), _LATEST_NS) or 0

    def _table(self, name: str, most: int) -> Sequence[object]:
        table = self._document.get(name)
        if not isinstance(table, list):
            raise ProfileError(f"invalid document of the black box: {name} is not a list")
        if len(table) > most:
            self._notes.append(f"of {len(table):,} {name} the first {most:,} were read")
        return table[:most]

    def _told_notes(self) -> tuple[str, ...]:
        """The document's own notes, and what was left out here."""
        told = self._document.get("notes")
        texts = told[:_MAX_NOTES] if isinstance(told, list) else []
        return (*(text[:_MAX_NOTE] for text in texts if isinstance(text, str)), *self._notes)


def _process(entry: object) -> RingProcess | None:
    if not isinstance(entry, Mapping) or (pid := _natural(entry.get("pid"), _LARGEST_ID)) is None:
        return None
    name = entry.get("name")
    return RingProcess(
        pid=pid,
        name=name[:MAX_NAME] if isinstance(name, str) else "",
        start_ticks=_natural(entry.get("start_ticks"), _LATEST_NS),
        parent_pid=_natural(entry.get("parent_pid"), _LARGEST_ID),
        ended_ns=_natural(entry.get("ended_ns"), _LATEST_NS),
        is_target=entry.get("is_target") is True,
    )


def _thread(entry: object, processes: Sequence[object]) -> tuple[int, int] | None:
    if not isinstance(entry, list) or len(entry) != 2:
        return None
    process, thread_id = _index(entry[0], processes), _natural(entry[1], _LARGEST_ID)
    return None if process is None or thread_id is None else (process, thread_id)


def _frame(entry: object) -> Frame:
    """A frame keeps its place in the table, whatever it holds."""
    name, file, line, module, kind = entry if isinstance(entry, list) and len(entry) == 5 else (None,) * 5
    return Frame(
        name=told_name(name) if isinstance(name, str) and name else UNKNOWN,
        file=file if isinstance(file, str) and file else None,
        line=_natural(line, _LARGEST_LINE) or None,
        module=module if isinstance(module, str) and module else None,
        kind=kind if kind in _KINDS else "native",
    )


def _stack(entry: object, frame_count: int) -> tuple[int, ...] | None:
    """The frames nearest to the leaf; one more than is kept tells the builder that it was deeper."""
    if not isinstance(entry, list) or not entry:
        return None
    numbers = entry[-1 - MAX_DEPTH :]
    if not all(_natural(number, frame_count - 1) is not None for number in numbers):
        return None
    return tuple(numbers)


def _sample(
    entry: object, threads: Sequence[object], stacks: Sequence[object], length_ns: int
) -> Sample | None:
    if not isinstance(entry, list) or len(entry) != 4:
        return None
    at_ns, weight = _natural(entry[0], length_ns), _natural(entry[3], MAX_WEIGHT)
    thread, stack = _index(entry[1], threads), _index(entry[2], stacks)
    if at_ns is None or thread is None or stack is None or not weight:
        return None
    return at_ns, thread, stack, weight


def _index(value: object, table: Sequence[object]) -> int | None:
    """A number of a sound entry of the table."""
    number = _natural(value, len(table) - 1)
    return None if number is None or table[number] is None else number


def _natural(value: object, most: int) -> int | None:
    """Give `value` if it is an integer from 0 to `most`; True and False are not."""
    return value if type(value) is int and 0 <= value <= most else None


def _is_rate(value: object) -> TypeGuard[int | float]:
    return type(value) in (int, float) and 0 < value <= MAX_RATE_HZ  # type: ignore[operator]  # a number, just seen
