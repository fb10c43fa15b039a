"""Engines past one machine: the same questions to a fleet, in the SQL that each of them speaks.

To add one: a file with a `Dialect` here, and a line in DIALECTS; `tests/fleet/test_engines.py` holds its
answers to those of DuckDB.
"""

from __future__ import annotations

from collections.abc import Mapping

from monitord.errors import ConfigError
from monitord.fleet.engines.clickhouse import CLICKHOUSE
from monitord.fleet.engines.dialect import Dialect, filled, ported, script
from monitord.fleet.engines.spark import SPARK, ask_spark
from monitord.storage.artefacts.urls import StorageURL

DIALECTS: Mapping[str, Dialect] = {"spark": SPARK, "clickhouse": CLICKHOUSE}
_ADDRESSES: Mapping[tuple[str, str], str] = {
    ("spark", "file"): "file://{path}",
    ("clickhouse", "file"): "{path}",
    ("spark", "s3"): "s3a://{bucket}/{prefix}",
    ("clickhouse", "s3"): "{endpoint}/{prefix}",
    ("spark", "gs"): "gs://{bucket}/{prefix}",
    ("clickhouse", "gs"): "https://storage.googleapis.com/{bucket}/{prefix}",
}


def address(url: StorageURL, engine: str) -> str:
    """Return a bucket's URL in an engine's words, without credentials: these are the engine's own matter."""
    shape = _ADDRESSES.get((engine, url.scheme))
    if shape is None:
        known = ", ".join(f"{scheme}://" for name, scheme in _ADDRESSES if name == engine)
        raise ConfigError(f"cannot ask {engine} over {url.scheme}://, expected one of {known}")
    bucket = url.host or ""
    region = url.options.get("region", "us-east-1")
    own = url.options.get("endpoint")
    endpoint = f"{own.rstrip('/')}/{bucket}" if own else f"https://{bucket}.s3.{region}.amazonaws.com"
    said = shape.format(path=url.path, prefix=url.path.strip("/"), bucket=bucket, endpoint=endpoint)
    return said.rstrip("/")


__all__ = ["CLICKHOUSE", "DIALECTS", "SPARK", "Dialect", "address", "ask_spark", "filled", "ported", "script"]
