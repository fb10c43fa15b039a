"""Makes of what a standby process wrote the profile that is kept; a child, because evidence is hostile.

`python -m monitord.profiles.scalene_kept RAW EARLIER FOLDER ROOT HOME SECONDS`: in FOLDER, `scalene.json` is
what RAW has more than EARLIER, as it is kept, `absolute.json` the same with whole paths (to find the sources
by), and `now.json` what RAW says in all, the EARLIER of the next time. SECONDS is how long it was on (Scalene
counts the same seconds again at each signal). Prints the number of all samples; ends with 1 and one line on
stderr when RAW can't be read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from monitord.profiles.errors import ProfileError
from monitord.profiles.scalene_document import (
    Names,
    as_bytes,
    difference,
    from_bytes,
    kept_document,
    sample_count,
)
from monitord.redaction import redact_source

KEPT, ABSOLUTE, NOW = "scalene.json", "absolute.json", "now.json"


def main(arguments: Sequence[str]) -> int:
    """Read, subtract, write."""
    raw, earlier, folder = (Path(argument) for argument in arguments[:3])
    root, home, seconds = arguments[3:6]
    try:
        now = kept_document(raw.read_bytes(), Names("", "", redact_source))
        before = from_bytes(earlier.read_bytes()) if earlier.exists() else {}
        since = difference(now, before)
        if since:
            since = {**since, "elapsed_time_sec": float(seconds)}
        _write(folder / ABSOLUTE, as_bytes(since))
        _write(folder / KEPT, as_bytes(kept_document(as_bytes(since), Names(root, home))))
        _write(folder / NOW, as_bytes(now))
    except (ProfileError, OSError, ValueError, KeyError, TypeError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        print(reason.encode("ascii", "backslashreplace").decode(), file=sys.stderr)  # noqa: T201 - its interface
        return 1
    print(sample_count(now))  # noqa: T201 - as below
    return 0


def _write(path: Path, data: bytes) -> None:
    """The whole file or none of it. The folder is private; who reads it next may be another user than us."""
    draft = path.with_name(f".{path.name}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(data)
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
