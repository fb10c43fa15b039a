"""The HTTP transport of the real server: who is refused, what is never said, how it ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from monitord.errors import PermissionDeniedError
from monitord.http_server.allowance import BURST
from monitord.http_server.connections import MOST_CONNECTIONS
from monitord.http_server.tokens import read_or_make_token
from monitord.mcp_server.http import BODY_LIMIT_BYTES
from monitord.storage import open_store
from tests.mcp_server.talking import HttpServer, command, started
from tests.patience import PATIENCE_S

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


@pytest.fixture(scope="module", autouse=True)
def silent(server: HttpServer) -> Iterator[socket.socket]:
    """Somebody who begins a request and says no more, from the first test on: the last one looks at it."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as made:
        made.sendall(b"POST /mcp HTTP/1.1\r\n")
        yield made


def request(
    server: HttpServer,
    body: Any = INITIALIZE,
    *,
    method: str = "POST",
    path: str = "/mcp",
    headers: Mapping[str, str | None] | None = None,
) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of one request that is right but for what is given here; None leaves one out."""
    sent: dict[str, str | None] = {
        "Host": f"127.0.0.1:{server.port}",
        "Authorization": f"Bearer {server.token}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        **(headers or {}),
    }
    kept = {name: value for name, value in sent.items() if value is not None}
    if isinstance(body, dict | list):
        body = json.dumps(body)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before it was all sent
            connection.request(
                method, path, body, kept, encode_chunked=not isinstance(body, str | bytes | None)
            )
        answer = connection.getresponse()
        given = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, given, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def test_who_has_no_token_is_refused(server: HttpServer) -> None:
    """No token, a wrong one, one in the address or a cookie: 401, whatever is asked, and nothing more is said."""
    wrong: list[dict[str, str | None]] = [
        {"Authorization": None},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {server.token}x"},
        {"Authorization": f"Bearer {server.token[:-1]}"},
        {"Authorization": server.token},
        {"Authorization": "Bearer "},
        {"Authorization": None, "Cookie": f"token={server.token}"},
    ]
    for headers in wrong:
        status, given, said = request(server, headers=headers)
        assert status == 401, headers
        assert given["www-authenticate"] == "Bearer"
        assert server.token not in said
    for path in (f"/mcp?token={server.token}", f"/mcp?access_token={server.token}", "/", "/nothing"):
        assert request(server, path=path, headers={"Authorization": None})[0] == 401
    for method in ("GET", "DELETE", "OPTIONS", "PUT"):
        assert request(server, None, method=method, headers={"Authorization": None})[0] == 401
    assert request(server)[0] == 200


def test_the_case_of_scheme_host_and_origin_counts_for_nothing_and_that_of_the_token_for_all(
    server: HttpServer,
) -> None:
    """RFC 9110: clients write `bearer`, `BEARER` and `LocalHost`; the token is what it is."""
    for scheme in ("bearer", "BEARER", "bEaReR"):
        assert request(server, headers={"Authorization": f"{scheme} {server.token}"})[0] == 200, scheme
    for name in ("LocalHost", "LOCALHOST", "localhost"):
        host = f"{name}:{server.port}"
        assert request(server, headers={"Host": host, "Origin": f"HTTP://{host}"})[0] == 200, host
    swapped = f"Bearer {server.token.swapcase()}"
    assert request(server, headers={"Authorization": swapped})[0] == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "127.0.0.1:1"]
)
def test_a_foreign_host_is_misdirected(server: HttpServer, host: str) -> None:
    """A name that leads to loopback by an attacker's DNS: 421."""
    assert request(server, headers={"Host": host.format(port=server.port)})[0] == 421


@pytest.mark.parametrize(
    "origin",
    ["", " ", "http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}", "file://"],
)
def test_a_foreign_origin_is_forbidden(server: HttpServer, origin: str) -> None:
    """A page of somewhere else, or of nowhere: 403."""
    assert request(server, headers={"Origin": origin.format(port=server.port)})[0] == 403


