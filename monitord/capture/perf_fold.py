"""Folds `perf script` while it is written: PERF DATA OUTPUT FILES, the arguments of a supervised child.

One output line per stack, root first: `name (module);name (module) COUNT`. Memory is bounded by the number of
different stacks (capped). Format of a sample (perf 6.1, fields named below): a head line, leaf-first lines
`ip symbol (module)`, an empty line; ip is an offset into the module's file. FILES: JSON, the target's own
files by the names in its maps, each as the number of an inherited descriptor.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from monitord.symbols.names import UNKNOWN, Names

FIELDS = "comm,pid,tid,time,ip,sym,dso"
_STACK_CAP = 50_000
_DEPTH_CAP = 256
_FILES_BYTES = 1024 * 1024
_OFFSET = re.compile(r"[0-9a-f]{1,16}")


def frame(line: str, names: Names | None = None) -> str:
    """Return an `ip symbol (module)` line as a folded frame; what separates frames may not be in it."""
    offset, _, rest = line.strip().partition(" ")
    # A path may hold brackets, too.
    symbol, opened, module = rest.partition(" (/") if " (/" in rest else rest.rpartition(" (")
    module = f"/{module}" if opened == " (/" else module
    if not opened:
        symbol, module = rest, ")"
    if names is not None and names.is_another(module[:-1]):
        symbol = UNKNOWN  # perf took the name from a file that is not the one that was mapped
    if symbol in ("", UNKNOWN) and names is not None and module.endswith(")"):
        words = f"{UNKNOWN} ({module}"
        if _OFFSET.fullmatch(offset):
            words = names.name(offset, module[:-1])
    else:
        words = f"{symbol or UNKNOWN} ({module}"
    return words.replace(";", ":").replace("\t", " ")


def stacks(lines: Iterable[str], names: Names | None = None) -> Iterator[tuple[str, ...]]:
    """Yield the stacks of perf script's text, root first."""
    frames: list[str] = []
    for line in lines:
        if not line.strip():
            if frames:
                yield tuple(reversed(frames))
            frames = []
        elif line[0] in " \t" and len(frames) < _DEPTH_CAP:
            frames.append(frame(line, names))
        elif names is not None:
            names.note(line)
    if frames:
        yield tuple(reversed(frames))


def folded(counts: Mapping[tuple[str, ...], int]) -> Iterator[str]:
    """Yield the lines of the folded form."""
    return (f"{';'.join(stack)} {count}\n" for stack, count in counts.items())


def _given(path: str) -> dict[str, int]:
    with open(path, "rb") as file:
        return {str(name): int(number) for name, number in json.loads(file.read(_FILES_BYTES)).items()}


def main() -> int:
    """Fold; perf's exit status."""
    perf, data, output, files = sys.argv[1:5]
    command = [perf, "script", "--no-inline", "--show-mmap-events", "-F", FIELDS, "-i", data]
    counts: Counter[tuple[str, ...]] = Counter()
    left_out = 0
    names = Names(_given(files))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="surrogateescape") as process:
        for stack in stacks(process.stdout or (), names):
            if stack in counts or len(counts) < _STACK_CAP:
                counts[stack] += 1
            else:
                left_out += 1
    if left_out:
        counts["[other stacks]",] += left_out
    if counts:
        with Path(output).open("w", errors="replace") as file:
            file.writelines(folded(dict(counts.most_common())))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
