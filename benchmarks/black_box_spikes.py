"""Stacks from before an alert: planted spikes in programs of ten kinds, asked for when they are over.

    python benchmarks/black_box_spikes.py --spikes 200

A spike of 0.5 to 20 s (5 s with 40 spikes, so that it takes minutes) runs in one function of a program. When
it is over, and its process with it, the black box is asked as by an alert, in its own process. Right is a
spike with at least ten stacks of the planted function, and it, or the function of the library that it calls
without end, is the hottest, as `show` tells it. Spikes are of
CPU time: on a busy machine they take longer. Needs root, or CAP_PERFMON.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from recording import Row, command_of, judged, load, parser, show

from monitord import procfs
from monitord.capture.before import RingNames
from monitord.model import Capture, CaptureStatus, ProcessKey
from monitord.pipeline.failures import Failures
from monitord.profiles import hotspots, parse
from monitord.stacks.box import SPAN_NS, BlackBox, now_ns
from monitord.stacks.opening import BoxSettings
from monitord.stacks.rings import Rings

COMMAND = command_of(__file__)
BUDGET, STACKS, LONG_S = 0.95, 10, 1.0
PLANTED = "planted_spike"
# Called without end by the planted function, which is on the same stacks: the top is what runs the C code.
OF_THE_LIBRARY = {"expressions": ("findall",), "json": ("JSONDecoder.raw_decode",)}
PRELUDE = """
import json, re, sys, threading, time, zlib
LENGTH = float(sys.argv[1])
clock = time.process_time
"""
LOOP = """
def planted_spike():
    end = clock() + LENGTH
    while clock() < end:
        for number in range(5000): number * number
