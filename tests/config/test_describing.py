"""docs/configuration.md and `config init` say what the settings are: every key, its default, its meaning."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec

from monitord import config
from monitord.config.describing import COMMENTS
from monitord.config.settings import FileSettings, MatchSettings, RuleSettings
from monitord.model import TriggerMetric

PAGE = (Path(__file__).parents[2] / "docs/configuration.md").read_text(encoding="utf-8")
Row = tuple[str, str, str]


def rows(heading: str) -> list[Row]:
    """The three columns of the table under a heading, header and rule left out."""
    part = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = (line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| "))
    return [(row[0], row[1], row[2]) for row in (*cells,)[1:] if len(row) == 3]


def plain(default: str) -> object:
    """A default as the page writes it."""
    return tomllib.loads(f"value = {default.strip('`')}")["value"]


def test_every_section_is_on_the_page_as_it_is() -> None:
    """Same keys, same order, same defaults, same words as `monitord config init` writes."""
    for section, defaults in msgspec.to_builtins(FileSettings()).items():
        if section == "rules":
            continue
        told = {key.strip("`"): (plain(default), meaning) for key, default, meaning in rows(f"`[{section}]`")}
        real = {key: (value, COMMENTS[f"{section}.{key}"]) for key, value in defaults.items()}
        assert told == {
            key: (list(v) if isinstance(v, tuple) else v, text) for key, (v, text) in real.items()
        }


def test_every_key_of_a_rule_is_on_the_page_with_its_default() -> None:
    defaults = msgspec.to_builtins(RuleSettings(name="x", metric="cpu"))
    told: dict[str, str] = {}
    for line in PAGE.partition("## `[[rules]]`\n")[2].partition("\n## ")[0].splitlines():
        if line.startswith("| `"):
            keys, default = (cell.strip() for cell in line.split("|")[1:3])
            told |= dict.fromkeys(re.findall(r"`(\w+)`", keys), default)
    assert set(told) == set(defaults)
    said = {key: plain(default) for key, default in told.items() if default}
    assert said == {key: defaults[key] for key in said}
    unsaid = {key for key in defaults if key not in said}
    assert {key for key in unsaid if defaults[key] is not None} == {"name", "metric", "match"}
    for key in MatchSettings.__struct_fields__:
        assert f"`{key}`" in PAGE


def test_every_metric_is_on_the_page() -> None:
    told = set(re.findall(r"`(\w+)`", PAGE.partition("| `metric` | of")[2].partition("\n\n")[0]))
    assert {str(metric) for metric in TriggerMetric if metric is not TriggerMetric.MANUAL} <= told


def test_what_init_writes_is_the_defaults_when_uncommented(tmp_path: Path) -> None:
    """Each key stands there once, with its default: uncommenting all of it changes nothing."""
    lines = config.default_text().splitlines()
    text = "\n".join(line.removeprefix("# ") for line in lines if re.match(r"(# )?(\w+ += |\[)", line))
    uncommented = tmp_path / "config.toml"
    uncommented.write_text(text, encoding="utf-8")
    defaults = config.load(Path("/dev/null"), env={})
    assert config.load(uncommented, env={}).settings.as_dict() == defaults.settings.as_dict()
    keys = {
        f"{section}.{key}"
        for section, table in tomllib.loads(text).items()
        if section != "rules"
        for key in table
    }
    assert keys == set(COMMENTS)
