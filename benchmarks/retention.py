"""What retention and a start cost where there are many incidents: seconds, memory, how long others wait.

    python benchmarks/retention.py --incidents 20000

The store holds so many copies of one incident, a third of them old enough to lose their evidence, and the
budget is cut so that some of the others go whole. `monitord retention run` and a start's adoption run in
processes of their own; beside retention another process asks for the write lock again and again.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from recording import HERE, Row, command_of, parser, show

INSIDE = """
import sys, time
from pathlib import Path
folder, task, budget = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
from monitord.storage import open_store
from monitord.jobs import RetentionLimits, RetentionManager
from datetime import UTC, datetime, timedelta
began, cpu = time.monotonic(), time.process_time()
store = open_store(folder)
said = ""
if task == "adopt":
    store.adopt()
elif task == "retention":
    limits = RetentionLimits(max_total_bytes=budget, min_free_disk_bytes=0, process_share=1.0)
    manager = RetentionManager(store, limits)
    now = datetime.now(UTC)
    manager._judge_age = lambda now, remember: None  # a large share by age waits for a second look: not here
    report = manager.purge_expired(now)
    said = report.summary().replace('"', "'")
import json
print(json.dumps({"s": time.monotonic() - began, "cpu": time.process_time() - cpu, "said": said,
    "mib": int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024}))
"""
LOCKING = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=600)
longest = 0.0
print("ready", flush=True)
import select
while not select.select([sys.stdin], [], [], 0.002)[0]:
    began = time.monotonic()
    connection.execute("BEGIN IMMEDIATE")
    longest = max(longest, time.monotonic() - began)
    connection.execute("ROLLBACK")
print(longest)
"""
_NUMBERS = "WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < ?)"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--incidents", type=int, nargs="+", default=[2_000, 20_000])
    arguments = options.parse_args()
    results = [measure(count) for count in arguments.incidents]
    show([row for measured in results for row in measured], arguments.rows)


def measure(count: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        filled(data_dir, count)
        size = sum(path.stat().st_size for path in data_dir.rglob("*") if path.is_file())
        none = run(data_dir, "nothing", 0)
        adopted = run(data_dir, "adopt", 0)
        with subprocess.Popen(
            [sys.executable, "-c", LOCKING, str(data_dir / "monitord.db")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as other:  # fmt: skip
            assert other.stdout
            other.stdout.readline()
            kept = run(data_dir, "retention", int(size * 0.5))
            waited, _ = other.communicate("stop\n")
    print(kept["said"])
    command = f"{command_of(__file__)} --incidents {count}"
    return [
        Row(
            f"retention of {count:,} incidents",
            f"{kept['s']:.1f} s ({kept['cpu']:.1f} of CPU), peak {kept['mib']:.0f} MiB;"
            f" the write lock for {float(waited) * 1000:.0f} ms at most",
            f"opening that store: peak {none['mib']:.0f} MiB", "–", None, command,
        ),
        Row(
            f"adoption at the start, {count:,} incidents",
            f"{adopted['s']:.1f} s ({adopted['cpu']:.1f} of CPU), peak {adopted['mib']:.0f} MiB",
            f"opening that store: peak {none['mib']:.0f} MiB", "–", None, command,
        ),
    ]  # fmt: skip


def run(data_dir: Path, task: str, budget_bytes: int) -> dict[str, float]:
    words = [sys.executable, "-c", INSIDE, str(data_dir), task, str(budget_bytes)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, cwd=HERE.parent)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def filled(data_dir: Path, count: int) -> None:
    """One incident, saved, and copies of its rows and files; a third of them are four days old."""
    sys.path.insert(0, str(HERE.parent / "tests" / "storage"))
    from writer_process import make_incident

    from monitord.storage import open_store

    with closing(open_store(data_dir)) as store:
        record = store.save_incident(make_incident(payload=os.urandom(500), at=datetime.now(UTC)))[0]
    whose = record.correlation_id
    with closing(sqlite3.connect(data_dir / "monitord.db")) as connection:
        for table in ("incident", "profile_capture"):
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] != "id"]
            new = {name: f't."{name}"' for name in names}
            copied = "'copy' || printf('%08d', n.value)"
            new["correlation_id"] = copied
            new["artefact_key"] = f"replace(t.artefact_key, '{whose}', {copied})"
            if table == "incident":
                old = (datetime.now(UTC) - timedelta(days=4)).strftime("%Y-%m-%d %H:%M:%S")
                older = f"replace(t.raised_at, substr(t.raised_at, 1, 19), '{old}')"
                new["raised_at"] = f"CASE n.value % 3 WHEN 0 THEN {older} ELSE t.raised_at END"
                new["severity"] = "1.0 + (n.value % 997) / 997.0"
            quoted, shown = ", ".join(f'"{name}"' for name in names), ", ".join(new[name] for name in names)
            sql = f"{_NUMBERS} INSERT INTO {table} ({quoted}) SELECT {shown} FROM n, {table} t"  # noqa: S608  our names
            connection.execute(sql + " WHERE t.correlation_id = ?", [count, whose])
        connection.commit()
    for path in list((data_dir / "artefacts").iterdir()):
        if whose in path.name:
            for number in range(1, count + 1):
                os.link(path, path.with_name(path.name.replace(whose, f"copy{number:08d}")))


if __name__ == "__main__":
    main()
