"""What every profiler of the ladder must hold, on the platform at hand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from monitord.capture.profilers import FIRST_LOOKS, LADDER, NAMES, OF_MEMORY
from monitord.capture.session import Profiler, Session
from monitord.capture.target import Target
from monitord.capture.tool_runner import Runner
from monitord.capture.tools import INSTALL, Toolbox
from monitord.model import CapturePlan, CaptureStatus, PlannedProfiler
from monitord.profiles import parse
from tests.capture import targets as t
from tests.capture.targets import Targets, key_of, state_of, working_in

_MAC_ONLY = ("sample", "spindump")
_HERE = [p for p in (*LADDER, *FIRST_LOOKS) if (p.tool in _MAC_ONLY) == (sys.platform == "darwin")]


@pytest.fixture(params=_HERE, ids=lambda profiler: f"{type(profiler).__name__}")
def profiler(request: pytest.FixtureRequest, require_tool: Callable[[str], str]) -> Profiler:
    found: Profiler = request.param
    if found.tool != "py-spy":
        require_tool(found.tool)
    return found


@pytest.fixture
def targets(tmp_path: Path) -> Iterator[Targets]:
    started = Targets(tmp_path / "targets")
    yield started
    started.end()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    path = tmp_path / "spool"
    path.mkdir(mode=0o700)
    return path


GROWING = """
import time
print("ready", flush=True)
kept = []
while True:
    kept.append(b"x" * 5_000)
    if len(kept) > 20_000:
        time.sleep(0.01)
"""


def test_it_names_a_busy_function_of_a_real_process_and_leaves_it_running(
    profiler: Profiler, targets: Targets, spool: Path
) -> None:
    """Evidence parses under the format it claims, lies in the folder it was given, and nothing else happened."""
    process = targets.python(GROWING if profiler.name in OF_MEMORY else t.PYTHON_BURNER)
    capture = t.take(profiler, process, spool, Toolbox())
    assert (capture.status, capture.reason) == (CaptureStatus.OK, None)
    assert (capture.role, capture.profiler, capture.format) == (profiler.role, profiler.name, profiler.format)
    data = capture.payload if capture.path is None else capture.path.read_bytes()
    assert data
    assert parse(profiler.format, data, pid=process.pid).stacks
    assert [Path(spool, name) for name in t.names_in(spool)] == ([capture.path] if capture.path else [])
    assert capture.role == "dump" or capture.hotspots
    assert process.poll() is None
    assert state_of(process.pid) in "RS"
    assert working_in(spool) == []


def test_it_says_when_the_process_is_gone(profiler: Profiler, targets: Targets, spool: Path) -> None:
    process = targets.python(t.PYTHON_BURNER)
    runner = Runner()
    runner.begin()
    with Target(key_of(process)) as target:
        process.kill()
        process.wait()
        capture = profiler.take(Session(target, spool, CapturePlan(), runner, Toolbox(), grace_s=1.0))
    assert capture.status is CaptureStatus.TARGET_GONE
    assert capture.reason
    assert t.names_in(spool) == []


def test_it_says_what_to_type_when_its_tool_is_missing(
    profiler: Profiler, targets: Targets, spool: Path
) -> None:
    process = targets.python(t.PYTHON_IDLER)
    capture = t.take(profiler, process, spool, Toolbox({profiler.tool: "/nonexistent/tool"}))
    assert capture.status is CaptureStatus.TOOL_MISSING
    assert capture.reason == "/nonexistent/tool does not exist"
    assert capture.fix


@pytest.mark.parametrize("body", ["exit 0", 'echo "Error: no" >&2; exit 3', "head -c 2000000 /dev/urandom"])
def test_it_believes_no_exit_status(profiler: Profiler, targets: Targets, spool: Path, body: str) -> None:
    """A tool that succeeds without evidence, fails, or prints junk gives no evidence and a reason."""
    tool = targets.script(f"#!/bin/bash\n{body}\n", "tool")
    tool.chmod(0o755)
    process = targets.python(t.PYTHON_IDLER)
    capture = t.take(profiler, process, spool, Toolbox({profiler.tool: str(tool)}))
    assert capture.status is CaptureStatus.TOOL_ERROR
    assert capture.reason
    assert (capture.payload, capture.path, capture.hotspots) == (None, None, ())
    assert t.names_in(spool) == []


def test_its_name_can_be_asked_for_and_its_tool_installed(profiler: Profiler) -> None:
    assert get_args(PlannedProfiler) == NAMES  # what the command line, plans and rules take
    assert profiler.name in NAMES
    assert INSTALL[profiler.tool]
