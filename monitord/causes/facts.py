"""What an explainer is given, read from one JSON document and the evidence that lies beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from monitord.model import Alert, HistoryPoint, Hotspot, ProcessDetails
from monitord.profiles import ProfileError, parse
from monitord.profiles.representation import Profile

Observation = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Taken:
    """How a profile came about: `is_late` when the spike was over, `cpu_percent` used meanwhile, of one core.

    `explained_share` is the part of that CPU which its samples account for; None: not known.
    """

    role: str
    profiler: str
    is_late: bool = False
    cpu_percent: float | None = None
    explained_share: float | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known of an incident. None: not read, not permitted, or nothing was there to read.

    `before` was observed at the first crossing, `after` at the alert. `context` is the context record.
    `profiles` has the best evidence first; `taken` says how each of them came about.
    """

    alert: Alert
    process: ProcessDetails | None = None
    history: tuple[HistoryPoint, ...] = ()
    before: Observation | None = None
    after: Observation | None = None
    context: Observation | None = None
    profiles: tuple[Profile, ...] = ()
    taken: tuple[Taken, ...] = ()
    hotspots: tuple[Hotspot, ...] = ()


def read_facts(document: Path) -> Facts:
    """Read facts and the evidence that lies beside the document; what can't be read of it is left out.

    Raises ValueError for a document that nobody of ours wrote.
    """
    held = json.loads(document.read_text(encoding="ascii"))
    profiles, taken = _profiles(document.parent, held["evidence"], held["pid"])
    return Facts(
        alert=msgspec.convert(held["alert"], Alert),
        process=msgspec.convert(held["process"], ProcessDetails | None),
        history=msgspec.convert(held["history"], tuple[HistoryPoint, ...]),
        before=_observation(document.parent, held["before"]),
        after=_observation(document.parent, held["after"]),
        context=_observation(document.parent, held["context"]),
        profiles=profiles,
        taken=taken,
        hotspots=msgspec.convert(held["hotspots"], tuple[Hotspot, ...]),
    )


def _profiles(
    folder: Path, evidence: list[dict[str, Any]], pid: int | None
) -> tuple[tuple[Profile, ...], tuple[Taken, ...]]:
    found = []
    for each in evidence:
        try:
            with (folder / each["file"]).open("rb") as source:
                found.append((parse(each["format"], source, pid=pid), msgspec.convert(each["taken"], Taken)))
        except (OSError, ProfileError):
            continue  # the other evidence counts
    return tuple(profile for profile, _taken in found), tuple(taken for _profile, taken in found)


def _observation(folder: Path, name: str | None) -> Observation | None:
    """It was made by a child that looked at an attacker's process: anything may be in it."""
    if name is None:
        return None
    try:
        held = json.loads((folder / name).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return held if isinstance(held, dict) and "error" not in held else None
