"""Questions with a name: SQL files with parameters, ours beside this module and yours in a folder.

A file begins with lines of comment: the first says what it answers, each other one a parameter with its kind,
default and meaning: `-- $limit int64 = 20: so many`. One without a default has to be told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from monitord.analytics.tables import Kind
from monitord.config.loading import read_text
from monitord.errors import ConfigError, NotFoundError, UsageError

FOLDER = Path(__file__).with_name("templates")
ENDING = ".sql"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_PARAMETER = re.compile(r"--\s*\$(\w{1,64})\s+(\w{1,16})(?:\s*=\s*([^:\n]{0,200}?))?\s*:\s*([^\n]{1,200})")
_LONGEST = 64 << 10
_AT_MOST = 200  # templates of a folder
_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a template wants to be told; `default` is as one types it, None: it has to be told."""

    name: str
    kind: Kind
    default: str | None
    meaning: str


@dataclass(frozen=True, slots=True)
class Template:
    """A question with a name. `source` is its file."""

    name: str
    says: str
    parameters: tuple[Parameter, ...]
    sql: str
    source: Path

    def values(self, told: Sequence[str]) -> dict[str, str | int | float | bool]:
        """Return the parameters' values: NAME=VALUE, or values in their order. Raises UsageError."""
        names = [each.name for each in self.parameters]
        given: dict[str, str] = {}
        for word in told:
            name, is_named, value = word.partition("=")
            if not is_named or not name.isidentifier():
                name, value = next((each for each in names if each not in given), ""), word
            if name not in names or name in given:
                raise UsageError(f"invalid parameter {word!r} of {self.name}, expected {self.usage}")
            given[name] = value
        return {each.name: _value(self, each, given.get(each.name, each.default)) for each in self.parameters}

    @property
    def usage(self) -> str:
        """How it is asked, as a page of help says it."""
        words = (
            each.name.upper() if each.default is None else f"[{each.name}={each.default}]"
            for each in self.parameters
        )
        return " ".join([self.name, *words])


def templates(folders: Sequence[Path]) -> dict[str, Template]:
    """Return all templates by name: ours, then those of the folders, of which the last one's counts.

    Raises ConfigError for a file that can't be read, that others could have written, or that is wrong.
    """
    found: dict[str, Template] = {}
    for folder in (FOLDER, *folders):
        found |= {path.stem: parsed(path.stem, _text(path), path) for path in _files(folder)}
    return found


def template(name: str, folders: Sequence[Path]) -> Template:
    """Return the template of this name; raises NotFoundError with those that there are."""
    for folder in (*reversed(folders), FOLDER):
        path = folder / f"{name}{ENDING}"
        if _NAME.fullmatch(name) and path in _files(folder):
            return parsed(name, _text(path), path)
    names = ", ".join(sorted({path.stem for folder in (FOLDER, *folders) for path in _files(folder)}))
    raise NotFoundError(f"cannot find template {name!r}; there are {names}, or ask in SQL: 'SELECT …'")


def parsed(name: str, text: str, source: Path) -> Template:
    """Read a template's text; raises ConfigError."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"invalid {source}: its name, expected small letters, digits, - and _")
    if len(text) > _LONGEST:
        raise ConfigError(f"invalid {source}: {len(text)} characters, expected at most {_LONGEST}")
    head = list(_head(text))
    says = next((line for line in head if not line.startswith("$")), "")
    parameters = tuple(_parameter(line, source) for line in head if line.startswith("$"))
    return Template(name, says, parameters, text, source)


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ENDING)[:_AT_MOST]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConfigError(f"cannot read {folder}: {error.strerror}") from error


def _text(path: Path) -> str:
    """Ours is a part of this program; yours is trusted as a configuration is."""
    return path.read_text(encoding="utf-8") if path.parent == FOLDER else read_text(path)


def _head(text: str) -> Iterator[str]:
    for line in text.split("\n", 50)[:50]:
        if not line.startswith("--"):
            return
        yield line.lstrip("-").strip()


def _parameter(line: str, source: Path) -> Parameter:
    match = _PARAMETER.fullmatch(f"-- {line}")
    if match is None or match[2] not in get_args(Kind):
        kinds = ", ".join(get_args(Kind))
        raise ConfigError(
            f"invalid {source}: {line[:80]!r}, expected '-- $name KIND = default: meaning'; kinds: {kinds}"
        )
    name, kind, default, meaning = match.groups()
    return Parameter(name, kind, _unquoted(default) if default is not None else None, meaning)  # type: ignore[arg-type]


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == "'" else text


def _value(template: Template, parameter: Parameter, told: str | None) -> str | int | float | bool:
    if told is None:
        raise UsageError(f"invalid call of {template.name}, expected {template.usage}")
    try:
        if parameter.kind == "int64":
            number = int(told)
            if not -_INT64 <= number < _INT64:
                raise ValueError(told)
            return number
        if parameter.kind == "float64":
            return float(told)
        if parameter.kind == "bool":
            return {"true": True, "false": False}[told.lower()]
    except (ValueError, KeyError):
        raise UsageError(f"invalid {parameter.name} {told!r}, expected {_EXPECTED[parameter.kind]}") from None
    return told


_EXPECTED: Mapping[Kind, str] = {
    "int64": "a whole number",
    "float64": "a number",
    "bool": "true or false",
}
