"""DuckDB for the child that asks it, without its Python package: that loads for 0.1 s what is not used."""

from __future__ import annotations

try:
    import _duckdb as duckdb
except ImportError:  # another version may keep it elsewhere
    import duckdb  # type: ignore[no-redef]

__all__ = ["duckdb"]
