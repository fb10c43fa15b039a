"""The programs that one process ran, put together from what its side records and /proc said of it. Pure."""

from __future__ import annotations

from bisect import bisect
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from monitord.perf_events import records

SAME_START_NS = 20_000_000
"""/proc counts start times in ticks of 10 ms: two times of one start differ by less than two of them."""
MAPPINGS_AT_MOST = 256
_HIDDEN_AT_MOST = 32  # looked through for each address
_FIXED_BELOW = 1 << 32  # elsewhere the kernel draws where code lies, anew for each program


class Code(NamedTuple):
    """A piece of a file that is mapped to be executed, at `start` to `end` in a process.

    It lies there since `from_ns` (0: since before anybody looked) until `until_ns` (None: still).
    """

    start: int
    end: int
    offset: int
    device: int
    inode: int
    path: str
    from_ns: int = 0
    until_ns: int | None = None

    def is_of_the_same(self, other: Code) -> bool:
        """Whether that is the same piece of the same file at the same place."""
        return self[:6] == other[:6]


class Life(NamedTuple):
    """One program of one process. Times are CLOCK_BOOTTIME in ns; None: not known, or not yet.

    `began_ns` is the process's start, `exec_ns` the program's (None: the one it began with), `ended_ns` the
    program's end, by an exec or with the process. An unknown name is empty. `hidden` is code that another
    piece was mapped over since: a plugin's, whose place the next one was given.
    """

    pid: int
    parent_pid: int | None
    name: str
    began_ns: int | None
    exec_ns: int | None
    ended_ns: int | None
    mappings: tuple[Code, ...]
    hidden: tuple[Code, ...] = ()

    @property
    def from_ns(self) -> int:
        return self.exec_ns or self.began_ns or 0

    def pieces(self) -> list[Code]:
        """All code that is known of, in the order in which it came."""
        return sorted((one._replace(until_ns=None) for one in (*self.hidden, *self.mappings)), key=_came_ns)

    def code_at(self, at_ns: int) -> list[Code]:
        """What lay there at that moment."""
        hidden = [one._replace(until_ns=None) for one in self.hidden if at_ns < (one.until_ns or 0)]
        return [one for one in (*hidden, *self.mappings) if one.from_ns <= at_ns]

    @property
    def fixed(self) -> tuple[Code, ...]:
        """Code at addresses that the next program of the process may have, too."""
        return tuple(one for one in self.mappings if one.start < _FIXED_BELOW)

    def doubted(self, losses: Iterable[tuple[int, int]]) -> Life:
        """The same where records were lost from one moment to another: another program's may be among them.

        From then on nobody knows what lies at fixed addresses, unless it was told since.
        """
        life = self
        for from_ns, until_ns in losses:
            gone = [one for one in life.fixed if one.from_ns < until_ns]
            hidden = (one._replace(until_ns=max(from_ns, one.from_ns)) for one in gone)
            life = life._replace(
                mappings=tuple(one for one in life.mappings if one not in gone),
                hidden=(*life.hidden, *hidden)[-_HIDDEN_AT_MOST:],
            )
        return life

    def with_code(self, pieces: Iterable[Code]) -> Life:
        """The same with this code, in the order in which it came: what is newer hides the older below it."""
        kept: list[Code] = []
        hidden: list[Code] = []
        for one in list(pieces)[-4 * MAPPINGS_AT_MOST :]:
            below = _below(kept, one)
            if len(kept[below]) == 1 and kept[below][0].is_of_the_same(one):
                continue
            hidden += (each._replace(until_ns=one.from_ns) for each in kept[below])
            kept[below] = [one]
        return self._replace(mappings=tuple(kept), hidden=tuple(hidden[-_HIDDEN_AT_MOST:]))


class Noted(NamedTuple):
    """What /proc said of a process at a moment."""

    at_ns: int
    start_ns: int
    parent_pid: int
    name: str
    code: tuple[Code, ...]


def life_at(lives: Iterable[Life], at_ns: int) -> Life | None:
    """Whose sample that is; None: of a program that is not known. `lives` are of one pid, oldest first."""
    found = None
    for life in lives:
        if life.from_ns <= at_ns:
            found = life
    if found is None or (found.ended_ns is not None and at_ns > found.ended_ns + SAME_START_NS):
        return None
    return found


def lives_in(pid: int, told: bytes | bytearray, noted: Iterable[Noted]) -> list[Life]:
    """The programs that had this pid, oldest first."""
    lives = _told_lives(pid, told)
    for one in noted:
        _merge(lives, one, pid)
    lives.sort(key=_from_ns)
    return _joined(lives)


def _told_lives(pid: int, told: bytes | bytearray) -> list[Life]:
    """What its side records say."""
    nothing = Life(pid, None, "", None, None, None, ())
    lives: list[Life] = []
    code: list[list[Code]] = []

    def begin(life: Life) -> None:
        lives.append(life)
        code.append([])

    for record in _records_in(told):
        current = lives[-1] if lives and lives[-1].ended_ns is None else None
        if isinstance(record, records.Forked):
            begin(nothing._replace(parent_pid=record.parent_pid, began_ns=record.at_ns))
            continue
        if isinstance(record, records.Named) and record.is_exec:
            before = current or nothing
            if current:
                lives[-1] = current._replace(ended_ns=record.at_ns)
            begin(before._replace(name=record.name, exec_ns=record.at_ns))
            continue
        if current is None:
            if isinstance(record, records.Ended) and lives:
                continue
            begin(nothing)
        if isinstance(record, records.Ended):
            lives[-1] = lives[-1]._replace(ended_ns=record.at_ns)
        elif isinstance(record, records.Named):
            lives[-1] = lives[-1]._replace(name=record.name)
        else:
            code[-1].append(Code(*record[2:], from_ns=record.at_ns))
    return [life.with_code(its) for life, its in zip(lives, code, strict=True)]


