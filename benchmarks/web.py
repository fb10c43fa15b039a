"""The page at 10,000 incidents: its first view in a real browser, its answers, its size, its memory.

    python benchmarks/web.py --incidents 10000

A first view is from the navigation to the first row of the list, with an empty cache, logged in: the median
of 15. Beside it the same frame at an address where no page is, which asks for no list.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from asking import MEMORY, fill
from recording import ROOT, Row, command_of, judged, load, parser, show

sys.path.insert(0, str(ROOT))

from tests.profiles.chromium import Chromium
from tests.web.histories import fill_history
from tests.web.serving import WebServer

RUNS = 15
FIRST_VIEW_MS, LARGEST_BYTES = 200.0, 60_000
FIRST_FILES = (
    *("/", "/static/app.js", "/static/dom.js", "/static/pages.js", "/static/pages/recent.js"),
    *("/static/monitord.css", "/static/icon.svg"),
)
NOTICE = """
window.shownAt = null;
new MutationObserver(() => {
  const isShown = document.querySelector("main tbody tr, main h1 + p");
  if (window.shownAt === null && isShown) window.shownAt = performance.now();
}).observe(document, { childList: true, subtree: true });
"""
RULE = '[[rules]]\nname = "busy"\nmetric = "cpu"\nabove = 50\nwindow_s = 60\n'
NAMES = tuple(f"worker-{number}" for number in range(15))
ANSWERS = {
    "the list's first hundred": "/api/incidents?limit=100",
    "a hundred of two days ago": "/api/incidents?limit=100&until=2d",
    "those of a process": "/api/incidents?limit=100&process=worker-7",
    "is there anything new": "/api/incidents?limit=100&after=1000000",
    "a day of the timeline": "/api/timeline?since=24h&points=1200",
    "thirty days of it": "/api/timeline?since=30d&points=1200",
    "who ran in two hours": "/api/timeline/span?since=2h&until=1s",
    "hot functions with their history": "/api/functions",
    "rules": "/api/rules?since=24h",
    "a rule tried on a day": f"/api/rules/trial?since=24h&rules={quote(RULE)}",
}
BARE = """
import starlette.applications, starlette.routing, uvicorn
print(next(line for line in open("/proc/self/smaps_rollup") if line.startswith("Rss")))
"""


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--incidents", type=int, default=10_000)
    arguments = options.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is needed: sudo apt install chromium")
    # In memory, where an fsync costs nothing: what is read stands there anyway once it was read.
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="monitord-bench-", dir=place) as folder:
        data_dir = Path(folder, "data")
        fill(data_dir, arguments.incidents)
        fill_history(data_dir, datetime.now(UTC), hours=720, names=NAMES)
        server = WebServer(data_dir)
        try:
            fresh = rss_bytes(server.process.pid)
            with Chromium(chromium, Path(folder, "chromium")) as browser:
                browser.call("Network.setCacheDisabled", cacheDisabled=True)
                browser.call("Page.addScriptToEvaluateOnNewDocument", source=NOTICE)
                browser.visit(server.address)
                browser.wait("window.shownAt")
                bare, first = view_ms(browser, f"{server.url}nothing"), view_ms(browser, server.url)
            answers = {words: answer_ms(server, path) for words, path in ANSWERS.items()}
            used = rss_bytes(server.process.pid)
            sent = sum(
                len(server.ask(path, headers={"Accept-Encoding": "gzip"}).body) for path in FIRST_FILES
            )
        finally:
            server.stop()
    command, many = command_of(__file__), f"{arguments.incidents:,} incidents"
    told = ", ".join(f"{words} {took:.0f} ms" for words, took in answers.items())
    resident = f"{mib(used)} after some 100 requests, {mib(fresh)} before"
    frame, alone = f"the frame without a list {bare:.0f} ms", f"Starlette and uvicorn {mib(bare_bytes())}"
    most = f"≤ {LARGEST_BYTES // 1000} kB"
    is_small, is_fast = sent <= LARGEST_BYTES, judged(first <= FIRST_VIEW_MS)
    rows = [
        Row(f"the page's first view, {many}", f"{first:.0f} ms", frame, "≤ 200 ms", is_fast, command),
        Row("what a first view loads, compressed", f"{sent / 1000:.1f} kB", "–", most, is_small, command),
        Row(f"the page's answers, {many}", told, "–", "–", None, command),
        Row("`monitord web`, resident", resident, alone, "–", None, command),
    ]
    print(f"load {load()}")
    show(rows, arguments.rows)


def mib(count_bytes: int) -> str:
    return f"{count_bytes / 2**20:.0f} MiB"


def view_ms(browser: Chromium, address: str) -> float:
    found = []
    for _ in range(RUNS):
        browser.visit(address)
        browser.wait("window.shownAt")
        found.append(float(browser.ask("window.shownAt")))
    return statistics.median(found)


def answer_ms(server: WebServer, path: str) -> float:
    found = []
    for _ in range(RUNS):
        began_s = time.perf_counter()
        assert server.ask(path).status == 200
        found.append(1000 * (time.perf_counter() - began_s))
    return statistics.median(found)


def rss_bytes(pid: int) -> int:
    line = next(
        each for each in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if each.startswith("Rss")
    )
    return int(line.split()[1]) * 1024


def bare_bytes() -> int:
    done = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[1]) * 1024


if __name__ == "__main__":
    main()
