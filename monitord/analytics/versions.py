"""Which version of its program a process ran: by its release folder or file name, else by what was deployed.

Unknown is None: a wrong version would accuse the wrong change.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from monitord.errors import UsageError
from monitord.redaction.naming import fits_name
from monitord.storage.state import Storage
from monitord.storage.views import IncidentView

_NUMBER = r"v?\d+(?:\.\d+){1,3}(?:[-+.](?:rc|alpha|beta|b|a|dev|post|snapshot|release|final)[.\d]*)?"
_STAMP = r"20\d{6}(?:[-_T]?\d{4,6})?"
_COMMIT = r"[0-9a-f]{7,40}"
# /srv/app/releases/20260301120000/…, /opt/app/versions/1.4.2/…: the folder that a deployment makes.
_RELEASE = re.compile(
    rf"/(?:releases|release|versions|deployments)/({_NUMBER}|{_STAMP}|{_COMMIT})/", re.IGNORECASE
)
# app-1.4.2.jar, app_1.4.2.phar; /opt/app-1.4.2/bin/app.
_FILE = re.compile(rf"[-_]({_NUMBER})\.(?:jar|war|phar|pex|pyz|whl|gem|dll)$", re.IGNORECASE)
_FOLDER = re.compile(rf"/[A-Za-z][\w+.]*?[-_]({_NUMBER})/", re.IGNORECASE)
# What an interpreter, a runtime or the system is has a version of its own, and it is not the program's.
_OF_A_KEEPER = re.compile(
    r"/(?:\.?(?:pyenv|nvm|rbenv|asdf|sdkman|cargo|rustup|uv|conda|miniconda\w*|jvm)|node_modules|site-packages)/"
)
_OF_A_RUNTIME = re.compile(
    r"^/(?:usr|lib\w*|bin|sbin|nix/store|snap|System|Library|Applications)/"
    r"|/(?:jdk|jre|openjdk|python|pypy|node|ruby|perl|php|go|temurin|zulu|graalvm)[\w.+]*-?[\d.]*[^/]*/",
    re.IGNORECASE,
)
_LONGEST_PATH = 4096
_ARGUMENTS = 64
_LONGEST_VERSION = 64
_PREFIX = "deployed/"
MARKS_AT_MOST = 1000


def version_of(executable: str | None, command_line: Sequence[str]) -> str | None:
    """Return the version that a program's own paths tell, without a leading v; None where none does.

    The first of its paths that tells one counts: its executable, then its arguments.
    """
    for path in (executable or "", *command_line[:_ARGUMENTS]):
        found = _told_by(path[:_LONGEST_PATH])
        if found:
            return found
    return None


def _told_by(path: str) -> str | None:
    if "/" not in path and not _FILE.search(path):
        return None
    release = _RELEASE.search(path)
    if _OF_A_KEEPER.search(path) or (release is None and _OF_A_RUNTIME.search(path)):
        return None
    found = release or _FILE.search(path) or (_FOLDER.search(path) if path.startswith("/") else None)
    return found[1].removeprefix("v")[:_LONGEST_VERSION] if found else None


@dataclass(frozen=True, slots=True)
class Deployment:
    """Somebody said that processes of this name (as for --process) are of this version from then on."""

    at: datetime
    process: str
    version: str


def known_versions(deployments: Sequence[Deployment]) -> Callable[[IncidentView], str | None]:
    """Return what says the version of an incident's program: its paths, else the last mark before it."""
    newest_first = sorted(deployments, key=lambda each: each.at, reverse=True)

    def version(view: IncidentView) -> str | None:
        executable, words = view.process.executable if view.process else None, view.record.command_line
        told = version_of(executable, words)
        return told or next(
            (
                each.version
                for each in newest_first
                if each.at <= view.raised_at and fits_name(each.process, view.process_name, words)
            ),
            None,
        )

    return version


def mark_deployed(state: Storage, process: str, version: str, at: datetime) -> Deployment:
    """Keep the mark; of more than `MARKS_AT_MOST` the oldest goes. Raises UsageError for unfit words."""
    for name, text in (("process", process), ("version", version)):
        if not 0 < len(text) <= _LONGEST_VERSION or not text.isprintable() or text != text.strip():
            raise UsageError(
                f"invalid {name} {text[:80]!r}, expected 1 to {_LONGEST_VERSION} printable characters"
            )
    marked = Deployment(at, process, version)
    told = {"process": process, "version": version, "at": at.isoformat()}
    state.set(f"{_PREFIX}{at:%Y%m%dT%H%M%S.%f}", json.dumps(told).encode())
    keys = sorted(key for key in state.keys() if key.startswith(_PREFIX))  # noqa: SIM118  not a mapping
    if len(keys) > MARKS_AT_MOST:
        state.delete_many(keys[:-MARKS_AT_MOST])
    return marked


def deployments(state: Storage) -> list[Deployment]:
    """Return all marks, oldest first; damaged ones are left out."""
    keys = sorted(key for key in state.keys() if key.startswith(_PREFIX))  # noqa: SIM118  not a mapping
    found = []
    for item in state.get_many(keys).values():
        try:
            told = json.loads(item.data)
            at = datetime.fromisoformat(told["at"])
            found.append(Deployment(at.astimezone(UTC), str(told["process"]), str(told["version"])))
        except (ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda each: each.at)


def deployed_mark(deployments: Sequence[Deployment], day: str) -> str:
    """Return a text that is another one once other marks count for a day (UTC); "" where none does.

    What was replaced before the day began does not count: an old mark that goes changes nothing.
    """
    before: dict[str, Deployment] = {}
    within = []
    for each in sorted(deployments, key=lambda each: each.at):
        begun = f"{each.at.astimezone(UTC):%Y-%m-%d}"
        if begun < day:
            before[each.process] = each
        elif begun == day:
            within.append(each)
    counting = [(each.process, each.version) for _process, each in sorted(before.items())]
    dated = [(each.at.isoformat(), each.process, each.version) for each in within]
    if not counting and not dated:
        return ""
    return f":{hashlib.sha256(repr((counting, dated)).encode()).hexdigest()[:16]}"
