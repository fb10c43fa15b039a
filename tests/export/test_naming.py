"""What a process is called on a page."""

from __future__ import annotations

import pytest

from monitord.export.naming import display_name


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
