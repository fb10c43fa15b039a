"""Rules put into the configuration: checked with all the rest before anything is written, then taken up."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from monitord.actions.configuration import check_config
from monitord.actions.reloading import reload_recorder
from monitord.actions.settings import config_file, refuse_rules_elsewhere, write_config
from monitord.actions.workspace import Workspace
from monitord.config import load, parse_rules
from monitord.config.editing import with_table, without_table
from monitord.config.loading import read_text
from monitord.errors import ConfigError, MonitordError, NotFoundError
from monitord.recorder.status import nobody_records


@dataclass(frozen=True, slots=True)
class SavedRules:
    """Which rules now stand in which file; `hint` says who takes them up, or what is left to do."""

    names: tuple[str, ...]
    file: Path
    hint: str


def save_rules(workspace: Workspace, text: str) -> SavedRules:
    """Put rules, as a configuration file has them, into the file, in place of those of the same names.

    Raises ConfigError, and nothing is written, where the configuration would not be valid.
    """
    names = tuple(rule.name for rule in parse_rules(text))
    file = config_file(workspace)
    old = read_text(file) if file.exists() else ""
    try:
        before = load(workspace.config_path, os.environ, edited=(file, old))
        refuse_rules_elsewhere(before, has_own=bool(tomllib.loads(old).get("rules")))
        new = _with_rules(old, tomllib.loads(text)["rules"])
        check_config(load(workspace.config_path, os.environ, edited=(file, new)))
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"cannot save the rules, nothing was written: {error}") from error
    if new != old:
        write_config(file, new)
    return SavedRules(names, file, _taken_up(workspace))


def _with_rules(text: str, rules: list[dict[str, object]]) -> str:
    for rule in rules:
        own = [each.get("name") for each in tomllib.loads(text).get("rules", ())]
        if rule["name"] in own:
            text = without_table(text, "rules", own.index(rule["name"]))
        text = with_table(text, "rules", rule)
    return text


def _taken_up(workspace: Workspace) -> str:
    """Have the recorder read it where we may ask it; else what to type."""
    try:
        reload_recorder(workspace.data_dir)
    except NotFoundError:
        return f"{nobody_records()}; that takes them up"
    except MonitordError as error:
        return f"they are not in force yet: {error}"
    return "the recorder took them up"
