"""By HTTP: a webhook of one's own gets everything as JSON; Slack, Mattermost and ntfy get their own form.

What a process is called may ping nobody and format nothing there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from monitord.config.telling import ReceiverSettings
from monitord.notify.errors import NotSentError
from monitord.notify.receivers.http import post

_URGENT, _NORMAL = 4, 3  # ntfy's priorities
_NTFY_BYTES = 4096  # of a longer text ntfy makes a file, or refuses it for good


def send(receiver: ReceiverSettings, url: str, message: Mapping[str, Any], within_s: float) -> None:
    """Post it in the form that this kind of receiver understands."""
    to, body = _FORMS[receiver.kind](url, message)
    post(to, body, str(message["id"]), within_s)


def check(receiver: ReceiverSettings) -> str | None:
    """Nothing but the URL is needed."""
    return None


def _webhook(url: str, message: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    return url, message


def _slack(url: str, message: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Only what stands in <…> is a mention or a link (docs.slack.dev, "Formatting message text")."""
    text = f"{message['title']}\n{message['text']}"
    for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, escaped)
    return url, {"text": text, "mrkdwn": False}


def _mattermost(url: str, message: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """In a block of code neither @channel nor Markdown counts, and no backtick ends it."""
    text = f"{message['title']}\n{message['text']}".replace("`", "'")
    return url, {"text": f"```\n{text}\n```"}


def _ntfy(url: str, message: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """To the server's root, with the topic inside (docs.ntfy.sh, "Publish as JSON")."""
    parts = urlsplit(url)
    root, _, topic = parts.path.rpartition("/")
    if not topic:
        raise NotSentError("url: expected https://HOST/TOPIC", is_final=True)
    priority = _URGENT if message["kind"] == "storage" else _NORMAL
    text = message["text"].encode("utf-8", "replace")[:_NTFY_BYTES].decode("utf-8", "ignore")
    body = {"topic": topic, "title": message["title"], "message": text, "priority": priority}
    return urlunsplit(parts._replace(path=f"{root}/")), body


_FORMS: dict[str, Callable[[str, Mapping[str, Any]], tuple[str, Mapping[str, Any]]]] = {
    "webhook": _webhook,
    "slack": _slack,
    "mattermost": _mattermost,
    "ntfy": _ntfy,
}
