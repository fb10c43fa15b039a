"""One word per idea, in code, commands, docs and tests alike: the words that were given up stay away."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GIVEN_UP = {
    "courier": ("uploader", {"CHANGELOG.md"}),
    # A stored artefact says so in its header, and tools of others unseal their own things.
    "sealed": ("encrypted", {"CHANGELOG.md", "monitord/storage/artefacts/wrappers/encrypted.py", "tests/storage/artefacts/test_tampering.py"}),
}  # fmt: skip
KEPT = ("tests/storage/samples/", "tests/test_words.py")  # stores of earlier versions, and who made them


@pytest.mark.parametrize("word", GIVEN_UP)
def test_a_word_that_was_given_up_is_used_nowhere(word: str) -> None:
    named = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True
    ).stdout.split("\0")
    instead, allowed = GIVEN_UP[word]
    searched = re.compile(rf"{word}s?(?![a-z])", re.IGNORECASE)
    found = [
        name
        for name in named
        if name and name not in allowed and not name.startswith(KEPT)
        and name.endswith((".py", ".md", ".js", ".toml", ".1", ".html", ".json", ".yml", ".service"))
        and (ROOT / name).is_file() and searched.search((ROOT / name).read_text(errors="replace"))
    ]  # fmt: skip
    assert not found, f"say {instead!r} instead of {word!r} in {found}"