"""
PYTHON = {
    "loop": LOOP + "planted_spike()",
    "idle threads": LOOP
    + "gate = threading.Event()\n"
    + "[threading.Thread(target=gate.wait, daemon=True).start() for _ in range(20)]\nplanted_spike()",
    "other thread": LOOP + "one = threading.Thread(target=planted_spike)\none.start()\none.join()",
    "recursion": LOOP + "def deeper(n):\n    planted_spike() if not n else deeper(n - 1)\ndeeper(80)",
    "expressions": "def planted_spike():\n    end = clock() + LENGTH\n"
    "    while clock() < end: re.findall(r'(a+b)+', 'aaaaab' * 300)\nplanted_spike()",
    "json": "def planted_spike():\n    end = clock() + LENGTH\n"
    "    text = json.dumps([{'a': [1, 2, 3], 'b': 'c' * 40}] * 500)\n"
    "    while clock() < end: json.loads(text)\nplanted_spike()",
    "compression": "def planted_spike():\n    end = clock() + LENGTH\n    data = bytes(range(256)) * 400\n"
    "    while clock() < end: zlib.compress(data)\nplanted_spike()",
    "child": LOOP + "import os\nif not os.fork():\n    planted_spike()\n    os._exit(0)\nos.wait()",
}
C = """
#include <stdlib.h>
#include <time.h>
static volatile unsigned long sum;
{linkage} void {declared}(double seconds) {{
    clock_t end = clock() + seconds * CLOCKS_PER_SEC;
    while (clock() < end) for (int i = 0; i < 100000; i++) sum += i;
}}
int main(int count, char **words) {{ {called}(atof(words[1])); return 0; }}
"""


@dataclass(frozen=True, slots=True)
class Spike:
    """What became of one."""

    kind: str
    length_s: float
    stack_count: int
    hottest: str

    @property
    def is_right(self) -> bool:
        is_named = PLANTED in self.hottest or self.hottest in OF_THE_LIBRARY.get(self.kind, ())
        return self.stack_count >= STACKS and is_named


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--spikes", type=int, default=40)
    options.add_argument("--seed", type=int, default=7)
    options.add_argument("--longest", type=float, help="seconds; default 20 with 200 spikes or more, else 5")
    arguments = options.parse_args()
    try:
        Rings.open().close()
    except OSError as error:
        sys.exit(f"cannot open the rings: {error}; try as root")
    longest_s = arguments.longest or (20.0 if arguments.spikes >= 200 else 5.0)
    failures = Failures()
    box = BlackBox(BoxSettings(), lambda _name, _executable: True, failures.run)
    box.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o711)
            commands = programs(Path(folder))
            random_ = random.Random(arguments.seed)
            spikes = [
                one_spike(box, kind, words, random_.uniform(0.5, longest_s), Path(folder))
                for kind, words in (list(commands.items()) * arguments.spikes)[: arguments.spikes]
            ]
        status = box.status()
    finally:
        box.close(5)
    print(f"load {load()}; {json.dumps(status)}; failures {failures.counts}")
    show([row_of(spikes, status)], arguments.rows)


def programs(folder: Path) -> Mapping[str, Sequence[str]]:
    """The command of each kind; the length of the spike comes behind it."""
    found = {}
    for kind, code in PYTHON.items():
        path = folder / f"spike_{kind.replace(' ', '_')}.py"
        path.write_text(PRELUDE + code + "\n")
        found[kind] = (sys.executable, str(path))
    flags = ("-O0", "-fno-omit-frame-pointer")
    c, cpp = (
        C.format(linkage="", declared=PLANTED, called=PLANTED),
        C.format(linkage="namespace app {", declared=PLANTED, called=f"app::{PLANTED}").replace(
            "}\nint main", "}}\nint main"
        ),
    )
    for kind, compiler, name, text in (("C", "gcc", "c.c", c), ("C++", "g++", "cpp.cpp", cpp)):
        (folder / name).write_text(text)
        program = str(folder / Path(name).stem)
        subprocess.run([compiler, *flags, "-o", program, folder / name], check=True)
        found[kind] = (program,)
    return found


def one_spike(box: BlackBox, kind: str, words: Sequence[str], length_s: float, folder: Path) -> Spike:
    """Plant one; when its process is gone, ask what it was."""
    process = subprocess.Popen([*words, str(length_s)])
    key = procfs.key_of(process.pid)
    process.wait()
    time.sleep(0.3)
    assert key is not None, "it was there a moment ago"
    found = box.take(key, now_ns() - SPAN_NS, now_ns())
    if found is None:
        return Spike(kind, length_s, 0, "")
    taken = Capture(
        role="before", profiler="ring", status=CaptureStatus.OK, started_at=datetime.now(UTC), duration_s=0.0,
        target=ProcessKey(*(key.pid, key.start_ticks)), format="ring", payload=found.payload,
    )  # fmt: skip
    named = RingNames().put_in(taken, folder / "spool").payload or b""
    profile = parse("ring", named, pid=key.pid)
    stacks = sum(
        count
        for (_thread, stack), count in profile.stacks.items()
        if any(PLANTED in profile.frames[number].name for number in stack)
    )
    hottest = next((spot.function for spot in hotspots(profile, 1)), "")
    return Spike(kind, length_s, int(stacks), hottest)


def row_of(spikes: Sequence[Spike], status: Mapping[str, object]) -> Row:
    long = [one for one in spikes if one.length_s >= LONG_S]
    short = [one for one in spikes if one.length_s < LONG_S]
    right = sum(one.is_right for one in long)
    for one in spikes:
        if not one.is_right:
            print(f"not right: {one}")
    wrong = Counter(one.kind for one in long if not one.is_right)
    kinds = ", ".join(f"{count} {kind}" for kind, count in wrong.items()) or "none"
    told = (
        f"{right} of {len(long)} of 1 s and more have ≥ {STACKS} stacks and the right function"
        f" (not: {kinds}); of shorter ones {sum(one.is_right for one in short)} of {len(short)}"
    )
    beside = (
        f"{status['read']} Python stacks read, {status['unreadable']} unreadable, {status['impossible']}"
        f" impossible; box {status['own_cpu_percent']} % of one core"
    )
    kinds_count = len({one.kind for one in spikes})
    return Row(
        f"{len(spikes)} planted spikes of {kinds_count} kinds, asked for when they are over",
        told,
        beside,
        f"≥ {100 * BUDGET:.0f} %",
        judged(right >= BUDGET * len(long)),
        COMMAND,
    )


if __name__ == "__main__":
    main()
