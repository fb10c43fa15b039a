"""`make demo`: a daemon on a throw-away directory, a program that spikes, and the incident that comes of it.

Exit status 0 only if the guilty function was named. Everything that was started is stopped, come what may.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GUILTY = "price_basket"
PATIENCE_S = 90.0
CONFIG = """\
[sampling]
interval_s = 1.0
[[rules]]
name = "cpu-hog"
metric = "cpu"
above = 60
window_s = 5
clear_below = 30
[capture]
duration_s = 4
"""


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="monitord-demo-") as name:
        folder = Path(name)
        (folder / "config.toml").write_text(CONFIG, encoding="utf-8")
        started: list[subprocess.Popen[bytes]] = []
        try:
            return run(folder, started)
        finally:
            for process in reversed(started):
                process.terminate()
            for process in reversed(started):
                process.wait(10)


def run(folder: Path, started: list[subprocess.Popen[bytes]]) -> int:
    """Start both, wait for the incident with its profile, show it."""
    log = (folder / "daemon.log").open("wb")
    daemon = subprocess.Popen([*words(folder, "run")], stderr=log)
    started.append(daemon)
    progress("the daemon starts")
    if not wait_for(lambda: is_watching(folder), daemon):
        return give_up(folder, "the daemon did not start")
    spike = Path(__file__).with_name("spike.py")
    started.append(subprocess.Popen([sys.executable, str(spike), "60"]))
    pid = started[-1].pid
    progress("spike.py runs; it behaves for 2 s, then burns a core")
    if not wait_for(lambda: profiled(folder, pid) is not None, daemon):
        return give_up(folder, "no incident with a profile")
    incident = profiled(folder, pid) or {}
    print(file=sys.stderr)
    show(folder, "recent")
    show(folder, "show", str(incident["id"]))
    named = [spot["function"] for spot in details(folder, incident["id"])["hotspots"]]
    if not any(GUILTY in function for function in named):
        return give_up(folder, f"{GUILTY} was not named; seen: {', '.join(named) or 'nothing'}")
    print(f"\nThe guilty function was named: {GUILTY}")
    return 0


def wait_for(done, daemon: subprocess.Popen[bytes]) -> bool:
    """Poll until it is so, with one progress dot a second on stderr."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and daemon.poll() is None:
        if done():
            return True
        print(".", end="", file=sys.stderr, flush=True)
        time.sleep(1)
    return False


def is_watching(folder: Path) -> bool:
    answer = ask(folder, "status")
    return bool(answer and answer.get("running") and answer.get("passes"))


def profiled(folder: Path, pid: int) -> dict | None:
    """The incident of our program, once its full profile has arrived."""
    for row in ask(folder, "recent", "--pid", str(pid)) or []:
        captures = details(folder, row["id"])["captures"]
        if any(c["role"] == "profile" and c["status"] in ("ok", "partial") for c in captures):
            return row
    return None


def details(folder: Path, row_id: int) -> dict:
    return ask(folder, "show", str(row_id))


def words(folder: Path, *command: str) -> list[str]:
    places = ["--data-dir", str(folder / "data"), "--config", str(folder / "config.toml")]
    return [sys.executable, "-m", "monitord", command[0], *places, *command[1:]]


def ask(folder: Path, *command: str):
    """What a command answers with `-o json`; None when it says no."""
    done = subprocess.run([*words(folder, *command), "-o", "json"], capture_output=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def show(folder: Path, *command: str) -> None:
    print(f"\n$ monitord {' '.join(command)}", flush=True)
    subprocess.run(words(folder, *command), check=True)


def progress(text: str) -> None:
    print(f"\n» {text} ", end="", file=sys.stderr, flush=True)


def give_up(folder: Path, reason: str) -> int:
    print(f"\ndemo: {reason}; the daemon's log:\n", file=sys.stderr)
    print((folder / "daemon.log").read_text(encoding="utf-8", errors="replace")[-4000:], file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
