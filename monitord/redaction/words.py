"""Which names announce a secret, and which words look like one."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

HIDDEN = "***HIDDEN***"
TRUNCATED = "***TRUNCATED***"

# Told the rule's name and the value; gives what is to stand in its place.
Hide = Callable[[str, str], str]

_PIECES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

# Found anywhere in a name once its separators are gone.
_STEMS = (
    "password", "passwd", "passphrase", "passcode", "secret", "apikey", "credential", "privatekey",
    "accesskey", "authkey", "signingkey", "encryptionkey", "masterkey", "accountkey", "sharedkey",
    "sessionkey", "sessionid", "storagekey", "licensekey", "deploykey", "servicekey", "appkey",
    "connectionstring", "fromliteral", "mfacode",
)  # fmt: skip
_WORDS = frozenset(
    {"pass", "pwd", "pw", "pswd", "psw", "token", "jwt", "bearer", "psk", "otp", "totp", "cookie",
     "cookies", "authorization", "masterauth", "passwort", "sas", "sid", "pat"}
)  # fmt: skip
_TAILS = ("token", "pass", "pwd", "psk")
_NOT_TAILS = frozenset(
    {"bypass", "compass", "trespass", "encompass", "surpass", "overpass", "underpass", "multipass",
     "lowpass", "highpass", "bandpass", "allpass", "renderpass", "singlepass", "onepass", "twopass"}
)  # fmt: skip

# A pin is a secret alone or with its kind; `pin_memory` and `gpio_pin` are none.
_PINS = frozenset({"pin", "puk", "so", "user", "new", "old", "card", "sim"})

# A name that ends so speaks *about* a secret (or is a source file called token.py).
_BENIGN_LAST = frozenset(
    {"file", "files", "path", "paths", "dir", "directory", "folder", "stdin", "fd", "type", "name", "names",
     "length", "len", "count", "size", "ttl", "expiry", "expires", "age", "url", "uri", "endpoint", "policy",
     "prompt", "mode", "format", "algorithm", "enabled", "disabled", "required", "timeout", "limit",
     "provider", "helper", "cache", "class", "field", "version", "store", "manager", "service", "backend",
     "plugin", "strength", "min", "max", "rotation", "interval", "index", "env",
     "py", "pyc", "pyx", "c", "cc", "cpp", "cxx", "h", "hpp", "rs", "go", "js", "ts", "mjs", "java", "rb",
     "swift", "so", "dylib", "php", "cs", "kt", "scala", "m", "mm", "pl", "lua", "html", "md", "txt", "map"}
)  # fmt: skip


def is_sensitive(name: str) -> bool:
    """Tell whether a value under this name is to be hidden: `--db-password`, `PGPASSWORD`, `apiKey`."""
    pieces = [piece.lower() for piece in _PIECES.findall(name)]
    if not pieces or pieces[-1] in _BENIGN_LAST or (pieces[0] in ("no", "without") and len(pieces) == 2):
        return False
    joined = "".join(pieces)
    if any(stem in joined for stem in _STEMS) or not _WORDS.isdisjoint(pieces):
        return True
    if pieces[-1] in ("pin", "puk") and _PINS.issuperset(pieces):
        return True
    if pieces in (["auth"], ["basic", "auth"], ["http", "auth"]):
        return True
    return any(piece.endswith(_TAILS) and piece not in _NOT_TAILS for piece in pieces)


def looks_random(word: str) -> bool:
    """Tell whether a long word was made by a machine to be secret rather than by people to be read.

    Random text changes between lower case, upper case and digits at every second character; names,
    paths and camel case (whose step from upper to lower is not counted) do so rarely. Plain hex (hashes,
    ids, addresses) is no secret by itself, nor is a mangled symbol.
    """
    if len(word) < 24 or _MANGLED.match(word):
        return False
    parts = [part for part in _JOINTS.split(word) if not _is_readable(part)]
    if sum(map(len, parts)) < 20:
        return False
    letters_and_digits = [_kind(character) for part in parts for character in part if character.isalnum()]
    kinds = set(letters_and_digits)
    changes = sum(a != b and (a, b) != ("A", "a") for a, b in pairwise(letters_and_digits))
    if len(set(word)) < 10 or changes < 0.25 * len(letters_and_digits):
        return False
    return len(kinds) == 3 or (len(word) >= 32 and len(kinds) == 2)


_HEX = re.compile(r"[0-9a-f]*+|[0-9A-F]*+")
_JOINTS = re.compile(r"[-_]")
_MANGLED = re.compile(r"_{1,3}(?:Z|R|\$s)")  # C++, Rust, Swift symbols


def _is_readable(part: str) -> bool:
    """Tell whether one part of a dashed word is a plain word, or plain hex."""
    return bool(_HEX.fullmatch(part)) or (
        part.isalpha() and (part.islower() or part.isupper() or part.istitle())
    )


def _kind(character: str) -> str:
    if character.isdigit():
        return "0"
    return "A" if character.isupper() else "a"
