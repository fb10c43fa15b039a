"""Several looks at one process, one after the other, as one dump: what it did over time, not once."""

from __future__ import annotations

from dataclasses import replace

from monitord.capture.dumps import join_dumps
from monitord.model import Capture, counted

_FORMATS = ("py-spy-dump", "eu-stack", "folded")


def joined(earlier: Capture, later: Capture) -> Capture:
    """Return the earlier dump with the samples of the later one, or as it was where they don't belong
    together.

    A look at another program (it was executed in between) belongs to no earlier one.
    """
    if earlier.payload is None or later.payload is None or not _are_alike(earlier, later):
        return earlier
    joins = join_dumps if earlier.format == "py-spy-dump" else bytes.__add__
    count = int(earlier.notes.get("looks", "1").split()[0]) + 1
    span_s = (later.started_at - earlier.started_at).total_seconds() + later.duration_s
    return replace(
        earlier,
        payload=joins(earlier.payload, later.payload),
        duration_s=span_s,
        sample_count=(earlier.sample_count or 0) + (later.sample_count or 0),
        notes={**earlier.notes, "looks": f"{counted(count, 'look')} within {span_s:.1f} s, before the alert"},
    )


def _are_alike(earlier: Capture, later: Capture) -> bool:
    return (
        earlier.format in _FORMATS
        and (earlier.format, earlier.target) == (later.format, later.target)
        and (earlier.image is None or later.image is None or earlier.image == later.image)
    )
