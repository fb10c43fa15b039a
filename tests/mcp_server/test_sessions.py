"""What a session has is its own, and goes with it: over HTTP, on a real socket, with the real client."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from mcp.client.streamable_http import streamable_http_client

from monitord.actions.workspace import Workspace
from monitord.http_server.serving import LOOPBACK, listen
from monitord.mcp_server.http import application
from monitord.mcp_server.reopening import _opens
from monitord.mcp_server.server import build
from monitord.mcp_server.sessions import Sessions
from monitord.storage import open_store
from monitord.storage.state import StateUnavailableError, Storage, UserNamespace, open_state
from tests.mcp_server.talking import Asker, HttpServer, connected, started
from tests.patience import PATIENCE_S

TOKEN = "t" * 43


@dataclass
class Sent:
    """Requests without any client."""

    port: int
    token: str = TOKEN

    def send(self, method: str, body: Any = None, **headers: str) -> tuple[int, str | None, Any]:
        """One request; underscores in the names of headers are hyphens."""
        sent = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request(method, "/mcp", None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            text = answer.read()
            said = json.loads(text) if text.startswith(b"{") else None
            return answer.status, answer.getheader("mcp-session-id"), said

    def open_session(self) -> str:
        about = {"name": "test", "version": "1"}
        parameters = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": about}
        status, session_id, _said = self.send("POST", _rpc("initialize", parameters))
        assert status == 200
        assert session_id
        self.send(
            "POST", {"jsonrpc": "2.0", "method": "notifications/initialized"}, Mcp_Session_Id=session_id
        )
        return session_id

    def call(self, session_id: str, tool: str, **arguments: Any) -> Any:
        parameters = {"name": tool, "arguments": arguments}
        _status, _id, said = self.send("POST", _rpc("tools/call", parameters), Mcp_Session_Id=session_id)
        return said["result"]["structuredContent"]


@dataclass(kw_only=True)
class Served(Sent):
    """The application in this process, so that what it keeps can be looked at."""

    state: Storage
    sessions: Sessions

    @contextlib.contextmanager
    def client(self) -> Iterator[Asker]:
        headers = {"Authorization": f"Bearer {TOKEN}"}

        def make() -> Any:
            client = httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S)
            return streamable_http_client(f"http://127.0.0.1:{self.port}/mcp", http_client=client)

        with connected(make, "legacy") as asker:
            yield asker

    @property
    def kept(self) -> int:
        """Sessions that something is kept for."""
        return self.state.delete(UserNamespace("token"))


def _rpc(method: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    open_store(tmp_path / "data").close()
    state = open_state("memory://")
    sessions = Sessions(state, "token")
    listener = listen(LOOPBACK, 0)
    port = listener.getsockname()[1]
    inner = build(Workspace(tmp_path / "data"), sessions=sessions)
    running = uvicorn.Server(
        uvicorn.Config(application(inner, TOKEN, sessions, port), log_level="warning", ws="none")
    )
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield Served(port, state=state, sessions=sessions)
    running.should_exit = True
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_sessions_do_not_see_each_other(served: Served) -> None:
    """Each gets its own last question back, and a new one none."""
    with served.client() as one, served.client() as other:
        one.told("recent_anomalies", {"process": "alpha", "limit": 3})
        other.told("query_events", {"limit": 7})
        first, second = one.told("last_query"), other.told("last_query")
        assert (first["tool"], first["arguments"]["process"]) == ("recent_anomalies", "alpha")
        assert (second["tool"], second["arguments"]["limit"]) == ("query_events", 7)
        assert "process" not in second["arguments"]
        with served.client() as third:
            assert third.told("last_query")["tool"] is None


def test_the_end_of_a_session_deletes_what_it_had(served: Served) -> None:
    """DELETE ends one session with its state and no other; a DELETE that is refused ends none."""
    going, staying = served.open_session(), served.open_session()
    for session_id in (going, staying):
        served.call(session_id, "recent_anomalies", limit=5)
        assert served.sessions.recall(session_id)
    assert served.send("DELETE", Mcp_Session_Id=going, Origin="http://evil.example")[0] == 403
    assert served.sessions.recall(going)
    assert served.send("DELETE", Mcp_Session_Id=going)[0] == 200
    assert served.sessions.recall(going) is None
    assert served.send("POST", _rpc("tools/list", {}), Mcp_Session_Id=going)[0] == 404
    assert served.call(staying, "last_query")["tool"] == "recent_anomalies"


def test_what_a_client_closes_is_gone(served: Served) -> None:
    """The SDK's own client ends its session when it closes, and nothing is left."""
    with served.client() as asker:
        asker.told("recent_anomalies")
    assert served.kept == 0


def test_a_header_alone_is_no_session(served: Served) -> None:
    """A session's id that nobody opened gets 404; the protocol without sessions can't name one to look into it."""
    victim = served.open_session()
    served.call(victim, "recent_anomalies", process="secret")
    assert served.send("POST", _rpc("tools/list", {}), Mcp_Session_Id="0" * 32)[0] == 404
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    parameters = {"name": "last_query", "arguments": {}, "_meta": meta}
    status, _id, said = served.send(
        "POST",
        _rpc("tools/call", parameters),
        Mcp_Session_Id=victim,
        MCP_Protocol_Version="2026-07-28",
        Mcp_Method="tools/call",
        Mcp_Name="last_query",
    )
    assert status == 200, said
    assert said["result"]["structuredContent"]["tool"] is None
    assert "secret" not in json.dumps(said)


