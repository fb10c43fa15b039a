"""speedscope's JSON as py-spy and memray write it: read leniently (py-spy's own nulls break the schema).

py-spy writes one profile per thread, in seconds; memray writes the same stacks twice, in bytes and in
allocations. The unit of the first profile decides, and profiles of another unit are left to `parse_units`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import BinaryIO

from monitord.profiles.builder import ProfileBuilder
from monitord.profiles.errors import ProfileError
from monitord.profiles.frame_text import process_of, read_frame, read_thread
from monitord.profiles.limits import MAX_DEPTH, read_json, whole_number
from monitord.profiles.representation import UNKNOWN, Frame, Profile, Thread
from monitord.profiles.weighing import KEY

_SECONDS = {"seconds": 1.0, "milliseconds": 1e-3, "microseconds": 1e-6, "nanoseconds": 1e-9}
_NATIVE_SOURCES = (".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", ".rs", ".S", ".so")


def parse_speedscope(source: BinaryIO, *, pid: int | None = None) -> Profile:
    """Read the profiles of the first one's unit, as one.

    Samples of a time unit count 1 each, or less where they were weighed by the CPU of their threads.
    """
    units = parse_units(source, pid=pid)
    first, *others = units
    if not others:
        return units[first]
    builder_notes = (*units[first].notes, f"values in {', '.join(others)} were left out")
    profile = units[first]
    return Profile(
        profile.tool, profile.frames, profile.stacks, profile.sample_count, profile.unit, profile.period_s,
        profile.errors, builder_notes,
    )  # fmt: skip


def parse_units(source: BinaryIO, *, pid: int | None = None) -> dict[str, Profile]:
    """Read everything, one Profile per unit, in the file's order."""
    document = read_json(source)
    if not isinstance(document, Mapping):
        raise ProfileError("invalid speedscope file: expected an object")
    shared, profiles = document.get("shared"), document.get("profiles")
    table = shared.get("frames") if isinstance(shared, Mapping) else None
    if not isinstance(table, list) or not isinstance(profiles, list):
        raise ProfileError("invalid speedscope file: shared.frames or profiles is missing")
    exporter = document.get("exporter")
    tool = exporter.partition("@")[0] if isinstance(exporter, str) else "speedscope"
    words = [_word(entry) for entry in table]
    weighed_s, idle = _weighed_period_s(document.get(KEY)), _idle_lanes(document.get(KEY))
    builders: dict[str, ProfileBuilder] = {}
    for number, entry in enumerate(profiles):
        unit = str(entry.get("unit") or "none") if isinstance(entry, Mapping) else "none"
        builder = builders.setdefault(_unit_name(unit, entry), ProfileBuilder(tool))
        _Reader(builder, words, pid, weighed_s).take(entry, unit, is_idle=number in idle)
    if not builders:
        builders["samples"] = ProfileBuilder(tool)
    for name, builder in builders.items():
        builder.unit = name
    return {name: builder.build() for name, builder in builders.items()}


def _weighed_period_s(note: object) -> float | None:
    """How much time a sample stood for before it was weighed; None: it was not."""
    period_s = note.get("period_s") if isinstance(note, Mapping) else None
    if isinstance(period_s, (int, float)) and _is_sane(period_s) and period_s > 0:
        return float(period_s)
    return None


def _idle_lanes(note: object) -> frozenset[int]:
    """The numbers of the profiles whose thread only waited, as the scheduler saw it."""
    told = note.get("idle") if isinstance(note, Mapping) else None
    return frozenset(one for one in told if type(one) is int) if isinstance(told, list) else frozenset()


def _unit_name(unit: str, entry: object) -> str:
    if unit in _SECONDS:
        return "samples"
    name = entry.get("name") if isinstance(entry, Mapping) else None
    return name.lower()[:40] if unit == "none" and isinstance(name, str) and name else unit[:40]


