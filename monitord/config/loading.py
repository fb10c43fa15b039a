"""Where the configuration comes from: files, then environment, each value with its origin.

Precedence, high to low: MONITORD_SECTION__KEY in the environment; the file named by --config or
MONITORD_CONFIG (then no other file is read); the user's file; /etc/monitord/config.toml with its
conf.d; the defaults. Everything wrong is one ConfigError: file, line, key, what was expected.
"""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from monitord.config.quantities import has_unit, parse_amount
from monitord.config.settings import FORMS, FileSettings, RuleSettings, Settings
from monitord.config.telling import ReceiverSettings
from monitord.durable import read_regular
from monitord.errors import ConfigError
from monitord.model import Rule
from monitord.ownership import is_privileged, why_untrusted

SYSTEM_FILE = Path("/etc/monitord/config.toml")
DEFAULT_RULES_FILE = Path(__file__).parent.parent / "default_rules.toml"
_PREFIX = "MONITORD_"
_DEEPEST = 8  # tables and lists within each other: twice what a valid file has
_KINDS = {
    "float": "a number", "int": "a whole number", "str": "a text", "bool": "true or false",
    "array": "a list", "object": "a table",
}  # fmt: skip
_BOUNDS = {
    " of length >= ": " whose length is at least ", " of length <= ": " whose length is at most ",
    " >= ": " of at least ", " <= ": " of at most ", " > ": " above ", " < ": " below ",
}  # fmt: skip
_HEADER = re.compile(r"\s*(\[\[?)\s*([\w.-]+(?:\s+[\w.-]+)*)\s*\]\]?\s*(?:#.*)?")
_ASSIGNMENT = re.compile(r"\s*([A-Za-z0-9_-]+)(?:\.[A-Za-z0-9_.-]+)?\s*=")

# msgspec finds out at a class's first use what it holds, and two threads that do so at once end the process
# with a segmentation fault (0.22; a server's actions run on threads). An import runs on one thread.
msgspec.convert({}, FileSettings)


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """Settings with the files they came from and the place each value was set."""

    settings: Settings
    sources: tuple[Path, ...] = ()
    _origins: Mapping[str, str] = field(default_factory=dict)

    def origin(self, key: str) -> str:
        """Where `section.key` (or `rules[0].above`) was set: "default", "FILE:LINE" or "environment NAME"."""
        return self._origins.get(key, "default")


@dataclass(slots=True)
class _Layers:
    """Merged tables so far, and where each leaf came from."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def add_file(self, path: Path, text: str | None = None) -> None:
        self.add(*_read_toml(path, text), str(path))

    def add(self, table: Mapping[str, Any], lines: Mapping[str, int], where: str) -> None:
        for key, value in table.items():
            if isinstance(value, dict) and isinstance(self.values.get(key), dict):
                self.values[key] = {**self.values[key], **value}
            else:
                self.values[key] = value
        if "rules" in table:
            self.origins = {key: where for key, where in self.origins.items() if not key.startswith("rules[")}
        self.origins.update({key: f"{where}:{line}" for key, line in lines.items()})

    def add_environment(self, env: Mapping[str, str]) -> None:
        for name, text in sorted(env.items()):
            section, separator, key = name.removeprefix(_PREFIX).lower().partition("__")
            if not name.startswith(_PREFIX) or not separator:
                continue
            table = self.values.setdefault(section, {})
            if not isinstance(table, dict):
                raise ConfigError(f"invalid environment {name}: [{section}] has no single values")
            table[key] = value_of(section, key, text)
            self.origins[f"{section}.{key}"] = f"environment {name}"


def load(
    path: Path | None = None,
    env: Mapping[str, str] | None = None,
    *,
    edited: tuple[Path, str] | None = None,
) -> LoadedConfig:
    """Load the configuration in force, or as it would be with the text of one file `edited`.

    `path` is what --config named (it must exist); without it MONITORD_CONFIG, then the usual places.
    Raises ConfigError; nothing is half-loaded.
    """
    env = os.environ if env is None else env
    layers = _Layers()
    file, text = edited or (None, None)
    sources = list(_files(path, env, file))
    for source in sources:
        layers.add_file(source, text if source == file else None)
    layers.add_environment(env)
    parsed = _convert(layers)
    rule_settings = _rules_in_force(parsed)
    rules = tuple(_to_rule(rule, parsed.rules, layers.origins) for rule in rule_settings)
    settings = Settings(
        sampling=parsed.sampling,
        capture=parsed.capture,
        baselines=parsed.baselines,
        black_box=parsed.black_box,
        retention=parsed.retention,
        events=parsed.events,
        storage=parsed.storage,
        analytics=parsed.analytics,
        backup=parsed.backup,
        state=parsed.state,
        notify=parsed.notify,
        metrics=parsed.metrics,
        ship=parsed.ship,
        otlp=parsed.otlp,
        fleet=parsed.fleet,
        log=parsed.log,
        detection=parsed.detection,
        rules=rules,
        rule_settings=rule_settings,
    )
    return LoadedConfig(settings, tuple(sources), layers.origins)


def load_rules(path: Path) -> tuple[Rule, ...]:
    """Load the rules of one file alone, to try them out; it may hold other sections. Raises ConfigError."""
    if not path.exists():
        raise ConfigError(f"cannot read {path}: no such file; try a TOML file with [[rules]] tables in it")
    layers = _Layers()
    layers.add_file(path)
    return _rules_alone(layers, str(path))


def parse_rules(text: str, where: str = "rules") -> tuple[Rule, ...]:
    """Read rules out of a text as `load_rules` does out of a file; `where` names it. Raises ConfigError."""
    layers = _Layers()
    table = _parsed_toml(text, where)
    layers.add(table, _value_lines(table, text), where)
    return _rules_alone(layers, where)


def _rules_alone(layers: _Layers, where: str) -> tuple[Rule, ...]:
    parsed = _convert(layers)
    if not parsed.rules:
        raise ConfigError(f"invalid {where}: no rules, expected at least one [[rules]]")
    return tuple(_to_rule(rule, parsed.rules, layers.origins) for rule in parsed.rules)


def default_path() -> Path:
    """The user's own file, whether it exists or not."""
    import platformdirs

    return Path(platformdirs.user_config_dir("monitord")) / "config.toml"


