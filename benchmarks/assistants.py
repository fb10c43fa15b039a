"""What a question over MCP costs at 10,000 incidents, over stdio and HTTP, beside the bare SDK's echo.

    python benchmarks/assistants.py --captures 10000

The SDK's own client asks each tool in turn; over HTTP slowly enough for the server's own limit of requests.
Memory is the server's, after the questions.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from asking import fill
from mcp.client.stdio import StdioServerParameters, stdio_client
from recording import ROOT, Row, command_of, load, memory_of, parser, show

from tests.mcp_server.talking import Asker, HttpServer, connected, over_stdio

BUDGET_MS = 100.0
ROUNDS = 40
BETWEEN_S = 0.1
ECHO = """
from mcp.server.mcpserver import MCPServer
server = MCPServer("echo")
@server.tool()
def echo(text: str) -> str:
    return text
server.run()
"""


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--captures", type=int, default=10_000)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="monitord-bench-") as folder:
        data_dir = Path(folder, "data")
        fill(data_dir, arguments.captures)
        with echoing() as asker:
            bare_ms = asked(asker, lambda number: ("echo", {"text": str(number)}), ROUNDS * 5)
        with over_stdio(data_dir) as asker:
            stdio_ms, stdio_bytes = tools(asker), memory()
        server = HttpServer(data_dir)
        try:
            with server.client() as asker:
                http_ms = tools(asker)
            http_bytes = memory_of(server.process.pid)["Rss"]
        finally:
            server.stop()
    print(f"load {load()}")
    peer = f"bare SDK echo, stdio: p50 {middle(bare_ms):.0f}, p99 {worst(bare_ms):.0f} ms"
    rows = [row("stdio", stdio_ms, peer, arguments.captures), row("HTTP", http_ms, peer, arguments.captures)]
    for transport, size in (("stdio", stdio_bytes), ("HTTP", http_bytes)):
        what = f"MCP server's memory after these questions, {transport}"
        rows.append(Row(what, f"{size / 1e6:.0f} MB", "–", "–", None, command_of(__file__)))
    show(rows, arguments.rows)


def tools(asker: Asker) -> dict[str, list[float]]:
    """Milliseconds of each call, by tool."""
    newest = asker.told("recent_anomalies", {"limit": 2})["rows"]
    one, other = (each["correlation_id"] for each in newest)
    questions: dict[str, dict[str, Any]] = {
        "recent_anomalies": {},
        "get_incident": {"id": one},
        "explain_incident": {"id": other},
        "query_events": {"event_type": "hotspot"},
        "top_functions": {"since": "1h"},
    }
    took: dict[str, list[float]] = {}
    for name, arguments in questions.items():
        took[name] = asked(asker, lambda _number, name=name, words=arguments: (name, words), ROUNDS)
        print(f"{name}: p50 {statistics.median(took[name]):.0f} ms", file=sys.stderr, flush=True)
    return took


def asked(asker: Asker, question: Callable[[int], tuple[str, dict[str, Any]]], times: int) -> Any:
    took = []
    for number in range(times):
        time.sleep(BETWEEN_S)
        name, arguments = question(number)
        began_s = time.perf_counter()
        asker.told(name, arguments)
        took.append((time.perf_counter() - began_s) * 1e3)
    return took


def row(transport: str, took: dict[str, list[float]], peer: str, captures: int) -> Row:
    every = [each for times in took.values() for each in times]
    slowest = max(took, key=lambda name: middle(took[name]))
    what = (
        f"a tool's answer over {transport}, {captures:,} incidents ({len(every)} calls of {len(took)} tools)"
    )
    measured = (
        f"p50 {middle(every):.0f}, p99 {worst(every):.0f} ms;"
        f" slowest `{slowest}`: p50 {middle(took[slowest]):.0f}, longest {max(took[slowest]):.0f} ms"
    )
    p99 = worst(every)
    return Row(what, measured, peer, f"p99 ≤ {BUDGET_MS:g} ms", p99 <= BUDGET_MS, command_of(__file__))


def middle(times: list[float]) -> float:
    return statistics.median(times)


def worst(times: list[float]) -> float:
    """The 99th of a hundred."""
    return statistics.quantiles(times, n=100)[98]


def memory() -> int:
    """Resident bytes of the server over stdio, a child of this process."""
    for child in psutil.Process().children(recursive=True):
        if "serve" in child.cmdline():
            return memory_of(child.pid)["Rss"]
    raise SystemExit("the server over stdio is gone")


@contextmanager
def echoing() -> Iterator[Asker]:
    parameters = StdioServerParameters(command=sys.executable, args=["-c", ECHO], cwd=str(ROOT))
    with connected(lambda: stdio_client(parameters)) as asker:
        yield asker


if __name__ == "__main__":
    main()