def test_no_page_is_let_in(server: HttpServer) -> None:
    """No answer has a CORS header, not even to a page of our own address; a preflight gets nothing."""
    own = f"http://127.0.0.1:{server.port}"
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    for method, headers in (
        ("OPTIONS", {"Origin": own, **asks}),
        ("OPTIONS", {"Origin": own, "Authorization": None, **asks}),
        ("POST", {"Origin": own}),
        ("POST", {"Origin": "http://evil.example"}),
    ):
        status, given, _said = request(server, method=method, headers=headers)
        assert not [name for name in given if name.startswith("access-control")]
        assert method == "POST" or status >= 400


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None]
)
def test_a_form_is_no_question(server: HttpServer, kind: str | None) -> None:
    """What a page can send without being asked about first is refused."""
    assert request(server, headers={"Content-Type": kind})[0] in (400, 415)


def test_a_large_body_is_refused(server: HttpServer) -> None:
    """Beyond the limit: 413, whether its length is said or it comes in chunks without an end in sight."""

    def endless() -> Iterator[bytes]:
        yield b'{"jsonrpc": "2.0", "id": 1, "method": "'
        for _ in range(BODY_LIMIT_BYTES // 65_536 + 2):
            yield b"x" * 65_536

    assert request(server, b"x" * (BODY_LIMIT_BYTES + 1))[0] == 413
    headers: dict[str, str | None] = {"Transfer-Encoding": "chunked"}
    assert request(server, endless(), headers=headers)[0] == 413
    assert request(server, headers={"Content-Length": "9" * 30})[0] in (400, 413)
    assert request(server, headers={"Content-Length": "-1"})[0] in (400, 413)
    assert request(server)[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
        b'{"jsonrpc":"1.0","id":1,"method":"initialize"}',
        b'{"jsonrpc":"2.0","id":{"a":1},"method":"initialize"}',
        b"[]",
        b"null",
        b"1",
    ],
    ids=[
        "nothing",
        "half",
        "no utf-8",
        "deep",
        "deep question",
        "version",
        "id",
        "no batch",
        "null",
        "number",
    ],
)
def test_what_is_no_json_rpc_is_refused(server: HttpServer, body: bytes) -> None:
    """Broken, deep or foreign JSON: a 4xx without a traceback, and the server goes on."""
    status, _given, said = request(server, body)
    assert 400 <= status < 500
    assert "Traceback" not in said
    assert request(server)[0] == 200


def test_only_loopback_listens(server: HttpServer) -> None:
    """The port is bound on 127.0.0.1 and nowhere else."""
    port = f"{server.port:04X}"
    bound = [
        line.split()[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port}") and line.split()[3] == "0A"
    ]
    assert bound == [f"0100007F:{port}"]


def test_a_port_that_is_taken(server: HttpServer, tmp_path: Path) -> None:
    """One line that says what to do, the exit code of busy things, and no token file left."""
    words = command(tmp_path / "data", "serve", "--http", "--port", str(server.port))
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 75
    assert re.fullmatch(r"monitord: cannot listen on port \d+ of 127\.0\.0\.1 .*--port\n", done.stderr)
    assert not (tmp_path / "data" / "mcp.token").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_asked(tmp_path: Path, number: int) -> None:
    """By SIGTERM or Ctrl-C, even while a client listens to a stream: soon, with the signal's status, quietly."""
    server = HttpServer(tmp_path / "data")
    try:
        _status, given, _said = request(server)
        listening = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
        listening.request(
            "GET",
            "/mcp",
            headers={
                "Authorization": f"Bearer {server.token}",
                "Accept": "text/event-stream",
                "Mcp-Session-Id": given["mcp-session-id"],
            },
        )
        assert listening.getresponse().status == 200
    finally:
        status = server.stop(number)
    assert status in (-number, 128 + number)
    assert "Traceback" not in server.log
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", server.port)):
        pass


