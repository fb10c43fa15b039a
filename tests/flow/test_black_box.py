"""What was before the alert is told: functions of spikes that are over, of programs and children that are gone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitord.errors import MonitordError
from monitord.recorder.requesting import ask_span
from tests.flow.recorder import FAST, SPIKE, Recorder
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.root  # rings of the whole machine; what an ordinary user has, see below

RULE = f"""
[[rules]]
name = "spike"
metric = "cpu"
above = 20
window_s = 1.5
min_share = 0.5
captures_per_hour = 1000
match = {{ names = ["{SPIKE}"] }}
"""
PROGRAM = """
import threading, time

def load_orders(seconds, clock=time.monotonic):
    end = clock() + seconds
    while clock() < end:
        for number in range(20000): number * number

def price_basket(seconds, clock=time.monotonic):
    end = clock() + seconds
    while clock() < end:
        for number in range(20000): number * number

def wait_for_requests(seconds):
    time.sleep(seconds)
"""

C_PROGRAM = """
#include <stdlib.h>
#include <time.h>
static volatile unsigned long sum;
void guilty_native(double seconds) {
    struct timespec now, begun;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begun);
    do {
        for (int i = 0; i < 1000000; i++) sum += i;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    } while (now.tv_sec - begun.tv_sec + (now.tv_nsec - begun.tv_nsec) / 1e9 < seconds);
}
int main(int count, char **words) { guilty_native(atof(words[1])); return 0; }
"""
BURN = "while :; do :; done"
POOL = """
from concurrent.futures import ThreadPoolExecutor
gate = threading.Event()
pool = ThreadPoolExecutor(46)
waiting = [pool.submit(gate.wait) for _ in range(45)]
pool.submit(load_orders, 100).result()
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    made = Recorder(tmp_path_factory.mktemp("box"), FAST + RULE)
    made.start()
    made.wait_for(lambda: box_of(made).get("state") == "on", "the black box to be on")
    yield made
    made.close()


Build = Callable[..., str]


@pytest.fixture
def build(tmp_path: Path, require_tool: Callable[[str], str]) -> Build:
    """Compile a C program that burns in one function, with frame pointers."""

    def make(name: str, function: str = "guilty_native") -> str:
        source, program = tmp_path / f"{function}.c", tmp_path / name
        source.write_text(C_PROGRAM.replace("guilty_native", function))
        compiler = [require_tool("gcc"), "-O0", "-fno-omit-frame-pointer"]
        subprocess.run([*compiler, "-o", program, source], check=True)
        return str(program)

    return make


@pytest.fixture(autouse=True)
def ended_targets() -> Iterator[None]:
    """What a test burns ends with it: the next one's spike must not share its core."""
    yield
    for one in STARTED:
        with contextlib.suppress(ProcessLookupError):  # with all that it started
            os.killpg(one.pid, signal.SIGKILL)
        one.wait()
    STARTED.clear()


STARTED: list[subprocess.Popen[Any]] = []


def box_of(daemon: Recorder) -> dict[str, Any]:
    return (daemon.ask("status") or {}).get("black_box") or {}


def held_by(daemon: Recorder) -> set[str]:
    """The functions of all that ran lately, as the box has them now; none while it rests from an answer."""
    now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    try:
        told = json.loads(ask_span(daemon.data_dir, now_ns - 60 * 10**9, now_ns, PATIENCE_S))
    except MonitordError:
        return set()
    return {frame[0] for frame in told["frames"]}


def before(incident: dict[str, Any]) -> dict[str, Any]:
    (found,) = [capture for capture in incident["captures"] if capture["role"] == "before"] or [incident]
    assert "role" in found, found
    assert found["status"] == "ok", found
    assert found["profiler"] == "ring"
    return found


def run(daemon: Recorder, code: str) -> subprocess.Popen[Any]:
    return start(daemon, daemon.interpreter, "-c", PROGRAM + code)


def start(daemon: Recorder, *words: str) -> subprocess.Popen[Any]:
    STARTED.append(daemon.spike(*words, process_group=0))
    return STARTED[-1]


def functions(incident: dict[str, Any]) -> list[str]:
    return [spot["function"] for spot in incident["hotspots"]]


def test_the_function_of_a_spike_is_named_from_before_the_alert(daemon: Recorder) -> None:
    """By the time of its profile the program does something else, and what fired the rule leads all the same."""
    target = run(daemon, "load_orders(3); wait_for_requests(100)")
    incident = daemon.incident(pid=target.pid)
    assert before(incident)["sample_count"] > 0
    assert functions(incident)[0] == "load_orders"


def test_a_c_program_is_named(daemon: Recorder, build: Build) -> None:
    """From its own file."""
    target = start(daemon, build(SPIKE), "100")
    incident = daemon.incident(pid=target.pid)
    before(incident)
    assert functions(incident)[0] == "guilty_native"


