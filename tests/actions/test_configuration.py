"""What is said of the configuration: every URL of every section is checked, and shown without its secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitord.actions.configuration import check_config, leaves, shown_settings
from monitord.config import LoadedConfig, load
from monitord.errors import ConfigError

URLS = tuple(
    name
    for name, _value in leaves(load(env={}).settings.as_dict())
    if name.rpartition(".")[2].endswith("url")
)
BESIDE = {"analytics.cold_url": "warm_mb = 100"}


def configured(folder: Path, name: str, url: str) -> LoadedConfig:
    section, _, key = name.partition(".")
    path = folder / "config.toml"
    path.write_text(f'[{section}]\n{key} = "{url}"\n{BESIDE.get(name, "")}\n')
    return load(path, env={})


def test_all_urls_are_looked_at() -> None:
    """The list below is of all sections."""
    assert {
        "storage.url",
        "storage.archive_url",
        "ship.url",
        "fleet.url",
        "state.url",
        "analytics.cold_url",
    } <= {*URLS}


@pytest.mark.parametrize("name", URLS)
def test_no_url_is_shown_with_its_secret(name: str, tmp_path: Path) -> None:
    """Neither a password nor a word of its query."""
    loaded = configured(tmp_path, name, "s3://alice:hunter2@bucket/x?token=hunter2")
    assert "hunter2" not in str(shown_settings(loaded))


@pytest.mark.parametrize("name", URLS)
def test_a_url_that_nothing_knows_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    """Before anything is started with it."""
    with pytest.raises(ConfigError) as refusal:
        check_config(configured(tmp_path, name, "gopher://h/x"))
    assert "config.toml:2: " in str(refusal.value)
