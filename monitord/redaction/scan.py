"""The second look before anything leaves: word by word, by hand, sharing no rule with the first.

It goes by other means: how evenly a word's characters are spread, how makers' credentials begin, and what was
hidden elsewhere in the same data, in other spellings. What it finds it replaces, that word and nothing more.
"""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

from monitord.redaction.words import HIDDEN

_KEY_ENDS = (
    "password", "passwd", "passphrase", "secret", "apikey", "api_key", "api-key", "access_key", "access-key",
    "accesskey", "private_key", "privatekey", "secret_key", "_token", "-token", "authtoken", "accesstoken",
    "--token", "pwd", "-storepass", "--from-literal",
)  # fmt: skip
# Prefix, least length of the whole word, name.
_PREFIXES = (
    ("AKIA", 20, "aws"), ("ASIA", 20, "aws"), ("ghp_", 36, "github"), ("gho_", 36, "github"),
    ("ghs_", 36, "github"), ("ghu_", 36, "github"), ("ghr_", 36, "github"), ("github_pat_", 40, "github"),
    ("glpat-", 26, "gitlab"), ("xoxb-", 20, "slack"), ("xoxp-", 20, "slack"), ("xapp-", 20, "slack"),
    ("sk_live_", 20, "stripe"), ("rk_live_", 20, "stripe"), ("AIza", 39, "google"), ("ya29.", 30, "google"),
    ("npm_", 40, "npm"), ("pypi-AgE", 40, "pypi"), ("SG.", 50, "sendgrid"), ("hvs.", 30, "vault"),
    ("dop_v1_", 70, "digitalocean"), ("AGE-SECRET-KEY-1", 40, "age"), ("sk-", 40, "openai"),
    ("hf_", 34, "hf"), ("whsec_", 30, "stripe"), ("GOCSPX-", 28, "google"), ("shpat_", 38, "shopify"),
    ("glsa_", 40, "grafana"), ("sntrys_", 40, "sentry"), ("dckr_pat_", 30, "docker"),
    ("tskey-", 24, "tailscale"), ("ATATT3", 30, "atlassian"), ("figd_", 35, "figma"),
    ("lin_api_", 36, "linear"), ("ntn_", 40, "notion"), ("pul-", 44, "pulumi"), ("dapi", 36, "databricks"),
    ("rubygems_", 50, "rubygems"), ("xoxe", 20, "slack"), ("dp.pt.", 36, "doppler"),
)  # fmt: skip
_QUOTES = "\"'`"
_ENDS = ");|&}>"  # of what a name before them was said of
_BREAKS = str.maketrans(dict.fromkeys("\"'`<>()[]{},;|\\\n\t\r", " "))
_WORD_MARKS = ".:!?"
_LEAST_KNOWN = 6
_MAX_KNOWN = 512
_MOST_BLANKS = 4


def find_secrets(text: str) -> list[str]:
    """Name the kinds of secrets that still stand in `text`, sorted; an empty list means: found none."""
    return sorted({kind for kind, _start, _end in _findings(text)})


