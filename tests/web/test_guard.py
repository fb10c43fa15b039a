"""The page's server against strangers: tokens, names, origins, sizes, floods, slow clients.

More than 400 lines: one door, and all that is tried on it, in the order in which it judges.
"""

from __future__ import annotations

import contextlib
import json
import re
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord.errors import UsageError
from monitord.http_server.allowance import BURST
from monitord.http_server.connections import MOST_CONNECTIONS
from monitord.storage import open_store
from monitord.web.guard import BODY_LIMIT_BYTES
from monitord.web.routes import API, PAGES, Post
from monitord.web.server import Place
from tests.patience import PATIENCE_S
from tests.web.serving import WebServer, web_command

STATIC = Path(__file__).parents[2] / "monitord" / "web" / "static"
ACTIONS = [one.path.replace("{id}", "x") for one in API if isinstance(one, Post)]
EVERYWHERE = (
    "/",
    "/static/app.js",
    "/assets/speedscope/index.html",
    "/api/about",
    "/nothing",
    "/api/session",
)


@pytest.fixture(scope="module", autouse=True)
def silent(empty_server: WebServer) -> Iterator[socket.socket]:
    """Somebody who begins a request and says no more, from the first test on: the last one looks at it."""
    with empty_server.connect() as made:
        made.sendall(b"GET / HTTP/1.1\r\n")
        yield made


# ------------------------------------------------------------------------------------------ who may ask


def test_who_has_no_token_reads_nothing(empty_server: WebServer) -> None:
    """No token, a wrong one, one in the address or a cookie: 401 with one line, and the token is never said."""
    token = empty_server.token
    wrong: list[dict[str, str | None]] = [
        {"Authorization": None},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {token}x"},
        {"Authorization": f"Bearer {token[:-1]}"},
        {"Authorization": f"Bearer {token.swapcase()}"},
        {"Authorization": token},
        {"Authorization": "Bearer "},
        {"Authorization": None, "Cookie": f"monitord_{empty_server.port}={token}"},
        {"Authorization": None, "X-Monitord-Key": token},
    ]
    for headers in wrong:
        for path in ("/api/about", "/api/incidents", "/api/nothing", f"/api/about?token={token}"):
            answer = empty_server.ask(path, headers=headers)
            assert answer.status == 401, (path, headers)
            assert "monitord web" in answer.json["error"]
            assert token.encode() not in answer.body
    assert empty_server.ask("/api/about").status == 200
    assert token not in empty_server.log.replace(empty_server.address, "")


def test_a_browser_gets_a_cookie_and_a_key_and_needs_both(empty_server: WebServer) -> None:
    """The cookie goes to every port of this machine: without the key it opens nothing."""
    answer = empty_server.ask("/api/session", method="POST", body=b"")
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert empty_server.token not in cookie
    pair, key = cookie.split(";")[0], answer.json["key"]
    both: dict[str, str | None] = {"Authorization": None, "Cookie": f"other=1; {pair}", "X-Monitord-Key": key}
    assert empty_server.ask("/api/about", headers=both).status == 200
    for missing in ("Cookie", "X-Monitord-Key"):
        assert empty_server.ask("/api/about", headers={**both, missing: None}).status == 401
        assert empty_server.ask("/api/about", headers={**both, missing: "wrong"}).status == 401
    assert empty_server.ask("/api/session", method="POST", body=b"", headers=both).status == 401


@pytest.mark.parametrize(
    "others",
    ['theme={"dark": true}', "a=b=c; =; ;;", "{name}=another servers", 'x="', "\xe9=\xff", "a[b]=(c)"],
)
def test_cookies_of_servers_on_other_ports_shut_nobody_out(empty_server: WebServer, others: str) -> None:
    """A browser sends all that 127.0.0.1 ever set, before ours and behind it, in whatever form."""
    answer = empty_server.ask("/api/session", method="POST", body=b"")
    pair, key = answer.headers["set-cookie"].split(";")[0], answer.json["key"]
    others = others.replace("{name}", pair.partition("=")[0])
    for cookies in (f"{others}; {pair}", f"{pair}; {others}"):
        headers: dict[str, str | None] = {"Authorization": None, "Cookie": cookies, "X-Monitord-Key": key}
        assert empty_server.ask("/api/about", headers=headers).status == 200, cookies
    assert (
        empty_server.ask("/api/about", headers={**headers, "Cookie": others}).status == 401
    )  # theirs open nothing


