"""Memory incidents: is the type, mapping or function that grew the one that is named, and what does asking cost?

Programs with a planted leak are observed before and after it, in every CPython from 3.8 on that is here, and in
C; the sentence must name what was planted, and with negatives nothing may be named. The peer of the cost is the
interpreter itself: `Counter(type(o) for o in gc.get_objects())` in the target, which stands still meanwhile.
"""

# ruff: noqa: E501 - a program or a sentence stays on one line
from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from recording import Row, command_of, judged, parser, show

from monitord import procfs
from monitord.causes import memory
from monitord.causes.facts import Facts
from monitord.model import Alert, Cause
from tests.causes.programs import grown_while_watched, interpreters, running

COMMAND = command_of(__file__)
HEAD = """
import sys
def step():
    print("ready", flush=True)
    sys.stdin.readline()
NOISE = [[str(n), n * 1.5, {n: n}] for n in range(20_000)]
"""
CLASS = "class {0}:\n    def __init__(self, n): self.n, self.text, self.items = n + 300, 'text %d' % n, [n]\n"
SLOTS = "class {0}:\n    __slots__ = ('n', 'text')\n    def __init__(self, n): self.n, self.text = n + 300, str(n)\n"
# What leaks, and what the sentence must have (| between alternatives).
PYTHON = {
    "instances": (CLASS.format("Order") + "kept = []\nstep()\nkept += map(Order, range(60_000))\n", "Order"),
    "instances in a dict": (
        CLASS.format("Entry") + "kept = {}\nstep()\nfor n in range(60_000): kept['k%d' % n] = Entry(n)\n", "Entry",
    ),
    "slots": (SLOTS.format("Point") + "kept = []\nstep()\nkept += map(Point, range(120_000))\n", "Point"),
    "metaclass": (
        "class Meta(type): pass\nclass Job(metaclass=Meta):\n    def __init__(self, n): self.n = [n]\n"
        "kept = []\nstep()\nkept += map(Job, range(80_000))\n", "Job",
    ),
    "dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass Row:\n    a: int\n    b: str\n"
        "kept = []\nstep()\nkept += [Row(n + 300, str(n)) for n in range(100_000)]\n", "Row",
    ),
    "named tuple": (
        "from collections import namedtuple\nPair = namedtuple('Pair', 'left right')\nkept = []\nstep()\n"
        "kept += [Pair(n + 300, str(n)) for n in range(100_000)]\n", "Pair",
    ),
    "exceptions with tracebacks": (
        "class Failed(Exception): pass\ndef fail(n):\n    try: raise Failed('number %d' % n)\n"
        "    except Failed as error: return error\nkept = []\nstep()\nkept += map(fail, range(60_000))\n", "Failed",
    ),
    "linked nodes": (
        "class Node:\n    __slots__ = ('next', 'value')\nhead = None\nstep()\n"
        "for n in range(200_000):\n    node = Node()\n    node.next, node.value, head = head, n + 300, node\n", "Node",
    ),
    "cycles": (
        "import gc\ngc.disable()\nclass Loop:\n    def __init__(self): self.me, self.data = self, [1, 2, 3]\n"
        "step()\nfor n in range(80_000): Loop()\n", "Loop",
    ),
    "closures": (
        "def make(n):\n    def inner(): return n\n    return inner\nkept = []\nstep()\nkept += map(make, range(300, 120_000))\n",
        " function",
    ),
    "cached bytes": ("kept = {}\nstep()\nfor n in range(30_000): kept[n] = b'x' * 800 + b'%d' % n\n", " bytes"),
    "large texts": ("kept = []\nstep()\nfor n in range(40): kept.append('x' * 1_000_000 + str(n))\n", " str"),
    "one buffer": ("kept = bytearray(100)\nstep()\nfor n in range(40): kept += b'y' * 1_000_000\n", "bytearray"),
    "numbers": ("kept = []\nstep()\nkept += range(10_000, 900_000)\n", " int"),
    "floats": ("kept = []\nstep()\nkept += [n * 1.5 for n in range(900_000)]\n", " float"),
    "rows as dicts": (
        "kept = []\nstep()\nkept += [{'id': n + 300, 'name': str(n), 'tags': []} for n in range(60_000)]\n", " dict",
    ),
    "tuples": ("kept = []\nstep()\nkept += [(n + 300, n + 600, n + 900) for n in range(150_000)]\n", " tuple"),
    "a set of texts": ("kept = set()\nstep()\nkept |= {'item%d' % n for n in range(300_000)}\n", " str"),
    "two alike": (
        CLASS.format("Left") + CLASS.format("Right") + "kept = []\nstep()\n"
        "for n in range(40_000): kept += (Left(n), Right(n))\n", "Left&Right",
    ),
    "in place of what was freed": (
        CLASS.format("Old") + SLOTS.format("New") + "old = list(map(Old, range(60_000)))\nkept = old[::500]\ndel old\n"
        "step()\nkept += map(New, range(300_000))\n", "New",
    ),
    "malloc of an extension": (
        "import ctypes\nlibrary = ctypes.CDLL(None)\nlibrary.malloc.restype = ctypes.c_void_p\n"
        "library.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]\nstep()\n"
        "for n in range(300): library.memset(library.malloc(100_000), 1, 100_000)\n", "the heap&no type",
    ),
    "shared memory": (
        "import mmap, os\nfile = os.open('/dev/shm/monitord-planted', os.O_RDWR | os.O_CREAT, 0o600)\n"
        "os.unlink('/dev/shm/monitord-planted')\nos.ftruncate(file, 40 << 20)\nkept = mmap.mmap(file, 40 << 20)\n"
        "step()\nkept[:] = b'x' * (40 << 20)\n", "monitord-planted",
    ),
    "nothing: a plateau": ("kept = [str(n) for n in range(400_000)]\nstep()\nkept.append(1)\n", "!grew"),
    "nothing: churn": ("step()\nfor n in range(200): kept = [str(m) for m in range(10_000)]\n", "!grew"),
}  # fmt: skip
C_HEAD = """#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#define OWN __attribute__((noinline))
void *kept[1 << 20]; volatile int number;
OWN void put(int size) { char *one = malloc(size); memset(one, 1, size); kept[number++] = one; }
OWN void put_more(int size) { char *one = malloc(size); memset(one, 2, size); kept[number++] = one; }
OWN void put_zeroed(int size) { char *one = calloc(1, size); one[size / 2] = 1; kept[number++] = one; }
OWN void give_back(int size) { char *one = malloc(size); memset(one, 3, size); number += one[7] == 9; free(one); }
static void step(void) { puts("ready"); fflush(stdout); getchar(); }
int main(void) { step(); %s step(); return 0; }
"""
# With the page faults between the steps: who brought it in is named, or that nobody can be (`!`).
C = {
    "small blocks": ("for (int n = 0; n < 9000; n++) put(3000);", "put &the heap"),
    "blocks of two pages": ("for (int n = 0; n < 5000; n++) put(8000);", "put &the heap"),
    "small objects": ("for (int n = 0; n < 200000; n++) put(100);", "put &the heap"),
    "large blocks": ("for (int n = 0; n < 40; n++) put(1 << 20);", "put &anonymous memory"),
    "zeroed blocks": ("for (int n = 0; n < 9000; n++) put_zeroed(3000);", "put_zeroed &the heap"),
    "beside one that gives back": ("for (int n = 0; n < 9000; n++) { give_back(500); put(5000); }", "put &the heap"),
    "two alike": ("for (int n = 0; n < 9000; n++) { put(3000); put_more(3000); }", "not known&put &put_more "),
    "another used it first": ("for (int n = 0; n < 9000; n++) { put(3000); give_back(2500); }", "!give_back"),
    "another used large blocks first": ("for (int n = 0; n < 900; n++) { give_back(900000); put(90000); }", "!give_back"),
    "nothing stays": ("for (int n = 0; n < 900; n++) give_back(900000);", "!give_back"),
    "mmap": (
        "for (int n = 0; n < 20; n++) memset(mmap(0, 2 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, 2 << 20);",
        "anonymous memory",
    ),
}  # fmt: skip
BIG = HEAD + CLASS.format("Order") + SLOTS.format("Hit") + """
import gc, time
from collections import Counter
kept = list(map(Order, range(1_000_000)))
more = {n: [n, str(n), n * 1.5] for n in range(1_200_000)}
step()
kept += map(Hit, range(300_000))
begin = time.process_time()
Counter(type(one) for one in gc.get_objects())
print(time.process_time() - begin, flush=True)
sys.stdin.readline()
"""  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said of one program, and what saying it cost."""

    cause: Cause | None
    cpu_s: float
    wall_s: float
    said: str


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--versions", nargs="*", help="only these versions of CPython, such as 3.11")
    arguments = options.parse_args()
    found = {
        version: words
        for version, words in sorted(interpreters().items(), key=lambda one: int(one[0][2:]))
        if version in (arguments.versions or [version])
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        results = {}
        for version, interpreter in found.items():
            for name, (text, expected) in PYTHON.items():
                if interpreter[0] == "chroot" and "ftruncate" in text:
                    continue  # its root folder has no /dev/shm
                answer = grown([*interpreter, "-c", HEAD + text + "step()\n"])
                results[f"{version} {name}"] = is_right(answer.cause, expected)
                report(f"{version} {name}", results[f"{version} {name}"], answer)
        for name, (text, expected) in C.items():
            answer = grown_with_faults([str(compiled(Path(folder), C_HEAD % text))])
            results[f"C {name}"] = is_right(answer.cause, expected)
            report(f"C {name}", results[f"C {name}"], answer)
    right = sum(results.values())
    rows.append(
        Row(
            f"what grew is named, {len(results)} planted programs (CPython {', '.join(found)}; C)",
            f"{right} right, {100 * right / len(results):.1f} %",
            "–", "≥ 90 %", right >= 0.9 * len(results), COMMAND,
        )
    )  # fmt: skip
    rows.append(cost_of_large())
    show(rows, arguments.rows)


def cost_of_large() -> Row:
    """A process of some 700 MiB, of which a part is read."""
    answer = grown([sys.executable, "-c", BIG])
    report("large", is_right(answer.cause, "Hit"), answer)
    said = answer.cause.sentence if answer.cause else "nothing"
    count = re.search(r"\+([\d,]+) (?:\w+ with as many )?__main__\.Hit", said)
    near = f"{count[1]} of 300,000 counted" if count else "not named"
    return Row(
        "a look at a Python process of 700 MiB: CPU, wall",
        f"{answer.cpu_s:.2f} s, {answer.wall_s:.2f} s; {near}",
        f"gc.get_objects() in the target, which stands still: {float(answer.said):.2f} s",
        "≤ 0.5 s of CPU, ≤ 1 s", judged(answer.cpu_s <= 0.5 and answer.wall_s <= 1), COMMAND,
    )  # fmt: skip


def grown(command: Sequence[str]) -> Answer:
    """What is said of the growth between the two steps of a program."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            key = procfs.key_of(process.pid)
            assert key is not None
            before = memory.observe(key.pid, key.start_ticks)
            process.stdin.write("\n")
            process.stdin.flush()
            said = process.stdout.readline()
            cpu_s, wall_s = time.process_time(), time.monotonic()
            after = memory.observe(key.pid, key.start_ticks)
            cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - wall_s
            alert = Alert.unraised("memory-leak", key, "planted", 0.0, datetime.now(UTC))
            cause = memory.explain(Facts(alert, before=before, after=after))
            return Answer(cause, cpu_s, wall_s, said.strip())
        finally:
            process.kill()


def grown_with_faults(command: Sequence[str]) -> Answer:
    """The same of a native program, whose page faults between the steps are seen; None where none are granted."""
    began_s = time.monotonic()
    with running(command) as program:
        cause = grown_while_watched(program)
    return Answer(cause, 0.0, time.monotonic() - began_s, program.said)


def is_right(cause: Cause | None, expected: str) -> bool:
    """Whether a sentence names all parts (&), or does not say that something grew (!)."""
    if cause is None:
        return False
    if expected.startswith("!"):
        return expected[1:] not in cause.sentence
    lead = cause.sentence.partition(": about")[0]
    return all(part in lead for part in expected.split("&"))


def report(name: str, is_good: bool, answer: Answer) -> None:
    said = answer.cause.sentence if answer.cause else "nothing"
    print(f"{'right' if is_good else 'WRONG'} {name}: {said} ({answer.cpu_s:.2f} s)", flush=True)


def compiled(folder: Path, text: str) -> Path:
    compiler = shutil.which("gcc")
    assert compiler is not None, "needs gcc"
    (folder / "leak.c").write_text(text)
    subprocess.run([compiler, "-O2", "-o", folder / "leak", folder / "leak.c"], check=True)
    return folder / "leak"


if __name__ == "__main__":
    main()
