"""The rules monitord starts with: each catches what it is for, and leaves ordinary life alone."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import monitord
from monitord.config import load_rules
from monitord.detection import Detector
from monitord.model import Rates, Rule, TriggerMetric
from tests.detection.timelines import BURNER, TOTAL, alerts, draw, machine, passed, process

FILE = Path(monitord.__file__).parent / "default_rules.toml"
MIB = 1 << 20


@pytest.fixture(scope="module")
def rules() -> dict[str, Rule]:
    return {rule.name: rule for rule in load_rules(FILE)}


def ramp(start: float, step: float, count: int) -> str:
    return " ".join(f"{start + step * i:.3f}" for i in range(count))


def interface(*rates_mb: float) -> Iterator[Rates]:
    for i, mb in enumerate(rates_mb):
        yield passed([], 2.0 * i, system=machine(network_bytes_per_s={"lo": mb * 1e6}))


def available(*percents: float) -> Iterator[Rates]:
    for i, percent in enumerate(percents):
        yield passed([], 2.0 * i, system=machine(memory_available_bytes=int(TOTAL * percent / 100)))


def crowded(*percents: float, used: float = 30.0) -> Iterator[Rates]:
    for i, percent in enumerate(percents):
        system = machine(machine_percent=percent, pressure_percent={"cpu_some": percent})
        yield passed([process(cpu_percent=used)], 2.0 * i, system=system)


def stalled(name: str, *percents: float, load: float = 3.0) -> Iterator[Rates]:
    for i, percent in enumerate(percents):
        yield passed([], 2.0 * i, system=machine(load_1=load, pressure_percent={name: percent}))


def storm(*ended: float, unseen: float = 95.0) -> Iterator[Rates]:
    for i, percent in enumerate(ended):
        system = machine(unattributed_cpu_percent=unseen)
        yield passed([process(children_cpu_percent=percent)], 2.0 * i, system=system)


def starts(*per_s: float, ended: float = 20.0) -> Iterator[Rates]:
    for i, count in enumerate(per_s):
        system = machine(starts_per_s=count)
        yield passed([process(children_cpu_percent=ended)], 2.0 * i, system=system)


def kills(*counts: int) -> Iterator[Rates]:
    for i, count in enumerate(counts):
        yield passed([], 2.0 * i, system=machine(oom_kills=count))


def d_state(count: int) -> Iterator[Rates]:
    return draw(f"0*{count}", state="D")


CAUGHT = {
    "cpu-hog": lambda: draw("0 97*10"),
    "memory-hog": lambda: draw("1 7*20", "rss_bytes", scale=1024 * MIB),
    "memory-leak": lambda: draw(ramp(50, 1, 320), "rss_bytes", scale=MIB),
    "disk-flood": lambda: draw("0 150*20", "disk_bytes_per_s", scale=1e6),
    "network-flood": lambda: interface(0, *[150] * 20),
    "slow-burn": lambda: draw("0 40*1802"),
    "hang": lambda: d_state(40),
    "fd-growth": lambda: draw(ramp(10, 2, 320), "fd_count"),
    "thread-growth": lambda: draw(ramp(1, 1, 320), "thread_count"),
    "low-memory": lambda: available(50, *[4] * 6),
    "cpu-overload": lambda: crowded(20, *[97] * 40),
    "memory-stall": lambda: stalled("memory_full", 0, *[30] * 15),
    "io-stall": lambda: stalled("io_full", 0, *[95] * 40),
    "short-lived": lambda: storm(0, *[90] * 5),
    "spawn-storm": lambda: starts(10, *[300] * 13),
    "short-spike": lambda: [*draw("0 90 90 20"), passed([], 8.0, exited=frozenset({BURNER}))],
    "out-of-memory": lambda: kills(0, 0, 1, 0, 0),
}
LEFT_ALONE = {
    "cpu-hog": lambda: draw("0 99*4 30*4 " * 40),
    "memory-hog": lambda: draw("1 5*400", "rss_bytes", scale=1024 * MIB),
    "memory-leak": lambda: draw("50 900*600", "rss_bytes", scale=MIB),
    "disk-flood": lambda: draw("0 150*10 5*10 " * 10, "disk_bytes_per_s", scale=1e6),
    "network-flood": lambda: interface(*[0, 0, 0, 110, 110, 110, 110] * 20),
    "slow-burn": lambda: draw("0 60*900 5*300 " * 3),
    "hang": lambda: draw("0 1 " * 60, state="D"),
    "fd-growth": lambda: draw("10 700*600", "fd_count"),
    "thread-growth": lambda: draw("1 300*600", "thread_count"),
    "low-memory": lambda: available(50, *[4, 4, 12, 12] * 20),
    "cpu-overload": lambda: crowded(20, *[97] * 20, *[70] * 40, *[97] * 20, *[50] * 40),
    "memory-stall": lambda: stalled("memory_full", *[0, 0, 40, 40, 40, 0, 0, 0] * 20),
    "io-stall": lambda: stalled("io_full", *[98] * 200, load=1.1),  # one program alone waits for its own disk
    "short-lived": lambda: storm(*[0, 0, 9000, 0] * 20),
    "spawn-storm": lambda: starts(*[10, 10, 500, 500, 500, 10] * 20),
    "short-spike": lambda: [*draw("0 90 40"), passed([], 6.0, exited=frozenset({BURNER}))],
    "out-of-memory": lambda: kills(*[0] * 40),
}


def test_every_default_rule_has_both_its_scenarios(rules: dict[str, Rule]) -> None:
    assert set(rules) == set(CAUGHT) == set(LEFT_ALONE)


@pytest.mark.parametrize("name", CAUGHT)
def test_it_catches_what_it_is_for_once(rules: dict[str, Rule], name: str) -> None:
    said = alerts(replace(rules[name], is_enabled=True), CAUGHT[name]())
    assert [alert.suppressed_by for alert in said] == [None]
    assert said[0].severity >= 1


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_it_leaves_ordinary_life_alone(rules: dict[str, Rule], name: str) -> None:
    assert alerts(replace(rules[name], is_enabled=True), LEFT_ALONE[name]()) == []


def test_what_ends_all_day_is_told_only_to_who_asks(rules: dict[str, Rule]) -> None:
    """Compilers burn seconds and are gone: the rule about them is the only one that is off."""
    assert [name for name, rule in rules.items() if not rule.is_enabled] == ["short-spike"]


def test_all_together_can_be_judged_and_cover_the_four_metrics_of_the_requirement(
    rules: dict[str, Rule],
) -> None:
    Detector(list(rules.values()))
    metrics = {rule.metric for rule in rules.values()}
    assert {TriggerMetric.CPU, TriggerMetric.MEMORY, TriggerMetric.DISK_IO, TriggerMetric.NETWORK} <= metrics


def test_every_threshold_says_why_that_number() -> None:
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith(("above", "below", "window_s")):
            assert "#" in line, line
    assert len(tomllib.loads(FILE.read_text(encoding="utf-8"))["rules"]) == 17
