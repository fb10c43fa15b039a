"""One setting read or changed: checked before anything is written, the file's other lines as they were."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from monitord.actions.configuration import check_config, leaves, shown_settings
from monitord.actions.files import place_file
from monitord.actions.workspace import Workspace
from monitord.config import LoadedConfig, default_path, load
from monitord.config.editing import Place, with_table, with_value
from monitord.config.loading import SYSTEM_FILE, read_text, value_of
from monitord.config.places import SYSTEM_DATA_DIR
from monitord.config.settings import RuleSettings, needs_restart, rule_without_defaults
from monitord.durable import owner_where
from monitord.errors import ConfigError, PermissionDeniedError, UsageError
from monitord.ownership import is_privileged, make_folder, who_asks, why_untrusted
from monitord.recorder.status import nobody_records, read_status

_BY_HAND = frozenset({"name", "match"})  # of a rule: what makes it another rule


@dataclass(frozen=True, slots=True)
class Setting:
    """A value in force, with what set it: "default", "FILE:LINE" or "environment NAME"."""

    key: str
    value: object
    origin: str


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a setting: the file, the values in force before and after, and who takes it up when.

    `is_written` is False where the file said so already; `hint` is for a person.
    """

    file: Path
    before: Setting
    after: Setting
    is_written: bool
    hint: str


def get_settings(workspace: Workspace, key: str) -> list[Setting]:
    """Return the settings of a key (`log.level`), a section (`log`) or a rule (`rules.cpu-hog`).

    Raises UsageError for a name that there is not.
    """
    return _settings_of(workspace.config(), key)


def set_setting(workspace: Workspace, key: str, text: str) -> Change:
    """Set one value in the file that was named, or in this user's own.

    Raises ConfigError, and nothing is written, where the configuration would not be valid; UsageError for a
    key that there is not.
    """
    file = config_file(workspace)
    old = read_text(file) if file.exists() else ""
    before = load(workspace.config_path, os.environ, edited=(file, old))
    _refuse_by_hand(before, key)
    was = _one(before, key)
    try:
        new = _edited(old, before, key, text)
        after = load(workspace.config_path, os.environ, edited=(file, new))
        check_config(after)
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"cannot set {key}, nothing was written: {error}") from error
    if new != old:
        write_config(file, new)
    now = _one(after, key)
    waiting = needs_restart(before.settings, after.settings)
    return Change(file, was, now, new != old, _hint(workspace, file, now, waiting))


def all_settings(loaded: LoadedConfig) -> Iterator[Setting]:
    """Yield every value that is in force, those of rules by their names."""
    for path, value in leaves(shown_settings(loaded)):
        name = path
        if path.startswith("rules["):
            number, _, rest = path.removeprefix("rules[").partition("].")
            name = f"rules.{loaded.settings.rule_settings[int(number)].name}.{rest}"
        yield Setting(name, value, loaded.origin(path))


def _settings_of(loaded: LoadedConfig, key: str) -> list[Setting]:
    """Every value that is the key or stands below it."""
    found = {each.key: each for each in all_settings(loaded)}
    chosen = [each for name, each in found.items() if name == key or name.startswith((f"{key}.", f"{key}["))]
    if not chosen and (rule := _rule_key(loaded, key)) is not None:
        return [Setting(key, getattr(*rule), "default")]
    if not chosen:
        near = difflib.get_close_matches(key, found, n=1)
        guess = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"invalid key {key!r}, expected one that `monitord config show` lists{guess}")
    return chosen


def _refuse_by_hand(loaded: LoadedConfig, key: str) -> None:
    """Whether the key is there or not: what is said of it is the same."""
    rules = (f"rules.{rule.name}." for rule in loaded.settings.rule_settings)
    inside = next((key.removeprefix(rule) for rule in rules if key.startswith(rule)), "")
    if inside.partition(".")[0] in _BY_HAND:
        raise ConfigError(
            f"cannot set {key}: edit the file by hand to rename a rule or to change what it matches"
        )
    if re.match(r"notify\.receivers[.[]", key):
        raise ConfigError(f"cannot set {key}: edit the [[notify.receivers]] of the file by hand")


def _one(loaded: LoadedConfig, key: str) -> Setting:
    found = _settings_of(loaded, key)
    if found[0].key != key:
        raise UsageError(f"invalid key {key!r}, expected one value, such as {found[0].key}")
    return found[0]


def read_elsewhere(workspace: Workspace) -> str | None:
    """Say which files the recorder of this store reads, where they are others than are read here."""
    reported = _reported(workspace)
    paths = reported.get("config_paths")
    if not reported.get("is_running") or not isinstance(paths, list):
        return None
    here = {str(each.absolute()) for each in workspace.config().sources}
    there = {str(Path(str(each)).absolute()) for each in paths}
    if here == there:
        return None
    return f"the recorder reads {', '.join(sorted(there)) or 'no file'}, not what is shown here: say --config"


