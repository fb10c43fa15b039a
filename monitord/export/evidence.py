"""An incident's profile in another form, or two compared: asks a child, because evidence is hostile.

The child is `python -m monitord.export`. It has limits of memory and CPU, and a deadline here; what comes
back is bytes to store, or values whose shape we know.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import BytesIO
from typing import Any

from monitord.best_evidence import rank
from monitord.children import own_command, own_environment
from monitord.errors import MonitordError, NotFoundError
from monitord.export.cleaning import Found, Identities
from monitord.export.verdicts import happened
from monitord.model import BEFORE, Hotspot, ProfileRecord
from monitord.profiles.formats import FORMATS
from monitord.profiles.representation import RING
from monitord.redaction import printable
from monitord.redaction.naming import display_name
from monitord.storage.ids import short_id
from monitord.storage.views import IncidentView

MAX_EVIDENCE_BYTES = 256 << 20
_DEADLINE_S = 120.0
ReadArtefact = Callable[[str, int], bytes]  # key, most bytes that are wanted → payload


@dataclass(frozen=True, slots=True)
class Evidence:
    """The best profile of an incident, with its bytes."""

    view: IncidentView
    record: ProfileRecord
    payload: bytes

    @property
    def title(self) -> str:
        """Whose profile it is, for a page's head."""
        record = self.record
        who = display_name(record.process_name, record.command_line)
        return f"{who} (pid {record.pid}), {happened(self.view)}"

    @property
    def comparable(self) -> Comparable:
        """The evidence as one side of a comparison."""
        record = self.record
        return Comparable(
            self.view.correlation_id,
            record.format or "",
            record.pid or None,
            self.payload,
            self.view.hotspots,
        )


@dataclass(frozen=True, slots=True)
class Comparable:
    """One side of a comparison, of an incident or of a profile that was never kept."""

    name: str
    format: str
    pid: int | None
    payload: bytes
    hotspots: Sequence[Hotspot] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """A file's content, and how often each rule hid something in it; None for a raw one.

    `found` is what was come upon in it, for what leaves together with it.
    """

    content: bytes
    sample_counts: Sequence[int] = ()
    hidden: Mapping[str, int] | None = field(default_factory=dict)
    found: Found = field(default_factory=Found)


def evidence_of(view: IncidentView, read: ReadArtefact) -> Evidence:
    """Return the incident's best evidence that holds stacks; raises NotFoundError without any."""
    usable = [
        record
        for record in view.captures
        if record.status.has_evidence and record.artefact_key and record.format in FORMATS
    ]
    # The one that leads, whatever ranks: its hotspots are those that were shown.
    ranked = sorted(
        usable,
        key=lambda one: (
            one.id != view.record.id,
            rank(one.role, one.status, late=one.late, sample_count=one.sample_count, metric=view.metric),
        ),
    )
    if not ranked or ranked[0].artefact_key is None:
        raise NotFoundError(
            f"cannot find a profile of incident {short_id(view.correlation_id)}; "
            f"`monitord show {short_id(view.correlation_id)}` says why"
        )
    return Evidence(view, ranked[0], read(ranked[0].artefact_key, MAX_EVIDENCE_BYTES))


def timeline_of(
    view: IncidentView, read: ReadArtefact, *, of_machine: bool = False
) -> tuple[list[dict[str, Any]] | None, list[dict[str, Any]]]:
    """The hottest function step by step before the alert (keys as in docs/output.md); None: nobody saw it.

    Then, `of_machine`, who ran, the busiest first: the fields of a Consumer.
    """
    held = [
        one for one in view.captures if one.role == BEFORE and one.status.has_evidence and one.format == RING
    ]
    if not held or held[-1].artefact_key is None:
        return None, []
    payload = read(held[-1].artefact_key, MAX_EVIDENCE_BYTES)
    one = Comparable(view.correlation_id, RING, held[-1].pid, payload)
    told = _ask([one], {"task": "timeline", "of_machine": of_machine})[0]
    return list(told["timeline"]), list(told["consumers"])


def slice_of(held: Comparable, since_s: float, until_s: float) -> dict[str, Any]:
    """Who ran, and on which stacks, between two moments of what the black box held (profiles/ring_slice.py).

    The moments are seconds from its beginning.
    """
    return _ask([held], {"task": "slice", "since_s": since_s, "until_s": until_s})[0]


def write_form(evidence: Evidence, form: str, identities: Identities | None) -> Written:
    """Write the profile in a form of `monitord.profiles.writing`; redacted unless `identities` is None."""
    return write_forms(evidence, [form], identities)[form]


def write_forms(
    evidence: Evidence, forms: Sequence[str], identities: Identities | None
) -> dict[str, Written]:
    """Write the profile in several forms, read once; the same names have the same stand-ins in all."""
    order = {"task": "write", "forms": list(forms), "about": _about(evidence, evidence.title)}
    return dict(zip(forms, _written([evidence], order, identities), strict=True))


def write_difference(
    before: Evidence, after: Evidence, identities: Identities | None, form: str = "flamegraph"
) -> Written:
    """Write a flame graph of the second (or its data), coloured by what changed since the first."""
    title = f"{after.title}, compared with {before.title}"
    order = {"task": "differential", "forms": [form], "about": _about(after, title)}
    return _written([before, after], order, identities)[0]


def compared(before: Comparable, after: Comparable) -> dict[str, Any]:
    """What `monitord.profiles.comparing` says, as plain values: its Comparison, field by field."""
    order = {
        "task": "compare",
        "hotspots": [[asdict(spot) for spot in one.hotspots] for one in (before, after)],
    }
    return _ask([before, after], order)[0]


def _about(evidence: Evidence, title: str) -> dict[str, Any]:
    record = evidence.record
    when = f"{record.captured_at:%Y-%m-%d %H:%M:%S} UTC"
    where = f"rule {evidence.view.rule}, captured {when}, exported on {socket.gethostname()}"
    return {
        "title": printable(f"{title}: {where}"),
        "taken_at_ns": int(record.captured_at.timestamp() * 1e9),
        "duration_s": float(record.duration_seconds),
    }


def _written(
    evidence: Sequence[Evidence], order: Mapping[str, Any], identities: Identities | None
) -> list[Written]:
    known = None
    if identities is not None:
        users = {one.view.process.user for one in evidence if one.view.process and one.view.process.user}
        known = identities.as_plain()
        known["users"] = [*identities.users, *sorted(users)]
    answer, content = _ask([one.comparable for one in evidence], {**order, "identities": known})
    files = BytesIO(content)
    found = Found.from_plain(answer["found"])
    return [
        Written(files.read(size), answer["sample_counts"], answer["hidden"], found)
        for size in answer["sizes"]
    ]


def _ask(evidence: Sequence[Comparable], order: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    listed = [{"format": one.format, "pid": one.pid, "size": len(one.payload)} for one in evidence]
    head = json.dumps({**order, "evidence": listed}).encode("ascii")
    try:
        done = subprocess.run(
            own_command("monitord.export"),
            input=b"".join([head, b"\n", *(one.payload for one in evidence)]),
            cwd="/",
            env=own_environment(),
            capture_output=True,
            timeout=_DEADLINE_S,
            check=False,  # its one line on stderr is the error
        )
    except subprocess.TimeoutExpired as error:
        raise MonitordError(f"cannot read the profile within {_DEADLINE_S:.0f} s") from error
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise MonitordError(words[-1] if words else f"the profile's reader ended with {done.returncode}")
    first, _end, content = done.stdout.partition(b"\n")
    return dict(json.loads(first)), content
