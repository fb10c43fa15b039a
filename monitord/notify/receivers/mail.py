"""Mail by SMTP: smtps://USER:PASSWORD@HOST, or smtp://HOST with STARTTLS; plain to this machine only."""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from monitord.config.telling import LOOPBACK, ReceiverSettings
from monitord.notify.errors import NotSentError

_SUBMISSION, _LOCAL = 587, 25


def send(receiver: ReceiverSettings, url: str, message: Mapping[str, Any], within_s: float) -> None:
    """Deliver it to all of `to`; the Message-ID is the same at every try."""
    parts = urlsplit(url)
    mail = _mail(receiver, message)
    is_taken, refused = False, {}
    try:
        with _connected(parts, within_s) as server:
            if parts.username is not None:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            refused = server.send_message(mail, mail["From"], list(receiver.to))
            is_taken = True
    except OSError as error:  # smtplib's own are such, too
        if not is_taken:  # else it is only the farewell that failed
            raise _not_sent(error, within_s) from error
    if refused:
        raise NotSentError(f"refused {len(refused)} of {len(receiver.to)} recipients", is_final=True)


def _not_sent(error: Exception, within_s: float) -> NotSentError:
    """What went wrong, in words without the server's own, and whether it may go better later."""
    is_final = False
    match error:
        case ssl.SSLCertVerificationError():
            reason = f"its certificate is not accepted: {error.verify_message}"
        case smtplib.SMTPAuthenticationError():
            reason = f"refused the login ({error.smtp_code})"
        case smtplib.SMTPRecipientsRefused():
            codes = sorted({code for code, _said in error.recipients.values()})
            is_final = all(code >= 500 for code in codes)
            reason = f"refused every recipient ({codes[0]})"
        case smtplib.SMTPResponseException():
            is_final = error.smtp_code >= 550
            reason = f"answered {error.smtp_code}"
        case smtplib.SMTPServerDisconnected():
            is_late = isinstance(error.__context__, TimeoutError)
            reason = f"did not answer within {within_s:g} s" if is_late else "ended the connection"
        case smtplib.SMTPException():
            reason = f"did not take it ({type(error).__name__})"
        case TimeoutError():
            reason = f"did not answer within {within_s:g} s"
        case _:
            said = error.strerror if isinstance(error, OSError) else None
            reason = f"cannot be reached: {said or type(error).__name__}"
    return NotSentError(reason, is_final=is_final)


def check(receiver: ReceiverSettings) -> str | None:
    """Nothing but the URL is needed."""
    return None


def _connected(parts: SplitResult, within_s: float) -> smtplib.SMTP:
    host, context = str(parts.hostname), ssl.create_default_context()
    if parts.scheme == "smtps":
        return smtplib.SMTP_SSL(host, parts.port or 0, timeout=within_s, context=context)
    is_local = host in LOOPBACK
    server = smtplib.SMTP(host, parts.port or (_LOCAL if is_local else _SUBMISSION), timeout=within_s)
    if not is_local:
        server.starttls(context=context)  # raises where the server has none
    return server


def _mail(receiver: ReceiverSettings, message: Mapping[str, Any]) -> EmailMessage:
    host = re.sub(r"[^A-Za-z0-9.-]", "-", message["host"])  # a machine may be called what no address allows
    mail = EmailMessage()
    mail["Subject"] = f"[monitord] {message['title']}"
    mail["From"] = receiver.sender or f"monitord@{host}"
    mail["To"] = ", ".join(receiver.to)
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{message['id'].replace(':', '-')}@monitord.{host}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday answers it
    mail.set_content(f"{message['text']}\n")
    return mail
