"""Reads one artefact in a process of its own, so that hostile evidence can hurt nobody else.

`python -m monitord.profiles FORMAT PATH [--pid P] [--limit N] [--use FILE]` prints one JSON object; 1 and
one line on stderr when the evidence can't be read, 2 when the call is wrong. With `--use`, a file of what
each thread used, py-spy's samples are weighed first, and PATH is written anew. No argparse: it costs 10 ms
of each capture.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from monitord.profiles import ProfileError, hotspots, parse
from monitord.profiles.waiting import only_waited, waiting

_USAGE = "usage: python -m monitord.profiles FORMAT PATH [--pid P] [--limit N] [--use FILE]"


@dataclass(frozen=True, slots=True)
class _Call:
    format: str
    path: Path
    pid: int | None
    limit: int
    use: Path | None = None


def main(arguments: Sequence[str]) -> int:
    """Parse, rank, print."""
    gc.disable()  # nothing here makes cycles, and looking for them is a third of a big profile's time
    call = _read_call(arguments)
    if call is None:
        print(_USAGE, file=sys.stderr)  # noqa: T201  # the child's stdout and stderr are its interface
        return 2
    weighed: dict[str, object] = {}
    try:
        if call.use is not None:
            weighed = _weigh(call.path, call.use)
        with call.path.open("rb") as source:
            profile = parse(call.format, source, pid=call.pid)
        spots = [asdict(spot) for spot in hotspots(profile, call.limit)]
    except (ProfileError, OSError, MemoryError, ValueError, KeyError, TypeError, AttributeError) as error:
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
        "waiting": waiting(profile),
        "only_waited": only_waited(profile),
        **weighed,
    }
    print(json.dumps(answer))  # noqa: T201
    return 0


def _weigh(path: Path, use: Path) -> dict[str, object]:
    """Write the file at `path` anew, weighed; what the reader is told of it."""
    import json

    from monitord.profiles.weighing import weigh

    told = json.loads(use.read_text(encoding="ascii"))
    with path.open("r+", encoding="utf-8", errors="surrogateescape") as file:
        found = weigh(json.load(file), told, float(told["period_s"]))
        file.seek(0)
        json.dump(found.document, file)
        file.truncate()
    return {"explained_share": found.explained_share, "hidden_threads": found.hidden}


def _read_call(arguments: Sequence[str]) -> _Call | None:
    options: dict[str, int] = {}
    use: Path | None = None
    places: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in ("--pid", "--limit"):
            value = next(words, "")
            if not value.isdecimal() or len(value) > 10:
                return None
            options[word] = int(value)
        elif word == "--use":
            use = Path(next(words, ""))
        else:
            places.append(word)
    if len(places) != 2:
        return None
    return _Call(places[0], Path(places[1]), options.get("--pid"), options.get("--limit", 20), use)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