@pytest.mark.parametrize(
    ("address", "port", "hosts"),
    [
        ("127.0.0.1", 80, {"127.0.0.1", "localhost", "[::1]"}),
        ("127.0.0.1", 8766, {"127.0.0.1:8766", "localhost:8766", "[::1]:8766"}),
        (
            "2001:DB8:0:0::1",
            8766,
            {"127.0.0.1:8766", "localhost:8766", "[::1]:8766", "[2001:db8::1]:8766"},
        ),
        ("::1", 80, {"127.0.0.1", "localhost", "[::1]"}),
    ],
)
def test_it_answers_to_its_address_as_browsers_write_it(address: str, port: int, hosts: set[str]) -> None:
    """They leave out the usual port, and write an address in its shortest form."""
    place = Place(address, port)
    assert set(place.hosts(port)) == hosts
    assert place.url(port) == f"http://{place.hosts(port)[3]}/"


@pytest.mark.parametrize(
    "name", ["", "例え.example", "page example", "https://page.example", "a/b", "a:b", "x" * 300]
)
def test_a_name_that_no_browser_writes_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"^invalid name .* expected one like page.example"):
        Place(names=(name,)).listen()


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "127.0.0.1:1", "127.0.0.1", ""],
)
def test_a_foreign_host_is_misdirected_wherever_it_asks(empty_server: WebServer, host: str) -> None:
    """A name that leads to loopback by an attacker's DNS: 421, for files as for answers."""
    for path in EVERYWHERE:
        assert empty_server.ask(path, headers={"Host": host.format(port=empty_server.port)}).status == 421


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "http://127.0.0.1:1",
        "https://127.0.0.1",
        "file://",
        "http://127.0.0.1:{port}.evil.example",
    ],
)
def test_a_foreign_origin_is_refused_wherever_it_asks(empty_server: WebServer, origin: str) -> None:
    for path in EVERYWHERE:
        answer = empty_server.ask(path, headers={"Origin": origin.format(port=empty_server.port)})
        assert answer.status == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]
    own = empty_server.ask(
        "/api/about",
        headers={"Origin": f"HTTP://LocalHost:{empty_server.port}", "Host": f"LocalHost:{empty_server.port}"},
    )
    assert own.status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "evil"])
def test_a_page_of_another_port_can_not_ask_though_the_browser_calls_it_same_site(
    empty_server: WebServer, site: str
) -> None:
    assert empty_server.ask("/api/about", headers={"Sec-Fetch-Site": site}).status == 403
    assert empty_server.ask("/api/about", headers={"Sec-Fetch-Site": "same-origin"}).status == 200


def test_a_header_that_is_judged_may_not_stand_there_twice(empty_server: WebServer) -> None:
    with empty_server.connect() as made:
        made.sendall(
            f"GET /api/about HTTP/1.1\r\nHost: {empty_server.host}\r\nAuthorization: Bearer {empty_server.token}\r\n".encode()
        )
        made.sendall(
            b"Origin: http://evil.example\r\n" + f"Origin: {empty_server.url.rstrip('/')}\r\n\r\n".encode()
        )
        assert made.recv(100).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "POST"])
def test_other_methods_are_unknown_and_no_other_page_is_ever_let_in(
    empty_server: WebServer, method: str
) -> None:
    for path in ("/", "/static/app.js", "/incidents/x"):
        answer = empty_server.ask(path, method=method)
        assert answer.status == 405
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert empty_server.ask("/api/incidents", method=method).status in (404, 405)


# ------------------------------------------------------------------------------------------ who may act


def test_nothing_is_done_unless_it_was_allowed(empty_server: WebServer) -> None:
    for path in ACTIONS:
        answer = empty_server.post(path, {})
        assert answer.status == 403
        assert "--allow-actions" in answer.json["error"]


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_what_a_form_can_send_does_nothing(tmp_path: Path, kind: str | None) -> None:
    """The header that our page sets is what no form can set."""
    open_store(tmp_path / "data").close()
    server = WebServer(tmp_path / "data", "--allow-actions")
    try:
        for path in ACTIONS:
            answer = server.ask(path, method="POST", body=b'{"undo": false}', headers={"Content-Type": kind})
            assert (answer.status, "X-Monitord-Action" in answer.json["error"]) == (403, True)
            # allowed, of no such incident, or rules without rules
            assert server.post(path, {"text": "x"}).status in (400, 404)
        for body in (b"[]", b"{", b"1", b"[" * 30_000):
            assert (
                server.ask(ACTIONS[0], method="POST", body=body, headers={"X-Monitord-Action": "1"}).status
                == 400
            )
    finally:
        server.stop()


