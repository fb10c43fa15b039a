"""Is the evidence true? Programs that spike in a known function, each beside a recorder of its own.

    python benchmarks/evidence.py [--list] [--only SORT …] [--write]

Every incident is looked up as a script would, by JSON from the command line. "unknown" is an answer that
names nobody (`[unknown]`, an address); "wrong" is one that names somebody else. Exit status 1 when a wrong
process is told, or when the hottest function is the planted one in fewer than 95 % of the programs whose
function can be named from outside. Speed is told, never judged.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evidence_cases import CASES, Case
from evidence_programs import PREFIX, Program, build, missing, own, started
from recording import ROOT, Recording, load, recording

README = Path(__file__).resolve().parent / "README.md"
BEGIN, END = "<!-- evidence: written by evidence.py -->", "<!-- end of evidence -->"
WINDOW_S, CALM_S, PATIENCE_S, ALERT_S = 3, 1.5, 40.0, 20.0
LEAST_RIGHT = 0.95
CONFIG = f"""\
[log]
style = "json"
[sampling]
interval_s = 0.5
heartbeat_s = 2
[detection]
default_rules = false
[capture]
duration_s = 3
[retention]
min_free_disk_mb = 0
[baselines]
enabled = false
[[rules]]
name = "evidence"
metric = "cpu"
above = %d
window_s = {WINDOW_S}
clear_below = 5
match.names = ["{PREFIX}*", "MainThread"]
"""
STORM_RULE = f"""\
[[rules]]
name = "storm"
metric = "short_lived_cpu"
above = 15
window_s = {WINDOW_S}
"""
_NOBODY = re.compile(
    r"function_at_0x[0-9a-f]+|Interpreter|\[.*\]|0x[0-9a-f]+|.*\+0x[0-9a-f]+.*|Perl_\w+|.*\?\?.*|",
    re.IGNORECASE,
)
HEADINGS = (
    "sort", "program", "process", "function", "told as", "hottest function told", "first stack",
    "speed under capture",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    """What was told of one program. `place`: which of the functions told the planted one is, from 1."""

    case: Case
    process: str
    function: str
    place: int | None = None
    told: str = ""
    first_stack_s: float | None = None
    speed: float | None = None

    def cells(self) -> tuple[str, ...]:
        return (
            self.case.sort,
            self.case.name,
            _marked(self.process),
            _marked(self.function) + _aside(self),
            "–" if self.place is None else f"no. {self.place}",
            f"`{self.told.replace(f'{ROOT}/', '')[:60]}`" if self.told else "–",
            "–" if self.first_stack_s is None else f"{self.first_stack_s:.2f} s",
            "–" if self.speed is None else f"{self.speed:.2f}",
        )


def main() -> int:
    arguments = _arguments()
    if arguments.list:
        for case in CASES:
            print(f"{case.sort:18}{case.name}{f'   ({missing(case)})' if missing(case) else ''}")
        return 0
    cases = [case for case in CASES if not arguments.only or case.sort in arguments.only]
    before, began_s = load(), time.monotonic()
    results = run(cases)
    took = f"{(time.monotonic() - began_s) / 60:.0f} minutes, load {before} → {load()}"
    for line in summary(results):
        print(line)
    if arguments.write:
        write_table(results, took)
    return 0 if is_kept(results) else 1


def run(cases: Sequence[Case]) -> list[Result]:
    """One after the other; what can't be run here is said in its row."""
    results = []
    with tempfile.TemporaryDirectory(prefix="monitord-evidence-") as name:
        place = Path(name)
        possible = [case for case in cases if missing(case) is None]
        failed = build(possible, place)
        for case in cases:
            reason = missing(case) or next(
                (why for program, why in failed.items() if program in case.words), None
            )
            result = Result(case, f"not run: {reason}", "–") if reason else one(case, place)
            print(" | ".join(result.cells()), flush=True)
            results.append(result)
    return results


def one(case: Case, place: Path) -> Result:
    """A recorder, the program, its spike, and what the recorder says of it."""
    config = CONFIG % case.above + (STORM_RULE if case.is_storm else "")
    with recording(config) as daemon, started(case, place) as program:
        time.sleep(CALM_S)  # what it did to start is not part of the spike
        pid = program.begin()
        begun_s = time.time()
        if case.turns:
            _wait_for_alert(daemon)
            program.turn()
        shown = _incidents(daemon, pid, case)
    return judged(case, pid, program, shown, begun_s)


def _wait_for_alert(daemon: Recording) -> None:
    """Until the recorder has seen enough, or long after it should have."""
    deadline = time.monotonic() + ALERT_S
    while b'"alert.raised"' not in daemon.log.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.02)


def _incidents(daemon: Recording, pid: int, case: Case) -> list[dict[str, Any]]:
    """All that was recorded, once the program's own incident is complete or patience ends."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        shown = [_ask(daemon, "show", str(row["id"])) for row in _ask(daemon, "recent", "-n", "100")]
        ours = [incident for incident in shown if incident["pid"] == pid or case.is_storm]
        is_done = any(capture["role"] == "profile" for incident in ours for capture in incident["captures"])
        if is_done or time.monotonic() > deadline or (case.is_storm and ours):
            return shown
        time.sleep(0.5)


def _ask(daemon: Recording, *command: str) -> Any:
    places = ["--data-dir", str(daemon.data_dir), "--config", str(daemon.config)]
    words = [sys.executable, "-m", "monitord", command[0], *command[1:], *places, "-o", "json"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"monitord {' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout)


# ---------------------------------------------------------------------------------------- judgement


def judged(case: Case, pid: int, program: Program, shown: Sequence[dict[str, Any]], begun_s: float) -> Result:
    """The program's first incident is what is judged; one of another process of ours is a wrong process."""
    ours = sorted((one for one in shown if one["pid"] == pid), key=lambda one: one["raised_at"])
    if not ours and case.is_storm:  # no child lives long enough: its parent must stand in what is told
        ours = [one for one in shown if own(case.words[0]) in one["reason"]]
    if any(one["pid"] not in (pid, None) for one in shown) and not (case.is_storm and ours):
        return Result(case, "wrong", "–", told=", ".join(str(one["process_name"]) for one in shown))
    if not ours:
        return Result(case, "unknown" if shown else "nothing", "nothing")
    incident = ours[0]
    names = told(incident)
    function, place = verdict(case, names, str((incident["process"] or {}).get("executable")))
    return Result(
        case,
        "right",
        function,
        place,
        names[0] if names else "",
        _first_stack_s(incident),
        _speed(incident, program, begun_s),
    )


