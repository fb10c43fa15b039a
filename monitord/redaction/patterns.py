"""The rules on free text: shapes that are secret wherever they stand.

Every pattern is linear: possessive or bounded repeats, never one repeat inside another over the same
characters. The order matters: structures first (keys, URLs, headers), then tokens by their makers' shapes,
then whatever looks random.
"""

from __future__ import annotations

import base64
import binascii
import re

from monitord.redaction.words import HIDDEN, TRUNCATED, Hide, is_sensitive, looks_random

_START = r"(?<![A-Za-z0-9])"
_END = r"(?![A-Za-z0-9])"

_VENDORS: tuple[tuple[str, str], ...] = (
    ("aws", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"),
    ("github", r"gh[pousr]_[A-Za-z0-9]{30,255}+"),
    ("github", r"github_pat_[A-Za-z0-9_]{22,255}+"),
    ("gitlab", r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat)-[A-Za-z0-9_.-]{20,255}+"),
    ("slack", r"xox[abeoprs]-[A-Za-z0-9-]{10,255}+|xapp-[0-9]-[A-Za-z0-9-]{10,255}+"),
    ("stripe", r"(?:sk|rk|pk)_(?:live|test|prod)_[A-Za-z0-9]{10,255}+|whsec_[A-Za-z0-9+/=]{20,255}+"),
    ("google", r"AIza[0-9A-Za-z_-]{35}|ya29\.[0-9A-Za-z_.-]{20,1000}+|GOCSPX-[0-9A-Za-z_-]{20,255}+"),
    ("npm", r"npm_[A-Za-z0-9]{36}"),
    ("pypi", r"pypi-AgE[A-Za-z0-9_-]{20,1000}+"),
    ("jwt", r"eyJ[A-Za-z0-9_-]{8,8000}+\.[A-Za-z0-9_-]{4,8000}+(?:\.[A-Za-z0-9_-]{0,8000}+)?"),
    ("openai", r"sk-[A-Za-z0-9_-]{20,255}+"),
    ("huggingface", r"hf_[A-Za-z0-9]{30,255}+"),
    ("sendgrid", r"SG\.[A-Za-z0-9_-]{16,64}+\.[A-Za-z0-9_-]{16,128}+"),
    ("twilio", r"(?:SK|AC)[0-9a-f]{32}"),
    ("telegram", r"[0-9]{8,10}:[A-Za-z0-9_-]{35}"),
    ("digitalocean", r"do[opr]_v1_[a-f0-9]{64}"),
    ("shopify", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    ("vault", r"hv[sbr]\.[A-Za-z0-9_-]{20,255}+"),
    ("databricks", r"dapi[a-f0-9]{32}"),
    ("age", r"AGE-SECRET-KEY-1[A-Z0-9]{20,80}+"),
    ("crypt", r"\$(?:1|5|6|y|2[aby]|argon2(?:i|d|id))\$[A-Za-z0-9./,=$+-]{16,200}+"),
)
_VENDOR = [(name, re.compile(rf"{_START}(?:{shape}){_END}")) for name, shape in _VENDORS]
_CRYPT = re.compile(r"\$(?:1|5|6|y|2[aby]|argon2(?:i|d|id))\$[A-Za-z0-9./,=$+-]{16,200}+")

_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----.*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)", re.S
)
_PUTTY = re.compile(r"(Private-Lines: [0-9]{1,4}\s{1,4}).*?(?=Private-MAC|\Z)", re.S)
_URL = re.compile(r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]{1,30})://([^\s\"'<>`]+)")
_LOGIN = re.compile(r"(?<![\w.@/:-])([\w.+-]{0,64}+):([^\s@/:\"']{3,200}+)@(?!sha\d)([A-Za-z0-9\[])")
_HEADER = re.compile(
    r"(?i)(?<![\w-])((?:proxy-)?authorization|(?:set-)?cookie|x-[a-z0-9-]{0,40}(?:key|token|secret))(\s{0,3}:\s{0,3})([^\"'\r\n]+)"
)
_SCHEME = re.compile(r"(?i)(?<![\w-])(bearer|basic|negotiate|digest)(\s{1,3})([A-Za-z0-9+/=._~:-]{6,})")
_WEBHOOK = re.compile(
    r"(hooks\.slack\.com/[a-z]{1,20}/|discord(?:app)?\.com/api/webhooks/)([A-Za-z0-9_/-]{8,300}+)"
)
_SLASHED = re.compile(r"(?<!\S)(/(?:p|pass|password|gp|pth):)(\S+)")  # xfreerdp, Windows
_PIPED = re.compile(
    r"(?<![\w-])(echo[ \t]{1,3}(?:-[neE]{1,3}[ \t]{1,3})?)([^|\n]{1,200}?)"
    r"([ \t]{0,3}\|[ \t]{0,3}(?:sudo[ \t]{1,3})?(?:chpasswd\b|-S\b|passwd[ \t]{1,3}--stdin))"
)
# In prose only what can't be a word of it: with a digit, or in quotes.
_SAID = re.compile(
    r"(?i)(?<![\w-])(pass(?:word|phrase)[ \t]{1,3}(?:is|was)[ \t]{1,3})"
    r"(?=[^\s\d]{0,40}\d)([^\s,;\"')]{4,})"
)
_QUOTED = re.compile(
    r"(?i)(?<![\w-])(pass(?:word|phrase)[ \t]{1,3}(?:(?:is|was)[ \t]{1,3})?([\"']))([^\"'\n]{3,200})(?=\2)"
)
_KEY = re.compile(r"(?<![\w.-])([\w.-]++)(\\?[\"']?+[ \t]{0,3}(?:=>|:=|[=:])[ \t]{0,3})")
_VALUE = re.compile(
    r"(?:(?i:bearer|basic|token|digest|negotiate) {1,3}[^\s,;&\"'|)}\]]+)"
    r"|\\\"[^\"\n]*|\"(?:[^\"\\\n]|\\.)*+\"?|'(?:[^'\\\n]|\\.)*+'?|[^\s,;&\"'|)}\]]+"
)
_RANDOM = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")

