"""The second look before anything leaves: word by word, by hand, sharing no rule with the first.

It knows fewer kinds than the redactor and is surer of each, because whatever it names stops an export.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

_KEY_ENDS = (
    "password", "passwd", "passphrase", "secret", "apikey", "api_key", "api-key", "access_key", "access-key",
    "accesskey", "private_key", "privatekey", "secret_key", "_token", "-token", "authtoken", "accesstoken",
    "--token", "pwd", "--auth", "-storepass", "--pin",
    "--from-literal",
)  # fmt: skip
# Prefix, least length of the whole word, name.
_PREFIXES = (
    ("AKIA", 20, "aws"), ("ASIA", 20, "aws"), ("ghp_", 36, "github"), ("gho_", 36, "github"),
    ("ghs_", 36, "github"), ("ghu_", 36, "github"), ("ghr_", 36, "github"), ("github_pat_", 40, "github"),
    ("glpat-", 26, "gitlab"), ("xoxb-", 20, "slack"), ("xoxp-", 20, "slack"), ("xapp-", 20, "slack"),
    ("sk_live_", 20, "stripe"), ("rk_live_", 20, "stripe"), ("AIza", 39, "google"), ("ya29.", 30, "google"),
    ("npm_", 40, "npm"), ("pypi-AgE", 40, "pypi"), ("SG.", 50, "sendgrid"), ("hvs.", 30, "vault"),
    ("dop_v1_", 70, "digitalocean"), ("AGE-SECRET-KEY-1", 40, "age"),
)  # fmt: skip
_QUOTES = "\"'`"
_BREAKS = str.maketrans(dict.fromkeys("\"'`<>()[]{},;|\\", " "))
_WORD_MARKS = ".:!?"


def find_secrets(text: str) -> list[str]:
    """Name the kinds of secrets that still stand in `text`, sorted; an empty list means: found none."""
    found: set[str] = set()
    if "PRIVATE KEY-----" in text and _has_key_body(text):
        found.add("private_key")
    for word in text.translate(_BREAKS).split():
        found.update(_kinds_in(word))
    for line in text.split("\n"):
        words = line.split(" ")
        for before, word in pairwise(words):
            found.update(_kinds_after(before, word.strip(_QUOTES)))
    return sorted(found)


def _has_key_body(text: str) -> bool:
    """Tell whether anything that could be a key follows the opening line of one."""
    at = text.find("-----BEGIN ")
    while at >= 0:
        line_end = text.find("PRIVATE KEY-----", at, at + 80)
        if line_end >= 0 and text[line_end + 16 : line_end + 400].strip("\\nr \r\n\t*")[:6].isalnum():
            return True
        at = text.find("-----BEGIN ", at + 1)
    return False


def _kinds_in(word: str) -> set[str]:
    found: set[str] = set()
    for separator in ("=", ":"):
        key, cut, value = word.partition(separator)
        if cut and key.lower().endswith(_KEY_ENDS) and _is_value(value):
            found.add("keyed")
    if word.startswith("pass:") and _is_value(word[5:]):
        found.add("option")
    if "://" in word and _has_login(word):
        found.add("url_login")
    for piece in word.replace("=", " ").replace(":", " ").replace("/", " ").split():
        found.update(
            name for prefix, least, name in _PREFIXES if piece.startswith(prefix) and len(piece) >= least
        )
    if _is_jwt(word):
        found.add("jwt")
    if _is_dense(word.rstrip(_WORD_MARKS)):
        found.add("random")
    return found


def _kinds_after(before: str, word: str) -> set[str]:
    """Name what one word says about the next, a single space away."""
    if not word[:1].isalnum() or not word[:1].isascii() or not _is_value(word):
        return set()
    name = before.lower()
    if name[-1:] in ("=", ":") and name[:-1].endswith(_KEY_ENDS):
        return {"keyed"}
    plain = name.removeprefix("-").removeprefix("-")
    if (
        plain != name
        and name.endswith(_KEY_ENDS)
        and plain[:1].isalpha()
        and plain.replace("-", "").isidentifier()
    ):
        return {"option"}
    return (
        {"bearer"}
        if name == "bearer" and len(word) >= 24 and word[:24].isalnum() and word.isascii()
        else set()
    )


def _is_value(value: str) -> bool:
    """Tell whether this could be a secret's text: not the marker, not a flag, not a path, not punctuation."""
    if "***" in value or value.startswith(("/", "~", "$", "%", "://")):
        return False
    return (
        len(value) >= 4
        and any(map(str.isalnum, value))
        and value.lower() not in ("true", "false", "none", "null")
    )


def _has_login(word: str) -> bool:
    authority = word.split("://", 1)[1].split("/", 1)[0]
    login, at, _host = authority.rpartition("@")
    return bool(at) and ":" in login and "***" not in login


def _is_jwt(word: str) -> bool:
    at = word.find("eyJ")
    return at >= 0 and word.count(".", at) >= 2 and len(word) - at >= 40


def _is_dense(word: str) -> bool:
    """Shannon entropy of a long word that mixes cases and digits: 4.5 bits a character is no language."""
    if (
        not 32 <= len(word) <= 4096
        or not word.replace("_", "").replace("-", "").isalnum()
        or not word.isascii()
    ):
        return False
    if word.startswith("_") or not (
        any(map(str.isdigit, word)) and not word.islower() and not word.isupper()
    ):
        return False
    runs = sum(a.islower() != b.islower() for a, b in pairwise(word))
    counts = Counter(word).values()
    bits = -sum(n / len(word) * math.log2(n / len(word)) for n in counts)
    return bits >= 4.5 and runs >= len(word) * 0.3
