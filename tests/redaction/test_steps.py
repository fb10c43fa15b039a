"""No text of a process makes redaction slow: steps are counted, and they grow with the text at the most."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.redaction import (
    arguments,
    find_secrets,
    issued,
    logins,
    lone_lines,
    made_up,
    operands,
    patterns,
    reader,
    redact_argv,
    redact_name,
    redact_text,
    shell,
    source,
    tools,
    unknown,
)
from monitord.redaction.arguments import hide_arguments, hide_text
from monitord.redaction.operands import secret_operands
from monitord.redaction.tools import CARRIERS, ORACLE, READERS, TOOLS
from tests.redaction.command_lines import innocent, with_secret

SLACK = 4_000  # what a call costs however short its text is


def steps(work: Callable[[], object]) -> int:
    """How many functions, Python's and C's, are called."""
    count = 0

    def tell(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(tell)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def test_an_ordinary_command_line_costs_few_calls() -> None:
    """Of lines after the manuals, with and without secrets: whatever is read of a machine's processes is redacted."""
    lines = [*innocent(0), *(argv for _line, _planted, argv in with_secret(0))]
    calls = steps(lambda: [redact_argv(line) for line in lines]) / len(lines)
    print(f"{calls:.0f} calls a command line")
    assert calls <= 512, calls


def _plain(_rule: str, _value: str) -> str:
    return "***HIDDEN***"


def _is_linear(work: Callable[[int], object], n: int) -> None:
    once, twice = steps(lambda: work(n)), steps(lambda: work(2 * n))
    assert twice <= 2.5 * once + SLACK, (once, twice)


WORDS = sorted(
    {
        *TOOLS,
        *CARRIERS,
        *ORACLE,
        *READERS,
        "password",
        "--password",
        "-p",
        "Bearer",
        "=",
        "'",
        '"',
        "echo",
        "|",
    }
)


def test_a_word_repeated_costs_no_more_than_its_length() -> None:
    """A tool's word whose verb never comes, at twice the length: at most about twice the steps."""
    for word in WORDS:
        _is_linear(lambda n, word=word: hide_arguments([word] * n, _plain), 40)  # type: ignore[misc]


def test_every_operand_form_is_read_within_bounds() -> None:
    """Each tool with the beginning of its own forms, over and over, and never their end."""
    for name, tool in TOOLS.items():
        for form in tool.forms:
            bait = [name, *form[:-1]]
            few, many = (steps(lambda argv=bait * n: secret_operands(argv)) for n in (20, 200))  # type: ignore[misc]
            assert many <= few + SLACK, (name, form, few, many)


SHAPES = [
    "'", '"', "\\", '\\"', "'\"", '"a b" ', "sh -c '", 'sh -c "', "a=", "a:", "-", "- ", "--a ", "-p", "(", "((", "|", "echo a | ",
    "<<<", "<<< a ", "x(\"a\",", "'a',", "\"a\",'b',", "password=", "password=[", "password=(\"", "<a>", "<password>", "</a>", "://", "x://a:b@",
    "%3a%2f%2f", "jdbc:oracle:thin:", "secret,data=", "send \"", "expect send ", "-----BEGIN PRIVATE KEY-----", "eyJ", "eyJaaaaaaaa.", "a.", "a-",
    "a_", "A-key:", "X-A-key: ", "/hook/", "key=\"a\" value=\"", "password-", "sess_", "$6$", "Bearer ", "aB3", "@", "a@", ":", "1.", "$(", "`",
    "{", "f(", "f('", "token: str = ", "Optional[", "password is ", "\n", " ", "\t", "é", "\udcff", "0", "AKIA", "sk-", "?", "#", "&a=", "%",
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_a_shape_repeated_costs_no_more_than_its_length(shape: str) -> None:
    n = 1_200 // len(shape) + 20
    for work in (
        lambda n: hide_text(shape * n, _plain),
        lambda n: hide_arguments(["app", shape * n], _plain),
        lambda n: find_secrets(shape * n),
        lambda n: redact_name("pass" + shape * n),
        lambda n: source.source_line(shape * n + "\nx", 2),
        lambda n: lone_lines.redact_source(shape * n),
    ):
        _is_linear(work, n)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([*SHAPES, *WORDS]), min_size=1, max_size=5), st.sampled_from(["", " "]))
def test_shapes_put_together_cost_no_more_than_their_length(pieces: list[str], blank: str) -> None:
    bait = blank.join(pieces) + blank
    n = 600 // len(bait) + 5
    _is_linear(lambda n: hide_text(bait * n, _plain), n)
    _is_linear(lambda n: hide_arguments(bait.split() * n, _plain), n)


def test_quotes_nested_without_end_are_read_to_a_fixed_depth() -> None:
    def nested(depth: int) -> str:
        text = "mysql -pS3cretS3cret"
        for _ in range(depth):
            text = "sh -c " + ("'" + text.replace("'", "'\\''") + "'" if len(text) < 2_000 else f'"{text}"')
        return text

    assert steps(lambda: redact_text(nested(40))) <= 3 * steps(lambda: redact_text(nested(10))) + SLACK * 10


def _patterns() -> list[re.Pattern[str]]:
    found = [re.compile(shape) for _name, shape in issued.ISSUED]
    for module in (
        patterns,
        arguments,
        reader,
        shell,
        source,
        logins,
        lone_lines,
        made_up,
        unknown,
        operands,
        tools,
    ):
        found += [value for value in vars(module).values() if isinstance(value, re.Pattern)]
        found += [
            each for value in vars(module).values() if isinstance(value, dict) for each in value.values()
            if isinstance(each, re.Pattern)
        ]  # fmt: skip
    return found


# Only ever matched from a word's beginning, or searched for in a name's first 60 characters.
MATCHED = {
    *(value for module in (logins, made_up, unknown, operands, tools) for value in vars(module).values()
      if isinstance(value, re.Pattern)),
    reader._BARE_NAME, reader._FILE, reader._LONG_OPTION, reader._LOGIN_WORD, reader._KEPT_VALUE,
    arguments._SENT_WORDS, source._FORMAT, patterns._WHOLE_NAMED, lone_lines._TYPED, lone_lines._SETTING,
    lone_lines._INSTRUCTION, lone_lines._CAMEL, lone_lines._EXPRESSION, lone_lines._NAME,
}  # fmt: skip


@pytest.mark.timeout(120)
@pytest.mark.parametrize("pattern", _patterns(), ids=lambda pattern: pattern.pattern[:40])
def test_no_pattern_backtracks_over_a_shape_of_60_kb(pattern: re.Pattern[str]) -> None:
    """Quadratic, each of these would need minutes; the limit is for hangs only."""
    for shape in SHAPES:
        bait = shape * (60_000 // len(shape))
        pattern.fullmatch(bait)
        if pattern not in MATCHED:
            for _ in pattern.finditer(bait):
                pass


def test_what_is_read_is_capped_before_any_work() -> None:
    """Many times the cap costs as many steps as the cap itself, but for counting it."""
    for word in ("mc", "a=b", "--password x", "'" * 50):
        few, many = (steps(lambda argv=[word] * n: redact_argv(argv)) for n in (8_000, 80_000))  # type: ignore[misc]
        assert many <= 1.1 * few + SLACK, word
    few, many = (steps(lambda text="a=b " * n: redact_text(text)) for n in (20_000, 100_000))  # type: ignore[misc]
    assert many <= 1.1 * few + SLACK
