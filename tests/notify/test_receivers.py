"""What each kind of receiver gets over its own protocol, and what becomes of one that is wrong, slow or dead."""

from __future__ import annotations

import json
import socket
import struct
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from monitord.config.telling import ReceiverSettings
from monitord.notify.errors import NotSentError
from monitord.notify.receivers import RECEIVERS, journal, load
from monitord.notify.sending import hand_over, hand_over_within
from tests.notify.servers import Receiver, a_certificate, receiving, silent, talking
from tests.patience import PATIENCE_S
from tests.servers import wait_until

HOSTILE = "<!channel> @all `x` **b** </a> & \\n"
MESSAGE: dict[str, Any] = {
    "format": "monitord-message/1", "id": "x4azsx2vwsaw", "kind": "incident", "host": "web-3", "rule": "cpu-hog",
    "process": "burn", "function": "validate (shop.py:6)", "cause": "lock", "title": f"web-3: {HOSTILE}: cpu 97 %",
    "text": f"validate took 97 % of burn\nwhy: {HOSTILE}\nlook further: monitord show x4azsx2v",
}  # fmt: skip
WITHIN_S = 5.0


def to(kind: str, **settings: Any) -> ReceiverSettings:
    return ReceiverSettings(name="one", kind=kind, **settings)  # type: ignore[arg-type]  # checked by the reader


def sent(receiver: ReceiverSettings, within_s: float = WITHIN_S) -> None:
    error = hand_over(receiver, MESSAGE, within_s)
    assert error is None, error


def refused(receiver: ReceiverSettings, within_s: float = WITHIN_S) -> NotSentError:
    error = hand_over(receiver, MESSAGE, within_s)
    assert error is not None
    return error


def test_the_table_of_kinds_is_that_of_the_configuration() -> None:
    assert set(get_args(get_type_hints(ReceiverSettings)["kind"])) == set(RECEIVERS)
    assert all(callable(load(kind).send) and callable(load(kind).check) for kind in RECEIVERS)


def test_a_webhook_gets_everything_as_json_with_login_and_an_idempotency_key() -> None:
    with receiving(Receiver()) as place:
        sent(to("webhook", url=place.url.replace("//", "//me:pa%3Ass@") + "/hook?x=1"))
    ((path, headers, body),) = place.got
    assert (path, body) == ("/hook?x=1", MESSAGE)
    assert headers["Idempotency-Key"] == MESSAGE["id"]
    assert headers["Authorization"] == "Basic bWU6cGE6c3M="


def test_in_slack_nothing_is_a_mention_or_a_link() -> None:
    with receiving(Receiver()) as place:
        sent(to("slack", url=place.url + "/T/B/x"))
    (body,) = place.bodies()
    assert "<" not in body["text"]
    assert ">" not in body["text"]
    assert "&lt;!channel&gt;" in body["text"]
    assert body["mrkdwn"] is False


def test_in_mattermost_all_is_a_block_of_code_that_nothing_ends() -> None:
    with receiving(Receiver()) as place:
        sent(to("mattermost", url=place.url + "/hooks/x"))
    text = place.bodies()[0]["text"]
    assert text.startswith("```\n")
    assert text.endswith("\n```")
    assert text.count("`") == 6


def test_ntfy_gets_the_topic_at_the_servers_root() -> None:
    with receiving(Receiver()) as place:
        sent(to("ntfy", url=place.url + "/base/alerts"))
        assert refused(to("ntfy", url=place.url + "/")).is_final
    ((path, _headers, body),) = place.got
    assert path == "/base/"
    assert body["topic"] == "alerts"
    assert body["message"] == MESSAGE["text"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("kind", ["webhook", "apprise"])
def test_a_redirect_is_not_followed(status: int, kind: str) -> None:
    with receiving(Receiver()) as other, receiving(Receiver([(status, {"Location": other.url})])) as place:
        url = place.url.replace("http:", "json:") if kind == "apprise" else place.url
        error = refused(to(kind, url=url))
    assert len(place.got) == 1
    assert other.got == []
    assert kind == "apprise" or (error.is_final and "redirect to another host" in str(error))


@pytest.mark.parametrize(
    ("status", "is_final"),
    [(400, True), (401, True), (404, True), (408, False), (429, False), (500, False), (503, False)],
)
def test_what_may_pass_is_tried_again_and_a_mistake_is_not(status: int, is_final: bool) -> None:
    with receiving(Receiver([(status, {})])) as place:
        error = refused(to("webhook", url=place.url + "/secret"))
    assert error.is_final is is_final
    assert str(status) in str(error)
    assert "secret" not in str(error)


def test_retry_after_is_heard_as_seconds_and_as_a_date() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=3600), usegmt=True)
    answers: list[Any] = [(429, {"Retry-After": words}) for words in ("77", at, "soon", "9" * 5000)]
    with receiving(Receiver(answers)) as place:
        found = [refused(to("webhook", url=place.url)).retry_after_s for _ in range(4)]
    assert found[0] == 77
    assert found[1] is not None
    assert 3000 < found[1] <= 3600
    assert found[2:] == [None, None]