class SecondScan:
    """Replaces what is left in one export; `known` are the values that the first pass hid in it."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.replaced = 0
        self._known = frozenset(spelling for value in known for spelling in _spellings(value))

    def text(self, text: str) -> str:
        """The text with every find replaced, each counted in `replaced`."""
        finds = sorted([*_findings(text), *self._known_in(text)], key=lambda find: (find[1], -find[2]))
        done: list[str] = []
        copied = 0
        for _kind, start, end in finds:
            if start >= copied:
                done += [text[copied:start], HIDDEN]
                copied = end
                self.replaced += 1
        return "".join([*done, text[copied:]])

    def words(self, words: Iterable[str]) -> list[str]:
        """The same for an argument list; a word may say what the next one is."""
        safe: list[str] = []
        before = ""
        for word in words:
            follows = " " not in word and _kinds_after(before, word.strip(_QUOTES))
            self.replaced += bool(follows)
            safe.append(HIDDEN if follows else self.text(word))
            before = word
        return safe

    def _known_in(self, text: str) -> Iterator[tuple[str, int, int]]:
        if not self._known:
            return
        for start, end in _words(text):
            word = text[start:end]
            for part in (word, word.partition("=")[2], word.rpartition("/")[2], word.rpartition(":")[2]):
                plain = part.strip(_WORD_MARKS).lower()
                if plain and plain in self._known:
                    at = text.find(part, start, end)
                    yield "known", at, at + len(part)
                    break


def _spellings(value: str) -> Iterator[str]:
    """How else a value may be written: any case, hex, base64, backwards."""
    plain = value.strip()
    if not _LEAST_KNOWN <= len(plain) <= _MAX_KNOWN or plain.isdigit():
        return
    raw = plain.encode("utf-8", "surrogatepass")
    for spelling in (plain, plain[::-1], raw.hex()):
        yield spelling.lower()
    for coded in (base64.b64encode(raw), base64.urlsafe_b64encode(raw), base64.b32encode(raw)):
        yield coded.decode().lower()
        yield coded.decode().rstrip("=").lower()


def _words(text: str) -> Iterator[tuple[int, int]]:
    """Where the words of a text stand, punctuation that parts them left out."""
    at = 0
    for word in text.translate(_BREAKS).split(" "):
        if word:
            yield at, at + len(word)
        at += len(word) + 1


def _findings(text: str) -> Iterator[tuple[str, int, int]]:
    """Kind, begin and end of every find."""
    if "PRIVATE KEY-----" in text and _has_key_body(text):
        yield "private_key", 0, len(text)
    before, last = "", 0
    for start, end in _words(text):
        word = text[start:end]
        for kind, skipped in _kinds_in(word):
            yield kind, start + skipped, end
        gap = text[last:start]
        is_next = len(gap) <= _MOST_BLANKS and not any(mark in gap for mark in _ENDS)
        for kind in _kinds_after(before, word) if is_next else ():
            yield kind, start, end
        before = before + word if word in ("=", ":") else word
        last = end


def _has_key_body(text: str) -> bool:
    """Tell whether anything that could be a key follows the opening line of one."""
    at = text.find("-----BEGIN ")
    while at >= 0:
        line_end = text.find("PRIVATE KEY-----", at, at + 80)
        if line_end >= 0 and text[line_end + 16 : line_end + 400].strip("\\nr \r\n\t*")[:6].isalnum():
            return True
        at = text.find("-----BEGIN ", at + 1)
    return False


def _kinds_in(word: str) -> Iterator[tuple[str, int]]:
    """The kinds of a word's secrets, and how much of it is the secret's name."""
    for separator in ("=", ":"):
        key, cut, value = word.partition(separator)
        if cut and key.lower().endswith(_KEY_ENDS) and _is_value(value) and _is_mixed(value):
            yield "keyed", len(key) + 1
    if word.startswith("pass:") and _is_value(word[5:]):
        yield "option", 5
    if "://" in word and _has_login(word):
        yield "url_login", word.index("://") + 3
    for piece in word.replace("=", " ").replace(":", " ").replace("/", " ").split():
        for prefix, least, name in _PREFIXES:
            if piece.startswith(prefix) and len(piece) >= least:
                yield name, word.index(piece)
    if _is_jwt(word):
        yield "jwt", word.find("eyJ")
    plain = word.rstrip(_WORD_MARKS)
    if _is_dense(plain):
        yield "random", 0
    elif "=" in word and _is_dense(plain.rpartition("=")[2]):
        yield "random", word.rindex("=") + 1


def _kinds_after(before: str, word: str) -> set[str]:
    """Name what one word says about the next, a single space away."""
    if not word[:1].isalnum() or not word[:1].isascii() or not _is_value(word):
        return set()
    name = before.lower()
    if not _is_mixed(word):
        return set()
    if name.endswith("bearer") or (name == "basic" and len(word) >= 12):
        return {"bearer"}
    if name[-1:] in ("=", ":") and name[:-1].endswith(_KEY_ENDS):
        return {"keyed"}
    plain = name.removeprefix("-").removeprefix("-")
    is_option = plain != name and name.endswith(_KEY_ENDS) and plain[:1].isalpha()
    return {"option"} if is_option and plain.replace("-", "").isidentifier() else set()


def _is_mixed(value: str) -> bool:
    """Tell whether letters and digits or cases are mixed, or all is upper case: no plain word, no number."""
    letters = [character for character in value if character.isalpha()]
    has_case = any(map(str.isupper, letters[1:]))
    return len(value) >= 5 and bool(letters) and (any(map(str.isdigit, value)) or has_case)


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
    """Shannon entropy of a long word that mixes cases and digits, beside what its length allows."""
    if (
        not 20 <= len(word) <= 4096
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
    least = 4.5 if len(word) >= 32 else 0.88 * math.log2(len(word))
    return bits >= least and runs >= len(word) * (0.3 if len(word) >= 32 else 0.4)
