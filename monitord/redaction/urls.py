"""URLs without their login, their key and what their query says."""

from __future__ import annotations

import re

from monitord.redaction.words import HIDDEN, Hide, is_readable, is_sensitive, is_suspicious

_SIGNS = re.compile(r"[][(){}<>=!|;*]++")  # of questions to a database
_AMOUNT = re.compile(r"[0-9]++[a-z]{0,2}")
_LISTED = re.compile(r"[,+]|%2[0C]")
_LEAST_RANDOM = 20
_STREAMS = frozenset({"rtmp", "rtmps", "rtmpt", "rtmpe", "srt", "whip"})
# A name without a password in a URL of these is an account, not a key.
_ACCOUNT_SCHEMES = frozenset(
    {"ssh", "sftp", "scp", "git", "git+ssh", "svn+ssh", "rsync", "smb", "mailto", "ldap"}
)


def safe_url(found: re.Match[str], hide: Hide) -> str:
    """Drop the login (up to the LAST @, a password may hold one) and the query string of a URL."""
    scheme, rest = found[1], found[2]
    cut = min((at for at in (rest.find("?"), rest.find("#")) if at >= 0), default=-1)
    head, query = (rest, "") if cut < 0 else (rest[:cut], rest[cut:])
    authority = head.partition("/")[0]
    if "@" in query and "@" not in head and ":" in authority and not _is_port(authority):
        head, query = rest, ""  # an unescaped ? or # in a password
    if scheme.lower() in _STREAMS:
        head = _safe_stream(head, hide)
    login, at, host = head.rpartition("@")
    if at and (":" in login or ("@" in authority and not _is_account(scheme, login))):
        path_only = "@" not in authority and (":" not in authority or _is_port(authority))
        if not path_only:
            head = f"{hide('url_login', login)}@{host}"
    if "=" in query or query[:1] == "?":
        query = query[0] + "&".join(_safe_parameter(each, hide) for each in query[1:].split("&"))
    return f"{scheme}://{head}{query}"


def _safe_parameter(parameter: str, hide: Hide) -> str:
    """What is long or mixed and not made of words and numbers, or has a telling name, is hidden."""
    name, equals, value = parameter.partition("=") if "=" in parameter else ("", "", parameter)
    is_announced = is_sensitive(name) or is_suspicious(name)
    words = _SIGNS.sub("-", value)
    is_search = name in ("q", "v") or (name == "s" and is_readable(words))
    is_told = len(name) > 1 or len(parameter) == 1 or is_search or _AMOUNT.fullmatch(value)
    is_short = name and max(map(len, _LISTED.split(value))) < _LEAST_RANDOM
    if is_told and not is_announced and (is_short or is_readable(words)):
        return parameter
    return f"{name}{equals}{hide('url_query', value)}" if value else parameter


def _safe_stream(head: str, hide: Hide) -> str:
    """The last part of a stream's path is its key: `rtmp://live.example.org/app/KEY`."""
    front, slash, last = head.rpartition("/")
    is_key = slash and last and not last.isalpha() and HIDDEN not in last
    return f"{front}/{hide('stream_key', last)}" if is_key else head


def _is_port(authority: str) -> bool:
    return authority.rpartition(":")[2].isdigit() or authority.startswith("[")


def _is_account(scheme: str, login: str) -> bool:
    if scheme.lower() in _ACCOUNT_SCHEMES or login in (HIDDEN, "git"):
        return True
    return scheme.lower() not in ("http", "https") and len(login) <= 24 and is_readable(login)
