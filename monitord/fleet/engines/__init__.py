"""Engines past one machine: the same questions to a fleet, in the SQL that each of them speaks.

To add one: a file with a `Dialect` here, and a line in DIALECTS; `tests/fleet/test_engines.py` holds its
answers to those of DuckDB.
"""

from __future__ import annotations

from collections.abc import Mapping

from monitord.fleet.engines.clickhouse import CLICKHOUSE
from monitord.fleet.engines.dialect import Dialect, filled, ported, script
from monitord.fleet.engines.spark import SPARK

DIALECTS: Mapping[str, Dialect] = {"spark": SPARK, "clickhouse": CLICKHOUSE}

__all__ = ["CLICKHOUSE", "DIALECTS", "SPARK", "Dialect", "filled", "ported", "script"]
