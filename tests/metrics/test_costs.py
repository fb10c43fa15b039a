"""What the room costs who only knows its name."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("duckdb", "pyarrow", "prometheus_client", "opentelemetry", "obstore", "boto3")


def test_its_name_loads_no_engine() -> None:
    code = f"import sys, monitord.metrics; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