def _merge(lives: list[Life], noted: Noted, pid: int) -> None:
    """What /proc said at a moment is of the life of that moment."""
    place = _place_of(lives, noted)
    if place is None:
        new = Life(pid, noted.parent_pid, noted.name, noted.start_ns, None, None, ())
        lives.append(new.with_code(noted.code))
        return
    life = lives[place]
    began = noted.start_ns if life.began_ns is None else life.began_ns
    lives[place] = life._replace(
        parent_pid=noted.parent_pid if life.parent_pid is None else life.parent_pid,
        name=life.name or noted.name,
        began_ns=began,
    ).with_code(_with_noted(life, noted))


def _with_noted(life: Life, noted: Noted) -> list[Code]:
    """What was told, and what /proc showed. Where these differ a record was lost: nobody knows since when."""
    older = [one for one in life.mappings if one.from_ns <= noted.at_ns]
    found, contradicted = [], set()
    for one in noted.code:
        below = [each for each in older[_below(older, one)] if not each.is_of_the_same(one)]
        contradicted.update(below)
        found.append(one._replace(from_ns=noted.at_ns) if below else one)
    found += (one for one in life.pieces() if one not in contradicted)
    return sorted(found, key=_came_ns)


def _place_of(lives: list[Life], noted: Noted) -> int | None:
    for place in reversed(range(len(lives))):
        life = lives[place]
        is_same = life.began_ns is None or abs(life.began_ns - noted.start_ns) <= SAME_START_NS
        if is_same and life.from_ns <= noted.at_ns <= (life.ended_ns or noted.at_ns):
            return place
    return None


def _joined(lives: list[Life]) -> list[Life]:
    """Programs of one process share its start, and a life ends where the next begins."""
    for place in range(1, len(lives)):
        before, life = lives[place - 1 : place + 1]
        if life.began_ns is None and before.ended_ns in (None, life.exec_ns):
            lives[place] = life._replace(began_ns=before.began_ns, parent_pid=before.parent_pid)
        if before.ended_ns is None:
            lives[place - 1] = before._replace(ended_ns=life.from_ns)
    return lives


def _below(kept: list[Code], one: Code) -> slice:
    """Where in a list by addresses those are that it overlaps; empty: where it belongs."""
    first = bisect(kept, one.start, key=_start)
    if first and kept[first - 1].end > one.start:
        first -= 1
    last = first
    while last < len(kept) and kept[last].start < one.end:
        last += 1
    return slice(first, last)


def _records_in(told: bytes | bytearray, *, with_code: bool = True) -> list[records.SideRecord]:
    """In the order of their times; most are of code that was mapped."""
    data = bytes(told)
    raw = (data[begin:end] for _, _, begin, end in records.walk(data))
    read = (records.side_record(one) for one in raw if with_code or not records.is_mapping(one))
    return sorted((record for record in read if record is not None), key=_at_ns)


def forked_from(told: bytes | bytearray) -> int | None:
    """The parent of a process that runs its parent's program; None: its own, or it was not seen to start."""
    parent = None
    for record in _records_in(told, with_code=False):
        if isinstance(record, records.Forked):
            parent = record.parent_pid
        elif isinstance(record, records.Named) and record.is_exec:
            parent = None
    return parent


def has_ended(told: bytes | bytearray) -> bool:
    """Whether the last that was told of a process is its end."""
    data = bytes(told)
    last = deque(records.walk(data), maxlen=1)
    return any(isinstance(records.side_record(data[begin:end]), records.Ended) for _, _, begin, end in last)


def fork_times(told: bytes | bytearray) -> frozenset[int]:
    """When processes of this pid were started."""
    return frozenset(
        one.at_ns for one in _records_in(told, with_code=False) if isinstance(one, records.Forked)
    )


def cut_oldest(told: bytearray, kept_bytes: int) -> None:
    """Forget whole records, the oldest, until so many bytes are left; and what says who it is, is kept."""
    data = bytes(told)
    spans = [(begin, end) for _, _, begin, end in records.walk(data)]
    identity = _identity(data, spans)
    kept: list[tuple[int, int]] = []
    room = kept_bytes
    for begin, end in reversed(spans):
        room -= end - begin
        if room >= 0 or begin in identity:
            kept.append((begin, end))
    told[:] = b"".join(data[begin:end] for begin, end in reversed(kept))


def _identity(data: bytes, spans: list[tuple[int, int]]) -> set[int]:
    """Where the latest start, program and name are told, and the program's own file: the first one mapped."""
    found: dict[str, int] = {}
    for begin, end in spans:
        record = records.side_record(data[begin:end])
        if isinstance(record, records.Forked):
            found = {"start": begin}
        elif isinstance(record, records.Named):
            found["name"] = begin
            if record.is_exec:
                found["program"] = begin
                found.pop("file", None)
        elif isinstance(record, records.Mapped):
            found.setdefault("file", begin)
    return set(found.values())


def _from_ns(life: Life) -> int:
    return life.from_ns


def _at_ns(record: records.SideRecord) -> int:
    return record.at_ns


def _start(code: Code) -> int:
    return code.start


def _came_ns(code: Code) -> int:
    return code.from_ns
