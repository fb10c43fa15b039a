"""One suite for every member of `monitord.causes`: what each promises, whatever it looks for."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

import pytest

from monitord.causes import METRICS, OBSERVED_BYTES, WITHOUT
from monitord.causes.__main__ import member_module
from monitord.causes.facts import Facts
from monitord.causes.unknown import unknown
from monitord.children import own_environment
from monitord.model import Cause, Confidence, ProcessKey, TriggerMetric
from monitord.sampling import key_of
from tests import preloaded
from tests.fakes import an_alert
from tests.patience import PATIENCE_S

OBSERVING = [metric for metric, member in METRICS.items() if member.observes != "nothing"]
GARBAGE: list[Any] = [
    {},
    {"error": "gone", "threads": None, "processes": 7},
    {"threads": [1, "x", None, {"a": []}], "memory": "\x1b[31m", "processes": {"a": [[None]]}, "maps": [[]]},
]


@pytest.fixture
def sleeper() -> Iterator[ProcessKey]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        key = key_of(process.pid)
        assert key is not None
        yield key
        process.kill()


def child(metric: str, pid: int, start_ticks: int) -> subprocess.CompletedProcess[str]:
    """Run as the recorder runs it, but with our own rights."""
    command = preloaded.command("causes", metric, str(pid), str(start_ticks))
    return subprocess.run(
        command, env=own_environment(), capture_output=True, text=True, timeout=PATIENCE_S, cwd="/"
    )


def is_sound(cause: object) -> bool:
    return (
        isinstance(cause, Cause)
        and 1 <= len(cause.kind.split()) <= 3
        and cause.confidence in get_args(Confidence)
        and (cause.kind == "unknown") == (cause.confidence == "unknown")
        and bool(cause.sentence)
        and all(isinstance(text, str) for row in cause.evidence for text in row)
        and bool(json.dumps(cause.evidence))
    )


@pytest.mark.parametrize("metric", TriggerMetric)
def test_every_metric_has_a_member_or_a_line_that_says_why_not(metric: TriggerMetric) -> None:
    assert (metric in METRICS) != (metric in WITHOUT)
    assert metric in METRICS or len(WITHOUT[metric]) > 10


@pytest.mark.parametrize("metric", METRICS)
def test_a_member_explains_and_observes_as_its_line_says(metric: TriggerMetric) -> None:
    member, module = METRICS[metric], member_module(METRICS[metric])
    assert list(inspect.signature(module.explain).parameters) == ["facts"]
    if member.observes != "nothing":
        further = ["faults"] if member.watches_faults else []
        given = inspect.signature(module.observe).parameters.values()
        by_place = [one.name for one in given if one.kind is not inspect.Parameter.KEYWORD_ONLY]
        assert by_place == ["pid", "start_ticks", *further]
    assert not member.at_arming or member.observes != "nothing"


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_known_is_unknown_and_never_a_guess(metric: TriggerMetric) -> None:
    facts = Facts(an_alert(metric))
    cause = member_module(METRICS[metric]).explain(facts) or unknown(facts)
    assert is_sound(cause)
    assert cause.kind == "unknown"


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("metric", METRICS)
def test_what_a_hostile_target_made_of_an_observation_raises_nothing(
    metric: TriggerMetric, garbage: Any
) -> None:
    """The child that observed may have been the target's: its answer is read with distrust."""
    facts = replace(Facts(an_alert(metric)), before=garbage, after=garbage, context=garbage)
    cause = member_module(METRICS[metric]).explain(facts) or unknown(facts)
    assert is_sound(cause)


@pytest.mark.skipif(sys.platform != "linux", reason="observers read /proc")
@pytest.mark.parametrize("metric", OBSERVING)
def test_an_observation_is_small_plain_json(metric: TriggerMetric, sleeper: ProcessKey) -> None:
    done = child(metric.value, sleeper.pid, sleeper.start_ticks)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout) <= OBSERVED_BYTES + 1
    assert isinstance(json.loads(done.stdout), dict)


@pytest.mark.skipif(sys.platform != "linux", reason="observers read /proc")
@pytest.mark.parametrize("metric", [one for one in OBSERVING if METRICS[one].observes == "process"])
def test_of_a_process_that_is_gone_or_another_nothing_is_observed(
    metric: TriggerMetric, sleeper: ProcessKey
) -> None:
    """An error in one line, or an answer that says so; never another process's values, never a traceback."""
    for pid, start_ticks in ((2**22 - 3, 1), (sleeper.pid, sleeper.start_ticks + 1)):
        done = child(metric.value, pid, start_ticks)
        assert "Traceback" not in done.stderr
        assert done.returncode == 1 or "error" in json.loads(done.stdout), (pid, done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="observers read /proc")
@pytest.mark.parametrize("metric", [one for one in OBSERVING if METRICS[one].observes == "machine"])
def test_the_machine_is_observed_without_a_process(metric: TriggerMetric) -> None:
    done = child(metric.value, 0, 0)
    assert (done.returncode, done.stderr) == (0, "")
    assert isinstance(json.loads(done.stdout), dict)


@pytest.mark.parametrize(
    "words", [(), ("cpu",), ("cpu", "1"), ("cpu", "x", "1"), ("cpu", "1", "2", "3"), ("nothing", "1", "1")]
)
def test_a_wrong_call_is_a_line_of_usage(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        preloaded.command("causes", *words), capture_output=True, text=True, timeout=PATIENCE_S, cwd="/"
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