def _files(path: Path | None, env: Mapping[str, str], made: Path | None = None) -> Iterator[Path]:
    """The files that are read, the strongest last; `made` as if it were there."""
    named = path or (Path(env["MONITORD_CONFIG"]) if env.get("MONITORD_CONFIG") else None)
    if named is not None:
        yield named
        return
    for candidate in (SYSTEM_FILE, *sorted(SYSTEM_FILE.with_name("conf.d").glob("*.toml")), default_path()):
        if candidate.is_file() or candidate == made:
            yield candidate


def _read_toml(path: Path, text: str | None = None) -> tuple[dict[str, Any], dict[str, int]]:
    """The tables of a file, and the line of every key in it ("section.key" or "rules[0].key").

    `text` is what it would hold.
    """
    text = read_text(path) if text is None else text
    table = _parsed_toml(text, str(path))
    return table, _value_lines(table, text)


def read_text(path: Path) -> str:
    """Return a file's text; raises ConfigError where it can't be read, or could be another user's."""
    if path != DEFAULT_RULES_FILE:  # a part of this program: who could change it could change the rest
        _require_trust(path)
    try:
        return read_regular(path).decode("utf-8-sig")  # editors on Windows begin with a mark
    except FileNotFoundError:
        raise ConfigError(
            f"cannot read {path}: no such file; check the name, or write a file there with"
            f" `monitord config init --config {shlex.quote(str(path))}`"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"cannot read {path}: {reason}") from error


def _parsed_toml(text: str, where: str) -> dict[str, Any]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"invalid {where}: not TOML: {error}") from error
    except RecursionError:
        raise ConfigError(f"invalid {where}: lists within lists, expected flat ones") from None
    if _is_deeper(table, _DEEPEST):
        raise ConfigError(f"invalid {where}: tables within tables, expected at most {_DEEPEST} deep")
    return table


def _is_deeper(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(each, levels - 1) for each in inner)


def _require_trust(path: Path) -> None:
    """With rights that others lack, a configuration is read only where nobody else can have written it."""
    reason = why_untrusted(path, owners=frozenset({os.geteuid()})) if is_privileged() else None
    if reason is not None:
        raise ConfigError(
            f"cannot read {path}: {reason}; as root or as a service monitord reads only what no"
            f" other user can change: put it into {SYSTEM_FILE}, or name another with --config"
        )


def _value_lines(table: Mapping[str, Any], text: str) -> dict[str, int]:
    """The line of every value; of one in `a.b = 1` or `a = { b = 1 }` that of what it stands in."""
    lines = _key_lines(text)
    for path, above in list(_leaves(table)):
        if path not in lines:
            lines[path] = next((lines[each] for each in above if each in lines), 1)
    return lines


def _leaves(
    value: object, path: str = "", above: tuple[str, ...] = ()
) -> Iterator[tuple[str, Sequence[str]]]:
    """Each value other than a table, with the names of what it stands in, the innermost first."""
    above = (path, *above) if path else above
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else key, above)
    elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{number}]", above)
    else:
        yield path, above[1:]


def _key_lines(text: str) -> dict[str, int]:
    """tomllib forgets where things stood; our files are flat enough to find keys by their line."""
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    prefix = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.fullmatch(line):
            name = header[2]
            if header[1] == "[[":
                counts[name] = counts.get(name, -1) + 1
            array = name if name in counts else name.partition(".")[0]
            inner = name[len(array) :]
            prefix = (f"{array}[{counts[array]}]" if array in counts else array) + inner
            lines.setdefault(prefix, number)
        elif assignment := _ASSIGNMENT.match(line):
            lines.setdefault(f"{prefix}.{assignment[1]}" if prefix else assignment[1], number)
    return lines


