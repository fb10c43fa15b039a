"""Folds `perf script` while it is written: `perf_fold.py PERF DATA OUTPUT`, a supervised child run by path.

One output line per stack, root first: `name (module);name (module) COUNT`. Standard library only, memory
bounded by the number of different stacks (capped). Format of a sample (perf 6.1, fields named below): a head
line, leaf-first lines `ip symbol (module)`, an empty line.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator

FIELDS = "comm,pid,tid,time,ip,sym,dso"
_STACK_CAP = 50_000
_DEPTH_CAP = 256


def frame(line: str) -> str:
    """One `ip symbol (module)` line as a folded frame; what separates frames may not be in it."""
    _, _, rest = line.strip().partition(" ")
    symbol, opened, module = rest.rpartition(" (")
    if not opened:
        symbol, module = rest, ")"
    words = f"{symbol or '[unknown]'} ({module}"
    return words.replace(";", ":").replace("\t", " ")


def stacks(lines: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """The stacks of perf script's text, root first."""
    frames: list[str] = []
    for line in lines:
        if not line.strip():
            if frames:
                yield tuple(reversed(frames))
            frames = []
        elif line[0] in " \t" and len(frames) < _DEPTH_CAP:
            frames.append(frame(line))
    if frames:
        yield tuple(reversed(frames))


def main() -> int:
    perf, data, output = sys.argv[1:4]
    command = [perf, "script", "--no-inline", "-F", FIELDS, "-i", data]
    counts: Counter[tuple[str, ...]] = Counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        for stack in stacks(process.stdout or ()):
            if stack in counts or len(counts) < _STACK_CAP:
                counts[stack] += 1
    if counts:
        with open(output, "w", errors="replace") as file:
            file.writelines(f"{';'.join(stack)} {count}\n" for stack, count in counts.most_common())
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
