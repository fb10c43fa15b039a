"""A program of the owner's: fixed words, the message as JSON on its standard input, never a shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monitord.children import own_environment
from monitord.config.telling import ReceiverSettings
from monitord.notify.errors import NotSentError
from monitord.ownership import why_untrusted

_LONGEST_SHEBANG = 256


def send(receiver: ReceiverSettings, url: str, message: Mapping[str, Any], within_s: float) -> None:
    """Run it; exit status 0: the message was taken. Its stderr is ours, what it prints is not read."""
    reason = check(receiver)
    if reason is not None:
        raise NotSentError(reason)
    try:
        child = subprocess.Popen(
            list(receiver.command),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env=own_environment(),
        )
    except OSError as error:
        raise NotSentError(f"cannot start {receiver.command[0]}: {error.strerror}") from error
    try:
        child.communicate(json.dumps(message).encode() + b"\n", timeout=within_s)
    except subprocess.TimeoutExpired as error:
        os.killpg(
            child.pid, signal.SIGKILL
        )  # with what it started; not waited for yet, so the number is its own
        child.wait()
        raise NotSentError(f"{receiver.command[0]} took longer than {within_s:g} s and was ended") from error
    if child.returncode != 0:
        raise NotSentError(f"{receiver.command[0]} ended with status {child.returncode}")


def check(receiver: ReceiverSettings) -> str | None:
    """Return why it is not run: it is not there, no program, or somebody else could change what runs."""
    program = Path(receiver.command[0])
    if not program.is_file() or not os.access(program, os.X_OK):
        return f"cannot run {program}: it is not a program"
    owners = frozenset({os.geteuid()})
    reasons = (why_untrusted(path, owners=owners) for path in _what_runs(receiver.command))
    reason = next(filter(None, reasons), None)
    if reason is None:
        return None
    return f"cannot run {program}: {reason}; expected one that only root or the recorder's user can change"


def _what_runs(words: tuple[str, ...]) -> Iterator[Path]:
    """The program, each file among its words (it starts in /), and what interprets a script."""
    for word in words:
        path = Path("/", word)
        if os.path.isfile(path):  # noqa: PTH113 - False for every word that can't be a path, too
            yield path
            interpreter = _first_line(path).removeprefix(b"#!").split(maxsplit=1)[:1]
            yield from (Path("/", os.fsdecode(one)) for one in interpreter)


def _first_line(path: Path) -> bytes:
    """Of a script; nothing of a program, or of what can't be read."""
    try:
        with path.open("rb") as file:
            line = file.readline(_LONGEST_SHEBANG)
    except OSError:
        return b""
    return line if line.startswith(b"#!") else b""