def _word(entry: object) -> Frame | Thread:
    """Give a table entry as a frame, or as the label that py-spy puts among the frames."""
    if not isinstance(entry, Mapping):
        return Frame(UNKNOWN, kind="native")
    name, file = entry.get("name"), entry.get("file")
    name = name if isinstance(name, str) and name else UNKNOWN
    file = file if isinstance(file, str) and file else None
    if (process := process_of(name)) is not None:
        return Thread(pid=process)
    if file is None and (thread := read_thread(name)) is not None:
        return thread
    line = whole_number(entry.get("line"), 0) or 0
    if file is None:
        return read_frame(name)
    if file.endswith(_NATIVE_SOURCES) or ".so." in file:
        is_binary = not line and ".so" in file
        return Frame(
            name,
            None if is_binary else file,
            line if line > 0 else None,
            file if is_binary else None,
            "native",
        )
    return Frame(name, file, line if line > 0 else None)


class _Reader:
    """Reads one sampled profile into the builder of its unit."""

    def __init__(
        self,
        builder: ProfileBuilder,
        words: list[Frame | Thread],
        pid: int | None,
        weighed_s: float | None = None,
    ) -> None:
        self._builder = builder
        self._words = words
        self._wanted = pid
        self._weighed_s = weighed_s

    def take(self, entry: object, unit: str, *, is_idle: bool = False) -> None:
        samples = entry.get("samples") if isinstance(entry, Mapping) else None
        if not isinstance(entry, Mapping) or not isinstance(samples, list):
            raise ProfileError("only sampled speedscope profiles are read; this one has no samples")
        weights = entry.get("weights")
        weights = weights if isinstance(weights, list) else []
        label = replace(_label(entry.get("name")), is_idle=is_idle)
        is_time = unit in _SECONDS
        for position, sample in enumerate(samples):
            weight = weights[position] if position < len(weights) else 1
            if is_time:
                self._note_period(weight, unit)
                weight = self._samples_in(weight, unit)
            self._take_sample(sample, weight, label)

    def _samples_in(self, weight: object, unit: str) -> float:
        """A sample counts 1, or the part of its period that the thread really ran."""
        if self._weighed_s is None or not isinstance(weight, (int, float)) or not _is_sane(weight):
            return 1
        return weight * _SECONDS[unit] / self._weighed_s

    def _note_period(self, weight: object, unit: str) -> None:
        if self._weighed_s is not None:
            self._builder.period_s = self._weighed_s
        elif (
            self._builder.period_s is None
            and isinstance(weight, (int, float))
            and _is_sane(weight)
            and weight > 0
        ):
            self._builder.period_s = weight * _SECONDS[unit]

    def _take_sample(self, sample: object, weight: object, label: Thread) -> None:
        if not isinstance(sample, list) or not isinstance(weight, (int, float)) or not _is_sane(weight):
            self._builder.errors += 1
            return
        numbers: list[int] = []
        for index in sample[-2 * MAX_DEPTH :]:
            if not isinstance(index, int) or not 0 <= index < len(self._words):
                self._builder.errors += 1
                return
            word = self._words[index]
            if isinstance(word, Frame):
                numbers.append(self._builder.frame(word))
            else:
                label = replace(
                    label,
                    name=word.name or label.name,
                    thread_id=word.thread_id or label.thread_id,
                    pid=word.pid or label.pid,
                )
        if self._wanted is None or label.pid in (None, self._wanted):
            self._builder.add(label, numbers, weight, samples=1)


def _is_sane(weight: float) -> bool:
    return not isinstance(weight, bool) and math.isfinite(weight)


def _label(name: object) -> Thread:
    """Give the thread of `Thread 9684 "MainThread"` (py-spy); other names are not threads."""
    if not isinstance(name, str) or not name.startswith("Thread "):
        return Thread()
    number, _space, quoted = name[7:].partition(" ")
    thread_id = int(number) if number.isdecimal() and len(number) < 20 else None
    return Thread(quoted.strip('"') or None, thread_id)