# -------------------------------------------------------------------------------------- sizes and floods


def test_what_is_too_large_is_refused_before_it_is_read(empty_server: WebServer) -> None:
    large: dict[str, str | None] = {"Content-Length": str(BODY_LIMIT_BYTES + 1), "X-Monitord-Action": "1"}
    assert empty_server.ask(ACTIONS[0], method="POST", headers=large).status == 413
    assert empty_server.ask(ACTIONS[0], method="POST", headers={"Transfer-Encoding": "chunked"}).status == 413
    for length in ("x", "1e3", "9" * 40):
        assert empty_server.ask(ACTIONS[0], method="POST", headers={"Content-Length": length}).status in (
            400,
            413,
        )
    assert empty_server.ask("/api/incidents?text=" + "x" * 300).status == 400
    with empty_server.connect() as made, contextlib.suppress(ConnectionError):
        made.sendall(b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 400_000)
        assert made.recv(100).startswith(b"HTTP/1.1 400 ")
    assert empty_server.ask("/api/about").status == 200


def test_strangers_who_flood_lock_nobody_out(tmp_path: Path) -> None:
    """Who has the token has an allowance of their own; files need none."""
    open_store(tmp_path / "data").close()
    server = WebServer(tmp_path / "data")
    try:
        refused = [
            server.ask("/api/about", headers={"Authorization": "Bearer wrong"}).status
            for _ in range(BURST + 80)
        ]
        assert set(refused) == {401, 429}
        assert server.ask("/api/about").status == 200
        assert server.ask("/").status == 200
        assert server.log.count("web.refused") < 20
    finally:
        server.stop()


def test_a_thousand_half_open_connections_shut_nobody_out(tmp_path: Path) -> None:
    """They say a byte and no more: so many are kept, the server answers beside them, and ends when told to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    open_store(tmp_path / "data").close()
    server = WebServer(tmp_path / "data", start=web_command)
    held: list[socket.socket] = []
    try:
        for _ in range(1050):
            made = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
            made.sendall(b"G")
            held.append(made)
        assert server.ask("/api/about").status == 200
        assert server.ask("/").status == 200
        files = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
        assert files < MOST_CONNECTIONS + 60
        assert len(server.log) < 10_000
    finally:
        for made in held:
            made.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert server.stop() == -signal.SIGTERM or server.process.returncode == 0


def test_who_asks_and_never_reads_shuts_nobody_out(tmp_path: Path) -> None:
    """Every connection is held by somebody without a token, with answers on their way that nobody reads."""
    open_store(tmp_path / "data").close()
    server = WebServer(tmp_path / "data")
    held: list[socket.socket] = []
    scripts = STATIC.parent / "assets" / "speedscope"
    largest = max(scripts.glob("*.js"), key=lambda one: one.stat().st_size).name
    large = f"GET /assets/speedscope/{largest} HTTP/1.1\r\nHost: {server.host}\r\n\r\n".encode() * 8
    try:
        for _ in range(MOST_CONNECTIONS + 8):
            made = socket.socket()
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            made.settimeout(PATIENCE_S)
            made.connect(("127.0.0.1", server.port))
            made.sendall(large)
            assert made.recv(1) == b"H"
            held.append(made)
        for _ in range(3):
            assert server.ask("/api/about").status == 200
    finally:
        for made in held:
            made.close()
        server.stop()


def test_a_body_that_is_malformed_behind_its_answer_costs_no_line_each(empty_server: WebServer) -> None:
    """The head is answered at once; what follows it ends the connection, and leaves no trace of an error."""
    for path in ("/", "/api/about", "/api/incidents/x/pin"):
        for authorized in ("", f"Authorization: Bearer {empty_server.token}\r\n"):
            with empty_server.connect() as made, contextlib.suppress(ConnectionError):
                head = f"POST {path} HTTP/1.1\r\nHost: {empty_server.host}\r\n{authorized}"
                made.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
                assert made.recv(9) == b"HTTP/1.1 "
                made.sendall(b"no number\r\n" * 3)
                while made.recv(65536):
                    pass
    assert "Traceback" not in empty_server.log


def test_nothing_is_heard_behind_a_body_whose_end_is_a_matter_of_opinion(empty_server: WebServer) -> None:
    """A proxy that reads lengths otherwise than we do could take what follows for another's request."""
    behind = f"GET / HTTP/1.1\r\nHost: {empty_server.host}\r\n\r\n"
    for length in ("Transfer-Encoding: chunked\r\nContent-Length: 4", "Transfer-Encoding: chunked"):
        with empty_server.connect() as made, contextlib.suppress(ConnectionError):
            head = f"POST {ACTIONS[0]} HTTP/1.1\r\nHost: {empty_server.host}\r\nAuthorization: Bearer {empty_server.token}\r\n"
            made.sendall(f"{head}{length}\r\n\r\n0\r\n\r\n{behind}".encode())
            found = b""
            while piece := made.recv(65536):
                found += piece
        assert found.count(b"HTTP/1.1 ") == 1, length
        assert found.startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_come_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    open_store(tmp_path / "data").close()
    server = WebServer(tmp_path / "data", "--allow-actions")
    try:
        with server.connect() as made:
            head = f"POST {ACTIONS[0]} HTTP/1.1\r\nHost: {server.host}\r\nAuthorization: Bearer {server.token}\r\n"
            made.sendall(f"{head}X-Monitord-Action: 1\r\nContent-Length: 100\r\n\r\n{{".encode())
            assert b"did not arrive in time" in read_all(made)
    finally:
        server.stop()


