"""What a command costs is counted: statements that it sends, and modules that it loads."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

NOW = datetime.now(UTC)
FEW, MANY = 3, 30
MOST_STATEMENTS = 4
# One more: how often each came this week is asked apart, and once for all rows shown.
TELL_THE_WEEK = ("recent", "show")
QUESTIONS = {
    "recent": ("recent", "-n", "100"),
    "recent --json": ("recent", "-n", "100", "--json"),
    "show": ("show", "1", "--json"),
    "explain": ("explain",),
    "status": ("status", "--json"),
    "hot": ("hot", "--json"),
    "replay": ("replay", "50min", "--json"),
    "replay --since": ("replay", "-S", "2h", "--step", "1min", "--json"),
}
MODULES = {
    "--help": 165,
    "recent": 380,
}  # the configuration's sections are two modules; how often one came this week, two


@pytest.mark.parametrize("words", QUESTIONS.values(), ids=QUESTIONS)
def test_a_question_sends_as_many_statements_whatever_is_stored(
    words: tuple[str, ...], here, store, new_incident, statements: list[str]
) -> None:
    """Among 30 incidents as many as among 3."""
    counts = []
    for number in range(MANY):
        at = NOW - timedelta(hours=1) + timedelta(minutes=number)
        store.save_incident(new_incident(name=f"p{number}", pid=100 + number, at=at))
        if number + 1 in (FEW, MANY):
            statements.clear()
            assert here(*words).code in (0, 3)  # status: nobody records here
            counts.append(len(statements))
    assert counts[0] == counts[1] <= MOST_STATEMENTS + (words[0] in TELL_THE_WEEK)


@pytest.mark.parametrize(("word", "most"), MODULES.items())
def test_a_command_loads_few_modules(word: str, most: int, store, environment: dict[str, str]) -> None:
    """Each takes its time at every call. A higher limit is a decision: see what came in."""
    code = (
        "import sys\nfrom monitord.cli import main\n"
        f"try: main([{word!r}])\nexcept SystemExit: pass\nprint(len(sys.modules), file=sys.stderr)"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=environment, cwd=os.sep, capture_output=True, text=True, check=True)
    assert int(done.stderr.split()[-1]) < most
