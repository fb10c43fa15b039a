"""What a process's memory is full of: types of Python objects, else the mapping; how long it lasts."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from monitord import procfs
from monitord.causes import OBSERVED_BYTES, allocating, census, mappings, objects, room, words
from monitord.causes.facts import Facts
from monitord.causes.observed import Faults, OfProcess, checked
from monitord.causes.python_types import UncountableError
from monitord.model import NOT_KNOWN, UNKNOWN_CAUSE, Cause

_ALL_S = 4.0  # with what was read before; a child of its own is killed then
_MINOR_FAULTS = 7  # in /proc/PID/stat behind the name
_LEAST_GROWTH_BYTES = 4 << 20
_LEAST_GROWTH_SHARE = 0.01
_NAMED_SHARE = 0.5
_UNNAMED = ("the heap", "anonymous memory")
_RUNNER_UP_SHARE = 0.1
_DECIDES_TYPES = "a second look while it grows: monitord capture PID"
_DECIDES_BLOCKS = (
    "a profile of allocations (heaptrack): a block given back may be handed to another of its size"
)
_DECIDES_POOL = "a profile of allocations (heaptrack), if it uses blocks again that it does not give back"
_DECIDES_NATIVE = "perf record -e page-faults -g -p PID while it grows"


def observe(
    pid: int, start_ticks: int, faults: str = "", *, cpu_limit_s: float = census.CPU_LIMIT_S
) -> OfProcess:
    """What a process holds, by mapping, and by type if it runs Python; raises OSError when it is gone.

    `faults` says in which rings the page faults are that were seen since it crossed. `cpu_limit_s`: for
    counting objects; of what is not reached by then, what was counted is scaled.
    """
    began_s = time.monotonic()
    regions, kept = mappings.read(pid)
    seen: OfProcess = {"at_s": procfs.uptime_s(), "mappings": kept, "room": room.of(pid)}
    line = procfs.read(procfs.path(pid, "stat"), 4096)
    seen["minor_faults"] = int(procfs.split_stat(line)[1][_MINOR_FAULTS])
    seen["image"] = [*procfs.parse_stat(line).image, _program_of(pid)]
    try:
        seen["python"] = census.take(pid, regions, cpu_limit_s=cpu_limit_s).kept()
    except UncountableError as reason:
        seen["no_python"] = str(reason)
    except OSError as error:
        seen["no_python"] = f"its memory can't be read: {error.strerror}"
    now = procfs.key_of(pid)
    if now is None or now.start_ticks != start_ticks:
        raise ProcessLookupError(f"cannot observe process {pid}: it has ended")
    if faults:
        from monitord.causes import faults as page_faults

        left_s = _ALL_S - (time.monotonic() - began_s)
        seen["faults"] = _apart(lambda: page_faults.read(pid, faults, regions), left_s)
    return seen


def _program_of(pid: int) -> int:
    """The inode of its program: it tells an exec also where addresses are not random. 0: not known."""
    try:
        return os.stat(procfs.path(pid, "exe")).st_ino  # noqa: PTH116 - a link of the kernel's
    except OSError:
        return 0


def _apart(read: Callable[[], Faults], within_s: float) -> Faults:
    """What a process of its own reads: whatever the target's files and memory do to it, the rest is told."""
    out, into = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(into, json.dumps(read()).encode())  # a pipe has room for it
        finally:
            os._exit(0)
    os.close(into)
    ends_s, said, poller = time.monotonic() + within_s, b"", select.poll()
    poller.register(out)
    while len(said) < OBSERVED_BYTES and poller.poll(max(0.0, 1000 * (ends_s - time.monotonic()))):
        if not (piece := os.read(out, OBSERVED_BYTES)):
            break
        said += piece
    os.close(out)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        found: Faults = json.loads(said)
    except ValueError:
        found = {"refused": "they can't be read, or not in time"}
    return found


