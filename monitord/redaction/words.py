"""Which names announce a secret, and which words look like one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import pairwise

from monitord.redaction.made_up import CLASS_OF, is_named_thing, odd_steps, strangeness_bits

HIDDEN = "***HIDDEN***"
TRUNCATED = "***TRUNCATED***"

# Told the rule's name and the value; gives what is to stand in its place.
Hide = Callable[[str, str], str]

_PIECES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_MAX_NAME = 200

# Found anywhere in a name once its separators are gone.
_STEMS = re.compile("|".join((
    "password(?!box|form)", "passwd", "passphrase", "passcode", "secret", "apikey", "credential",
    "privatekey",
    "accesskey", "authkey", "signingkey", "encryptionkey", "masterkey", "accountkey", "sharedkey",
    "sessionkey", "sessionid", "storagekey", "licensekey", "deploykey", "servicekey", "appkey",
    "connectionstring", "communitystring", "fromliteral", "mfacode", "passwort", "kennwort", "motdepasse",
    "contrasena",
    "authcred", "basicauth", "wachtwoord", "codeword", "unlockword", "magicword", "seedphrase", "seedwords",
    "pinentry", "requirepass", "masterauth", "subscriptionkey", "presharedkey",
)))  # fmt: skip
# The last word of a name, or followed by one of `_CARRIES`: `TokenBucket` and `--pass-through` are none.
_WORDS = frozenset(
    {"pass", "pwd", "pw", "pswd", "psw", "token", "jwt", "bearer", "psk", "otp", "totp", "cookie",
     "cookies", "authorization", "rootpw", "userpw", "sas", "sid", "pat", "creds", "cred", "mnemonic", "hmac",
     "pepper", "pword", "senha", "heslo", "haslo", "clave", "mdp"}
)  # fmt: skip
_CARRIES = frozenset(
    {"value", "values", "string", "str", "b", "key", "data", "hex", "plain", "raw", "text", "current", "new",
     "old", "prod", "production", "dev", "test", "staging", "live", "header", "word", "phrase", "code", "out",
     "in", "base", "default", "primary", "secondary", "a", "backup", "master", "jar"}
)  # fmt: skip
_TAILS = ("token", "pass", "pwd", "psk", "pw")
_NOT_TAILS = frozenset(
    {"bypass", "compass", "trespass", "encompass", "surpass", "overpass", "underpass", "multipass",
     "lowpass", "highpass", "bandpass", "allpass", "renderpass", "singlepass", "onepass", "twopass"}
)  # fmt: skip
_KEYS = frozenset(  # what a key is of, where the key is a secret
    {"api", "access", "secret", "private", "auth", "account", "encryption", "encrypt", "master", "shared",
     "session", "signing", "storage", "deploy", "service", "app", "application", "client", "admin", "hmac",
     "aes", "fernet", "crypto", "cipher", "webhook", "license", "subscription", "stream", "functions",
     "jwt", "cookie", "token", "write", "x", "unseal", "recovery", "root", "wep", "wpa", "authentication",
     "join", "tailscale", "setup", "datadog", "openai", "data", "vault", "backup", "disk", "bitlocker",
     "dd", "unlock", "mesh", "network", "device", "enroll", "enrollment", "agent", "merchant", "wallet",
     "node", "cluster", "priv", "gossip", "relay", "security", "crypt", "decrypt", "decryption", "sign",
     "pairing", "pair", "link", "product", "registration", "activation", "bot", "rpc", "push", "vapid",
     "provisioning", "ingest", "ingestion", "user", "claim", "invite", "sync", "install", "transport",
     "secure", "lock", "door", "mqtt", "snmp", "vpn", "wifi", "wlan", "psk", "integration"}
)  # fmt: skip
# What a code or a phrase is of, where it is a secret.
_CODES = frozenset(
    {"alarm", "master", "unlock", "access", "door", "entry", "security", "pair", "pairing", "activation",
     "recovery", "verification", "verify", "auth", "invite", "gate", "lock", "disarm", "arm", "safe",
     "vault", "mfa", "otp", "sms", "login", "pin", "secret", "claim", "backup", "setup", "enroll",
     "register", "registration", "duress", "garage"}
)  # fmt: skip
_PHRASES = frozenset(
    {"seed", "recovery", "unlock", "secret", "wallet", "backup", "master", "key", "login", "magic", "safe"}
)

# A pin is a secret alone or with its kind; `pin_memory` and `gpio_pin` are none.
_PINS = frozenset(
    {"pin", "puk", "so", "user", "new", "old", "card", "sim", "set", "pair", "verify", "change", "door",
     "unlock", "login", "wallet", "device", "entry", "alarm", "parental", "master", "admin", "reset",
     "enter", "my", "current", "security", "access", "lock", "gate", "vault", "token", "bt", "bluetooth",
     "pairing", "voicemail", "auth", "uim", "wps", "ap"}
)  # fmt: skip

# Too common a word to say much: what it names is hidden only if it looks made.
_WEAK = frozenset(
    {"pat", "sas", "sid", "key", "sig", "signature", "code", "salt", "seed", "nonce", "license", "session",
     "sess", "otp", "auth", "value", "data", "cookie", "cookies", "login", "credentials", "credential",
     "cred", "creds", "hash", "community", "unlock", "claim", "invite", "enroll"}
)  # fmt: skip
# Of these a value is hidden unless it is one of the words that choose a method.
_CHOICES = frozenset(
    {"yes", "no", "true", "false", "on", "off", "none", "null", "nil", "auto", "ask", "prompt", "stdin",
     "basic", "digest", "ntlm", "kerberos", "ldap", "oauth", "oauth2", "saml", "sso", "plain", "cram-md5",
     "mtls", "md5", "scram-sha-256", "peer", "trust", "required", "optional", "negotiate", "always",
     "never", "password", "interactive", "enabled", "disabled", "default", "env", "simple", "keyring",
     "keychain", "gnome-keyring", "kwallet", "sha1", "sha224", "sha256", "sha384", "sha512", "sha-1",
     "sha-256", "sha-512", "sha3-256", "sha3-512", "blake2b", "blake3"}
)  # fmt: skip

# A name that ends so speaks *about* a secret (or is a source file called token.py).
_BENIGN_LAST = frozenset(
    {"file", "files", "path", "paths", "dir", "directory", "folder", "stdin", "fd", "type", "types", "name",
     "names", "length", "len", "count", "size", "ttl", "expiry", "expires", "age", "url", "uri", "endpoint",
     "policy", "prompt", "mode", "format", "algorithm", "enabled", "disabled", "required", "timeout", "limit",
     "provider", "helper", "cache", "class", "field", "version", "store", "manager", "service", "backend",
     "plugin", "strength", "min", "max", "rotation", "interval", "index", "env", "ids", "changed", "reset",
     "regex", "pattern", "validator", "validators", "hasher", "hashers", "bucket", "buckets", "through",
     "lifetime", "history", "scope", "scopes", "issuer", "audience", "method", "methods", "check", "checks",
     "engine", "namespace", "port", "host", "db", "policies", "auth", "rate", "ratio", "samesite", "secure",
     "py", "pyc", "pyx", "c", "cc", "cpp", "cxx", "h", "hpp", "rs", "go", "js", "ts", "mjs", "java", "rb",
     "swift", "so", "dylib", "php", "cs", "kt", "scala", "m", "mm", "pl", "lua", "html", "md", "txt", "map",
     "maps", "page", "seite", "screen", "command", "cmd", "ref", "refs", "rm", "remove", "list",
     "lookup", "id", "dim", "threshold"}
)  # fmt: skip
# A token of these is a place in a list or a piece of a text, and `existingSecret` has a name.
_NO_TOKENS = frozenset(
    {"starting", "next", "page", "continuation", "continue", "pad", "eos", "bos", "unk", "sep", "special",
     "mask", "cls", "max", "existing"}
)  # fmt: skip


_VAGUE_ALONE = frozenset({"pat", "sas", "cred", "creds", "clave", "mdp"})
_OF: Mapping[str, frozenset[str]] = {
    "key": _KEYS,
    "keys": _KEYS,
    "code": _CODES,
    "phrase": _PHRASES,
    "words": _PHRASES,
    "community": frozenset({"snmp", "ro", "rw", "read", "write", "trap", "get", "set"}),
    "auth": frozenset({"redis", "amqp", "mqtt", "bearer", "smtp", "imap", "sasl"}),
}


def is_sensitive(name: str) -> bool:
    """Tell whether a value under this name is to be hidden: `--db-password`, `PGPASSWORD`, `apiKey`."""
    pieces = _pieces(name)
    if not pieces or pieces[-1] in _BENIGN_LAST - {"auth"} or _is_negated(pieces):
        return pieces[-2:] == ["secret", "id"]  # of AppRole
    if len(pieces) > 1 and (pieces[-2] in _NO_TOKENS or pieces[-2:] == ["password", "key"]):
        return False
    if pieces in (["auth"], ["basic", "auth"], ["http", "auth"], ["proxy", "auth"]):
        return True
    is_vague = len(pieces) == 1 and pieces[0] in _VAGUE_ALONE
    if is_vague or (pieces[-1] == "auth" and pieces[-2] not in _OF["auth"]):
        return False
    if _STEMS.search("".join(pieces)):
        return True
    named = pieces[:-1] if pieces[-1] in ("string", "value") else pieces
    if named[-1:] in (["pin"], ["puk"]) and _PINS.issuperset(named):
        return True
    if len(named) > 1 and named[-2] in _OF.get(named[-1], ()):
        return True
    if pieces[-1].endswith("key") and pieces[-1][:-3] in _KEYS:
        return True
    if pieces[-1] == "salt" and len(pieces) > 1:
        return True
    return _has_telling_word(pieces)


def _has_telling_word(pieces: list[str]) -> bool:
    for at, piece in enumerate(pieces):
        telling = piece in _WORDS or (piece.endswith(_TAILS) and piece not in _NOT_TAILS)
        if telling and all(after in _CARRIES for after in pieces[at + 1 :]):
            return True
    return False


def is_suspicious(name: str) -> bool:
    """Tell whether this name may announce a secret: its value is hidden only if it looks made."""
    pieces = _pieces(name)
    if len(pieces) > 1 and pieces[-1] in ("string", "value"):
        pieces.pop()
    is_weak = bool(pieces) and (pieces[-1] in _WEAK or pieces[-1].endswith("auth"))
    return is_weak and not _is_negated(pieces) and pieces[-2:] != ["template", "hash"]


def is_choice(value: str) -> bool:
    """Tell whether this chooses a method, names a variable or asks for something, and is not a secret."""
    return value.lower() in _CHOICES or len(value) == 1 or bool(_VARIABLE.fullmatch(value))


def _pieces(name: str) -> list[str]:
    pieces = list(map(str.lower, _PIECES.findall(name[-_MAX_NAME:])))
    while pieces and pieces[-1].isdigit():
        pieces.pop()
    return pieces


def _is_negated(pieces: list[str]) -> bool:
    if pieces[0] in ("ask", "askpass", "prompt"):  # `--ask-become-pass`: somebody is asked for it
        return True
    if pieces[-1] == "token" and "initial" in pieces:  # of a cluster: its name, its place in a ring
        return True
    return pieces[0] in ("no", "without", "disable", "skip") and len(pieces) <= 3


def looks_random(word: str) -> bool:
    """Tell whether a long word was made by a machine to be secret rather than by people to be read.

    Random text changes between lower case, upper case and digits at every second character; names,
    paths and camel case (whose step from upper to lower is not counted) do so rarely. Plain hex (hashes,
    ids, addresses) is not a secret by itself, nor is a mangled symbol.
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


