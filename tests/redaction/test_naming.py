"""What a process is called on a page."""

from __future__ import annotations

import pytest

from monitord.redaction.naming import display_name, fits_name


@pytest.mark.parametrize(
    ("name", "command_line", "expected"),
    [
        ("python3", ("python3", "/srv/app/server.py", "--port", "80"), "python3 server.py"),
        ("python3.11", ("python3.11", "-u", "worker.py"), "python3.11 worker.py"),
        ("python", ("python", "-m", "http.server"), "python -m http.server"),
        ("python", ("python", "-c", "while True: pass"), "python"),
        ("python", (), "python"),
        ("nginx", ("nginx", "-g", "daemon off;"), "nginx"),
        ("pythonista", ("pythonista", "x.py"), "pythonista"),
        ("sh", ("sh", "/x/evil\n\x1b[31m.sh"), "sh evil\\n\\x1b[31m.sh"),
        ("bash", ("bash", "/" + "x" * 100), "bash " + "x" * 23 + "…"),
    ],
)
def test_interpreters_are_named_with_what_they_run(
    name: str, command_line: tuple[str, ...], expected: str
) -> None:
    """Script or module for an interpreter, the plain name for everybody else, printable always."""
    assert display_name(name, command_line) == expected


@pytest.mark.parametrize(
    ("name", "command_line"),
    [
        ("python3", ("python3", "/srv/app/spike.py", "--port", "80")),
        ("python3.13t", ("python3.13t", "-u", "/srv/" + "long_" * 20 + ".py")),
        ("python", ("python", "-m", "http.server")),
        ("sh", ("sh", "/x/evil\n\x1b[31m.sh")),
        ("nginx", ("nginx", "-g", "daemon off;")),
        ("[kworker/0:1]", ()),
        ("漢字", ()),
    ],
)
def test_what_the_page_calls_a_process_finds_it(name: str, command_line: tuple[str, ...]) -> None:
    """The whole of it, each word of it, the kernel's name, the script, in any case and as a pattern."""
    shown = display_name(name, command_line)
    script = [command_line[1].rsplit("/", 1)[-1]] if command_line[1:] and "." in command_line[1] else []
    for wanted in (shown, shown.upper(), *shown.split(), name, f"*{shown[-2:]}*", *script):
        assert fits_name(wanted, name, command_line), wanted
    assert not fits_name("nobody", name, command_line)
