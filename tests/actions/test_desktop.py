"""A person's clipboard and browser: used where there are any, and said where there are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitord.actions import desktop
from monitord.errors import MonitordError, NotFoundError, PermissionDeniedError
from tests.actions.desktops import a_desktop
from tests.strangers import NOBODY, let_in, ordinary


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    let_in(tmp_path)
    if os.geteuid() == 0:
        os.chown(tmp_path, NOBODY, NOBODY)
    return a_desktop(tmp_path, monkeypatch)


def test_a_text_is_in_the_clipboard(mark: Path) -> None:
    with ordinary():
        desktop.copy("naïve | `$(id)`\n", os.environ)
    assert mark.read_text(encoding="utf-8") == "naïve | `$(id)`\n"


def test_a_page_is_in_the_browser(mark: Path, tmp_path: Path) -> None:
    """Its path is one word, whatever it holds."""
    page = tmp_path / "a page; $(touch x).html"
    with ordinary():
        assert desktop.can_open_pages(os.environ)
        desktop.open_page(page, os.environ)
    assert mark.read_text() == str(page)


@pytest.mark.parametrize("missing", ["WAYLAND_DISPLAY", "PATH"])
def test_without_a_desktop_one_is_told(mark: Path, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where the page lies: it can be taken to where a browser is."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY") if missing != "PATH" else monkeypatch.setenv("PATH", "/nowhere")
    with ordinary(), pytest.raises(NotFoundError, match="cannot find a clipboard"):
        desktop.copy("x", os.environ)
    with ordinary():
        assert not desktop.can_open_pages(os.environ)
    with ordinary(), pytest.raises(NotFoundError, match=r"the page lies in /tmp/it\.html"):
        desktop.open_page(Path("/tmp/it.html"), os.environ)


def test_a_tool_that_fails_is_told(mark: Path) -> None:
    (mark.parent / "bin" / "wl-copy").write_text("#!/bin/sh\nexit 3\n")
    with ordinary(), pytest.raises(MonitordError, match="wl-copy: it ended with 3"):
        desktop.copy("x", os.environ)


@pytest.mark.root
def test_root_is_told_what_to_type(mark: Path) -> None:
    with pytest.raises(PermissionDeniedError, match="wl-copy"):
        desktop.copy("x", os.environ)
    with pytest.raises(PermissionDeniedError, match="as yourself, type"):
        desktop.open_page(Path("/tmp/it.html"), os.environ)
    assert not desktop.can_open_pages(os.environ)
    assert not mark.exists()