def looks_chosen(word: str, least: int = 3) -> bool:
    """Tell whether a word of 8 to 64 characters looks like a password: `Hunt3r-x7Qp2`, `S0mmer!aB`.

    It mixes digits and both cases (or one case and a sign) so that they change at places where words and
    names do not: names end in digits and begin their parts with a capital, passwords put them anywhere.
    `least` is how often they must: less where something else speaks of a secret.
    """
    if not 8 <= len(word) <= 64 or not word.isascii() or _ORDINARY.fullmatch(word):
        return False
    classes = {CLASS_OF.get(character, "") for character in word}
    if "a" not in classes or len(classes & {"A", "0", "!"}) < 2:
        return False
    return odd_steps(word) >= least - ("!" in classes) and not (word[0] == "*" or word[-1] == "*")


def looks_made(value: str) -> bool:
    """Tell whether a value under a name that says little looks made: long hex, a password, random text."""
    value = value.strip("\"'")
    if len(value) < 8 or "/" in value[:2] or _PATTERNLIKE.search(value) or is_named_thing(value):
        return False
    if _HEX.fullmatch(value) and len(value) >= 12 and not value.isdigit():
        return True
    return (
        looks_chosen(value)
        or looks_random(value)
        or strangeness_bits(value) >= 10
        or not (is_readable(value) or value.isdigit())
    )


