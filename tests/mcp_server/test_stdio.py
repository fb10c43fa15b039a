"""The stdio transport, byte by byte: its stdout carries JSON-RPC and nothing else."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from monitord.storage import SQLiteProfileStore, open_store
from tests.mcp_server.incidents import make_incident
from tests.mcp_server.talking import command
from tests.patience import PATIENCE_S

HANDSHAKE: list[Any] = [
    {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
]


def ask(argv: list[str], messages: list[Any]) -> tuple[dict[Any, Any], str]:
    """Answers by id, and stderr; every line of stdout must be one JSON-RPC message."""
    server = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in messages]
    answers: dict[Any, Any] = {}
    wanted = {each["id"] for each in messages if isinstance(each, dict) and "id" in each}
    assert server.stdin
    assert server.stdout
    server.stdin.write(b"\n".join(lines) + b"\n")
    server.stdin.flush()
    while wanted - set(answers):
        line = server.stdout.readline()
        assert line, _last_words(server)
        answers.update(_message(line))
    rest, said = server.communicate(timeout=PATIENCE_S)
    for line in rest.splitlines():
        answers.update(_message(line))
    assert server.returncode == 0
    return answers, said.decode("utf-8", "replace")


def _last_words(server: subprocess.Popen[bytes]) -> str:
    said = server.communicate()[1].decode(errors="replace")[-2000:]
    return f"the server ended early with {server.returncode}: {said}"


def _message(line: bytes) -> dict[Any, Any]:
    held = json.loads(line)
    assert held["jsonrpc"] == "2.0"
    return {held.get("id"): held}


def call(number: int, tool: str, **arguments: Any) -> dict[str, Any]:
    parameters = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": parameters}


def test_stdout_carries_json_rpc_only(store: SQLiteProfileStore) -> None:
    """Whatever is asked, refused, broken, hostile or done: log lines and warnings go to stderr."""
    incident = make_incident(name='x\n{"jsonrpc":"2.0","id":7,"result":{}}\n\x1b[31m')
    store.save_incident(incident)
    answers, said = ask(
        command(store.data_dir, "serve", "--allow-actions"),
        [
            *HANDSHAKE,
            b"{ this is no JSON",
            b"\xff\xfe\x00",
            b"[" * 5000,
            call(1, "recent_anomalies"),
            call(2, "get_incident", id="nothing"),
            call(3, "no_such_tool"),
            call(4, "recent_anomalies", nonsense=1),
            call(5, "add_note", id=incident.correlation_id, text="a\nb"),
            call(6, "profile_script", script="/nowhere/at-all.py"),
            call(7, "capture_process", pid=2**31 - 1),
            {"jsonrpc": "2.0", "id": 8, "method": "no/such/method"},
            {"jsonrpc": "2.0", "id": 9, "method": "ping"},
        ],
    )
    assert set(range(10)) <= set(answers)
    assert answers[9]["result"] == {}
    assert answers[7]["result"]["isError"]
    assert "\x1b" not in json.dumps(answers[1], ensure_ascii=False)
    assert "mcp.action" in said


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    """Nothing recorded yet: the tools say so in one line, and the server goes on."""
    answers, said = ask(
        command(tmp_path / "nowhere", "serve"),
        [*HANDSHAKE, call(1, "recent_anomalies"), call(2, "system_now")],
    )
    assert answers[1]["result"]["isError"]
    assert "\n" not in answers[1]["result"]["content"][0]["text"]
    assert "Traceback" not in said
    assert not (tmp_path / "nowhere").exists()
    assert answers[2]["result"]["structuredContent"]["is_recording"] is False


def test_the_name_alone_serves(tmp_path: Path) -> None:
    """`monitord mcp` is `monitord mcp serve`."""
    open_store(tmp_path / "data").close()
    answers, _said = ask(
        command(tmp_path / "data"), [*HANDSHAKE, {"jsonrpc": "2.0", "id": 1, "method": "ping"}]
    )
    assert answers[1]["result"] == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_asked(tmp_path: Path, number: int) -> None:
    """SIGTERM and Ctrl-C end it while its client is silent, without a traceback."""
    server = subprocess.Popen(
        command(tmp_path / "data", "serve"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert server.stdin
    assert server.stdout
    server.stdin.write(json.dumps(HANDSHAKE[0]).encode() + b"\n")
    server.stdin.flush()
    assert _message(server.stdout.readline())[0]["result"]
    server.send_signal(number)
    try:
        server.wait(PATIENCE_S)
    finally:
        server.kill()
    _out, said = server.communicate()
    assert server.returncode in (-number, 128 + number)
    assert b"Traceback" not in said