def rule_keys(loaded: LoadedConfig) -> Iterator[str]:
    """Yield what can be set of each rule, whether it has it by default or not."""
    for rule in loaded.settings.rule_settings:
        yield from (
            f"rules.{rule.name}.{key}" for key in RuleSettings.__struct_fields__ if key not in _BY_HAND
        )


def _rule_key(loaded: LoadedConfig, key: str) -> tuple[RuleSettings, str] | None:
    """The rule and the name of a value that it has by default."""
    path, _, name = key.rpartition(".")
    rules = {f"rules.{rule.name}": rule for rule in loaded.settings.rule_settings}
    return (rules[path], name) if path in rules and name in RuleSettings.__struct_fields__ else None


def _edited(old: str, loaded: LoadedConfig, key: str, text: str) -> str:
    """The file's text with the value in it."""
    table, _, name = key.rpartition(".")
    if not table.startswith("rules."):
        return with_value(old, Place(table, name), _value(table, name, text))
    rule = table.removeprefix("rules.")
    own = [each.get("name") for each in tomllib.loads(old).get("rules", ())]
    if rule not in own:
        old, own = _with_rule(old, own, loaded, rule)
    return with_value(old, Place("rules", name, own.index(rule)), _value("rules", name, text))


def _with_rule(old: str, own: list[str], loaded: LoadedConfig, rule: str) -> tuple[str, list[str]]:
    """The file with a copy of a default rule: it replaces the default one whole."""
    refuse_rules_elsewhere(loaded, has_own=bool(own))
    settings = next(each for each in loaded.settings.rule_settings if each.name == rule)
    values = {key: value for key, value in rule_without_defaults(settings).items() if value != {}}
    return with_table(old, "rules", values), [*own, rule]


def refuse_rules_elsewhere(loaded: LoadedConfig, *, has_own: bool) -> None:
    """Raise ValueError where rules in our file would take another file's out of force."""
    elsewhere = [loaded.origin(f"rules[{at}]") for at in range(len(loaded.settings.rule_settings))]
    others = {origin.rpartition(":")[0] for origin in elsewhere if origin != "default"}
    if others and not has_own:
        raise ValueError(
            f"the rules of {', '.join(sorted(others))} are in force, and rules here would replace all of"
            " them; change that file with --config"
        )


def _value(section: str, key: str, text: str) -> object:
    """What was typed as what the key takes: a list in TOML or with commas, a number, a truth, a text."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("expected a value in UTF-8") from None
    if text.startswith("["):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except (tomllib.TOMLDecodeError, RecursionError):
            raise ValueError(f'expected a list such as ["a"], got {text[:80]!r}') from None
    return value_of(section, key, text)


def config_file(workspace: Workspace) -> Path:
    """The file that was named; for root the machine's, where it has a service; else the user's own."""
    if workspace.config_path is not None:
        return workspace.config_path
    is_system = os.geteuid() == 0 and SYSTEM_DATA_DIR.is_dir()
    return SYSTEM_FILE if is_system else default_path()


def write_config(file: Path, text: str) -> None:
    """Replace the file whole; a link stays a link, an owner the owner."""
    trusted = frozenset({who_asks()})
    if is_privileged() and (reason := why_untrusted(file, owners=trusted)) is not None:
        raise ConfigError(f"cannot write {file}: {reason}; name another with --config")
    target = Path(os.path.realpath(file))  # of links in a circle as they are: opening them says why not
    try:
        make_folder(target.parent, owners=trusted)
        status = target.stat() if target.exists() else None
        owner = owner_where(status) if status is not None else None
        place_file(target, text.encode("utf-8"), mode=0o644, owner=owner)
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}; name another with --config") from error


def _reported(workspace: Workspace) -> Mapping[str, object]:
    """What the recorder of this store said last; nothing where that may not be known."""
    try:
        return read_status(workspace.data_dir) or {}
    except PermissionDeniedError:
        return {}


def _hint(workspace: Workspace, file: Path, now: Setting, waiting: list[str]) -> str:
    """Who takes it up, and when; or what stands above it."""
    if not now.origin.startswith(f"{file}:"):
        return f"{now.origin} is stronger and stays in force: {now.key} = {now.value}"
    reported = _reported(workspace)
    if not reported.get("is_running"):
        return f"{nobody_records()}; that takes it up"
    paths = reported.get("config_paths")
    read = [str(path) for path in paths] if isinstance(paths, list) else []
    usual = {str(SYSTEM_FILE), str(default_path())}
    if read and str(file) not in read and not usual.intersection(read):
        return f"the recorder reads {', '.join(read)}, and not {file}: say --config"
    if waiting:
        return f"only a restart takes up {', '.join(waiting)}: `monitord service restart`"
    return "`monitord service reload` takes it up"