_PATTERNLIKE = re.compile(r"[\[\](){} ]|^\*|\*[./]|/\*|\*$")


def is_readable(value: str) -> bool:
    """Tell whether a word, or words joined by any signs, was written to be read, or is a number."""
    plain = _JOINED.sub(".", value.strip("*"))
    return is_wordlike(plain) and strangeness_bits(plain) < 10


def is_wordlike(value: str) -> bool:
    """Tell whether a word is made of plain words: lower case or camel case, joined, numbers at their ends."""
    return all(map(_WORDLIKE.fullmatch, _PARTS.split(value[:_MAX_NAME])))


_HEX = re.compile(r"[0-9a-f]*+|[0-9A-F]*+")
_JOINED = re.compile(r"[-+,:/@~^ ;=|]|%2[0CFcf]|%3[ADad]")
_JOINTS = re.compile(r"[-_]")
_MANGLED = re.compile(r"_{1,3}(?:Z|R|\$s)")  # C++, Rust, Swift symbols
_VARIABLE = re.compile(
    r"(?:(?i:bearer|basic|token|digest) )?\$[A-Z_][A-Z0-9_]*+(?::\$[A-Z_][A-Z0-9_]*+)?"
    r"|[^:\n]{2,60}: "  # a prompt
    r"|(?:\$\{[A-Za-z_][A-Za-z0-9_]*+\}[-_./:]?+)+|%[A-Z_]{1,40}+%|\$\([^)]*+\)|\{\{.*\}\}"
)
_WORDLIKE = re.compile(
    r"[A-Z]?[a-z]++(?:[A-Z][a-z]{2,}+)*[0-9]{0,4}+|[A-Z]++[0-9]{0,4}+|v?[0-9]{0,4}+|[A-Z]?[a-z]++[A-Z]{2,4}+[0-9]?"
)
_PARTS = re.compile(r"[-_. +]")
# UUIDs, times, versions, sizes, CamelCase12, constants: what programs write.
_ORDINARY = re.compile(
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9T:.Z+-]++|(?:[A-Z][a-z]++|[a-z]++|[A-Z]{2,}+)+[0-9]{0,6}+"
    r"|[0-9a-fA-Fx-]++|[a-z0-9_.-]*+(?<=[a-z0-9])|[A-Z0-9_.-]++|[a-z]++(?:[A-Z][a-z0-9]++)+"
)


def _is_readable(part: str) -> bool:
    """Tell whether one part of a dashed word is a plain word, or plain hex."""
    return bool(_HEX.fullmatch(part)) or (
        part.isalpha() and (part.islower() or part.isupper() or part.istitle())
    )


def _kind(character: str) -> str:
    if character.isdigit():
        return "0"
    return "A" if character.isupper() else "a"
