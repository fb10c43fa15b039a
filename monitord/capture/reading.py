"""What evidence says, read in a child: it is a hostile target's work and must not hurt the daemon."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from monitord.capture.target import Target
from monitord.capture.tool_runner import LOOKS_AT_PROCESSES, Runner, ToolRun
from monitord.capture.workplace import put, remove
from monitord.children import own_command, own_environment
from monitord.model import ONLY_WAITED, Hotspot, Statement

_MEMORY_CAP_BYTES = 1024 * 1024 * 1024
_LIMIT_S = 15.0
_FILE_CAP = 64 * 1024 * 1024
_SOURCES = "monitord.capture.sources"  # never imported here: its parser of Python is 5 MB
_SOURCES_LIMIT_S = 5.0
_HOTSPOTS, _NOTES, _SENTENCE = 20, 20, 400
_TEXTS = (
    *("file", "module", "func_id", "stmt_id", "func_hash", "ast_version", "source_state", "source_line"),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """Samples, samples that failed, and hot functions; or the error that kept it from being read.

    `explained_share` is the part of the CPU used meanwhile that the samples account for (None: not known),
    and `hidden_threads` are those that used the rest. `notes` say what limits it,
    `waiting` how many threads only waited, and where; `only_waited`: all of them did.
    """

    sample_count: int = 0
    error_count: int | None = None
    hotspots: tuple[Hotspot, ...] = ()
    error: str | None = None
    explained_share: float | None = None
    hidden_threads: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    waiting: str | None = None
    only_waited: bool = False

    def with_waiting(self, notes: Mapping[str, str]) -> dict[str, str]:
        """Return a capture's notes with the sentence on waiting threads, where there is one."""
        told = {"waiting": self.waiting} if self.waiting else {}
        if self.only_waited:
            told[ONLY_WAITED] = "no thread ran"
        return {**notes, **told}


def read_evidence(
    runner: Runner, evidence_format: str, path: Path, pid: int | None, use: Mapping[str, Any] | None = None
) -> Reading:
    """Run `python -m monitord.profiles` over a file, bounded in time and memory.

    With `use`, what each thread used and the period of the samples, the file is weighed by it.
    """
    # By its name: the child works in that folder, and may be nobody who could come there from above.
    arguments = [evidence_format, path.name, "--limit", str(_HOTSPOTS)]
    if pid is not None:
        arguments += ["--pid", str(pid)]
    if use is None:
        outcome = runner.run(_tool_run(_command("monitord.profiles", *arguments), path.parent, _LIMIT_S))
    else:
        beside = path.with_name("use.json")
        command = _command("monitord.profiles", *arguments, "--use", beside.name)
        try:
            put(beside, json.dumps(use).encode("ascii"))
            outcome = runner.run(replace(_tool_run(command, path.parent, _LIMIT_S), file_cap_bytes=_FILE_CAP))
        except OSError as error:
            return Reading(error=f"what its threads used can't be told to the reader: {error.strerror}")
        finally:
            remove(beside)
    if outcome.ended != "exited" or outcome.exit_status != 0:
        words = outcome.stderr.decode(errors="replace").strip().splitlines()
        how = words[-1] if words else f"{outcome.ended}, exit status {outcome.exit_status}"
        return Reading(error=how[:300])
    try:
        return _reading(json.loads(outcome.stdout))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        return Reading(error=f"the reader's answer makes no sense: {type(error).__name__}")


def with_sources(
    runner: Runner, target: Target, folder: Path, spots: tuple[Hotspot, ...]
) -> tuple[Hotspot, ...]:
    """The hotspots with what the target's source files tell; as they are when a child can't find out.

    Files are read with the rights that the target had when it was opened.

    A second child: only now is it known which files are hot, and should one of them break its reader, what
    the evidence itself says is safe.
    """
    if not any(spot.kind == "python" and spot.file for spot in spots):
        return spots
    order = folder / "sources.json"
    key, identity = target.key, target.identity
    given = (str(key.pid), str(key.start_ticks), order.name, identity.users, identity.groups)
    words = _command(_SOURCES, *given)
    try:
        put(order, json.dumps([asdict(spot) for spot in spots]).encode("ascii"))
        outcome = runner.run(replace(_tool_run(words, folder, _SOURCES_LIMIT_S), rights=LOOKS_AT_PROCESSES))
        found = tuple(_hotspot(entry) for entry in json.loads(outcome.stdout)) if outcome.stdout else ()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return spots
    finally:
        remove(order)
    return found if len(found) == len(spots) else spots


def _command(module: str, *arguments: str) -> tuple[str, ...]:
    return own_command(module, *arguments, keeps_bytecode=False)  # which it could not write


def _tool_run(command: tuple[str, ...], folder: Path, limit_s: float) -> ToolRun:
    """A child that reads and answers on stdout: it writes no file, and has bounds on time and memory."""
    return ToolRun(
        command,
        folder,
        limit_s=limit_s,
        grace_periods_s=(0.2, 0.2),
        finishes=True,
        environment=own_environment(),
        output_cap_bytes=1024 * 1024,
        file_cap_bytes=0,
        memory_cap_bytes=_MEMORY_CAP_BYTES,
    )


def _reading(answer: dict[str, Any]) -> Reading:
    errors, explained = answer.get("error_count"), answer.get("explained_share")
    waiting = answer.get("waiting")
    return Reading(
        sample_count=max(0, int(answer["sample_count"])),
        error_count=None if errors is None else int(errors),
        hotspots=tuple(_hotspot(entry) for entry in answer["hotspots"][:_HOTSPOTS]),
        explained_share=None if explained is None else float(explained),
        hidden_threads=tuple(int(one) for one in answer.get("hidden_threads", ())),
        notes=tuple(str(note) for note in answer.get("notes", ())[:_NOTES]),
        waiting=None if waiting is None else str(waiting)[:_SENTENCE],
        only_waited=answer.get("only_waited") is True,
    )


def _hotspot(entry: dict[str, Any]) -> Hotspot:
    """One hotspot as the child printed it: every value turned into what it has to be."""
    line, arity, error = entry.get("line"), entry.get("arity"), entry.get("share_error")
    return Hotspot(
        function=str(entry["function"]),
        line=None if line is None else int(line),
        self_share=float(entry["self_share"]),
        total_share=float(entry["total_share"]),
        kind=str(entry.get("kind", "python")),
        share_error=None if error is None else float(error),
        arity=None if arity is None else int(arity),
        statements=tuple(_statement(statement) for statement in entry.get("statements", ())),
        **{name: None if entry.get(name) is None else str(entry[name]) for name in _TEXTS},
    )


def _statement(entry: dict[str, Any]) -> Statement:
    stmt_id = entry.get("stmt_id")
    return Statement(
        int(entry["line"]), float(entry["self_share"]), None if stmt_id is None else str(stmt_id)
    )
