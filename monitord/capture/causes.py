"""Runs `python -m monitord.causes`: over a target to observe it, over what was taken of it to explain it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from monitord.best_evidence import rank
from monitord.capture.target import Target
from monitord.capture.tool_runner import Rights, Runner, ToolRun
from monitord.capture.workplace import put, remove
from monitord.children import own_command, own_environment
from monitord.model import Capture, Cause, Confidence, Incident, ProcessKey

if TYPE_CHECKING:
    from monitord.capture.fault_watch import Watch

_MODULE = "monitord.causes"
_EXPLAIN_LIMIT_S = 6.0
_MEMORY_CAP_BYTES = 1024 * 1024 * 1024
_PROFILES = 4  # the best ones: to read more takes longer and says no more
_ROWS, _LABEL, _TEXT = 20, 40, 1000  # of a cause; longer texts are cut


@dataclass(frozen=True, slots=True)
class Look:
    """What is to be observed: for which metric, which target (None: the machine), in which time and rights.

    Without `needs_target` a target that is gone, or may not be looked at, leaves the machine to be observed.
    `watch`: where its page faults were recorded since it crossed.
    """

    metric: str
    target: ProcessKey | None
    needs_target: bool
    limit_s: float
    capabilities: tuple[int, ...]
    most_bytes: int
    asks_sockets: bool = False
    watch: Watch | None = None


def observe(runner: Runner, look: Look, target: Target | None, folder: Path) -> bytes | None:
    """What the metric's member sees of the target now, as JSON that nobody has read; None: nothing."""
    key = target.key if target else ProcessKey(0, 0)
    arguments = (look.metric, str(key.pid), str(key.start_ticks), *([str(look.watch)] if look.watch else ()))
    tool_run = ToolRun(
        own_command(_MODULE, *arguments, keeps_bytecode=False),
        folder,
        look.limit_s,
        (0.1, 0.1),
        watch_target=False,
        environment=own_environment(),
        output_cap_bytes=look.most_bytes + 1,
        file_cap_bytes=0,
        memory_cap_bytes=_MEMORY_CAP_BYTES,
        rights=Rights(look.capabilities, is_reader=False, asks_sockets=look.asks_sockets),
        descriptors=look.watch.descriptors if look.watch else (),
    )
    outcome = runner.run(tool_run, target)
    if outcome.exit_status != 0 or outcome.truncated or (target is not None and target.was_replaced()):
        return None
    return outcome.stdout


def explain(
    runner: Runner, incident: Incident, observed: tuple[bytes | None, bytes | None], folder: Path
) -> Cause | None:
    """The cause of an incident; `observed` was seen at arming and at the alert. None: explaining failed."""
    written: list[Path] = []

    def beside(name: str, content: bytes) -> str:
        written.append(folder / name)
        put(written[-1], content)
        return name

    try:
        order = _document(incident, observed, beside)
        document = beside("facts.json", json.dumps(order).encode("ascii"))
        outcome = runner.run(
            ToolRun(
                own_command(_MODULE, "explain", document, keeps_bytecode=False),
                folder,
                _EXPLAIN_LIMIT_S,
                (0.1, 0.1),
                watch_target=False,
                finishes=True,
                environment=own_environment(),
                file_cap_bytes=0,
                memory_cap_bytes=_MEMORY_CAP_BYTES,
            )
        )
        return read_cause(outcome.stdout) if outcome.exit_status == 0 else None
    except OSError:
        return None
    finally:
        for path in written:
            with suppress(OSError):
                remove(path)


def _document(incident: Incident, observed: tuple[bytes | None, bytes | None], beside: Any) -> dict[str, Any]:
    """The facts as `monitord.causes.facts` reads them."""
    before, after = observed
    context = next((one.payload for one in incident.captures if one.format == "context-json"), None)
    target = incident.alert.target
    plain = {"alert": incident.alert, "process": incident.process, "history": incident.history}
    spots = [spot for one in _ranked(incident.captures) for spot in one.hotspots]
    return {
        **msgspec.to_builtins(plain),
        "hotspots": msgspec.to_builtins(spots),
        "pid": target.pid if target else None,
        "before": beside("before.json", before) if before else None,
        "after": beside("after.json", after) if after else None,
        "context": beside("context.json", context) if context else None,
        "evidence": [
            _evidence(capture, number, beside)
            for number, capture in enumerate(_ranked(incident.captures))
        ],
    }  # fmt: skip


def _ranked(captures: Sequence[Capture]) -> list[Capture]:
    """Those that hold stacks, the best first."""
    found = [
        one
        for one in captures
        if one.status.has_evidence and one.role != "context" and (one.payload is not None or one.path)
    ]
    found.sort(key=lambda one: rank(one.role, one.status.value, late=one.late, sample_count=one.sample_count))
    return found[:_PROFILES]


def _evidence(capture: Capture, number: int, beside: Any) -> Mapping[str, Any]:
    if capture.payload is not None:
        name = beside(f"evidence-{number}", capture.payload)
    else:
        assert capture.path is not None  # noqa: S101 - chosen for having one; tells mypy
        name = capture.path.name
    taken = {
        "role": capture.role,
        "profiler": capture.profiler,
        "is_late": capture.late,
        "cpu_percent": capture.target_cpu_percent,
        "explained_share": capture.explained_share,
    }
    return {"file": name, "format": capture.format, "taken": taken}


def read_cause(answer: bytes) -> Cause | None:
    """The cause that the child printed, its texts cut; None for anything else."""
    try:
        held = json.loads(answer)
        if held["confidence"] not in get_args(Confidence) or len(str(held["kind"]).split()) > 3:
            return None
        rows = [(str(label)[:_LABEL], str(text)[:_TEXT]) for label, text in held["evidence"][:_ROWS]]
        texts = {name: _text(held[name]) for name in ("runner_up", "decides")}
        kind, sentence = str(held["kind"])[:_LABEL], str(held["sentence"])[:_TEXT]
        return Cause(kind, sentence, held["confidence"], evidence=tuple(rows), **texts)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _text(value: object) -> str | None:
    return None if value is None else str(value)[:_TEXT]
