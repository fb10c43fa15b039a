"""What each metric reads from a pass. METERS is the table: a new metric is a meter and a line in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from monitord.detection.growth import LevelHistory
from monitord.detection.hangs import HangClock
from monitord.detection.oom import OomKillMeter
from monitord.detection.passes import Pass, ReadValue
from monitord.detection.pressure import SEVERAL, PressureMeter, stalled
from monitord.detection.readings import Meter, Reading, Target
from monitord.detection.resident import one_of_each_segment
from monitord.detection.short_lived import ShortLivedMeter
from monitord.detection.spikes import SpikeMeter
from monitord.detection.starts import SpawnMeter
from monitord.model import ProcessKey, ProcessRates, Rule, SystemRates, TriggerMetric, changed


def _rested(
    look: Pass, keys: Iterable[Target], last: Callable[[ProcessKey], ProcessRates | None]
) -> Iterator[ProcessRates]:
    """The followed processes that a complete pass did not report: at rest."""
    if look.is_complete:
        for key in keys:
            if key is not None and key not in look.present:
                process = look.process(key, last(key))
                if process is not None:
                    yield process


class ProcessMeter:
    """A value that stands in one process's rates."""

    def __init__(self, read: ReadValue, minimum: float, counts_waiting: bool = False) -> None:
        self._read = read
        self._minimum = minimum  # below it nothing can break the rule, so it is not worth an object
        self._counts_waiting = counts_waiting

    def readings(self, look: Pass, followed: Mapping[Target, ProcessRates | None]) -> Iterator[Reading]:
        read, minimum, system = self._read, self._minimum, look.system
        if not followed and look.peak(read) < minimum:
            return
        for key, process in look.present.items():
            value = read(process, system)
            if value is not None and (value >= minimum or (followed and key in followed)):
                yield Reading(key, process, value, waited=self._waited(process))
        for process in _rested(look, list(followed), followed.get):
            value = read(process, system)
            if value is not None:
                yield Reading(process.key, process, value)

    def _waited(self, process: ProcessRates) -> float:
        return process.denied_cpu_percent if self._counts_waiting else 0.0

    def peek(self, process: ProcessRates | None, now_s: float, system: SystemRates) -> float | None:
        return self._read(process, system) if process is not None else None

    def forget(self, keys: Iterable[ProcessKey]) -> None:
        """Nothing is kept."""

    def restart(self) -> None:
        """Nothing is kept."""

    def close_watch(self) -> Iterable[ProcessKey]:
        return ()


class MemoryMeter(ProcessMeter):
    """Resident memory; a segment that many share is one matter, not one of each of them."""

    def __init__(self, read: ReadValue, own: ReadValue, minimum: float) -> None:
        super().__init__(read, minimum)
        self._own = own

    def readings(self, look: Pass, followed: Mapping[Target, ProcessRates | None]) -> Iterator[Reading]:
        every = super().readings(look, followed)
        return one_of_each_segment(every, look, followed, self._own, self._minimum)


_STEPS_BEFORE = 2  # large steps that were never taken back; a cache is loaded once or twice


class GrowthMeter:
    """What a level gained over the rule's window: its ends are compared, and it must have been rising.

    Or it gained as much in one step as in some before it.
    """

    def __init__(self, level_of: ReadValue, window_s: float, min_share: float, minimum: float) -> None:
        self._level_of = level_of
        self._min_share = min_share
        self._minimum = minimum
        self.history = LevelHistory(window_s)

    def readings(self, look: Pass, followed: Mapping[Target, ProcessRates | None]) -> Iterator[Reading]:
        for process in look.present.values():
            level = self._level_of(process, look.system)
            if level is not None:
                most = self.history.note(process.key, look.now_s, level)
                is_followed = bool(followed) and process.key in followed
                if most >= self._minimum or is_followed:
                    yield from self._reading(process, look.now_s, is_followed)
        for process in _rested(look, list(followed), followed.get):
            yield from self._reading(process, look.now_s, True)
        if look.is_complete:
            self.history.saw_everything(look.now_s)

    def _reading(self, process: ProcessRates, now_s: float, is_followed: bool) -> Iterator[Reading]:
        """Only a new height begins an episode; falling back a little ends none."""
        climb = self.history.climb(process.key, now_s)
        if climb is not None:
            is_rising = climb.rising_share >= self._min_share - 1e-9 and not (
                climb.is_level or climb.is_noise
            )
            is_stair = climb.step_count >= _STEPS_BEFORE and not climb.is_noise
            is_held = climb.covers_window and (is_rising or is_stair)
            gain = climb.gain if is_followed else climb.new_gain
            yield Reading(process.key, process, gain, is_held, climb)

    def peek(self, process: ProcessRates | None, now_s: float, system: SystemRates) -> float | None:
        return self.history.gain(process.key, now_s) if process is not None else None

    def forget(self, keys: Iterable[ProcessKey]) -> None:
        for key in keys:
            self.history.forget(key)

    def restart(self) -> None:
        self.history.clear()

    def close_watch(self) -> Iterable[ProcessKey]:
        return ()


