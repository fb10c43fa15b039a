"""Two profiles beside each other: of two incidents, or of an incident and its program's baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitord.actions.workspace import Workspace
from monitord.errors import NotFoundError, UsageError
from monitord.export.evidence import Comparable, Evidence, compared, evidence_of, write_form
from monitord.storage.ids import short_id
from monitord.storage.queries import StoreReader
from monitord.storage.views import IncidentView

Difference = Mapping[str, Any]
_FRAMES = 30


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that was found (keys as in docs/output.md), and what of it is worth showing.

    `moved` by more than chance explains; `edited` did not, but their code changed.
    """

    found: Mapping[str, Any]
    moved: Sequence[Difference]
    edited: Sequence[Difference]


def compare(before: Comparable, after: Comparable) -> Comparison:
    """Say what is hotter, cooler, new or gone, function by function, and whether the code changed."""
    found = compared(before, after)
    told = found["differences"]
    moved = [one for one in told if not one["is_noise"] and one["verdict"] != "same"]
    edited = [one for one in told if one["code"] in ("changed", "renamed") and one not in moved]
    return Comparison(found, moved, edited)


def hottest_stacks(found: Evidence, limit: int) -> list[dict[str, Any]]:
    """Return a profile's heaviest stacks: share, samples, and the last frames with the leaf at the end."""
    folded = write_form(found, "folded", None).content.decode("utf-8", "replace")
    weighed = []
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        if count.isdigit():
            weighed.append((int(count), stack.split(";")))
    total = sum(count for count, _stack in weighed) or 1
    weighed.sort(key=lambda pair: -pair[0])
    return [
        {"share": round(count / total, 4), "samples": count, "frames": stack[-_FRAMES:]}
        for count, stack in weighed[:limit]
    ]


def evidence(workspace: Workspace, name: str) -> Evidence:
    """Return an incident's best profile with its bytes; raises NotFoundError where there is none."""
    with workspace.reader() as reader:
        return evidence_of(reader.incident(reader.find(name).correlation_id), reader.payload)


def both_sides(
    workspace: Workspace, first: str, second: str | None, *, baseline: bool = False
) -> tuple[Evidence, Evidence]:
    """Return both profiles, the earlier one first: of two incidents, or of a baseline and its incident."""
    if baseline == (second is not None):
        raise UsageError("invalid call: expected `monitord compare A B` or `monitord compare A --baseline`")
    with workspace.reader() as reader:
        before, after = _views(reader, first, second)
        return evidence_of(before, reader.payload), evidence_of(after, reader.payload)


def _views(reader: StoreReader, first: str, second: str | None) -> tuple[IncidentView, IncidentView]:
    found = reader.incident(reader.find(first).correlation_id)
    if second is not None:
        return found, reader.incident(reader.find(second).correlation_id)
    if found.baseline is None:
        raise NotFoundError(
            f"cannot find a baseline of incident {short_id(found.correlation_id)}: none was taken of this"
            " version of its program in quiet times; `monitord recent --baselines` lists them"
        )
    return reader.incident(found.baseline.correlation_id), found
