"""With the identity, the capabilities and the limits of the system unit all rings are granted; with less, fewer."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monitord.service.templates import render_unit
from monitord.stacks import rings

ROOM = Path(rings.__file__).parents[2]
# Linux counts locked memory by user: this one has no other rings. The numbers are linux/capability.h's.
NOBODY_ELSE = 64_321
CAPABILITIES = {"CAP_SYS_PTRACE": 19, "CAP_PERFMON": 38, "CAP_DAC_READ_SEARCH": 2}

CODE = """
import json, resource, sys, _ctypes
from monitord import rights
from monitord.stacks import lives
from monitord.stacks.rings import MOST_BYTES, Rings
capabilities, user, locked_bytes = json.loads(sys.argv[1])
resource.setrlimit(resource.RLIMIT_MEMLOCK, (locked_bytes, locked_bytes))
rights.keep_only(tuple(capabilities), (user, user))
rights.refuse_calls(profiles=True)
held, sizes = [], []
try:
    while sum(sizes) * 5 // 4 < min(MOST_BYTES, locked_bytes or MOST_BYTES) - (1 << 20):
        held.append(Rings.open())
        sizes += [held[-1].bytes_a_cpu] * len(held[-1].cpus)
    answer = {"sizes": sorted(set(sizes)), "notes_init": lives.Lives(held[0]).note(1)}
except OSError as error:
    answer = {"error": type(error).__name__, "errno": error.errno, "sizes": sorted(set(sizes))}
print(json.dumps(answer))
"""


def opened_with(capabilities: list[int], locked_bytes: int) -> Any:
    words = json.dumps([capabilities, NOBODY_ELSE, locked_bytes])
    done = subprocess.run([sys.executable, "-c", CODE, words], cwd=ROOM, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def unit() -> dict[str, str]:
    lines = render_unit("systemd/monitord.service", ("/bin/true",)).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


@pytest.mark.root
def test_what_the_system_unit_grants_is_enough_for_all_rings() -> None:
    """As many as a machine of many CPUs has, up to the limit; with the profilers' filter of system calls."""
    held = [CAPABILITIES[name] for name in unit()["AmbientCapabilities"].split()]
    granted_bytes = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] % (
        1 << 63
    )  # who may not raise it has that
    locked_bytes = min(granted_bytes, int(unit()["LimitMEMLOCK"].removesuffix("M")) << 20)
    assert opened_with(held, locked_bytes) == {"sizes": [512 << 10], "notes_init": True}


@pytest.mark.root
def test_the_capability_alone_is_not_enough_for_all_of_them() -> None:
    """Without the unit's limit of locked memory they shrink, and at last there is none."""
    answer = opened_with([CAPABILITIES["CAP_PERFMON"]], 0)
    assert answer["error"] == "LockedMemoryError"
    assert min(answer["sizes"]) < 512 << 10


def test_without_the_capability_the_machine_is_refused() -> None:
    if int(Path("/proc/sys/kernel/perf_event_paranoid").read_text()) < 1:
        pytest.skip("needs a kernel that refuses somebody: sudo sysctl kernel.perf_event_paranoid=2")
    assert opened_with([], 4 << 20)["sizes"] == []
