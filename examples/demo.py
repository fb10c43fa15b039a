"""`make demo`: a daemon on a throw-away directory, a program that spikes, and the incident that comes of it.

Exit status 0 only if the guilty function was named. Everything that was started is stopped, come what may;
the recording is kept when there is one, so that the commands it suggests can be tried.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GUILTY = "price_basket"
PATIENCE_S = 180.0  # a second on a quiet machine; on a crowded one everything waits for its turn
SPIKE_S = 3 * PATIENCE_S  # longer than anybody waits for it: it is ended with the demo
CONFIG = """\
[sampling]
interval_s = 1.0
[detection]
default_rules = false
[[rules]]
name = "cpu-hog"
metric = "cpu"
above = 60
window_s = 5
clear_below = 30
match.pids = [{pid}]  # whatever else this machine is busy with takes no capture away
[capture]
duration_s = 4
max_load_per_cpu = 10000  # a demonstration is to work on a crowded machine, too
"""


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="monitord-demo-"))
    started: list[subprocess.Popen[bytes]] = []
    status = 1
    try:
        status = run(folder, started)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            process.wait(PATIENCE_S)
        if status:
            shutil.rmtree(folder, ignore_errors=True)
    if status == 0:
        say_where(folder)
    return status


def run(folder: Path, started: list[subprocess.Popen[bytes]]) -> int:
    """Start both, wait for the incident with its profile, show it."""
    spike = start_spike(started)
    (folder / "config.toml").write_text(CONFIG.format(pid=spike.pid), encoding="utf-8")
    log = (folder / "daemon.log").open("wb")
    daemon = subprocess.Popen([*words(folder, "run")], stderr=log)
    started.append(daemon)
    progress("the daemon starts")
    if not wait_for(lambda: is_watching(folder), daemon):
        return give_up(folder, "the daemon did not start")
    tell(spike)
    progress("spike.py runs; it behaves for 2 s, then burns a core")
    if not wait_for(lambda: profiled(folder, spike.pid) is not None, daemon):
        return give_up(folder, "no incident with a profile")
    incident = profiled(folder, spike.pid) or {}
    print(file=sys.stderr)
    show(folder, "recent")
    show(folder, "show", str(incident["id"]))
    named = [spot["function"] for spot in details(folder, incident["id"])["hotspots"]]
    if not any(GUILTY in function for function in named):
        return give_up(folder, f"{GUILTY} was not named; seen: {', '.join(named) or 'nothing'}")
    print(f"\nThe guilty function was named: {GUILTY}")
    return 0


def start_spike(started: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """The program, waiting to be told: the rule is about its pid, and the daemon is to see it calm first."""
    script = Path(__file__).with_name("spike.py")
    spike = subprocess.Popen(
        [sys.executable, str(script), str(SPIKE_S), "--when-told"], stdin=subprocess.PIPE
    )
    started.append(spike)
    return spike


def tell(spike: subprocess.Popen[bytes]) -> None:
    if spike.stdin is not None:
        spike.stdin.write(b"begin\n")
        spike.stdin.flush()


def say_where(folder: Path) -> None:
    """How to try the commands that `show` suggests on this recording, and how to be rid of it."""
    data, programs = shlex.quote(str(folder / "data")), shlex.quote(str(Path(sys.executable).parent))
    print(
        f"\nThe recording is kept. To try the commands above on it:\n"
        f"  export MONITORD_DATA_DIR={data} PATH={programs}:$PATH\n"
        f"To be rid of it:\n"
        f"  rm -r {shlex.quote(str(folder))}"
    )


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
