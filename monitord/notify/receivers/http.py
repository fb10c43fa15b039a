"""One POST over HTTP: certificates are checked, redirects refused; no proxy is used."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from monitord import __version__
from monitord.notify.errors import NotSentError

_TOO_EARLY = frozenset({408, 425, 429})  # what asks to be tried again, besides 5xx


def post(url: str, body: Mapping[str, Any], message_id: str, within_s: float) -> None:
    """Post JSON; raises NotSentError unless it is answered by 2xx.

    Credentials in the URL go as HTTP Basic; `message_id` as Idempotency-Key, the same at every try.
    """
    parts = urlsplit(url)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"monitord/{__version__}",
        "Idempotency-Key": message_id,
    }
    if parts.username is not None or parts.password is not None:
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _connection(parts.scheme, str(parts.hostname), parts.port, within_s)
    try:
        connection.request("POST", target, json.dumps(body).encode(), headers)
        answer = connection.getresponse()  # its body is not waited for: the status says all
        _judge(answer.status, answer.headers.get("Retry-After"), answer.headers.get("Location"))
    except ssl.SSLCertVerificationError as error:
        raise NotSentError(f"its certificate is not accepted: {error.verify_message}") from error
    except TimeoutError as error:
        raise NotSentError(f"did not answer within {within_s:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise NotSentError(_reason(error)) from error
    finally:
        connection.close()


def _connection(scheme: str, host: str, port: int | None, within_s: float) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=within_s, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=within_s)


def _judge(status: int, retry_after: str | None, location: str | None) -> None:
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        where = " to another host" if location and "://" in location else ""
        raise NotSentError(f"answered {status}, a redirect{where}, which is not followed", is_final=True)
    is_final = status < 500 and status not in _TOO_EARLY
    raise NotSentError(f"answered {status}", is_final=is_final, retry_after_s=_seconds(retry_after))


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After as seconds: a number or a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal() and len(retry_after.strip()) < 10:
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _reason(error: Exception) -> str:
    """What went wrong, in words that can't hold the URL."""
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {error.reason or 'the handshake failed'}"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be reached: {error.strerror}"
    return f"answered no HTTP ({type(error).__name__})"
