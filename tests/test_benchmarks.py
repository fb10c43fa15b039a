"""`benchmarks/run.py` writes what it measured into the README beside it, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
QUICK = """
import recording

arguments = recording.parser("quick").parse_args()
row = recording.Row("a | b", "measured", "peer", "budget", True, recording.command_of(__file__, "--x"))
recording.show([row], arguments.rows)
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy in which two benchmarks take no time; nothing but what a commit holds lies beside it."""
    folder = tmp_path / "benchmarks"
    shutil.copytree(BENCHMARKS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("stopping", "quiet"):
        (folder / f"{name}.py").write_text(QUICK)
    return folder


def measured(clone: Path, *names: str) -> list[str]:
    words = [sys.executable, clone / "run.py", "--only", *names]
    subprocess.run(words, check=True, capture_output=True, timeout=PATIENCE_S)
    return results(clone)


def results(clone: Path) -> list[str]:
    return [line for line in (clone / "README.md").read_text().splitlines() if line.startswith(("|", "- "))]


def of(name: str, lines: list[str]) -> list[str]:
    return [line for line in lines if re.search(rf"benchmarks/{name}\.py|^- {name}: ", line)]


def whose(lines: list[str]) -> list[str]:
    """Whose lines follow each other."""
    names = [
        found[1] or found[2]
        for line in lines
        if (found := re.search(r"benchmarks/(\w+)\.py|^- (\w+): ", line))
    ]
    return [name for n, name in enumerate(names) if n == 0 or names[n - 1] != name]


def test_rows_that_were_not_measured_stay_as_they_stand(clone: Path) -> None:
    """In a fresh clone, too; a row goes where its predecessor stood, and a cell's bar is no new column."""
    before = results(clone)
    after = measured(clone, "stopping", "quiet")
    for name in ("stopping", "quiet"):
        row, when = of(name, after)
        assert row == rf"| a \| b | measured | peer | budget | kept | `python benchmarks/{name}.py --x` |"
        assert re.fullmatch(rf"- {name}: [0-9: -]+ UTC, load [0-9./]+ → [0-9./]+", when)
    assert whose(after) == whose(before)
    ours = [line for name in ("stopping", "quiet") for line in (*of(name, before), *of(name, after))]
    assert [line for line in after if line not in ours] == [line for line in before if line not in ours]


def test_a_new_benchmark_s_row_stands_behind_those_before_it(clone: Path) -> None:
    readme = clone / "README.md"
    told = [line for line in readme.read_text().splitlines() if line not in of("stopping", [line])]
    readme.write_text("\n".join(told) + "\n")
    after = measured(clone, "stopping")
    row, when = of("stopping", after)
    assert after[after.index(row) - 1] in of("first_look", after)
    assert after[after.index(when) - 1] in of("first_look", after)
