"""A look by hand at a process that rests says what it rests for; at one that works, what it works at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from monitord.capture import Consent, ProfileCaptureService
from monitord.capture.causes import Look
from monitord.causes import METRICS, OBSERVED_BYTES, manual
from monitord.causes.facts import Facts
from monitord.model import CapturePlan, Cause, ProcessKey, TriggerMetric
from tests.burners import burn_command
from tests.causes.conftest import Run, ticks, waits_in
from tests.fakes import an_alert

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def explained(pid: int, folder: Path) -> Cause | None:
    """Observed as the recorder does it, in a child with the member's own rights."""
    member = METRICS[TriggerMetric.MANUAL]
    look = Look(
        "manual", ProcessKey(pid, ticks(pid)), True, member.limit_s, member.capabilities, OBSERVED_BYTES
    )
    folder.mkdir(mode=0o700)
    seen = ProfileCaptureService(Consent()).observe(look, CapturePlan(duration_s=1), folder)
    assert seen is not None
    return manual.explain(Facts(an_alert(TriggerMetric.MANUAL), after=json.loads(seen)))


def test_a_process_that_rests_is_told_with_what_it_waits_for(run: Run, tmp_path: Path) -> None:
    code = "import os\nread, write = os.pipe()\nprint('ready', flush=True)\nos.read(read, 1)\n"
    process, _ = run(code)
    waits_in(process.pid, "read")
    cause = explained(process.pid, tmp_path / "observed")
    assert cause is not None
    assert (cause.kind, cause.confidence) == ("pipe", "likely"), cause
    assert "used" in dict(cause.evidence)


def test_a_process_that_only_sleeps_is_idle(run: Run, tmp_path: Path) -> None:
    process, _ = run("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    waits_in(process.pid, "clock_nanosleep", "pselect6", "select")
    cause = explained(process.pid, tmp_path / "observed")
    assert cause is not None
    assert (cause.kind, cause.confidence) == ("idle", "likely"), cause
    assert ("1 thread", "sleeps") in cause.evidence


def test_one_that_works_is_not_asked_what_it_waits_for(tmp_path: Path) -> None:
    with subprocess.Popen(burn_command(20)) as process:
        try:
            cause = explained(process.pid, tmp_path / "observed")
        finally:
            process.kill()
    assert cause is not None
    assert cause.kind == "tight loop" or cause.confidence == "unknown"
