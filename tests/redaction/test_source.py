"""A kept line of source shows its code and nothing that its strings and comments say."""

from __future__ import annotations

import ast
import io
import tokenize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.redaction import HIDDEN, redact_source, redact_text, source_line

S = "Hunt3r" + "-q7Xv2L"

# Each holds the secret once or more; what stands behind the bar must stay readable.
LINES = [
    (f"DB_PASSWORD = '{S}'", "DB_PASSWORD ="),
    (f'password=b"{S}"', "password=b"),
    (f"token = rb'{S}'", "token ="),
    (f'token: str = "{S}"', "token: str ="),
    (f'token: Optional[str] = "{S}"', "Optional[str]"),
    (f'if password=="{S}":', "if password=="),
    (f'if password != "{S}":', "if password !="),
    (f'if os.environ["DB_PASSWORD"] == "{S}":', "os.environ["),
    (f'if compare_digest(secret, b"{S}"):', "compare_digest(secret, b"),
    (f'return secret.startswith("{S}")', "secret.startswith("),
    (f'c = connect("db", "bob", "{S}")', "c = connect("),
    (f'headers = {{"Authorization": "Bearer {S}"}}', "headers ="),
    (f"r = get(url, auth=('bob', '{S}'))", "auth=("),
    (f'x = 1  # root pw: {S}', "x = 1"),
    (f"# {S}", ""),
    (f'run("sshpass -p {S} ssh h")', "run("),
    (f'call(["mysql", "-p{S}"])', "call(["),
    (f'(pw := "{S}")', "pw :="),
    (f'x = "a" "{S}" \'b\'', "x ="),
    (f'x = f"{{user}}:{S}@{{host}}"', "{host}"),
    (f"x = f'{{d[\"{S}\"]}}'", "x = f"),
    (f'x = f"{{a!r:>{{width}}}} {S}"', "{width}"),
    (f'x = u"{S}"', "x = u"),
    (f'x = "it\'s \\"{S}\\""', "x ="),
    (f'assert hashed == hash_password("{S}")', "hash_password("),
    (f'return {{"k": "{S}"}}[key]', "[key]"),
    (f'x = f"{{n:08.3f}} {{t:%Y-%m-%d}} {{n:>{{width}}}} {S}"', "{n:08.3f} {t:%Y-%m-%d} {n:>{width}}"),
    (f'x = f"{{n:{S}}}"', "{n:"),
    (f'x = f"{{n = :{S}}}"', "{n = :"),
    (f'x = f"{{n!r:{{d[\'{S}\']}}{S}}}"', "{n!r:"),
    (f'x = f"{{d[1:2]:{{y:{S}}}}}"', "{d[1:2]:"),
    (f'x = f"{{(lambda: \'{S}\')()}}"', "{(lambda:"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "kept"), LINES)
def test_no_literal_and_no_comment_of_a_line_is_kept(line: str, kept: str) -> None:
    shown = redact_source(line)
    assert S not in shown
    assert kept in shown
    assert redact_source(shown) == shown
    assert source_line(f"a = 1\n{line}\nb = 2\n", 2) == shown


@pytest.mark.parametrize(
    "line",
    [
        f"{S} is the word",
        f'and {S}"""',
        f'{S}""")',
        f'x = """{S}',
        f"the root's is {S}!",
        f"  {S}\\",
        "password hunter2hunter2",
        f'{S}" + b',
        f"{S}' + b",
        f'return """ + b + """ {S}',
        f'log("""{S}""")',
        f'x = "{S}',
        f"x = '{S}",
        f"x = r'\\' + '{S}'",
    ],
)
def test_a_line_that_may_be_the_middle_of_a_string_goes_whole(line: str) -> None:
    assert redact_source(line) == HIDDEN


TEXT = f'''
def connect():
    query = """select 1
        {S} '{S}' # {S}
    {S}""", call(x)
    other = f"""{{query}} {S}
{S} {{d['{S}']}} and {{run(query)}} {S}
"""; done(query)
    joined = ("{S}"
        '{S}')  # {S}
    return joined \\
        + "{S}"
'''


def test_a_line_inside_a_string_of_many_lines_is_known_by_what_stands_before_it() -> None:
    lines = [source_line(TEXT, number) or "" for number in range(1, TEXT.count("\n") + 2)]
    assert S not in "\n".join(lines)
    for kept in (
        "def connect():",
        "query =",
        ", call(x)",
        "{query}",
        "{run(query)}",
        "done(query)",
        "return joined",
        "+ ",
    ):
        assert any(kept in line for line in lines), kept
    assert source_line(TEXT, 10_000) is None


@pytest.mark.parametrize(
    ("line", "shown"),
    [("pin = 4821", f"pin = {HIDDEN}"), ("key = 0xDEADBEEFCAFEBABE", f"key = {HIDDEN}"), ("if token == 4711_0815:", f"if token == {HIDDEN}:"),
     ("n = 12345678901234567890", f"n = {HIDDEN}"), ("port = 8080", "port = 8080"), ("x = buffer[0:4096]", "x = buffer[0:4096]"), ("y = 0xff", "y = 0xff")],
)  # fmt: skip
def test_numbers_that_may_be_secrets_go_and_others_stay(line: str, shown: str) -> None:
    assert redact_source(line) == shown


CODE = [
    "for number in range(20000):", "total += number * number", "return self._lines[line - 1].strip()", "async with lock: await foo()",
    "x = a if b else c", "from a.b import c as d", "lambda x, *y, **z: x @ y", "raise ValueError(name) from error", "@cached(maxsize=128)",
    "password = os.environ[name]", "token = get_token(user)", "if not secret: return None", "x = not y is z", "assert key in keys, key",
    "print(x, end=y)", "yield from parts", "global a, b", "del a[1:2]", "self.password_hash = self.hasher.hash(password)",
]  # fmt: skip


@pytest.mark.parametrize("line", CODE)
def test_code_without_literals_stays_as_it_is(line: str) -> None:
    assert redact_source(line) == line
    assert source_line(f"{line}\n", 1) == line


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=120), st.integers(1, 4))
def test_any_text_gives_a_line_or_none(text: str, number: int) -> None:
    redact_source(text)
    source_line(text, number)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(alphabet="ab'\"\\{}#\n\té", max_size=12).map(repr) | st.sampled_from(["x", "f(", ")", "+", "\n", "# c\n", " ", ",", "f'{a}'"]), max_size=12))  # fmt: skip
def test_what_python_itself_calls_a_string_is_hidden(pieces: list[str]) -> None:
    """Compared with the tokenizer of the language, for every text that it can read."""
    text = " ".join(pieces)
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError, IndentationError):
        return
    for token in tokens:
        if (
            token.type == tokenize.STRING
            and not token.string.startswith("f")
            and token.start[0] == token.end[0]
        ):
            value = ast.literal_eval(token.string)
            line = source_line(text, token.start[0]) or ""
            kept = token.string[1:-1]
            is_code_too = kept in "f'{a}'"
            assert is_code_too or len(value) < 2 or len(kept) < 3 or kept not in line


def test_a_line_that_is_redacted_again_as_text_says_no_more() -> None:
    for line, _kept in LINES:
        assert S not in redact_text(redact_source(line))
