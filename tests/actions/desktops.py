"""A desktop for tests: a clipboard and a browser that write down what they were given."""

from __future__ import annotations

from pathlib import Path

import pytest


def a_desktop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put it into the environment; returns the file with what it got."""
    tools, mark = folder / "bin", folder / "got"
    tools.mkdir()
    for name, script in (("wl-copy", f"cat > {mark}"), ("xdg-open", f'printf %s "$1" > {mark}')):
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    return mark
