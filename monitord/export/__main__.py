"""Reads stored evidence in a process of its own, for `export --format …`, `compare` and timelines.

One order on stdin (a line of JSON, then the evidence), one answer on stdout (a line of JSON, then the files).
Evidence is a hostile structure, so it is parsed, redacted, scanned and written here, under limits that end
this process and nothing else; the command line gets bytes to store. 1 and one line on stderr when it can't be
done.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from io import BytesIO
from typing import Any

from monitord import rights
from monitord.errors import MonitordError
from monitord.export.cleaning import Found, Identities
from monitord.model import Hotspot, Statement
from monitord.profiles import Frame, Profile, ProfileError, Thread, parse
from monitord.profiles.comparing import compare
from monitord.profiles.consumers import consumers
from monitord.profiles.flamegraph_writer import write_differential, write_graph_data
from monitord.profiles.ring_document import read_ring
from monitord.profiles.ring_slice import as_plain, cut
from monitord.profiles.timeline import timeline
from monitord.profiles.writing import About, write
from monitord.redaction import Redactor, SecondScan, printable

_MEMORY_BYTES = 2 << 30
_CPU_S = 60


def main() -> int:
    """Do what the order says."""
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    if sys.platform == "linux":  # macOS refuses it
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    rights.keep_only((rights.CAP_DAC_READ_SEARCH,))  # to import what is loaded later, wherever it lies
    rights.write_only_in(())
    rights.refuse_calls(profiles=False)
    gc.disable()  # as in monitord.profiles
    order = json.loads(sys.stdin.buffer.readline())
    try:
        answer, content = _done(order)
    except (MonitordError, MemoryError) as error:
        reason = " ".join(str(error).split()) or "it needs more memory than it may use"
        sys.stderr.write(reason.encode("ascii", "backslashreplace").decode() + "\n")
        return 1
    sys.stdout.buffer.write(json.dumps(answer).encode("ascii") + b"\n" + content)
    return 0


def _done(order: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    if order["task"] == "timeline":
        (evidence,) = order["evidence"]
        ring = read_ring(BytesIO(sys.stdin.buffer.read(evidence["size"])))
        ran = consumers(ring, ring.began_ns) if order["of_machine"] else ()
        steps = timeline(ring, evidence["pid"])
        return {"timeline": list(map(asdict, steps)), "consumers": list(map(asdict, ran))}, b""
    if order["task"] == "slice":
        (evidence,) = order["evidence"]
        ring = read_ring(BytesIO(sys.stdin.buffer.read(evidence["size"])))
        return as_plain(cut(ring, order["since_s"], order["until_s"])), b""
    profiles = [_parsed(evidence) for evidence in order["evidence"]]
    if order["task"] == "compare":
        spots = [[_hotspot(spot) for spot in listed] for listed in order["hotspots"]]
        return asdict(compare(profiles[0], profiles[1], spots[0], spots[1])), b""
    about = About(**order["about"])
    hidden: dict[str, int] | None = None
    found = Found()
    if order["identities"] is not None:
        redactor = Identities.from_plain(order["identities"]).redactor()
        profiles, about, hidden = _redacted(profiles, about, redactor)
        found = Found.by(redactor)
    profiles = [_with_texts(profile, printable) for profile in profiles]
    if order["task"] == "differential":
        before, after = profiles
        is_data = order["forms"] == ["graph-data"]
        files = [
            write_graph_data(after, about, before=before)
            if is_data
            else write_differential(before, after, about)
        ]
    else:
        files = [write(form, profiles[0], about) for form in order["forms"]]
    counts = [profile.sample_count for profile in profiles]
    told = {"hidden": hidden, "sample_counts": counts, "found": found.as_plain()}
    return told | {"sizes": list(map(len, files))}, b"".join(files)


def _parsed(evidence: Mapping[str, Any]) -> Profile:
    content = sys.stdin.buffer.read(evidence["size"])
    try:
        return parse(evidence["format"], content, pid=evidence["pid"])
    except ProfileError as error:
        raise ProfileError(f"cannot read the evidence as {evidence['format']}: {error}") from error


def _redacted(
    profiles: list[Profile], about: About, redactor: Redactor
) -> tuple[list[Profile], About, dict[str, int]]:
    """Without secrets and identities; what a second scan still finds is replaced, and counted as that."""
    texts = dict.fromkeys([about.title, *(text for profile in profiles for text in _texts(profile))])
    for text in texts:
        redactor.learn(text)  # a secret found in one place is removed in every other
    safe = {text: redactor.text(text) for text in texts}
    scan = SecondScan(redactor.secrets)
    safe = {text: scan.text(kept) for text, kept in safe.items()}
    if scan.replaced:
        redactor.counts["second_scan"] = scan.replaced
    cleaned = [_with_texts(profile, safe.__getitem__) for profile in profiles]
    return cleaned, replace(about, title=safe[about.title]), dict(sorted(redactor.counts.items()))


def _texts(profile: Profile) -> list[str]:
    found = [profile.tool, profile.unit, *profile.notes]
    for frame in profile.frames:
        found += filter(None, (frame.name, frame.file, frame.module))
    found += {thread.name for thread, _stack in profile.stacks if thread.name}
    return found


def _with_texts(profile: Profile, change: Any) -> Profile:
    """The same profile with every text changed; frames that become equal stay apart."""

    def optional(text: str | None) -> str | None:
        return change(text) if text else text

    frames = [
        Frame(change(frame.name), optional(frame.file), frame.line, optional(frame.module), frame.kind)
        for frame in profile.frames
    ]
    stacks: dict[tuple[Thread, tuple[int, ...]], int | float] = {}
    for (thread, stack), value in profile.stacks.items():
        key = (replace(thread, name=optional(thread.name)), stack)
        stacks[key] = stacks.get(key, 0) + value
    return replace(
        profile,
        tool=change(profile.tool),
        unit=change(profile.unit),
        notes=tuple(change(note) for note in profile.notes),
        frames=frames,
        stacks=stacks,
    )


def _hotspot(spot: dict[str, Any]) -> Hotspot:
    return Hotspot(**spot | {"statements": tuple(Statement(**one) for one in spot["statements"])})


if __name__ == "__main__":
    sys.exit(main())