def test_a_certificate_must_be_trusted_and_of_this_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that nobody signed, one of another host, and the right one."""
    right, serving = a_certificate(tmp_path, "127.0.0.1")
    wrong, serving_wrong = a_certificate(tmp_path, "elsewhere.example")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with receiving(Receiver(), serving) as place:
        assert "certificate" in str(refused(to("webhook", url=place.url)))
        monkeypatch.setenv("SSL_CERT_FILE", str(right))
        sent(to("webhook", url=place.url))
        assert len(place.got) == 1
    monkeypatch.setenv("SSL_CERT_FILE", str(wrong))
    with receiving(Receiver(), serving_wrong) as place:
        assert "certificate" in str(refused(to("webhook", url=place.url)))
        assert place.got == []


def test_who_is_dead_silent_or_speaks_no_http_is_said_and_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = server.getsockname()[1]
    assert "cannot be reached" in str(refused(to("webhook", url=f"http://127.0.0.1:{gone}/")))
    with silent() as port:
        assert "within 0.3 s" in str(refused(to("webhook", url=f"http://127.0.0.1:{port}/"), 0.3))
        assert "within 0.3 s" in str(
            refused(to("mail", url=f"smtp://127.0.0.1:{port}", to=("a@b.example",)), 0.3)
        )
    assert "name is not known" in str(refused(to("webhook", url="https://no.such.host.invalid/")))


def test_who_took_a_message_and_then_hangs_has_taken_it() -> None:
    """It says 200 and how much comes, and not a byte of it: the message must not be sent again."""
    for more in (b"Content-Length: 9", b"Transfer-Encoding: chunked", b"Connection: close"):
        with talking(b"HTTP/1.1 200 OK\r\n" + more + b"\r\n\r\n") as port:
            sent(to("webhook", url=f"http://127.0.0.1:{port}/"))


def test_a_receiver_that_never_comes_to_an_end_costs_no_more_than_its_time() -> None:
    """Headers for ever, "100 Continue" for ever: each byte comes in time, the answer never."""
    for endless in (b"X: y\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"):
        start = b"" if endless.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n"
        with talking(start, endless) as port:
            receiver = to("webhook", url=f"http://127.0.0.1:{port}/")
            error = hand_over_within(receiver, MESSAGE, 0.5)
        assert error is not None
        assert "within 0.5 s" in str(error) or "no HTTP" in str(error)


def test_ntfy_gets_no_longer_text_than_it_takes_whatever_a_process_is_called() -> None:
    told = {**MESSAGE, "text": "\N{FIRE}" * 1500}
    with receiving(Receiver()) as place:
        assert hand_over(to("ntfy", url=place.url + "/alerts"), told, WITHIN_S) is None
    assert 4000 < len(place.bodies()[0]["message"].encode()) <= 4096


def test_by_apprise_nobody_is_pinged() -> None:
    """Services read @all, <@1>, <!channel> in a text; Apprise for some of them, too."""
    told = {**MESSAGE, "title": HOSTILE, "text": f"{HOSTILE} <@123> <@&4> @everyone"}
    with receiving(Receiver()) as place:
        assert hand_over(to("apprise", url=place.url.replace("http:", "json:")), told, PATIENCE_S) is None
    assert not set("@<>") & set(place.bodies()[0]["title"] + place.bodies()[0]["message"])


def test_a_url_may_lie_in_a_file_that_only_its_owner_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "url"
    with receiving(Receiver()) as place:
        path.write_text(f"{place.url}/hook\n")
        path.chmod(0o600)
        sent(to("webhook", url=f"file:{path}"))
        monkeypatch.setenv("HOOK", place.url)
        sent(to("webhook", url="environment:HOOK"))
        path.chmod(0o644)
        assert "others may read it" in str(refused(to("webhook", url=f"file:{path}")))
        assert len(place.got) == 2
    path.chmod(0o600)
    path.write_text("https://user:hunter2@[/")
    assert "hunter2" not in str(refused(to("webhook", url=f"file:{path}")))


# ---------------------------------------------------------------------------------------------- command


def a_program(folder: Path, body: str) -> str:
    path = folder / "page"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_a_command_gets_fixed_words_the_message_on_stdin_and_none_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "secret")
    program = a_program(
        tmp_path, f'cat > {tmp_path}/in; env > {tmp_path}/env; printf "%s|" "$@" > {tmp_path}/words'
    )
    sent(to("command", command=(program, "--team", "$(id) ; a b")))
    assert json.loads((tmp_path / "in").read_text()) == MESSAGE
    assert "secret" not in (tmp_path / "env").read_text()
    assert (tmp_path / "words").read_text() == "--team|$(id) ; a b|"


def test_a_command_that_others_could_change_is_not_run(tmp_path: Path) -> None:
    program = a_program(tmp_path, f"touch {tmp_path}/ran")
    for path, mode in ((Path(program), 0o777), (tmp_path, 0o777)):
        before = path.stat().st_mode & 0o7777
        path.chmod(mode)
        assert "can be written by others" in str(refused(to("command", command=(program,))))
        path.chmod(before)
    assert "not a program" in str(refused(to("command", command=(str(tmp_path),))))
    assert not (tmp_path / "ran").exists()


def test_a_script_or_interpreter_that_others_could_change_is_not_run_either(tmp_path: Path) -> None:
    """What /bin/sh is to run, also named as seen from /, and what stands behind the script's #!."""
    script = tmp_path / "mine"
    script.write_text(f"#!{tmp_path}/shell\ntouch {tmp_path}/ran\n")
    script.chmod(0o755)
    shell = tmp_path / "shell"
    shell.write_bytes(Path("/bin/sh").read_bytes())
    shell.chmod(0o755)
    commands = [("/bin/sh", str(script)), ("/bin/sh", str(script).lstrip("/")), (str(script),)]
    for command in commands:
        sent(to("command", command=command))
        (tmp_path / "ran").unlink()
    for path in (script, shell):
        path.chmod(0o777)
        for command in commands:
            assert "can be written by others" in str(refused(to("command", command=command)))
        path.chmod(0o755)
    assert not (tmp_path / "ran").exists()
    sent(to("command", command=("/bin/true", "", "x" * 5000, "a\0b".replace("\0", ""), "/none", "#!/x")))


