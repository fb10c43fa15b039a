"""Reads one artefact in a process of its own, so that hostile evidence can hurt nobody else.

`python -m monitord.profiles FORMAT PATH [--pid P] [--limit N]` prints one JSON object; 1 and one line on
stderr when the evidence can't be read, 2 when the call is wrong. No argparse: it costs 10 ms of each capture.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from monitord.profiles import ProfileError, hotspots, parse

_USAGE = "usage: python -m monitord.profiles FORMAT PATH [--pid P] [--limit N]"


@dataclass(frozen=True, slots=True)
class _Call:
    format: str
    path: Path
    pid: int | None
    limit: int


def main(arguments: Sequence[str]) -> int:
    """Parse, rank, print."""
    gc.disable()  # nothing here makes cycles, and looking for them is a third of a big profile's time
    call = _read_call(arguments)
    if call is None:
        print(_USAGE, file=sys.stderr)  # noqa: T201  # the child's stdout and stderr are its interface
        return 2
    try:
        with call.path.open("rb") as source:
            profile = parse(call.format, source, pid=call.pid)
        spots = [asdict(spot) for spot in hotspots(profile, call.limit)]
    except (ProfileError, OSError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        print(reason.encode("ascii", "backslashreplace").decode(), file=sys.stderr)  # noqa: T201
        return 1
    import json

    answer = {
        "sample_count": profile.sample_count,
        "error_count": profile.errors,
        "hotspots": spots,
        "unit": profile.unit,
        "period_s": profile.period_s,
        "notes": profile.notes,
    }
    print(json.dumps(answer))  # noqa: T201
    return 0


def _read_call(arguments: Sequence[str]) -> _Call | None:
    options: dict[str, int] = {}
    places: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in ("--pid", "--limit"):
            value = next(words, "")
            if not value.isdecimal() or len(value) > 10:
                return None
            options[word] = int(value)
        else:
            places.append(word)
    if len(places) != 2:
        return None
    return _Call(places[0], Path(places[1]), options.get("--pid"), options.get("--limit", 20))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
