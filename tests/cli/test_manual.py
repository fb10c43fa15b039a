"""The manual page has what `--help` has, reads without a complaint, and is carried by an installation."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from monitord.cli.commands import ALIASES, COMMANDS
from monitord.cli.examples import EXAMPLES
from monitord.cli.manual import man_page

ROOT = Path(__file__).parents[2]
PAGE = man_page()


def plain(text: str) -> str:
    """What a reader sees of a line of troff."""
    text = re.sub(r"\\\[u([0-9A-F]{4})\]", lambda found: chr(int(found[1], 16)), text)
    return text.replace("\\(aq", "'").replace("\\(ga", "`").replace("\\-", "-").replace("\\&", "")


def test_every_command_and_each_of_its_options_stands_on_the_page(here) -> None:
    text = plain(PAGE).split("\n.SH COMMANDS\n")[1]
    for path, _where, _summary in COMMANDS:
        if path in ALIASES:
            continue
        section = text.split(f"\n.B monitord {path}\n", 1)[1].split("\n.RE\n", 1)[0]
        shown = here(*path.split(), "--help").out.split("\nOptions:\n")[1].split("\nExamples:")[0]
        options = set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", shown, re.MULTILINE))
        options -= {"--config", "--data-dir", "--color", "--help"}
        assert [option for option in sorted(options) if option not in section] == [], path
        assert [call for call, _ in EXAMPLES.get(path, ()) if call not in section] == [], path


def test_the_page_says_what_each_exit_code_means(here) -> None:
    told = plain(PAGE).split("\n.SH EXIT STATUS\n")[1].split("\n.SH ")[0]
    shown = here("--help").out.split("Exit codes:")[1]
    assert set(re.findall(r"\b\d+\b", told)) == set(re.findall(r"\b\d+\b", shown))
    assert "\n.B 75\nbusy, try again\n" in told


def test_the_program_prints_the_page(here) -> None:
    assert here("help", "--man").out == PAGE


def test_the_page_in_the_tree_is_the_one_that_the_program_prints() -> None:
    """`make man` writes it; the wheel carries it as `share/man/man1/monitord.1`."""
    assert (ROOT / "man/monitord.1").read_text(encoding="utf-8") == PAGE, "type `make man`"


def test_no_line_is_a_request_by_accident_and_all_is_ascii() -> None:
    assert PAGE.isascii()
    requests = {line.split()[0] for line in PAGE.splitlines() if line.startswith((".", "'"))}
    assert requests == {".TH", ".nh", ".ad", ".SH", ".SS", ".PP", ".TP", ".B", ".br", ".RS", ".RE"}


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed: apt install groff-base")
def test_troff_reads_it_without_a_complaint() -> None:
    words = ["groff", "-man", "-Tutf8", "-ww", "-rLL=72n", "-P-cbou"]
    done = subprocess.run(words, input=PAGE, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "monitord recent -S 3am -U 5am" in done.stdout.replace("‐", "-").replace("−", "-")
