"""The story of two recorders: a spike on each, one bucket on a real server, and each incident lies there once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fleet.hosts import Bucket
from tests.flow.recorder import CPU_RULE, FAST, Recorder
from tests.servers import S3Server

RULE = CPU_RULE.replace("window_s = 2", "window_s = 1")


@pytest.mark.timeout(300)
def test_two_recorders_ship_their_incidents_with_evidence_to_one_bucket_at_once(
    recorder: Callable[..., Recorder], s3_server: S3Server, tmp_path: Path
) -> None:
    """Each under a name of its own; a kill and a new start ship nothing a second time."""
    bucket = Bucket(f"s3://{s3_server.new_bucket()}/fleet?{s3_server.options(tmp_path)}")
    made = [recorder(f'{RULE}[ship]\nurl = "{bucket.url}"\n', FAST).start() for _ in range(2)]
    burners = [daemon.python("burn.py", "60") for daemon in made]
    wanted = {
        daemon.incident(pid=burner.pid)["correlation_id"]
        for daemon, burner in zip(made, burners, strict=True)
    }

    def archives() -> set[str]:
        found = [path for path in bucket.paths() if path.endswith(".tar.zst")]
        return {path.rpartition("/")[2].removesuffix(".tar.zst") for path in found}

    made[0].wait_for(lambda: wanted <= archives(), "evidence in the bucket")
    made[1].wait_for(
        lambda: [row for row in made[1].ask("fleet", "same", "--within", "1h") or () if row["hosts"] == 2],
        "the common incident in one answer about both hosts",
    )
    for burner in burners:
        burner.kill()
        burner.wait()
    made[0].stop(9)
    made[0].command("fleet", "ship")
    rows = bucket.rows()
    assert wanted <= {row["correlation_id"] for row in rows}
    keys = [(row["host_id"], row["correlation_id"]) for row in rows]
    assert len(keys) == len(set(keys))
    assert len({host for host, _incident in keys}) == 2
    assert made[1].ask("status")["ship"]["last_error"] is None