def test_children_that_did_the_work_and_are_gone_are_in_their_parents_evidence(
    daemon: Recorder, build: Build, tmp_path: Path
) -> None:
    """The parent alone is caught, when they have ended: a program of C, then one of Python in two phases.

    Each phase lasts until the box has stacks of it: who has to wait for a core is read late. Its clock then shows
    the end of time, because it may be asked for the first time afterwards. No other test has functions of these names.
    """
    names = ["sort_parcels", "weigh_parcels"]
    ends = [tmp_path / name for name in names]
    code = PROGRAM.replace("load_orders", names[0]).replace("price_basket", names[1]) + "import os\n"
    for name, end in zip(names, ends, strict=True):
        code += f'{name}(1.0, lambda: float("inf" if os.path.exists("{end}") else 0))\n'
    target = shell(daemon, f"{build('hot')} 1.5; {python(code)}; {BURN}")
    for name, end in zip(names, ends, strict=True):
        daemon.wait_for(lambda name=name: name in held_by(daemon), f"stacks of {name}")
        end.touch()
    incident = daemon.incident(pid=target.pid)
    ran = [name for stack in stacks_of(daemon, incident) for name in stack[-1:]]
    expected = ["guilty_native", *names]
    assert [name for name in dict.fromkeys(ran) if name in expected] == expected


def test_a_file_that_is_another_one_by_now_gives_no_names(
    daemon: Recorder, build: Build, tmp_path: Path
) -> None:
    """The program ended, and its path has another program: better no name than one of that."""
    hot, other = build("hot"), build("other", "innocent_native")
    target = shell(daemon, f"{hot} 1.5; mv {other} {hot}; {BURN}")
    incident = daemon.incident(pid=target.pid)
    names = {name for stack in stacks_of(daemon, incident) for name in stack}
    assert "[hot]" in names
    assert not {"innocent_native", "guilty_native"} & names


def test_threads_that_wait_take_no_blame(daemon: Recorder) -> None:
    """Forty-five of them, and one that works."""
    target = run(daemon, POOL)
    incident = daemon.incident(pid=target.pid)
    before(incident)
    assert functions(incident)[0] == "load_orders"
    waiting = [spot for spot in incident["hotspots"] if spot["function"] in ("wait", "_worker", "acquire")]
    assert sum(spot["self_share"] for spot in waiting) < 0.1, waiting


def test_what_may_not_be_profiled_leaves_no_stacks(recorder: Callable[..., Recorder]) -> None:
    """Neither a program on the deny list nor one that its parent was asked for."""
    program = Path(sys.executable).resolve()
    denied = FAST.replace("[capture]\n", f'[capture]\ndeny = ["{program}"]\n')
    daemon = recorder(RULE, denied).start()
    daemon.wait_for(lambda: box_of(daemon).get("state") == "on", "the black box to be on")
    target = run(daemon, "load_orders(100)")
    incident = daemon.incident(pid=target.pid)
    assert [one for one in incident["captures"] if one["role"] == "before"] == []
    parent = shell(daemon, f"{python('price_basket(1.5, time.process_time)')}; {BURN}")
    incident = daemon.incident(pid=parent.pid)
    assert stacks_of(daemon, incident)
    assert not {"price_basket"} & {name for stack in stacks_of(daemon, incident) for name in stack}


def test_a_reload_opens_the_rings_anew_and_they_record_on(recorder: Callable[..., Recorder]) -> None:
    """Profiling switched off and on again: off is said with its reason, and then spikes are told as before."""
    daemon = recorder(RULE, FAST).start()
    for consent, state in (("never", "off"), ("auto", "on")):
        daemon.config.write_text(FAST.replace("[capture]\n", f'[capture]\nconsent = "{consent}"\n') + RULE)
        assert daemon.daemon is not None
        daemon.daemon.send_signal(signal.SIGHUP)
        daemon.wait_for(lambda state=state: box_of(daemon).get("state") == state, f"the box to be {state}")
    target = run(daemon, "load_orders(100)")
    incident = daemon.incident(pid=target.pid)
    before(incident)
    assert functions(incident)[0] == "load_orders"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_after_any_end_the_next_recorder_has_a_box(
    recorder: Callable[..., Recorder], number: signal.Signals
) -> None:
    """While an incident is being made: SIGTERM ends it in order, and a kill leaves the rings to nobody."""
    daemon = recorder(RULE, FAST).start()
    run(daemon, "load_orders(100)")
    daemon.wait_for(lambda: "alert.raised" in daemon.log_text(), "the alert")
    assert daemon.stop(number) == (0 if number is signal.SIGTERM else -9)
    if number is signal.SIGTERM:
        assert daemon.left_behind() == []
        assert [row["pid"] for row in daemon.incidents()]
    daemon.start()
    daemon.wait_for(lambda: box_of(daemon).get("state") == "on", "the black box to be on")


def python(code: str) -> str:
    """For a shell."""
    return f"{sys.executable} -c '{PROGRAM}\n{code}'"


def shell(daemon: Recorder, code: str) -> subprocess.Popen[Any]:
    """A shell under the name that the rule knows; what it starts has other names."""
    return start(daemon, daemon.named(SPIKE, "/bin/sh", folder="shells"), "-c", code)


def stacks_of(daemon: Recorder, incident: dict[str, Any]) -> list[list[str]]:
    """The stacks in the order in which they ran, from the root, without the kernel's frames."""
    key = Path(before(incident)["profile_path"]).name
    told = json.loads(daemon.command("storage", "cat", key).stdout)
    return [
        [
            frame[0]
            for frame in (told["frames"][number] for number in told["stacks"][stack])
            if frame[4] != "kernel"
        ]
        for _, _, stack, _ in told["samples"]
    ]