def value_of(section: str, key: str, text: str) -> object:
    """Return a text of the environment or the command line as what the key takes; lists have commas."""
    section_type = getattr(FileSettings(), section, None)
    default = getattr(section_type, key, None)
    if isinstance(default, str):
        return text
    if isinstance(default, tuple):
        return [item.strip() for item in text.split(",") if item.strip()]
    for convert in (int, float):
        try:
            number = convert(text)
        except ValueError:
            continue
        return number
    return {"true": True, "false": False, "yes": True, "no": False}.get(text.lower(), text)


def _convert(layers: _Layers) -> FileSettings:
    try:
        values = {key: _in_units(layers, key, value) for key, value in layers.values.items()}
        return msgspec.convert(values, FileSettings)
    except RecursionError:
        raise ConfigError("invalid file: tables within tables, expected flat ones") from None
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        raise ConfigError(_explain(layers, message, path.rstrip("`").lstrip("."))) from error


def _in_units(layers: _Layers, path: str, value: object) -> object:
    """A table with its durations and sizes ("10s", "50MB") as the numbers that their keys count in."""
    if isinstance(value, dict):
        return {key: _in_units(layers, f"{path}.{key}", inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_in_units(layers, f"{path}[{at}]", inner) for at, inner in enumerate(value)]
    if not isinstance(value, str) or not has_unit(path):
        return value
    try:
        return parse_amount(path, value)
    except ValueError as error:
        raise ConfigError(_explain(layers, str(error), path)) from error


def _explain(layers: _Layers, message: str, path: str) -> str:
    """`FILE:LINE: key: message`, as far as they can be known."""
    unknown = re.search(r"unknown field `([^`]+)`", message)
    key = ".".join(part for part in (path, unknown[1] if unknown else "") if part)
    where = layers.origins.get(key) or layers.origins.get(f"{key}[0]") or layers.origins.get(path)
    while where is None and path:
        path = re.sub(r"\[\d+\]$", "", path) if path.endswith("]") else path.rpartition(".")[0]
        where = layers.origins.get(path)
    if unknown:
        known = ", ".join(_known_keys(key))
        message = f"unknown key (known here: {known})"
    elif (form := FORMS.get(re.sub(r"\[\d+\]$", "", key.rpartition(".")[2]))) and "regex" in message:
        message = f"expected {form}"
    elif "enum value" in message and (choices := _choices(key)):
        message = f"expected one of {', '.join(choices)}, got {message.partition('enum value ')[2]}"
    else:
        message = _plainly(message[:1].lower() + message[1:])
    return ": ".join(part for part in (where, f"invalid {key}" if key else "invalid file", message) if part)


def _plainly(message: str) -> str:
    """What msgspec says, without the types of a programming language."""
    missing = re.fullmatch(r"object missing required field (`.+`)", message)
    if missing:
        return f"expected a key {missing[1]}"
    said = re.sub(r"`([a-z| ]+)`", lambda found: _kinds(found[1]), message)
    for sign, words in _BOUNDS.items():
        said = said.replace(sign, words)
    return said


def _kinds(types: str) -> str:
    """The types of a value by their names in words: "float | str | null" is "a number or a text"."""
    return " or ".join(_KINDS.get(each, each) for each in types.split(" | ") if each != "null")


def _section(key: str) -> type[msgspec.Struct]:
    """The section that a key stands in; the whole file for a key of none."""
    name = key.split(".")[0].split("[")[0] if "." in key else ""
    if name == "rules":
        return RuleSettings
    if key.startswith("notify.receivers["):
        return ReceiverSettings
    inner = getattr(FileSettings(), name, None)
    return type(inner) if isinstance(inner, msgspec.Struct) else FileSettings


def _known_keys(key: str) -> list[str]:
    return list(_section(key).__struct_fields__)


def _choices(key: str) -> tuple[str, ...]:
    """What a key that takes one of a few words may be."""
    name, is_listed, _ = key.rpartition(".")[2].partition("[")
    kind = get_type_hints(_section(key)).get(name)
    return get_args(get_args(kind)[0] if is_listed else kind)


def _rules_in_force(parsed: FileSettings) -> tuple[RuleSettings, ...]:
    """The file's rules, then the defaults that it does not replace by name."""
    names = [rule.name for rule in parsed.rules]
    defaults = _default_rules() if parsed.detection.default_rules else ()
    return (*parsed.rules, *(rule for rule in defaults if rule.name not in names))


def _default_rules() -> tuple[RuleSettings, ...]:
    table, _ = _read_toml(DEFAULT_RULES_FILE)
    return msgspec.convert(table, FileSettings).rules


def _to_rule(rule: RuleSettings, own: tuple[RuleSettings, ...], origins: Mapping[str, str]) -> Rule:
    index = next((i for i, candidate in enumerate(own) if candidate is rule), None)
    try:
        if index is not None and any(other.name == rule.name for other in own[:index]):
            raise ValueError(f"name: {rule.name!r} is an earlier rule's, expected a name of its own")
        return rule.to_rule()
    except ValueError as error:
        key = str(error).partition(":")[0]
        where = (
            origins.get(f"rules[{index}].{key}") or origins.get(f"rules[{index}]") or str(DEFAULT_RULES_FILE)
        )
        raise ConfigError(f"{where}: invalid rule {rule.name!r}: {error}") from error
