"""From a real process to the sentence: observed in a child, explained in another, stored, shown everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.capture import Consent, ProfileCaptureService
from monitord.capture.causes import Look, read_cause
from monitord.causes import METRICS, OBSERVED_BYTES
from monitord.model import CapturePlan, Cause, Incident, ProcessKey, TriggerMetric
from monitord.sampling import key_of
from tests.fakes import a_capture, an_alert

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="observers read /proc")
MEMBER = METRICS[TriggerMetric.CPU]


@pytest.fixture
def service() -> ProfileCaptureService:
    return ProfileCaptureService(Consent())


@pytest.fixture
def sleeper() -> Iterator[ProcessKey]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        key = key_of(process.pid)
        assert key is not None
        yield key
        process.kill()


def look(target: ProcessKey | None, metric: str = "cpu", *, needs_target: bool = True) -> Look:
    return Look(metric, target, needs_target, 10.0, MEMBER.capabilities, OBSERVED_BYTES)


def test_a_target_is_observed_with_few_rights_and_explained_without_any(
    service: ProfileCaptureService, sleeper: ProcessKey, tmp_path: Path
) -> None:
    """The answer of the one is the other's document: a sleeper is idle, without any stack of it."""
    observed = service.observe(look(sleeper), CapturePlan(), tmp_path)
    assert observed is not None
    assert json.loads(observed)["usage"]["last"]["waits"]["states"] == {"S": 1}
    incident = Incident(
        "inc", an_alert(target=sleeper), None, captures=(a_capture(payload=b"\xff no format"),)
    )
    cause = service.explain(incident, (None, observed), tmp_path)
    assert cause is not None
    assert cause.kind == "idle"
    assert list(tmp_path.iterdir()) == [], "nothing is left in the folder"


def test_what_may_not_be_profiled_is_not_observed(sleeper: ProcessKey, tmp_path: Path) -> None:
    service = ProfileCaptureService(Consent(deny=("sleep",)))
    assert service.observe(look(sleeper), CapturePlan(), tmp_path) is None


def test_a_process_that_is_gone_leaves_the_machine_where_that_is_enough(
    service: ProfileCaptureService, tmp_path: Path
) -> None:
    gone = ProcessKey(2**22 - 3, 1)
    assert service.observe(look(gone), CapturePlan(), tmp_path) is None
    seen = service.observe(look(gone, "cpu_pressure", needs_target=False), CapturePlan(), tmp_path)
    assert seen is not None


def test_an_explainer_that_breaks_is_a_cause_less_and_no_error(
    service: ProfileCaptureService, tmp_path: Path
) -> None:
    """A metric that has no member stands for any failure of the child."""
    broken = an_alert(TriggerMetric.CPU, value=float("nan"), rule="x" * 10)
    incident = Incident("inc", replace(broken, crossed_at="no time"), None)  # type: ignore[arg-type]
    assert service.explain(incident, (b"[", b"{"), tmp_path) is None


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"[]", b"null", b"{}", b'{"kind": 1}', b'{"kind": "a b c d", "confidence": "likely"}',
        b'{"kind": "lock", "sentence": "x", "confidence": "sure", "runner_up": null, "decides": null, "evidence": []}',
        b'{"kind": "lock", "sentence": "x", "confidence": "likely", "runner_up": null, "decides": null, "evidence": [1]}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_an_answer_that_no_child_of_ours_gives_is_no_cause(answer: bytes) -> None:
    assert read_cause(answer) is None


def test_a_causes_texts_are_cut(tmp_path: Path) -> None:
    """The child read an attacker's bytes: what it answers is bounded, whatever it says."""
    answer = {
        "kind": "lock", "sentence": "s" * 9999, "confidence": "likely", "runner_up": "r" * 9999,
        "decides": None, "evidence": [["l" * 999, "t" * 9999]] * 99,
    }  # fmt: skip
    cause = read_cause(json.dumps(answer).encode())
    assert isinstance(cause, Cause)
    assert (len(cause.sentence), len(cause.runner_up or ""), len(cause.evidence)) == (1000, 1000, 20)
    assert [len(text) for text in cause.evidence[0]] == [40, 1000]