def test_the_token_is_nowhere_but_in_its_file(tmp_path: Path) -> None:
    """Made at the first start, 0600, kept at the next; refusals are logged and counted, the token never."""
    data_dir = tmp_path / "data"
    open_store(data_dir).close()
    tokens = []
    for _ in range(2):
        server = HttpServer(data_dir, "--allow-actions", start=started)
        try:
            tokens.append(server.token)
            assert (data_dir / "mcp.token").stat().st_mode & 0o777 == 0o600
            with server.client() as asker:
                asker.call("get_incident", {"id": "nothing"})
                asker.call("add_note", {"id": "nothing", "text": "x"})
            words = Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
            assert server.token.encode() not in words
            wrong = {"Authorization": "Bearer not-the-token-but-secret-as-well"}
            assert request(server, headers=wrong)[0] == 401
            assert request(server, headers=wrong, path=f"/mcp?token={server.token}")[0] == 401
            assert request(server, headers={"Host": "evil.example"})[0] == 421
        finally:
            server.stop()
        assert "mcp.refused" in server.log
        assert "status=401" in server.log
        assert "status=421" in server.log
        assert "mcp.action" in server.log
        assert server.token not in server.log
        assert "secret-as-well" not in server.log
    assert tokens[0] == tokens[1]


def test_a_token_file_others_can_read_is_refused(tmp_path: Path) -> None:
    """Open to others, a symbolic link, a pipe, or too short: refused with the reason, and never replaced."""
    path = tmp_path / "mcp.token"
    token = read_or_make_token(path)
    assert len(token) >= 32
    assert read_or_make_token(path) == token
    for mode in (0o640, 0o604, 0o660, 0o777):
        path.chmod(mode)
        with pytest.raises(PermissionDeniedError, match="others may read it"):
            read_or_make_token(path)
    path.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(PermissionDeniedError):
        read_or_make_token(link)
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionDeniedError):
        read_or_make_token(dangling)
    assert not (tmp_path / "elsewhere").exists()
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(PermissionDeniedError):
        read_or_make_token(tmp_path / "pipe")
    path.write_text("short\n")
    with pytest.raises(PermissionDeniedError, match="cannot read a token"):
        read_or_make_token(path)


def test_too_many_requests(tmp_path: Path) -> None:
    """429 for who asks too often; strangers use up their own allowance, not that of who has the token."""
    open_store(tmp_path / "data").close()
    server = HttpServer(tmp_path / "data")
    try:
        stranger: dict[str, str | None] = {"Authorization": "Bearer wrong"}
        assert 429 in _statuses(server, stranger)
        assert request(server, None, method="PUT")[0] == 405
        assert 429 in _statuses(server, {})
        assert request(server)[0] in (200, 429)
    finally:
        server.stop()


def _statuses(server: HttpServer, headers: Mapping[str, str | None]) -> Iterator[int]:
    """Statuses of cheap requests, as fast as they go."""
    for _ in range(BURST * 20):
        yield request(server, None, method="PUT", headers=headers)[0]


STRANGERS = (b"P", b"POST /mcp HTTP/1.1\r\nHost: x\r\nX-Long: ", b"\x16\x03\x01", b"")
"""What they say after they connected, and no more."""


def half_open(port: int, said: bytes) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    with contextlib.suppress(OSError):  # dropped already
        made.sendall(said)
    return made


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_half_open_connections_shut_nobody_out(tmp_path: Path, many_descriptors: None) -> None:
    """A client with the token is answered among them, few are held, the log stays short, SIGTERM is obeyed.

    Each kind of stranger opens more than are held. Side by side, because a connection that finds the queue
    full comes back after a second.
    """
    open_store(tmp_path / "data").close()
    server = HttpServer(tmp_path / "data", start=started)
    made: list[socket.socket] = []
    try:
        with ThreadPoolExecutor(64) as side_by_side:
            made += side_by_side.map(lambda n: half_open(server.port, STRANGERS[n % 4]), range(1056))
        for _ in range(5):
            assert request(server)[0] == 200
        descriptors = Path(f"/proc/{server.process.pid}/fd")
        held = len(list(descriptors.iterdir())) if descriptors.exists() else 0
        assert held <= MOST_CONNECTIONS + 100
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) in (0, -signal.SIGTERM)
    finally:
        server.process.kill()
        for one in made:
            one.close()
    assert len(server.log) < 20_000


def test_who_says_nothing_is_hung_up_on(server: HttpServer, silent: socket.socket) -> None:
    """The connection ends by itself some seconds after it began, others stay."""
    with contextlib.suppress(ConnectionResetError):
        assert silent.recv(1) == b""
    assert request(server)[0] == 200
