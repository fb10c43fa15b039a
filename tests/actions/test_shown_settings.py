"""`config show` tells where everything goes, and opens no door."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitord import config
from monitord.actions.configuration import leaves, shown_settings

PASSWORD = "hunter2-Zx81Qw90"
URLS = [
    name for name, value in leaves(config.load(None).settings.as_dict())
    if name.endswith("url") and value == ""
]  # fmt: skip


@pytest.mark.parametrize("name", URLS)
def test_no_url_of_any_section_is_shown_with_its_password(tmp_path: Path, name: str) -> None:
    """Whatever section comes later."""
    section, _, key = name.rpartition(".")
    more = "warm_mb = 100\n" if section == "analytics" else ""
    path = tmp_path / "config.toml"
    for url in (f"s3://AK:{PASSWORD}@bucket/p", f"s3://bucket/p?secret_access_key={PASSWORD}"):
        path.write_text(f'[{section}]\n{more}{key} = "{url}"\n')
        shown = dict(leaves(shown_settings(config.load(path))))
        assert PASSWORD not in str(shown)
        assert "bucket/p" in str(shown[name])
