"""The warm tier is looked at where it is configured, and nowhere else."""

from __future__ import annotations

from pathlib import Path

from monitord.doctor.check import Surroundings
from monitord.doctor.tiers import check_tiers


def outcomes(data_dir: Path, warm_bytes: int = 1_000_000) -> list[tuple[str, str]]:
    here = Surroundings(data_dir, "1", warm_bytes=warm_bytes)
    return [(check.outcome, check.detail) for check in check_tiers(here)]


def test_without_a_tier_nothing_is_said(tmp_path: Path) -> None:
    assert outcomes(tmp_path, 0) == []


def test_what_it_takes_is_said_and_damage_and_links_are_found(tmp_path: Path) -> None:
    assert outcomes(tmp_path) == [("ok", "0 files, 0 B of 1.0 MB used")]
    folder = tmp_path / "warm" / "incident"
    folder.mkdir(parents=True)
    (folder / "2026-03-01.parquet").write_bytes(b"x" * 1000)
    assert [outcome for outcome, _detail in outcomes(tmp_path)] == ["ok"]
    damaged = folder / "2026-03-01.parquet.damaged"
    damaged.write_bytes(b"x")
    ((outcome, detail),) = outcomes(tmp_path)
    assert outcome == "warning"
    assert str(damaged) in detail
    (tmp_path / "warm").rename(tmp_path / "elsewhere")
    (tmp_path / "warm").symlink_to(tmp_path / "elsewhere")
    assert [outcome for outcome, _detail in outcomes(tmp_path)] == ["failure"]