def read_all(made: socket.socket) -> bytes:
    found = b""
    while b"}" not in found:
        piece = made.recv(65536)
        if not piece:
            break
        found += piece
    return found


# ------------------------------------------------------------------------------------- what is served


@pytest.mark.parametrize(
    "path",
    ["/static/../guard.py", "/static/%2e%2e/guard.py", "/static/..%2fguard.py", "/assets/../../../../../etc/passwd", "/static//etc/passwd", "/static/%00", "/assets/", "/static", "/static/pages", "/assets/pinned.py"],
)  # fmt: skip
def test_no_path_leads_out_of_what_was_read_at_the_start(empty_server: WebServer, path: str) -> None:
    answer = empty_server.ask(path)
    assert answer.status == 404
    assert answer.body.startswith(b"<!DOCTYPE html>")


def test_every_page_forbids_whatever_is_not_its_own(empty_server: WebServer) -> None:
    """No inline script or style, no other address, no frame around it; speedscope alone writes styles."""
    pages = [page.path.replace("{id}", "x").replace("{other}", "y") for page in PAGES]
    for path in (*pages, "/nothing", "/static/app.js", "/static/monitord.css", "/assets/uplot/uPlot.min.css"):
        answer = empty_server.ask(path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "require-trusted-types-for 'script'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers
    policy = empty_server.ask("/assets/speedscope/index.html").headers["content-security-policy"]
    assert re.findall(r"(\S+-src) [^;]*unsafe", policy) == ["style-src"]
    about = empty_server.ask("/api/about").headers
    assert about["cache-control"] == "no-store"
    assert "default-src 'none'" in about["content-security-policy"]


def test_no_script_of_ours_writes_markup() -> None:
    """Names are only ever set as text; elements are made in one place."""
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setHTML|createContextualFragment|DOMParser|srcdoc|\.style\.cssText"
    )
    for path in STATIC.rglob("*.js"):
        assert not forbidden.search(path.read_text(encoding="utf-8")), path
    shell = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"\son\w+=|style=|<style|<script(?! type=\"module\" src=)", shell)


def test_a_first_view_is_small(empty_server: WebServer) -> None:
    """All that the first page loads, compressed, without the answer: at most 60 kB."""
    loaded = (
        "/",
        "/static/app.js",
        "/static/dom.js",
        "/static/pages.js",
        "/static/pages/recent.js",
        "/static/monitord.css",
        "/static/icon.svg",
    )
    answers = [empty_server.ask(path, headers={"Accept-Encoding": "gzip"}) for path in loaded]
    assert {answer.status for answer in answers} == {200}
    assert sum(len(answer.body) for answer in answers) <= 60_000
    again = empty_server.ask("/static/app.js", headers={"If-None-Match": answers[1].headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_who_says_nothing_was_hung_up_on(silent: socket.socket, empty_server: WebServer) -> None:
    assert silent.recv(100) == b""
    assert json.loads(empty_server.ask("/api/about").body)["version"]
