"""`plan …`: set, shown, listed and deleted; what can't be is refused in one line."""

from __future__ import annotations

import json
import subprocess

import pytest

PLAN = {
    "name": "java-slow",
    "match": {"names": ["java*", "idea"], "users": ["app"], "units": ["shop.service"]},
    "profiler": "perf",
    "duration_seconds": 30.0,
    "rate_hz": 50,
    "consent": "always",
}


def set_it(here) -> None:
    answer = here(
        *("plan", "set", "java-slow", "--match-name", "java*", "--match-name", "idea", "--match-user", "app"),
        *("--match-unit", "shop.service", "--profiler", "perf", "--duration", "30s", "--rate", "50"),
        *("--consent", "always"),
    )
    assert (answer.code, answer.out, answer.err) == (0, "java-slow: set\n", "")


def test_a_plan_is_set_shown_and_listed(here, store) -> None:
    """As it was said, for people and for programs."""
    set_it(here)
    here("plan", "set", "all", "--rate", "5")
    assert json.loads(here("plan", "get", "java-slow", "--json").out) == PLAN
    everyone, java = json.loads(here("plan", "list", "-o", "json").out)
    assert (everyone["name"], everyone["consent"], java) == ("all", None, PLAN)
    header, first, second = here("plan", "list").out.splitlines()
    assert header.split() == ["NAME", "MATCHES", "PROFILER", "DURATION", "RATE", "CONSENT"]
    assert first.split() == ["all", "all", "–", "–", "5/s", "–"]
    for words in ("java* or idea, user app, unit shop.service", "perf", "30 s", "50/s", "always"):
        assert words in second


def test_a_deleted_plan_is_gone(here, store) -> None:
    """And an empty list says what that means."""
    set_it(here)
    assert here("plan", "delete", "java-slow").out == "java-slow: deleted\n"
    for words in (("get", "java-slow"), ("delete", "java-slow")):
        answer = here("plan", *words)
        assert (answer.code, answer.err.count("\n")) == (3, 1)
        assert "monitord plan list" in answer.err
    assert json.loads(here("plan", "list", "--json").out) == []
    assert "as configured" in here("plan", "list").err


@pytest.mark.parametrize(
    "words",
    [
        ("x",),
        ("../x", "--rate", "5"),
        ("x", "--rate", "0"),
        ("x", "--duration", "1h"),
        ("x", "--duration", "soon"),
        ("x", "--profiler", "gdb"),
        ("x", "--consent", "maybe"),
        ("x", "--rate", "5", "--match-name", ""),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_one_line(words, here, store) -> None:
    """Exit code 2, and nothing is kept."""
    answer = here("plan", "set", *words)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert json.loads(here("plan", "list", "--json").out) == []


def test_a_plan_needs_a_store(here) -> None:
    """Nobody has recorded here: nothing is made."""
    answer = here("plan", "set", "x", "--rate", "5")
    assert (answer.code, answer.err.count("\n")) == (3, 1)


def test_a_hostile_pattern_cannot_break_the_screen(here, store) -> None:
    """It is shown with its control characters spelled out."""
    here("plan", "set", "x", "--match-name", "a\x1b[31mb\n", "--rate", "5")
    shown = here("plan", "get", "x").out
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 2


def test_a_plan_that_refuses_holds_for_a_capture_by_hand(here, store) -> None:
    """Which is also the one that an assistant asks for over MCP."""
    here("plan", "set", "secret", "--match-name", "sleep", "--consent", "never")
    target = subprocess.Popen(["sleep", "60"])
    try:
        refused = here("capture", str(target.pid), "--duration", "0.5s")
    finally:
        target.kill()
        target.wait()
    assert refused.code == 4
    assert "the capture plan 'secret' refuses it" in refused.err
    assert "`monitord plan delete secret`" in refused.err
