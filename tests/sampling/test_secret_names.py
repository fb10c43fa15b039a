"""A process's own name is redacted where it is read, as all its other names are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from monitord.capture.target import Target
from monitord.model import ProcessKey
from monitord.sampling.details import details
from monitord.sampling.procfs import Entry, start_ticks

NAME = "pw=Zq3vXk8zR"
CALLS_ITSELF = f"""
import ctypes, sys
ctypes.CDLL(None).prctl(15, b"{NAME}", 0, 0, 0)
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
def test_no_reader_of_a_process_passes_on_the_secret_in_its_name() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CALLS_ITSELF], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        raw = Path(f"/proc/{process.pid}/stat").read_bytes()
        key = ProcessKey(process.pid, start_ticks(raw))
        assert NAME.encode() in raw
        found = details(key)
        with Target(key) as target:
            names = (Entry(str(process.pid), -1, raw).sample().name, found and found.name, target.name)
        process.kill()
    assert names == ("pw=***HIDDEN***",) * 3
