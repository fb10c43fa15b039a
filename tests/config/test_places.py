"""Whose data directory it is decides which service's log is shown."""

from __future__ import annotations

from pathlib import Path

from monitord.config.places import SYSTEM_DATA_DIR, is_machines


def test_the_machine_s_store_is_known_by_its_name_and_by_what_the_name_leads_to(tmp_path: Path) -> None:
    """systemd makes it a link for a user that comes and goes."""
    assert is_machines(SYSTEM_DATA_DIR)
    assert is_machines(SYSTEM_DATA_DIR.resolve())
    assert not is_machines(tmp_path)
    assert not is_machines(SYSTEM_DATA_DIR / "x")
