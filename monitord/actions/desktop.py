"""What a person's desktop does for us: it opens a page in the browser, and takes a text into its clipboard.

Never for root: a browser would run as root with a user's settings, and so would whatever they name. Who typed
sudo is told what to type instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from monitord.errors import MonitordError, NotFoundError, PermissionDeniedError
from monitord.ownership import is_privileged, make_folder

_OPENS_WITHIN_S = 5.0
_COPIES_WITHIN_S = 10.0
_KEPT_FOR_S = 86_400.0
# What takes a text from its stdin, and what has to be there for it to work.
_CLIPBOARDS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("wl-copy",), "WAYLAND_DISPLAY"),
    (("xclip", "-selection", "clipboard"), "DISPLAY"),
    (("xsel", "--clipboard", "--input"), "DISPLAY"),
    (("clip.exe",), "WSL_DISTRO_NAME"),
)
_OPENERS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("xdg-open",), "WAYLAND_DISPLAY"),
    (("xdg-open",), "DISPLAY"),
    (("wslview",), "WSL_DISTRO_NAME"),
)


def copy(text: str, environment: Mapping[str, str]) -> None:
    """Put a text into the clipboard; raises NotFoundError without one, PermissionDeniedError for root."""
    tool = clipboard_tool(environment)
    if is_privileged():
        pipe = f"; `… | {' '.join(tool)}` does it as you" if tool else ""
        raise PermissionDeniedError(f"cannot copy as root into a user's clipboard: leave out --copy{pipe}")
    if tool is None:
        raise NotFoundError(
            "cannot find a clipboard: expected wl-copy, xclip or xsel on a desktop; without --copy the text"
            " goes to stdout"
        )
    _run(tool, text.encode("utf-8", "backslashreplace"), _COPIES_WITHIN_S)


def clipboard_tool(environment: Mapping[str, str]) -> Sequence[str] | None:
    """Return the command that fills this environment's clipboard; None without one."""
    return ("/usr/bin/pbcopy",) if sys.platform == "darwin" else _found(_CLIPBOARDS, environment)


def refuse_as_root(instead: str) -> None:
    """Raise PermissionDeniedError, with what to type, for who must not start a browser."""
    if is_privileged():
        raise PermissionDeniedError(f"cannot open a browser as root: as yourself, type `{instead}`")


def page_to_open(name: str) -> Path:
    """Where a page for the browser is to be written: the user's cache; pages of earlier days are removed."""
    import platformdirs

    folder = Path(platformdirs.user_cache_dir("monitord", appauthor=False)) / "pages"
    try:
        make_folder(folder)
        for old in folder.glob("*.html"):
            if time.time() - old.lstat().st_mtime > _KEPT_FOR_S:
                old.unlink(missing_ok=True)
    except OSError as error:
        raise MonitordError(f"cannot use {folder}: {error.strerror}") from error
    return folder / name


def can_open_pages(environment: Mapping[str, str]) -> bool:
    """Whether `open_page` finds a browser here that this user may start."""
    return not is_privileged() and _opener(environment) is not None


def open_page(page: Path, environment: Mapping[str, str]) -> None:
    """Open a page in the browser; NotFoundError where there is no desktop, with the page's place."""
    refuse_as_root(f"xdg-open {page}")
    tool = _opener(environment)
    if tool is None:
        raise NotFoundError(
            f"cannot find a browser here (no display, or no xdg-open); the page lies in {page}: copy it to"
            " where one is"
        )
    _run((*tool, str(page)), None, _OPENS_WITHIN_S)


def _opener(environment: Mapping[str, str]) -> Sequence[str] | None:
    return ("/usr/bin/open",) if sys.platform == "darwin" else _found(_OPENERS, environment)


def _found(
    tools: Sequence[tuple[tuple[str, ...], str]], environment: Mapping[str, str]
) -> tuple[str, ...] | None:
    """The first tool that is there and that has what it needs; its path, and its words."""
    search_path = environment.get("PATH", os.defpath)
    for (name, *words), needs in tools:
        if environment.get(needs) and (path := shutil.which(name, path=search_path)) is not None:
            return path, *words
    return None


def _run(command: Sequence[str], content: bytes | None, seconds: float) -> None:
    """Start a tool of the desktop and wait until it has begun; what it starts may stay."""
    try:
        tool = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if content is None else subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        with suppress(subprocess.TimeoutExpired):  # some stay with what they opened
            tool.communicate(content, timeout=seconds)
    except OSError as error:
        raise MonitordError(f"cannot run {command[0]}: {error.strerror}") from error
    if tool.returncode not in (None, 0):
        raise MonitordError(f"cannot use {command[0]}: it ended with {tool.returncode}")