# A name without a password in a URL of these is an account, not a key.
_ACCOUNT_SCHEMES = frozenset(
    {"ssh", "sftp", "scp", "git", "git+ssh", "svn+ssh", "rsync", "smb", "mailto", "ldap"}
)


def hide_patterns(text: str, hide: Hide) -> str:
    """Replace every secret that its own shape or its key gives away."""
    text = _PEM.sub(lambda m: hide("private_key", m[0]), text)
    text = _PUTTY.sub(lambda m: m[1] + hide("private_key", m[2] if m.lastindex == 2 else m[0]), text)
    text = _HEADER.sub(lambda m: m[1] + m[2] + hide("header", m[3]), text)
    text = _hide_keyed(text, hide)
    text = _PIPED.sub(lambda m: m[1] + hide("piped", m[2]) + m[3], text)
    text = _SAID.sub(lambda m: m[1] + hide("said", m[2]), text)
    text = _QUOTED.sub(lambda m: m[1] + hide("said", m[3]), text)
    text = _WEBHOOK.sub(lambda m: m[1] + hide("webhook", m[2]), text)
    text = _SLASHED.sub(lambda m: m[1] + hide("option", m[2]), text)
    text = _URL.sub(lambda m: _safe_url(m, hide), text)
    text = _LOGIN.sub(lambda m: f"{m[1]}:{hide('login', m[2])}@{m[3]}", text)
    text = _SCHEME.sub(lambda m: m[1] + m[2] + hide_scheme(m[1], m[3], hide), text)
    for name, shape in _VENDOR:
        text = shape.sub(lambda m, name=name: hide(name, m[0]), text)  # type: ignore[misc]  # mypy can't type the default
    text = _CRYPT.sub(lambda m: hide("crypt", m[0]), text)
    return _RANDOM.sub(lambda m: _hide_random(m[0], hide), text)


def _hide_keyed(text: str, hide: Hide) -> str:
    """Hide the value after `name=`, `name: ` and `"name": ` where the name announces a secret."""
    done: list[str] = []
    position = copied = 0
    while found := _KEY.search(text, position):
        position = found.end()
        if not is_sensitive(found[1]):
            continue
        value = _VALUE.match(text, position)
        if value is None or (found[2] == ":" and text.startswith("//", position)):
            continue
        position = value.end()
        done += [text[copied : value.start()], _hide_value(value[0], hide)]
        copied = position
    return "".join([*done, text[copied:]])


def _hide_value(value: str, hide: Hide) -> str:
    for quote in ('\\"', '"', "'"):
        if value.startswith(quote):
            inside = value[len(quote) :].removesuffix(quote)
            tail = quote if len(value) > len(quote) and value.endswith(quote) else ""
            return quote + hide("keyed", inside) + tail if inside else value
    if value in (HIDDEN, TRUNCATED):
        return value
    return hide("keyed", value)


def _safe_url(found: re.Match[str], hide: Hide) -> str:
    """Drop the login (up to the LAST @, a password may hold one) and the query string of a URL."""
    scheme, rest = found[1], found[2]
    cut = min((at for at in (rest.find("?"), rest.find("#")) if at >= 0), default=-1)
    head, query = (rest, "") if cut < 0 else (rest[:cut], rest[cut:])
    authority = head.partition("/")[0]
    if "@" in query and "@" not in head and ":" in authority and not _is_port(authority):
        head, query = rest, ""  # an unescaped ? or # in a password
    login, at, host = head.rpartition("@")
    if at and (":" in login or ("@" in authority and not _is_account(scheme, login))):
        path_only = "@" not in authority and (":" not in authority or _is_port(authority))
        if not path_only:
            head = f"{hide('url_login', login)}@{host}"
    if query.startswith("?") and len(query) > 1:
        query = "?" + hide("url_query", query[1:])
    elif "=" in query:
        query = "#" + hide("url_query", query[1:])
    return f"{scheme}://{head}{query}"


def _is_port(authority: str) -> bool:
    return authority.rpartition(":")[2].isdigit() or authority.startswith("[")


def _is_account(scheme: str, login: str) -> bool:
    return scheme.lower() in _ACCOUNT_SCHEMES or login in (HIDDEN, "git")


def hide_scheme(scheme: str, word: str, hide: Hide) -> str:
    """Hide a credential after Bearer or Basic, and leave "basic authentication" alone."""
    machine_made = any(map(str.isdigit, word)) or len(word) >= 24 or not (word.islower() or word.istitle())
    if scheme.lower() == "basic":
        try:
            machine_made = b":" in base64.b64decode(word + "=" * (-len(word) % 4), validate=True)
        except (binascii.Error, ValueError):
            machine_made = False
    return hide("bearer", word) if machine_made else word


def _hide_random(word: str, hide: Hide) -> str:
    if not looks_random(word):
        return word
    if "/" not in word or not _is_path(word):
        return hide("random", word)
    return "/".join(hide("random", part) if looks_random(part) else part for part in word.split("/"))


def _is_path(word: str) -> bool:
    parts = word.split("/")
    return word.startswith("/") or sum(part.islower() or part.isdigit() for part in parts) * 2 >= len(parts)
