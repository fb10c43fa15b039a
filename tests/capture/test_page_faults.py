"""Profiles of what brings memory in: taken for plans about memory, and only of what does take memory in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from monitord.capture import ProfileCaptureService
from monitord.causes.allocating import allocator_in
from monitord.model import CapturePlan, CaptureStatus
from monitord.profiles import parse
from tests.capture import targets as t
from tests.capture.targets import Targets, key_of

Tool = Callable[[str], str]
PLAN = CapturePlan(duration_s=2.0, is_about_memory=True)
LEAK = """
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <stdio.h>
__attribute__((noinline)) char *cache_put(int n) { char *p = malloc(3000); memset(p, n, 3000); return p; }
__attribute__((noinline)) int render(int n) { volatile int s = 0; for (int i = 0; i < 300000; i++) s += i * n; return s; }
int main(void) { puts("ready"); fflush(stdout);
  for (int n = 0; n < 300000; n++) { if (!cache_put(n)) return 1; render(n); usleep(500); } return 0; }
"""


def test_the_function_that_leaks_is_seen_and_not_the_one_that_works(
    targets: Targets, service: ProfileCaptureService, folder: Path, require_tool: Tool
) -> None:
    require_tool("perf")
    process = targets.native(require_tool("gcc"), LEAK)
    profile = service.capture(key_of(process), PLAN, folder)[-1]
    assert (profile.profiler, profile.status) == ("perf-faults", CaptureStatus.OK), profile.reason
    assert profile.path is not None
    seen = parse("folded", profile.path.read_bytes())
    asker = allocator_in([(seen, profile.profiler)])
    assert asker is not None
    assert asker.function == "cache_put"


def test_of_what_takes_in_no_memory_what_runs_is_shown_instead(
    targets: Targets, service: ProfileCaptureService, folder: Path, require_tool: Tool
) -> None:
    require_tool("perf")
    process = targets.native(require_tool("gcc"), t.NATIVE_BURNER)
    *_, faults, profile = service.capture(key_of(process), PLAN, folder)
    assert (faults.profiler, faults.status) == ("perf-faults", CaptureStatus.NO_SAMPLES)
    assert faults.reason == "perf saw no page faults: the process took in no memory meanwhile"
    assert (profile.profiler, profile.status) == ("perf", CaptureStatus.OK)


def test_no_other_plan_asks_for_page_faults(
    targets: Targets, service: ProfileCaptureService, folder: Path, require_tool: Tool
) -> None:
    require_tool("perf")
    process = targets.native(require_tool("gcc"), t.NATIVE_BURNER)
    captures = service.capture(key_of(process), CapturePlan(duration_s=1.0), folder)
    assert "perf-faults" not in [one.profiler for one in captures]


def test_of_python_the_interpreters_own_stacks_are_not_asked_for(
    targets: Targets, service: ProfileCaptureService, folder: Path, require_tool: Tool
) -> None:
    process = targets.python(t.PYTHON_BURNER)
    captures = service.capture(key_of(process), PLAN, folder)
    assert "perf-faults" not in [one.profiler for one in captures]
