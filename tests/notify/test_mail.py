"""Mail over real SMTP: under TLS, with a login, refused, grey-listed, and what a taken mail can't be undone by."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import default as modern
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

from monitord.notify.sending import hand_over
from tests.notify.servers import a_certificate
from tests.notify.test_receivers import MESSAGE, WITHIN_S, refused, sent, to
from tests.patience import PATIENCE_S


class Inbox:
    """Keeps what it is given; `refuses` are recipients with the answer that they get."""

    def __init__(self, refuses: dict[str, str] | None = None) -> None:
        self.got: list[Envelope] = []
        self.refuses = refuses or {}

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.got.append(envelope)
        return "250 OK"


@contextmanager
def mailing(
    inbox: Inbox,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    controller: type[Controller] = Controller,
    **options: Any,
) -> Iterator[int]:
    with socket.create_server((host, 0)) as free:
        port = int(free.getsockname()[1])
    server = controller(inbox, host, port, ssl_context=tls, **options)
    server.start()
    try:
        yield port
    finally:
        server.stop()


def test_mail_arrives_with_a_message_id_that_stays_and_no_header_of_a_processs() -> None:
    inbox = Inbox()
    with mailing(inbox) as port:
        receiver = to(
            "mail", url=f"smtp://127.0.0.1:{port}", to=("a@b.example", "c@d.example"), sender="m@b.example"
        )
        sent(receiver)
        sent(receiver)
    first, second = (message_from_bytes(one.content or b"", policy=modern) for one in inbox.got)
    assert inbox.got[0].rcpt_tos == ["a@b.example", "c@d.example"]
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Subject"] == f"[monitord] {MESSAGE['title']}"
    assert first["Auto-Submitted"] == "auto-generated"
    assert MESSAGE["text"] in first.get_content().replace("\r\n", "\n")


def test_mail_over_tls_logs_in_only_where_the_certificate_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, serving = a_certificate(tmp_path, "127.0.0.1")
    tried: list[LoginPassword] = []

    def authenticate(
        _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: LoginPassword
    ) -> AuthResult:
        tried.append(data)
        return AuthResult(success=data.password == b"pa ss", handled=False)

    inbox = Inbox()
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with mailing(
        inbox, serving, authenticator=authenticate, auth_require_tls=False, auth_required=True
    ) as port:
        receiver = to("mail", url=f"smtps://me:pa%20ss@127.0.0.1:{port}", to=("a@b.example",))
        assert "certificate" in str(refused(receiver))
        assert tried == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        sent(receiver)
        wrong = to("mail", url=f"smtps://me:hunter2@127.0.0.1:{port}", to=("a@b.example",))
        error = refused(wrong)
        assert "refused the login" in str(error)
        assert "hunter2" not in str(error)
    assert len(inbox.got) == 1


def test_mail_goes_to_another_machine_under_starttls_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """127.0.0.2 is not among the addresses that count as this machine itself."""
    certificate, serving = a_certificate(tmp_path, "127.0.0.2")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    for options, is_taken in (({}, False), ({"tls_context": serving, "require_starttls": True}, True)):
        inbox = Inbox()
        with mailing(inbox, host="127.0.0.2", **options) as port:
            error = hand_over(
                to("mail", url=f"smtp://127.0.0.2:{port}", to=("a@b.example",)), MESSAGE, PATIENCE_S
            )
        assert (error is None, len(inbox.got)) == (is_taken, int(is_taken)), error


def test_mail_refused_for_good_is_not_tried_again_and_a_grey_list_is() -> None:
    with mailing(Inbox({"a@b.example": "550 no such user", "c@d.example": "451 later"})) as port:
        url = f"smtp://127.0.0.1:{port}"
        assert refused(to("mail", url=url, to=("a@b.example",))).is_final
        assert not refused(to("mail", url=url, to=("c@d.example",))).is_final
        assert "1 of 2" in str(refused(to("mail", url=url, to=("x@y.example", "a@b.example"))))


class Rude(SMTP):
    """Takes mail, and then says goodbye in words of its own."""

    async def smtp_QUIT(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        await self.push("554 go away")


class RudeController(Controller):
    def factory(self) -> SMTP:
        return Rude(self.handler, **self.SMTP_kwargs)


def test_mail_that_was_taken_is_not_sent_again_for_a_farewell_that_fails() -> None:
    inbox = Inbox()
    with mailing(inbox, controller=RudeController) as port:
        sent(to("mail", url=f"smtp://127.0.0.1:{port}", to=("a@b.example",)))
    assert len(inbox.got) == 1


def test_mail_goes_out_from_a_machine_with_a_name_that_no_address_allows() -> None:
    inbox = Inbox()
    for host in ("web_3 (ä)", "a@b, c", "<x>"):
        with mailing(inbox) as port:
            receiver = to("mail", url=f"smtp://127.0.0.1:{port}", to=("a@b.example",))
            assert hand_over(receiver, {**MESSAGE, "host": host}, WITHIN_S) is None
    assert len(inbox.got) == 3
