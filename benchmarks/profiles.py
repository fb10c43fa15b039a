"""Profiles: how fast evidence is read, compared and written, beside the least that could be done with it.

Evidence is made up with the shapes of real captures: folded stacks 5 to 36 frames deep with full paths; the
recorded perf script over and over, so that its stacks repeat as those of a real recording do. CPU seconds of
this process, the median of several runs.
"""

from __future__ import annotations

import ast
import gc
import io
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from recording import ROOT, Row, command_of, parser, show

from monitord.profiles import Profile, hotspots, parse
from monitord.profiles.ast_ids import Source
from monitord.profiles.comparing import compare
from monitord.profiles.writing import WRITERS, write

COMMAND = command_of(__file__)
PERF_SAMPLE = ROOT / "tests/profiles/samples/perf-script-dwarf-python3.11.txt"
STACKS = 10_000
ROOT_FRAMES = "thread (9684): MainThread;<module> (/srv/app/main.py:29)"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=7)
    arguments = options.parse_args()
    gc.disable()  # as in the child that reads evidence
    runs = arguments.runs
    rows = [*reading(runs), comparing(runs), *writing(runs), identifying(runs)]
    show(rows, arguments.rows)


def reading(runs: int) -> list[Row]:
    """Parsing, with and without the hotspots, beside reading the lines and splitting them."""
    deep, shallow = folded(10_000_000), folded(10_000_000, deepest=4, names=50_000)
    perf = PERF_SAMPLE.read_bytes()
    perf *= 50_000_000 // len(perf)
    rows = []
    for what, form, data, split_at, budget in (
        ("10 MB folded", "folded", deep, b";", 50),
        ("10 MB folded, short lines, all different", "folded", shallow, b";", None),
        ("50 MB perf script", "perf-script", perf, b" ", None),
    ):
        parse_s = cpu_s(lambda form=form, data=data: parse(form, data), runs)
        both_s = cpu_s(lambda form=form, data=data: hotspots(parse(form, data)), runs)
        raw_s = cpu_s(
            lambda data=data, at=split_at: sum(len(line.split(at)) for line in io.BytesIO(data)), runs
        )
        rate = len(data) / 1e6 / parse_s
        rows.append(
            Row(
                f"parsing {what}",
                f"{rate:.0f} MB/s ({parse_s:.2f} s; with the hotspots {both_s:.2f} s)",
                f"reading and splitting the lines {len(data) / 1e6 / raw_s:.0f} MB/s",
                f"≥ {budget} MB/s" if budget else "–",
                rate >= budget if budget else None,
                COMMAND,
            )
        )
    return rows


def comparing(runs: int) -> Row:
    before, after = profile(1), profile(2)
    took_s = cpu_s(lambda: compare(before, after), runs)
    raw_s = cpu_s(lambda: [count_frames(one) for one in (before, after)], runs)
    stacks = f"{len(before.stacks):,} and {len(after.stacks):,} stacks"
    return Row(
        f"comparing two profiles, {stacks}",
        f"{took_s:.3f} s",
        f"counting their frames once {raw_s:.3f} s",
        "≤ 0.5 s",
        took_s <= 0.5,
        COMMAND,
    )


def count_frames(given: Profile) -> Counter[int]:
    found: Counter[int] = Counter()
    for (_thread, stack), _value in given.stacks.items():
        found.update(set(stack))
    return found


def writing(runs: int) -> list[Row]:
    given = profile(1)
    raw = [list(stack) for _thread, stack in given.stacks]
    raw_s = cpu_s(lambda: json.dumps(raw), runs)
    rows = []
    for form in WRITERS:
        took_s = cpu_s(lambda form=form: write(form, given), runs)
        size = len(write(form, given)) / 1e6
        rows.append(
            Row(
                f"writing {len(given.stacks):,} stacks as {form}",
                f"{took_s:.2f} s, {size:.1f} MB",
                f"their numbers alone as JSON {raw_s:.2f} s",
                "–",
                None,
                COMMAND,
            )
        )
    return rows


def identifying(runs: int) -> Row:
    text = Path(ast.__file__).read_text(encoding="utf-8")
    took_s = cpu_s(lambda: Source("/usr/lib/python3.11/ast.py", text).facts("NodeVisitor.visit", 414), runs)
    raw_s = cpu_s(lambda: ast.parse(text), runs)
    return Row(
        f"ids of one function in a source file of {len(text) // 1000} kB",
        f"{took_s * 1e3:.0f} ms",
        f"ast.parse alone {raw_s * 1e3:.0f} ms",
        "–",
        None,
        COMMAND,
    )


def folded(size: int, *, deepest: int = 35, names: int = 600, seed: int = 1) -> bytes:
    """Stacks of a made-up program: so many functions in 60 files, each seen on three of its lines."""
    chance = random.Random(seed)
    words = [
        f"Class{n % 40}.method_{n} (/srv/app/package{n % 7}/module_{n % 60}.py:{chance.randint(1, 900)})"
        for n in range(names)
        for _ in range(3)
    ]
    lines, total = [], 0
    while total < size:
        frames = chance.choices(words, k=chance.randint(min(4, deepest), deepest))
        line = f"{ROOT_FRAMES};{';'.join(frames)} {chance.randint(1, 40)}\n"
        lines.append(line)
        total += len(line)
    return "".join(lines).encode()


def profile(seed: int) -> Profile:
    lines = folded(STACKS * 1_400, seed=seed).splitlines(keepends=True)[:STACKS]
    return parse("folded", b"".join(lines))


def cpu_s(action: Callable[[], object], runs: int) -> float:
    """CPU seconds of an action: the median, the first run not counted."""
    action()
    taken = []
    for _ in range(runs):
        began = time.process_time()
        action()
        taken.append(time.process_time() - began)
        gc.collect()
    return statistics.median(taken)


if __name__ == "__main__":
    main()