def explain(facts: Facts) -> Cause | None:
    """Name what grew between the two looks; where nothing did, or there was one look, what is held."""
    before, after = checked(facts.before, OfProcess), checked(facts.after, OfProcess)
    if after is None or "mappings" not in after:
        return _unknown("what it holds could not be read", facts, ())
    held_bytes, _ = mappings.gains(None, after)
    gained_bytes, _ = mappings.gains(before, after)
    is_growth = gained_bytes >= max(_LEAST_GROWTH_BYTES, _LEAST_GROWTH_SHARE * held_bytes)
    return _Explaining(facts, after, before if is_growth else None).cause()


class _Explaining:
    """One incident: what there is to explain are bytes by mapping, gained, or held where `before` is None."""

    def __init__(self, facts: Facts, after: OfProcess, before: OfProcess | None) -> None:
        self._facts, self._after, self._before = facts, after, before
        self._total, self._by_mapping = mappings.gains(before, after)
        self._course = room.trend_in(facts.history)
        self._is_gain = before is not None

    def cause(self) -> Cause:
        rows = self._rows()
        lead = objects.lead_of(rows, self._total)
        evidence = self._evidence(rows)
        if lead is not None and lead.size >= objects.EXPLAINS_SHARE * self._total:
            return self._of_objects(lead, [*evidence, *self._below_objects()])
        return self._of_mapping(rows, evidence)

    def _rows(self) -> list[objects.Row]:
        """What grew; what is held, if there is no earlier look to compare with."""
        python = self._after.get("python")
        if python is None or self._before is None:
            return objects.rows_of(python) if python is not None else []
        earlier = self._before.get("python")
        return objects.rows_of(python, earlier) if earlier is not None else []

    def _of_objects(self, lead: objects.Lead, evidence: list[tuple[str, str]]) -> Cause:
        size = min(lead.size, self._total)
        sentence = f"{lead.described(is_gain=self._is_gain)}: about {self._amount(size)} of "
        sentence += self._amount(self._total)
        if self._before is not None:
            then, now = self._before.get("python", {}), self._after.get("python", {})
            inside = objects.container_that_grew(then, now, lead)
            sentence += f"; {inside}" if inside else ""
        kind = "objects that grew" if self._is_gain else "objects held"
        return Cause(kind, sentence, self._sureness(), None, None, tuple(evidence))

    def _below_objects(self) -> tuple[tuple[str, str], ...]:
        """Which native function brought in what they lie in, if one did."""
        name, size = self._by_mapping[0] if self._by_mapping else ("", 0)
        found = allocating.judged(self._before or {}, self._after, name, size) if self._is_gain else None
        return found.rows if found is not None and found.function else ()

    def _of_mapping(self, rows: list[objects.Row], evidence: list[tuple[str, str]]) -> Cause:
        name, size = self._by_mapping[0] if self._by_mapping else ("", 0)
        if size < _NAMED_SHARE * self._total or not size:
            why = "no mapping grew as much as memory did" if self._is_gain else "no mapping holds most of it"
            why = "; ".join(filter(None, (why, self._no_type(rows))))
            return _unknown(why, self._facts, evidence, runner_up=name)
        verb, part = "grew by" if self._is_gain else "holds", words.share(size, self._total)
        said = f"{name} {verb} {words.size(size)}, {part} of {self._amount(self._total)}"
        kind = "mapping that grew" if self._is_gain else "mapping held"
        runner_up = self._runner_up(rows)
        if name in _UNNAMED:
            found = Cause(kind, said, "possible", runner_up, _DECIDES_NATIVE, tuple(evidence))
            return self._of_code(found, rows, allocating.judged(self._before or {}, self._after, name, size))
        if mappings.is_cache(name):
            said += "; the kernel can take back what was only read of it"
        return Cause(kind, said, self._sureness(), runner_up, None, tuple(evidence))

    def _of_code(self, cause: Cause, rows: list[objects.Row], judged: allocating.Judged | None) -> Cause:
        """Memory that anybody may have asked for: who did, if stacks tell it; else that no object did."""
        facts = self._facts
        judged = judged if self._is_gain else None
        if judged is not None and judged.function:
            return replace(
                cause, kind="allocation", sentence=f"{judged.said}; {cause.sentence}",
                confidence=self._sureness() if judged.is_proved else "possible",
                decides=_DECIDES_POOL if judged.is_proved else _DECIDES_BLOCKS,
                evidence=(*judged.rows, *cause.evidence),
            )  # fmt: skip
        if judged is not None:
            rows_of_it = (*judged.rows, *cause.evidence)
            cause = replace(cause, evidence=rows_of_it, decides=judged.decides or cause.decides)
            if judged.alike:
                sentence = f"{NOT_KNOWN}{judged.said}; {cause.sentence}"
                return replace(cause, kind=UNKNOWN_CAUSE, sentence=sentence, confidence="unknown")
        takers = [one.profiler for one in facts.taken] or [""] * len(facts.profiles)
        asker = allocating.allocator_in(zip(facts.profiles, takers, strict=True))
        if asker is None:
            return replace(cause, sentence="; ".join(filter(None, (cause.sentence, self._no_type(rows)))))
        stacks = f"{asker.samples:,} of {asker.total:,} stacks in allocators and page faults"
        return replace(
            cause, kind="allocation", sentence=f"{asker.function} asks for memory; {cause.sentence}",
            confidence="possible", decides=_DECIDES_BLOCKS,  # the function that asks may give it back
            evidence=(("allocates", f"{asker.function}: {stacks}"), *cause.evidence),
        )  # fmt: skip

    def _no_type(self, rows: list[objects.Row]) -> str:
        """Why no type of object is named."""
        if "python" not in self._after:
            reason = self._after.get("no_python", "")
            return "" if reason == census.NO_PYTHON else reason
        largest = f" (largest: {self._amount(rows[0].size)} {rows[0].name})" if rows else ""
        verb = "grew" if self._is_gain else "holds"
        return f"no type of Python object {verb} as much{largest}: the rest is native memory, or free room"

    def _runner_up(self, rows: list[objects.Row]) -> str | None:
        is_one = rows and rows[0].size >= _RUNNER_UP_SHARE * self._total
        return f"objects of type {rows[0].name}" if is_one else None

    def _sureness(self) -> Literal["likely", "possible"]:
        """What goes up and down in the minutes before has hardly one cause."""
        course = self._course
        is_unsteady = course is not None and course.gain > 0 and course.is_noise and not course.is_level
        return "possible" if is_unsteady else "likely"

    def _amount(self, size: float) -> str:
        return words.grown(size) if self._is_gain else words.size(size)

    def _evidence(self, rows: list[objects.Row]) -> list[tuple[str, str]]:
        found = room.told(self._course, self._after.get("room", {}))
        if rows:
            found.append(("types", objects.table(rows, is_gain=self._is_gain)))
        parts = [f"{self._amount(size)} {name}" for name, size in self._by_mapping[:4] if size]
        if parts:
            found.append(("mappings", "; ".join(parts)))
        python = self._after.get("python", {})
        read, resident = python.get("read_bytes", 0), python.get("resident_bytes", 0)
        if 0 < read < 0.97 * resident:
            found.append(
                ("read", f"{words.size(read)} of {words.size(resident)}; counts and sizes are scaled from it")
            )
        return found


def _unknown(
    why: str, facts: Facts, evidence: Sequence[tuple[str, str]], runner_up: str | None = None
) -> Cause:
    rows = evidence or room.told(room.trend_in(facts.history), {})
    decides = _DECIDES_TYPES if facts.before is None else _DECIDES_NATIVE
    sentence = f"{NOT_KNOWN}{why}"
    return Cause(UNKNOWN_CAUSE, sentence, "unknown", runner_up or None, decides, tuple(rows))
