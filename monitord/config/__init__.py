"""TOML and environment in, validated frozen settings out. Only the daemon and the front rooms read it."""

from monitord.config.describing import default_text, json_schema
from monitord.config.loading import LoadedConfig, default_path, load, load_rules
from monitord.config.places import resolve_data_dir
from monitord.config.settings import Settings

__all__ = [
    "LoadedConfig",
    "Settings",
    "default_path",
    "default_text",
    "json_schema",
    "load",
    "load_rules",
    "resolve_data_dir",
]
