"""Is the class of a cause right? Programs made for one class each, explained as an alert about CPU would be.

    python benchmarks/causes.py [--list] [--only KIND …] [--write]

Each is observed twice, profiled for two seconds, and explained. Exit status 1 when fewer than 90 % of the
classes are right, or more than 3 % are wrong and not "unknown".
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cause_programs import PROGRAMS, Program
from recording import load

from monitord.capture import Consent, ProfileCaptureService
from monitord.model import Alert, Capture, CapturePlan, Cause, Incident, ProcessKey, Threshold, TriggerMetric
from monitord.pipeline import Causes
from monitord.sampling import key_of
from monitord.supervision.supervisor import direct_children

README = Path(__file__).resolve().parent / "README.md"
BEGIN, END = "<!-- causes: written by causes.py -->", "<!-- end of causes -->"
LEAST_RIGHT, MOST_WRONG = 0.9, 0.03
WARM_S, WINDOW_S, PROFILE_S = 1.5, 1.0, 2.0
COMPILERS = {"c": "gcc", "go": "go", "java": "javac"}
TOOLS = {"python": sys.executable, "node": "node", "java": "java", "perl": "perl", "sh": "sh"}


@dataclass(frozen=True, slots=True)
class Result:
    """What was said of one program."""

    program: Program
    cause: Cause | None
    why_not: str = ""

    @property
    def verdict(self) -> str:
        if self.why_not:
            return f"not run: {self.why_not}"
        kind = self.cause.kind if self.cause else "none"
        if kind in (self.program.kind, *self.program.accepts):
            return "right"
        return "unknown" if kind in ("unknown", "none") else "wrong"

    def cells(self) -> tuple[str, ...]:
        cause = self.cause
        told = f"{cause.kind} ({cause.confidence})" if cause else "–"
        sentence = cause.sentence[:120] if cause else "–"
        return self.program.kind, self.program.name, told, self.verdict, sentence


def main() -> int:
    arguments = _arguments()
    chosen = [one for one in PROGRAMS if not arguments.only or one.kind in arguments.only]
    if arguments.list:
        for program in chosen:
            print(f"{program.kind:20}{program.name}")
        return 0
    before, began_s = load(), time.monotonic()
    results = []
    with tempfile.TemporaryDirectory(prefix="monitord-causes-") as name:
        for number, program in enumerate(chosen):
            results.append(one(program, Path(name) / str(number)))
            print(" | ".join(results[-1].cells()), flush=True)
            if arguments.verbose and (cause := results[-1].cause):
                print(json.dumps([cause.runner_up, cause.decides, *cause.evidence], indent=1))
    took = f"{(time.monotonic() - began_s) / 60:.0f} minutes, load {before} → {load()}"
    for line in summary(results):
        print(line)
    if arguments.write:
        write_table(results, took)
    return 0 if is_kept(results) else 1


def one(program: Program, folder: Path) -> Result:
    """Build it, let it run, and have it explained."""
    folder.mkdir()
    command, why_not = made(program, folder)
    if command is None:
        return Result(program, None, why_not)
    with started(command, folder) as process:
        time.sleep(WARM_S)
        if process.poll() is not None:
            return Result(program, None, f"it ended with {process.returncode}")
        (child, *_) = direct_children(process.pid)  # below timeout(1)
        key = key_of(child)
        return Result(program, explained(key, folder / "work") if key else None)


def explained(key: ProcessKey, folder: Path) -> Cause | None:
    """As the recorder does it: observed at the crossing and at the alert, profiled, explained."""
    service = ProfileCaptureService(Consent(), reads_sources=True)
    folder.mkdir(mode=0o700)
    plan = CapturePlan(duration_s=PROFILE_S)
    aside = folder / "observed"
    aside.mkdir(mode=0o700)
    causes = Causes(lambda look, place: service.observe(look, plan, place), service.explain, aside)
    before = causes.observe(TriggerMetric.CPU, key)
    crossed_at = datetime.now(UTC)
    time.sleep(WINDOW_S)
    if before is not None:
        before.result(10)
    look = service.first_look(key, folder)
    after = causes.observe(TriggerMetric.CPU, key)
    captures: list[Capture] = [service.read(look, folder), *service.capture(key, plan, folder)]
    alert = Alert(
        "cpu-hog", TriggerMetric.CPU, 97.0, Threshold(90.0, "percent"), WINDOW_S, crossed_at,
        datetime.now(UTC), key, "program", "", 1.0,
    )  # fmt: skip
    incident = Incident("causes", alert, None, captures=tuple(captures))
    found = causes.explained(incident, (before, after), folder).cause
    causes.close()
    return found


def made(program: Program, folder: Path) -> tuple[list[str] | None, str]:
    """The command that runs it; None and why it can't be had."""
    tool = COMPILERS.get(program.language, TOOLS.get(program.language, ""))
    if shutil.which(tool) is None:
        return None, f"{tool} not found"
    if program.language == "c":
        source = folder / "program.c"
        source.write_text(program.source)
        words = ["gcc", "-O1", "-fno-omit-frame-pointer", *program.options, "-o", "program", source.name]
        return _built(words, folder, [str(folder / "program")])
    if program.language == "go":
        (folder / "program.go").write_text(program.source)
        return _built(["go", "build", "-o", "program", "program.go"], folder, [str(folder / "program")])
    if program.language == "java":
        (folder / "Main.java").write_text(program.source)
        return _built(["javac", "Main.java"], folder, ["java", *program.options, "-cp", str(folder), "Main"])
    suffix = {"python": "py", "node": "js", "perl": "pl", "sh": "sh"}[program.language]
    source = folder / f"program.{suffix}"
    source.write_text(program.source)
    return [TOOLS[program.language], *program.options, str(source)], ""


