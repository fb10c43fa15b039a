"""How long a message takes from the evidence to its receiver, beside a bare Python that posts the same bytes.

    python benchmarks/notify.py --rounds 10

Every round an incident among many gets all that it will get, and its sender, a process, is started as the
recorder starts it; the receiver is a server in this process.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import SimpleQueue

from recording import ROOT, Row, command_of, load, parser, show

sys.path.insert(0, str(ROOT))
BUDGET_S = 1.0
BARE = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
connection.request("POST", "/", b"{}")
connection.getresponse()
"""


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--stored", type=int, default=1000)
    arguments = options.parse_args()
    arrived: SimpleQueue[float] = SimpleQueue()
    server = HTTPServer(("127.0.0.1", 0), _receiver(arrived))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    told_s, settling_s = told(server.server_port, arrived, arguments.rounds, arguments.stored)
    bare_s = [bare(server.server_port, arrived) for _ in range(arguments.rounds)]
    server.shutdown()
    print(f"load {load()}")
    rows = [
        Row(
            f"a message from the evidence to its receiver, {arguments.stored:,} incidents stored",
            f"median {statistics.median(told_s):.2f} s, longest {max(told_s):.2f} s",
            f"a bare Python that posts: median {statistics.median(bare_s):.2f} s, longest {max(bare_s):.2f}",
            f"≤ {BUDGET_S:g} s",
            max(told_s) <= BUDGET_S,
            command_of(__file__),
        ),
        Row(
            "what telling takes of the thread that stores",
            f"median {statistics.median(settling_s) * 1000:.1f} ms, longest {max(settling_s) * 1000:.1f} ms",
            "it starts a process",
            "–",
            None,
            command_of(__file__),
        ),
    ]
    show(rows, arguments.rows)


def told(port: int, arrived: SimpleQueue[float], rounds: int, stored: int) -> tuple[list[float], list[float]]:
    """Seconds from "it has all it will get" to the receiver, and until that call returned; for each round."""
    from monitord.daemon.message_supervisor import MessageSupervisor
    from monitord.model import Incident
    from monitord.storage import new_correlation_id, open_store
    from tests.fakes import a_capture, an_alert

    found, calls = [], []
    with tempfile.TemporaryDirectory() as folder:
        config, data_dir = Path(folder, "config.toml"), Path(folder, "data")
        table = {"name": "bench", "kind": "webhook", "url": f"http://127.0.0.1:{port}/"}
        lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
        config.write_text(f"[notify]\nfold_s = 0\ndaily_limit = 1000\n[[notify.receivers]]\n{lines}\n")
        with closing(open_store(data_dir)) as store:
            before = datetime.now(UTC) - timedelta(hours=1)
            for _ in range(stored):
                alert = replace(an_alert(), raised_at=before)
                store.save_incident(Incident(new_correlation_id(), alert, None, captures=(a_capture(),)))
            supervisor = MessageSupervisor(data_dir, config, 30.0)
            for _ in range(rounds):
                alert = replace(an_alert(), raised_at=datetime.now(UTC))
                incident = Incident(new_correlation_id(), alert, None, captures=(a_capture(),))
                store.save_incident(incident)
                begun_s = time.perf_counter()
                supervisor.settled(incident.correlation_id)
                calls.append(time.perf_counter() - begun_s)
                found.append(arrived.get(timeout=60) - begun_s)
                _end(supervisor)
    return found, calls


def _end(supervisor: object) -> None:
    """Until its sender is gone: each round starts one."""
    while supervisor._child is not None:  # type: ignore[attr-defined]
        time.sleep(0.02)
        supervisor.poll()  # type: ignore[attr-defined]


def bare(port: int, arrived: SimpleQueue[float]) -> float:
    begun_s = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", BARE, str(port)], check=True)
    return arrived.get(timeout=60) - begun_s


def _receiver(arrived: SimpleQueue[float]) -> type[BaseHTTPRequestHandler]:
    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.put(time.perf_counter())
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            pass

    return Receiver


if __name__ == "__main__":
    main()
