"""The protocol's official conformance suite against the real server over HTTP.

The suite (npm, MIT) can send no token, so a relay before the server adds it; Host and Origin pass as they are,
but for the relay's port. Every scenario it has is listed here, or the test fails: as applicable, or with the
reason why it is not.
"""

from __future__ import annotations

import http.client
import platform
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.mcp_server.talking import HttpServer
from tests.patience import PATIENCE_S

SUITE = "@modelcontextprotocol/conformance@0.1.16"
NODE = "node-linux-{}@22"  # the suite needs Node 22, newer than Debian's

APPLICABLE = {
    "server-initialize",
    "ping",
    "tools-list",
    "resources-list",
    "prompts-list",
    "server-sse-multiple-streams",
    "dns-rebinding-protection",
}
_OWN_TOOL = "calls a tool of the suite's own test server"
_OWN_RESOURCE = "reads a resource of the suite's own test server"
_OWN_PROMPT = "gets a prompt of the suite's own test server"
_NOT_OFFERED = "a capability this server does not declare"
NOT_APPLICABLE = {
    "logging-set-level": _NOT_OFFERED,
    "completion-complete": _NOT_OFFERED,
    "resources-subscribe": _NOT_OFFERED,
    "resources-unsubscribe": _NOT_OFFERED,
    "tools-call-simple-text": _OWN_TOOL,
    "tools-call-image": _OWN_TOOL,
    "tools-call-audio": _OWN_TOOL,
    "tools-call-embedded-resource": _OWN_TOOL,
    "tools-call-mixed-content": _OWN_TOOL,
    "tools-call-with-logging": _OWN_TOOL,
    "tools-call-error": _OWN_TOOL,
    "tools-call-with-progress": _OWN_TOOL,
    "tools-call-sampling": _OWN_TOOL,
    "tools-call-elicitation": _OWN_TOOL,
    "json-schema-2020-12": _OWN_TOOL,
    "elicitation-sep1034-defaults": _OWN_TOOL,
    "elicitation-sep1330-enums": _OWN_TOOL,
    "server-sse-polling": _OWN_TOOL,
    "resources-read-text": _OWN_RESOURCE,
    "resources-read-binary": _OWN_RESOURCE,
    "resources-templates-read": _OWN_RESOURCE,
    "prompts-get-simple": _OWN_PROMPT,
    "prompts-get-with-args": _OWN_PROMPT,
    "prompts-get-embedded-resource": _OWN_PROMPT,
    "prompts-get-with-image": _OWN_PROMPT,
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What starts the suite; installed into a temporary folder, without running any package's scripts."""
    folder = tmp_path_factory.mktemp("conformance")
    npm = shutil.which("npm")
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine())
    why = "npm is missing" if npm is None else "" if machine else f"no Node for {platform.machine()}"
    if npm and machine:
        words = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
        done = subprocess.run(
            [*words, SUITE, NODE.format(machine)], capture_output=True, text=True, timeout=300, check=False
        )
        why = done.stderr[-500:] if done.returncode else ""
    if why:
        pytest.skip(f"the suite can't be installed: {why}")
    modules = folder / "node_modules"
    entry = modules / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    return [str(modules / f"node-linux-{machine}" / "bin" / "node"), str(entry)]


@pytest.fixture(scope="module")
def relay(server: HttpServer) -> Iterator[str]:
    """An address that leads to the server with its token."""

    class Relay(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Says nothing."""

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            own, theirs = f":{listening.server_port}", f":{server.port}"
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "content-length"):
                    connection.putheader(name, value.replace(own, theirs))
            connection.putheader("Authorization", f"Bearer {server.token}")
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.end_headers()
            try:
                while chunk := answer.read1(65_536):
                    self.wfile.write(chunk)
            except (OSError, http.client.IncompleteRead):
                pass  # one side left: a stream that stays open ends so
            finally:
                connection.close()

        do_GET = do_POST = do_DELETE = do_PUT = pass_on  # noqa: N815  the names the handler looks for

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}/mcp"
    listening.shutdown()
    thread.join(PATIENCE_S)


def test_every_scenario_is_known(suite: list[str]) -> None:
    """What the suite holds is applicable, or has its reason here: nothing is left out unsaid."""
    listed = subprocess.run(
        [*suite, "list", "--server"], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    found = set(re.findall(r"^  - (\S+)", listed.stdout, re.MULTILINE))
    assert found == APPLICABLE | set(NOT_APPLICABLE)
    assert not APPLICABLE & set(NOT_APPLICABLE)


@pytest.mark.parametrize("scenario", sorted(APPLICABLE))
def test_the_server_conforms(suite: list[str], relay: str, tmp_path: Path, scenario: str) -> None:
    """Every applicable scenario passes at least one check and fails none."""
    words = ["server", "--url", relay, "--scenario", scenario]
    done = subprocess.run(
        [*suite, *words], capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=tmp_path
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-2000:]
    passed = re.search(r"Passed: (\d+)/(\d+), (\d+) failed", said)
    assert passed, said[-2000:]
    assert int(passed[1]) == int(passed[2]) > 0
    assert passed[3] == "0"