def told(incident: dict[str, Any]) -> list[str]:
    """The functions that are told of it, hottest first."""
    return [str(spot["function"]) for spot in incident["hotspots"]]


def verdict(case: Case, names: Sequence[str], executable: str) -> tuple[str, int | None]:
    """right, unknown, wrong or nothing; and where among them the planted function stands."""
    if case.is_storm:
        return "–", None
    accepts = case.accepts
    if case.sort == "exec" and executable.endswith("-second"):
        accepts = ("plantedlater",)
    places = [number for number, name in enumerate(names, 1) if _is_any(name, accepts)]
    place = places[0] if places else None
    if not names:
        return "nothing", None
    if place == 1 or (case.tells_both and all(any(_is_any(n, (w,)) for n in names) for w in case.tells_both)):
        return "right", place
    return ("unknown" if _NOBODY.fullmatch(names[0]) else "wrong"), place


def _is_any(name: str, accepts: Iterable[str]) -> bool:
    plain = name.lower().replace("_", "")
    return any(word in plain for word in accepts)


def _first_stack_s(incident: dict[str, Any]) -> float | None:
    """From the look that saw the crossing to the start of the first look that brought stacks."""
    taken = [
        _epoch_s(capture["captured_at"])
        for capture in incident["captures"]
        if capture["role"] in ("dump", "profile") and capture["status"] in ("ok", "partial")
    ]
    return min(taken) - _epoch_s(incident["crossed_at"]) if taken else None


def _speed(incident: dict[str, Any], program: Program, begun_s: float) -> float | None:
    """Rounds a second while the profile was taken, beside those before the alert."""
    for capture in incident["captures"]:
        if capture["role"] == "profile" and capture["duration_seconds"]:
            since_s = _epoch_s(capture["captured_at"])
            under = program.speed(since_s, since_s + capture["duration_seconds"])
            before = program.speed(begun_s, _epoch_s(incident["raised_at"]))
            return under / before if under and before else None
    return None


def _epoch_s(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


# -------------------------------------------------------------------------------------------- table


def is_kept(results: Sequence[Result]) -> bool:
    nameable = [one for one in results if _was_run(one) and one.case.is_nameable]
    right = sum(one.function == "right" for one in nameable)
    return not any(one.process == "wrong" for one in results) and right >= LEAST_RIGHT * len(nameable)


def _was_run(result: Result) -> bool:
    return not result.process.startswith("not run")


def summary(results: Sequence[Result]) -> list[str]:
    """Sums in sentences."""
    ran = [one for one in results if _was_run(one)]
    nameable = [one for one in ran if one.case.is_nameable]
    processes = Counter(one.process for one in ran)
    functions = Counter(one.function for one in nameable)
    others = Counter(one.function for one in ran if not one.case.is_nameable)
    stacks = sorted(one.first_stack_s for one in ran if one.first_stack_s is not None)
    return [
        f"{len(ran)} programs of {len({one.case.sort for one in ran})} sorts; "
        f"{len(results) - len(ran)} could not be run here.",
        f"Process: {_counts(processes)}.",
        f"Function, where it can be named from outside: {_counts(functions)} "
        f"(right must be ≥ {LEAST_RIGHT:.0%}: {'kept' if is_kept(results) else '**BROKEN**'}).",
        f"Function, where it can't: {_counts(others)}.",
        f"First stack after the crossing: median {stacks[len(stacks) // 2]:.2f} s, longest {stacks[-1]:.2f}."
        if stacks
        else "No stack at all.",
    ]


def _counts(counted: Counter[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counted.most_common()) or "none"


def write_table(results: Sequence[Result], took: str) -> None:
    """Replace what stands between the two marks of README.md."""
    lines = [BEGIN, "", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, `make bench-evidence`, {took}.", ""]
    lines += [f"- {line}" for line in summary(results)]
    lines += ["", "| " + " | ".join(HEADINGS) + " |", "|---" * len(HEADINGS) + "|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in one.cells()) + " |" for one in results]
    text = README.read_text()
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    README.write_text(head + "\n".join([*lines, "", END]) + tail)


def _aside(result: Result) -> str:
    is_said = _was_run(result) and not result.case.is_nameable and not result.case.is_storm
    return " (can't be named from outside)" if is_said else ""


def _marked(word: str) -> str:
    return f"**{word}**" if word in ("wrong", "nothing") else word


def _arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--list", action="store_true", help="show the programs and end")
    options.add_argument("--only", nargs="+", metavar="SORT", choices=sorted({case.sort for case in CASES}))
    options.add_argument("--write", action="store_true", help="write the table to benchmarks/README.md")
    return options.parse_args()


if __name__ == "__main__":
    sys.exit(main())
