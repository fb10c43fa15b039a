"""TOML and environment in, validated frozen settings out. Only the daemon and the front rooms read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitord.config.loading import LoadedConfig, default_path, load, load_rules, parse_rules
from monitord.config.places import resolve_data_dir
from monitord.config.settings import Settings
from monitord.lazy_exports import names_from

if TYPE_CHECKING:
    from monitord.config.describing import default_text, json_schema

__all__ = [
    "LoadedConfig",
    "Settings",
    "default_path",
    "default_text",
    "json_schema",
    "load",
    "load_rules",
    "parse_rules",
    "resolve_data_dir",
]

__getattr__ = names_from(__name__, {"default_text": "describing", "json_schema": "describing"})
