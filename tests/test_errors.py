"""What went wrong is told in one form: "invalid X: …, expected …" or "cannot X: …; try …"."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "monitord"
_FORM = re.compile(r"(?:invalid|cannot|nothing (?:deleted|removed|done)) ?")
# Reasons that stand behind such a beginning: another error takes them up.
_REASONS = {
    "capture/java_names.py", "capture/python_frames.py", "config/settings.py", "config/telling.py", "config/loading.py", "profiles/ast_ids.py", "profiles/limits.py",
    "profiles/macos_sample.py", "profiles/macos_spindump.py", "profiles/source_scopes.py", "profiles/speedscope.py", "stacks/cpython/interpreter.py", "symbols/cpython_layouts.py",
    "stacks/cpython/runtime.py", "stacks/cpython/walking.py", "storage/artefacts/secret_sources.py",
    *(f"notify/receivers/{name}.py" for name in ("by_apprise", "chats", "http", "mail")),
    "metrics/otlp_client.py", "pipeline/snapshots.py", "recorder/requesting.py", "recorder/requests.py", "storage/artefacts/keyring.py", "storage/artefacts/monitor/health.py",
}  # fmt: skip
_OF_PYTHON = {"AssertionError", "AttributeError", "OSError", "PermissionError", "TypeError", "ValueError"}
MODULES = sorted(path for path in ROOT.rglob("*.py") if str(path.relative_to(ROOT)) not in _REASONS)


def first_words(error: ast.Call) -> str | None:
    """How its message begins; None when that is no text, or begins with a value."""
    message = error.args[0] if error.args else None
    if isinstance(message, ast.JoinedStr):
        message = message.values[0]
    return message.value if isinstance(message, ast.Constant) and isinstance(message.value, str) else None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_error_says_what_is_invalid_or_what_cannot_be_done(path: Path) -> None:
    """A reader at night knows the form, and where each part of it is."""
    raised = (node.exc for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Raise))
    found = [
        f"{path.name}:{call.lineno}: {words}"
        for call in raised
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
        if call.func.id.endswith("Error") and call.func.id not in _OF_PYTHON
        if (words := first_words(call)) and not _FORM.match(words)
    ]
    assert found == []