def test_a_command_that_fails_or_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    assert "status 3" in str(refused(to("command", command=(a_program(tmp_path, "exit 3"),))))
    program = a_program(tmp_path, f"sleep 600 & echo $! > {tmp_path}/pid; wait")
    assert "was ended" in str(refused(to("command", command=(program,)), 1.0))
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not _is_running(pid), "end of what it started")


def _is_running(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


# ---------------------------------------------------------------------------------- journal and Apprise


def test_the_journal_gets_its_own_protocol_and_one_message_id(tmp_path: Path) -> None:
    address = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(address)
        journal.send(to("journald"), "", MESSAGE, WITHIN_S, address)
        data = server.recv(1 << 16)
    fields = _fields(data)
    assert fields["MESSAGE_ID"] == journal.MESSAGE_ID
    assert len(journal.MESSAGE_ID) == 32
    assert fields["MESSAGE"] == f"{MESSAGE['title']}\n{MESSAGE['text']}"
    assert fields["MONITORD_ID"] == MESSAGE["id"]
    assert fields["SYSLOG_IDENTIFIER"] == "monitord"
    with pytest.raises(NotSentError, match="cannot write to the journal"):
        journal.send(to("journald"), "", MESSAGE, WITHIN_S, str(tmp_path / "none"))


def _fields(data: bytes) -> dict[str, str]:
    """Take a datagram apart as journald does."""
    found = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, is_plain, value = line.partition(b"=")
        if not is_plain:
            (size,) = struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + size], rest[9 + size :]
        found[name.decode()], data = value.decode(), rest
    return found


def test_apprise_delivers_by_its_own_urls_and_checks_certificates(tmp_path: Path) -> None:
    _, serving = a_certificate(tmp_path, "127.0.0.1")
    with receiving(Receiver()) as place:
        sent(to("apprise", url=place.url.replace("http:", "json:")))
        assert place.bodies()[0]["message"].startswith("validate took 97 % of burn\nwhy: ")
    with receiving(Receiver(), serving) as place:
        url = place.url.replace("https:", "jsons:")
        assert "could not deliver" in str(refused(to("apprise", url=url)))
        for option in ("verify=no", "redirect=yes"):
            assert refused(to("apprise", url=f"{url}?{option}")).is_final
        assert place.got == []
    assert "Apprise knows" in str(refused(to("apprise", url="nosuch://x")))