def test_time_ends_what_a_session_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time to live nothing is seen."""
    monkeypatch.setattr("monitord.mcp_server.sessions.TTL", timedelta(milliseconds=50))
    sessions = Sessions(open_state("memory://"), "token")
    sessions.remember("one", "recent_anomalies", {"limit": 1})
    deadline_s = time.monotonic() + PATIENCE_S
    while sessions.recall("one") is not None:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_the_real_server_remembers(server: HttpServer) -> None:
    """In the server's own process, too: with the handshake there is a session, without it there is none."""
    with server.client("legacy") as asker:
        asker.told("top_functions", {"limit": 4})
        assert asker.told("last_query")["arguments"]["limit"] == 4
    with server.client() as asker:
        asker.told("top_functions", {"limit": 4})
        assert asker.told("last_query")["tool"] is None


def test_a_session_outlives_its_server(tmp_path: Path) -> None:
    """A server that is killed and started again knows its client's session, until the client ends it."""
    open_store(tmp_path / "data").close()
    first = HttpServer(tmp_path / "data", start=started)
    try:
        session_id = Sent(first.port, first.token).open_session()
        assert Sent(first.port, first.token).call(session_id, "top_functions", limit=4)
        first.stop(signal.SIGKILL)
        again = HttpServer(tmp_path / "data")
        sent = Sent(again.port, again.token)
        assert sent.call(session_id, "last_query")["arguments"]["limit"] == 4
        assert sent.call(session_id, "recent_anomalies", limit=2)
        assert sent.call(session_id, "last_query")["tool"] == "recent_anomalies"
        status, answered, _said = sent.send("POST", _rpc("tools/list", {}), Mcp_Session_Id=session_id)
        assert (status, answered) == (200, session_id)
        assert sent.send("POST", _rpc("tools/list", {}), Mcp_Session_Id="0" * 32)[0] == 404
        assert sent.send("DELETE", Mcp_Session_Id=session_id)[0] == 200
        assert sent.send("POST", _rpc("tools/list", {}), Mcp_Session_Id=session_id)[0] == 404
        again.stop()
        kept = open_state(f"sqlite:///{tmp_path}/data/state.db")
        assert kept.namespaces() == []
        kept.close()
    finally:
        first.stop(signal.SIGKILL)


def test_a_new_token_has_no_old_sessions(tmp_path: Path) -> None:
    """Who has another token can't go on with a session, even who knows its id."""
    open_store(tmp_path / "data").close()
    first = HttpServer(tmp_path / "data")
    session_id = Sent(first.port, first.token).open_session()
    Sent(first.port, first.token).call(session_id, "top_functions", limit=4)
    first.stop()
    (tmp_path / "data" / "mcp.token").unlink()
    again = HttpServer(tmp_path / "data")
    status = Sent(again.port, again.token).send("POST", _rpc("tools/list", {}), Mcp_Session_Id=session_id)[0]
    again.stop()
    assert status == 404


def test_a_state_that_fails_costs_no_answer(tmp_path: Path) -> None:
    """When what keeps sessions does not answer, questions are answered all the same."""

    class Broken:
        def __getattr__(self, _name: str) -> Any:
            def fail(*_words: Any, **_more: Any) -> Any:
                raise StateUnavailableError("it is not there")

            return fail

    sessions = Sessions(Broken(), "token")  # type: ignore[arg-type]  # the subject of the test
    sessions.begin("one", b"{}")
    sessions.remember("one", "recent_anomalies", {})
    assert sessions.recall("one") is None
    assert sessions.opening_of("one") is None
    assert sessions.end("one") == 0


@pytest.mark.parametrize(
    "kept", [b"5", b"[]", b"[" * 100_000, b"\xff", b'{"tool": 1}', b'{"strange": 1}', b'{"arguments": []}']
)
def test_whatever_lies_in_the_state_a_session_is_answered(kept: bytes) -> None:
    """A state that others write into, too, gives no last question rather than an error."""
    state = open_state("memory://")
    sessions = Sessions(state, "token")
    state.set("last query", kept, sessions.namespace("one"))
    assert sessions.recall("one") is None


def test_a_state_opens_sessions_and_says_nothing_else_for_a_client() -> None:
    """Words that open no session are never said to the transport, whoever put them there."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "capture"}}
    said = [json.dumps(call).encode(), json.dumps([call]).encode(), b"[" * 100_000, b"\xff", b"5", b""]
    assert not any(map(_opens, said))
    assert _opens(json.dumps({**call, "method": "initialize"}).encode())


def test_a_late_question_brings_no_ended_session_back() -> None:
    """A session that ends between reading and writing of a question stays ended."""
    state = open_state("memory://")
    sessions = Sessions(state, "token")
    sessions.begin("one", b"{}")

    class EndsMeanwhile:
        def __getattr__(self, name: str) -> Any:
            return getattr(state, name)

        def apply(self, changes: Any, **more: Any) -> bool:
            sessions.end("one")
            return state.apply(changes, **more)

    Sessions(EndsMeanwhile(), "token").remember("one", "recent_anomalies", {})  # type: ignore[arg-type]  # likewise
    assert sessions.opening_of("one") is None