class HangMeter:
    """Seconds in state D; the value is its own window."""

    def __init__(self) -> None:
        self.clock = HangClock()

    def readings(self, look: Pass, followed: Mapping[Target, ProcessRates | None]) -> Iterator[Reading]:
        is_idle = not self.clock and not followed
        for process in look.present.values():
            if process.state == "D" or (
                not is_idle and (self.clock.last(process.key) or process.key in followed)
            ):
                self.clock.note(process, look.now_s)
                yield self._reading(process, look.now_s)
        for process in _rested(look, self.clock.keys, self.clock.last):
            yield self._reading(process, look.now_s)

    def _reading(self, process: ProcessRates, now_s: float) -> Reading:
        return Reading(process.key, process, self.clock.seconds(process.key, now_s), is_held=True)

    def peek(self, process: ProcessRates | None, now_s: float, system: SystemRates) -> float | None:
        return self.clock.seconds(process.key, now_s) if process is not None else None

    def forget(self, keys: Iterable[ProcessKey]) -> None:
        for key in keys:
            self.clock.forget(key)

    def restart(self) -> None:
        self.clock.clear()

    def close_watch(self) -> Iterable[ProcessKey]:
        """Processes in state D are read in every pass: a break between two looks must be seen."""
        return self.clock.keys


@dataclass(slots=True)
class MachineMeter:
    """A value of the whole machine; no process can be blamed for it here."""

    read: Callable[[SystemRates], tuple[str, float] | None]

    def readings(self, look: Pass, followed: Mapping[Target, ProcessRates | None]) -> Iterator[Reading]:
        value = self.read(look.system)
        if value is not None:
            yield Reading(None, None, value[1], subject=value[0])

    def peek(self, process: ProcessRates | None, now_s: float, system: SystemRates) -> float | None:
        value = self.read(system)
        return value[1] if value else None

    def forget(self, keys: Iterable[ProcessKey]) -> None:
        """Nothing is kept."""

    def restart(self) -> None:
        """Nothing is kept."""

    def close_watch(self) -> Iterable[ProcessKey]:
        return ()


def _wanted_cpu(process: ProcessRates, _: SystemRates) -> float | None:
    return process.wanted_cpu_percent


def _own_memory(process: ProcessRates, _: SystemRates) -> float:
    """Files that it maps and memory that it shares are not its leak; if unknown, all of it counts."""
    return float(process.rss_bytes if process.private_bytes is None else process.private_bytes)


def _memory(unit: str) -> ReadValue:
    return _resident_bytes if unit == "bytes" else _memory_share


def _own_part(unit: str) -> ReadValue:
    """The same of its private part."""
    read = _memory(unit)
    return lambda process, system: read(changed(process, rss_bytes=int(_own_memory(process, system))), system)


def _resident_bytes(process: ProcessRates, _: SystemRates) -> float | None:
    return float(process.rss_bytes)


def _moved(process: ProcessRates, _: SystemRates) -> float | None:
    return process.disk_bytes_per_s


def _memory_share(process: ProcessRates, system: SystemRates) -> float | None:
    """Percent of what it can have: of RAM, or of its group's limit."""
    limit_bytes = process.memory_limit_bytes or system.memory_total_bytes
    return 100.0 * process.rss_bytes / limit_bytes if limit_bytes > 0 else None


def _free_memory(unit: str) -> Callable[[SystemRates], tuple[str, float] | None]:
    def read(system: SystemRates) -> tuple[str, float] | None:
        if system.memory_total_bytes <= 0:
            return None
        available = float(system.memory_available_bytes)
        return "the machine", available if unit == "bytes" else 100.0 * available / system.memory_total_bytes

    return read


def _busiest_interface(system: SystemRates) -> tuple[str, float] | None:
    """Loopback counts: a flood between two processes of one machine is a flood."""
    if not system.network_bytes_per_s:
        return None
    return max(system.network_bytes_per_s.items(), key=lambda item: item[1])


def _growth(level_of: ReadValue) -> Callable[[Rule, str, float], Meter]:
    return lambda rule, unit, minimum: GrowthMeter(level_of, rule.window_s, rule.min_share, minimum)


METERS: dict[TriggerMetric, Callable[[Rule, str, float], Meter]] = {
    TriggerMetric.CPU: lambda rule, unit, minimum: ProcessMeter(_wanted_cpu, minimum, counts_waiting=True),
    TriggerMetric.MEMORY: lambda rule, unit, minimum: MemoryMeter(_memory(unit), _own_part(unit), minimum),
    TriggerMetric.DISK_IO: lambda rule, unit, minimum: ProcessMeter(_moved, minimum),
    TriggerMetric.NETWORK: lambda rule, unit, minimum: MachineMeter(_busiest_interface),
    TriggerMetric.MEMORY_GROWTH: _growth(_own_memory),
    TriggerMetric.HANG: lambda rule, unit, minimum: HangMeter(),
    TriggerMetric.FD_GROWTH: _growth(lambda p, _: p.fd_count),
    TriggerMetric.THREAD_GROWTH: _growth(lambda p, _: float(p.thread_count)),
    TriggerMetric.FREE_MEMORY: lambda rule, unit, minimum: MachineMeter(_free_memory(unit)),
    TriggerMetric.CPU_PRESSURE: lambda rule, unit, minimum: PressureMeter(rule.window_s, minimum),
    TriggerMetric.MEMORY_PRESSURE: lambda rule, unit, minimum: MachineMeter(stalled("memory_full")),
    TriggerMetric.IO_PRESSURE: lambda rule, unit, minimum: MachineMeter(stalled("io_full", SEVERAL)),
    TriggerMetric.SHORT_LIVED_CPU: lambda rule, unit, minimum: ShortLivedMeter(rule.window_s, minimum),
    TriggerMetric.SPAWN_STORM: lambda rule, unit, minimum: SpawnMeter(rule.window_s, minimum),
    TriggerMetric.SHORT_SPIKE: lambda rule, unit, minimum: SpikeMeter(rule.window_s),
    TriggerMetric.OOM_KILL: lambda rule, unit, minimum: OomKillMeter(),
}
