"""Threads that wait take no blame from what runs, under Scalene as under any other profiler."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from monitord.profiles import hotspots, parse
from tests.patience import PATIENCE_S

pytest.importorskip("scalene", reason="needs scalene: install the extra `scalene`")
START = Path(__file__).parents[2] / "monitord" / "scripts" / "start_scalene.py"
SCRIPT = """
import threading, time
from concurrent.futures import ThreadPoolExecutor
def leaf_burner():
    return sum(number * number for number in range(20000))
def waits_for_ever():
    threading.Event().wait()
pool = ThreadPoolExecutor(45)
list(pool.map(lambda _: time.sleep(0.01), range(45)))
for _ in range(3):
    threading.Thread(target=waits_for_ever, daemon=True).start()
end = time.thread_time() + 2
while time.thread_time() < end:
    leaf_burner()
"""


def test_45_idle_pool_threads_and_three_that_wait_have_no_share(tmp_path: Path) -> None:
    script, profile = tmp_path / "job.py", tmp_path / "profile.json"
    script.write_text(SCRIPT)
    words = ("scalene", "run", "--cpu-only", "-o", str(profile), str(script))
    subprocess.run([sys.executable, str(START), *words], cwd=tmp_path, check=True, timeout=PATIENCE_S)
    spots = {spot.function: spot.self_share for spot in hotspots(parse("scalene", profile.read_bytes()))}
    assert max(spots, key=spots.__getitem__).startswith("leaf_burner")
    assert spots.get("waits_for_ever", 0.0) < 0.25
    assert "_worker" not in spots


def test_a_stack_that_ends_in_a_wait_of_the_library_is_idle() -> None:
    wait = ["/srv/job.py serve:5;", "/usr/lib/python3.11/threading.py Condition.wait:327;"]
    stacks = [[wait, {"count": 90}], [["/srv/job.py leaf_burner:3;"], {"count": 10}]]
    profile = parse("scalene", json.dumps({"stacks": stacks}).encode())
    assert [(spot.function, spot.self_share) for spot in hotspots(profile)] == [("leaf_burner", 1.0)]
