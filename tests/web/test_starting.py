"""How the page's server is started and ended: its token, where it listens, what it leaves behind."""

from __future__ import annotations

import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

from monitord.storage import open_store
from tests.patience import PATIENCE_S
from tests.web.serving import WebServer, web_command


def test_the_token_lies_in_a_file_for_its_owner_alone_and_another_file_is_refused(tmp_path: Path) -> None:
    open_store(tmp_path / "data").close()
    server = WebServer(tmp_path / "data", start=web_command)
    server.stop()
    path = tmp_path / "data" / "web.token"
    assert (stat.S_IMODE(path.stat().st_mode), path.read_text().strip()) == (0o600, server.token)
    path.chmod(0o644)
    done = started(tmp_path / "data")
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    path.unlink()
    path.symlink_to("/etc/hostname")
    assert started(tmp_path / "data").returncode == 4


def started(data_dir: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A start that must end by itself."""
    argv = web_command(data_dir, "--port", "0", *words)
    return subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S)


def test_an_address_that_others_reach_is_warned_of_and_one_that_is_none_refused(
    tmp_path: Path, empty_server: WebServer
) -> None:
    open_store(tmp_path / "data").close()
    server = WebServer(tmp_path / "data", "--address", "0.0.0.0", start=web_command)
    server.stop()
    assert "not encrypted" in server.log
    assert "not encrypted" not in empty_server.log
    for words in (("--address", "evil.example"), ("--address", "")):
        done = started(tmp_path / "data", *words)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    busy = started(tmp_path / "data", "--port", str(empty_server.port))
    assert (busy.returncode, busy.stderr.count("\n")) == (75, 1)


def test_a_unix_socket_is_its_owners_and_answers_to_the_names_that_were_given(tmp_path: Path) -> None:
    open_store(tmp_path / "data").close()
    place = tmp_path / "page.sock"
    leftover = socket.socket(socket.AF_UNIX)
    leftover.bind(str(place))
    leftover.close()  # as a server that was killed leaves it
    server = WebServer(tmp_path / "data", "--name", "monitord.example", unix_socket=place, start=web_command)
    try:
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        assert server.host == "monitord.example"
        assert server.ask("/api/about", headers={"Origin": "https://monitord.example"}).status == 200
        assert server.ask("/", headers={"Host": "localhost"}).status == 421
        second = started(tmp_path / "data", "--socket", str(place))
        assert (second.returncode, second.stderr.count("\n")) == (75, 1)
    finally:
        server.stop()
    assert not place.exists()
    place.write_text("mine")
    assert started(tmp_path / "data", "--socket", str(place)).returncode == 75
    assert place.read_text() == "mine"


def test_a_checkout_without_assets_says_what_to_type(tmp_path: Path) -> None:
    code = (
        "import monitord.web.files as files, pathlib; files._ROOM = pathlib.Path('/nonexistent');"
        f"from monitord.cli import main; main(['--data-dir', {str(tmp_path / 'data')!r}, 'web', '--no-browser', '--port', '0'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "make assets" in done.stderr


def test_it_ends_when_it_is_told_to_and_leaves_no_page_that_opens_it(tmp_path: Path) -> None:
    open_store(tmp_path / "data").close()
    server = WebServer(tmp_path / "data", start=web_command)
    assert server.ask("/api/about").json["allows_actions"] is False
    assert server.stop() in (0, -signal.SIGTERM)
    assert "Traceback" not in server.log