def _built(words: Sequence[str], folder: Path, command: list[str]) -> tuple[list[str] | None, str]:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        return None, f"{words[0]}: {(done.stderr.strip().splitlines() or ['?'])[0]}"
    return command, ""


@contextmanager
def started(command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program for a minute at most, and nothing of it afterwards."""
    words = ["timeout", "-k", "1", "60", *command]
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.terminate()


# ---------------------------------------------------------------------------------------- judgement


def is_kept(results: Sequence[Result]) -> bool:
    ran = [one for one in results if not one.why_not]
    verdicts = Counter(one.verdict for one in ran)
    return verdicts["right"] >= LEAST_RIGHT * len(ran) and verdicts["wrong"] <= MOST_WRONG * len(ran)


def summary(results: Sequence[Result]) -> list[str]:
    """Sums in sentences, then the confusion table: what was told (columns) of what there was (rows)."""
    ran = [one for one in results if not one.why_not]
    verdicts = Counter(one.verdict for one in ran)
    lines = [
        f"{len(ran)} programs; {len(results) - len(ran)} could not be run here.",
        f"Class: {verdicts['right']} right, {verdicts['unknown']} unknown, {verdicts['wrong']} wrong"
        f" (right must be ≥ {LEAST_RIGHT:.0%}, wrong ≤ {MOST_WRONG:.0%}:"
        f" {'kept' if is_kept(results) else '**BROKEN**'}).",
    ]
    told = Counter((one.program.kind, one.cause.kind if one.cause else "none") for one in ran)
    for kind in dict.fromkeys(one.program.kind for one in ran):
        row = ", ".join(f"{count} × {said}" for (was, said), count in told.most_common() if was == kind)
        lines.append(f"{kind}: told as {row}.")
    return lines


def write_table(results: Sequence[Result], took: str) -> None:
    """Replace what stands between the two marks of README.md."""
    lines = [BEGIN, "", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, `python benchmarks/causes.py`, {took}.", ""]
    lines += [f"- {line}" for line in summary(results)]
    lines += ["", "| made for | program | told as | class | sentence |", "|---|---|---|---|---|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in one.cells()) + " |" for one in results]
    text = README.read_text()
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n## Causes\n\n{BEGIN}\n{END}\n"
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    README.write_text(head + "\n".join([*lines, "", END]) + tail)


def _arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--list", action="store_true", help="show the programs and end")
    options.add_argument("--only", nargs="+", metavar="KIND", choices=sorted({one.kind for one in PROGRAMS}))
    options.add_argument("--write", action="store_true", help="write the table to benchmarks/README.md")
    options.add_argument("--verbose", action="store_true", help="print what speaks for each")
    return options.parse_args()


if __name__ == "__main__":
    sys.exit(main())
