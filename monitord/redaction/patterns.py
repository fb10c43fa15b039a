"""The rules on free text: shapes that are secret wherever they stand.

Every pattern is linear: possessive or bounded repeats, never one repeat inside another over the same
characters. The order matters: structures first (keys, URLs, headers), then tokens by their makers' shapes,
then whatever looks random. (More than 400 lines: a table of expressions, and what each does.)
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Set

from monitord.redaction.issued import ISSUED
from monitord.redaction.logins import is_person
from monitord.redaction.made_up import is_file, is_named_thing, strangeness_bits
from monitord.redaction.urls import safe_url
from monitord.redaction.words import (
    HIDDEN,
    TRUNCATED,
    Hide,
    is_choice,
    is_readable,
    is_sensitive,
    is_suspicious,
    is_wordlike,
    looks_chosen,
    looks_made,
    looks_random,
)

# Of these a rule needs at least one, but for those that go by a word's own shape.
_MARKS = frozenset(":=(/%$@ \t\r\n\"'")
_BLANKS = frozenset(" \t\r\n")
_SHORTEST_ISSUED = 13
_MAY_BE_ISSUED = re.compile(r"[0-9]|[A-Z]{8}|[A-Za-z]{20}")
_STRANGE_BITS = 6

_START = r"(?<![A-Za-z0-9])"
_END = r"(?![A-Za-z0-9])"

_SHAPES = {name: "|".join(shape for of, shape in ISSUED if of == name) for name, _shape in ISSUED}
_VENDOR = re.compile(
    rf"{_START}(?:{'|'.join(f'(?P<{name}>{shapes})' for name, shapes in _SHAPES.items())}){_END}"
)

_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----.*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)", re.S
)
_URL = re.compile(r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]{1,30})://([^\s\"'<>`]+)")
_LOGIN = re.compile(
    r"(?<![\w.@:-])(?!(?<=HIDDEN\*\*\*):)(?!(?:sftp|ssh|scp|rsync|git|s3|rest|rclone):)"
    r"([\w.+-]{0,64}+):([^\s@/:\"']{3,200}+)@(?!sha\d)([A-Za-z0-9\[])"
)
_HEADER = re.compile(
    r"(?<![\w-])((?i:(?:proxy-)?authorization|(?:set-)?cookie|x-[a-z0-9-]{0,40}(?:key|token|secret))"
    r"|(?!Cache-|Primary-|Sort-|Public-|Partition-|Foreign-)[A-Z][A-Za-z0-9]{0,30}(?:-[A-Za-z0-9]{1,30}){0,6}-(?i:key|token|secret|auth|signature|credentials?|passw\w{1,8}))"
    r"(\s{0,3}:\s{0,3})([^\"'\r\n]+)"
)
_SCHEME = re.compile(r"(?i)(?<![\w-])(bearer|basic|negotiate)(\s{1,3})([A-Za-z0-9+/=._~:-]{6,})")
_WEBHOOK = re.compile(
    r"(://[^\s/\"']{0,100}hooks?[^\s/\"']{0,100}/|/(?:web)?hooks?/)([A-Za-z0-9_@/-]{8,300}+)"
)
_ORACLE = re.compile(r"(jdbc:oracle:[a-z0-9]{1,10}:[^\s/@:\"']{1,64}/)([^\s@]{1,200}+)(?=@)")
_ENCODED_URL = re.compile(
    r"(?i)([a-z][a-z0-9+.-]{1,20}%3a%2f%2f)((?:(?!%40|%2f|%3f)[^\s\"'&]){1,300}?%3a(?:(?!%40)[^\s\"'&]){1,200})(?=%40)"
)
_XML = re.compile(r"<([\w:.-]{1,80})((?:\s[^<>]{0,200})?>)([^<>]{1,500})(?=</\1\s{0,3}>)")
# `<key>password</key><string>S</string>`, `<name>password</name> <value>S</value>`
_XML_PAIR = re.compile(
    r"(<(?:key|name|[\w.-]{1,20}Name)>\s{0,9}([\w.-]{1,80})\s{0,9}</[\w.-]{1,24}>\s{0,20}<[\w.-]{1,24}>)([^<>]{1,500}+)(?=</)"
)
# `{"name":"DB_PASS","value":"S"}`, `Name=DB_PASS,Value=S`, `<add key="DB_PASS" value="S"/>`
_NAME_AND_VALUE = re.compile(
    r"(?i)(?<![\w-])((?:name|key|property|field)\\?[\"']?\s?[:=]\s?\\?[\"']?([\w.-]{1,80})\\?[\"']?\s?[,\s]\s{0,20}\\?[\"']?(?:[\w.\[\]-]{1,40}\.)?(?:string)?value\\?[\"']?\s?[:=]\s?\\?)"
    r"(\"(?:[^\"\\\n]|\\.){1,500}+\"?|'[^'\n]{1,500}+'?|[^\s,;\"'}\]\\]{1,500}+)"
)
_CRYPTO_CALL = re.compile(
    r"(?i)(?<![\w])((?:jwt\.\w{1,20}|hmac(?:\.\w{1,20})?|\w{0,20}hmac\w{0,20}|create(?:de)?cipher\w{0,10}|pbkdf2\w{0,20}|scrypt\w{0,10}"
    r"|bcrypt\.\w{1,20}|\w{0,20}(?:en|de)crypt\w{0,10}|set_?passw\w{1,12}|bcrypt|\w{0,20}password_?hash|hash_?password|make_password|hash::make|(?:check|verify)_?password|basic_?auth|set_?basic_?auth)\()([^\n]{1,400})"
)
_SET = re.compile(
    r"(?i)(?<![\w-])((?:set[ \t]{1,3}([\w.:-]{1,60})|([a-z]{1,20}_[a-z_]{1,40}))[ \t]{1,3})"
    r"(?!(?:for|to|the|an?|policy|in|of|as|on|from|and|or|is)\b|[=-])([^\s;,\"')]{3,200}+)"
)
_PROTOCOL = re.compile(
    r"(?<![\w-])((?:AUTH|PASS|IDENTIFY)(?:[ ](?:PLAIN|LOGIN))?[ ]{1,3})(?!PLAIN|LOGIN)"
    r"([^\s;\"'\\]{4,200}+)(?=[\\\"'])"
)
_INSERTED = re.compile(r"(?i)(\(([^()]{1,300})\)\s{0,3}values\s{0,3}\()([^()]{1,1000})")
_SET_FOR = re.compile(
    r"(?i)(?<![\w-])(set_?passw\w{1,6}[ \t]{1,3}\w{1,40}[ \t]{1,3})([^\s;,\"'=]{4,200}+)"
    r"(?=\s{0,3}(?:$|[;\"']))"
)
_LOGIN_WORDS = re.compile(
    r"(?<![\w-])((?:login|(?i:auth)(?:[ \t]{1,3}(?i:plain|login))?|user|connect[ \t]{1,3}[\w.-]{1,80})"
    r"[ \t]{1,3}([A-Za-z][\w.-]{1,40})[ \t]{1,3})"
    r"([^\s;|\"'\\]{4,200}+)(?=\s{0,3}(?:$|[;\"'\\]))"
)
# `u=bob,p=S` of Percona's tools, `secret,id=x,data=S` of QEMU.
_IN_PARTS = re.compile(
    r"(?<![\w-])(u=[^,\s]{1,80},(?:[a-zA-Z]=[^,\s]{0,80},){0,6}p=|secret,[^\s\"']{0,100}?data=)([^,\s\"']+)"
)
_USER_GIVEN = re.compile(
    r"(?i)(?<![\w-])((?:user(?:name|pwd)?|login|credentials?|userpass)[\"']?\s?[=:]\s?[\"']?[\w.@+\\-]{1,80}[:%])"
    r"([^\s,;:/\"'@]{4,200}+)(?![:/@])"
)
_CALL = re.compile(
    r"(?<![\w.])((?:\w{1,60}\.){0,6}(\w{1,60}))(\s?\(\s?[bBrRuUfF]{0,2})(?:\"((?:[^\"\\\n]|\\.){1,500}+)\"|'((?:[^'\\\n]|\\.){1,500}+)')(?=\s?[),])"
)
# `/srv/password-Hunt3r`, `/tmp/sess_0a1b2c3d4e5f`: the text after the name is not a word.
_NAMED_PART = re.compile(
    r"(?i)(?<![A-Za-z])((?:pass(?:word|wd|phrase)|pwd|secret|token|api[_-]?key|sess(?:ion)?(?:[_-]?id)?|sid|cred(?:ential)?s?|cookie)[-_~./])([^\s/\\:;,\"'()<>&|=*?\[\]{}]{6,200}+)"
)
_LIST_AHEAD = re.compile(r"[(\[][^()\[\]\n]{1,500}+[)\]]")
_STRING = re.compile(r"(?<!\\)\"((?:[^\"\\\n]|\\.)++)\"|(?<!\\)'((?:[^'\\\n]|\\.)++)'")
_TYPE = re.compile(
    r"(?:(?:typing\.)?(?:Optional|Final|ClassVar|Annotated)\[[\w., |\"']{1,60}+\]|str|bytes|string|String"
    r"|SecretStr|Text|&str|&'static str|Any|any|char|const char ?\*|object)"
    r"(?:\s?\|\s?None)?\s{0,3}=\s{0,3}(?!=)"
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
    r"(?i)(?<![\w-])((?:pass(?:word|phrase)(?:[ \t]{1,3}for[ \t]{1,3}\S{1,80}[ \t]{0,3}=)?|secret"
    r"|pragma[ \t]{1,3}(?:re)?key[ \t]{0,3}=|\[\"(?:pw|pass\w{0,6}|pwd|secret|token)\"\]"
    r"|identified[ \t]{1,3}(?:with[ \t]{1,3}\S{1,40}[ \t]{1,3})?by)"
    r"[ \t]{0,3}(?<=[\s=])(?:(?:is|was)[ \t]{1,3})?([\"']))([^\"'\n]{3,200})(?=\2)"
)
_KEY = re.compile(r"(?<![\w.-])([\w.-]++)(\\?[\"']?+[\]}]?[ \t]{0,3}(?:=>|:=|[=!]==?|[=:])[ \t]{0,3})")
_VALUE = re.compile(
    r"(?:(?i:bearer|basic|token|digest|negotiate) {1,3}[^\s,;&\"'|)}\]]+)"
    r"|\\\"[^\"\n]*|[bBrRuUfFN]{0,2}\"(?:[^\"\\\n]|\\.)*+\"?|[bBrRuUfFN]{0,2}'(?:[^'\\\n]|\\.)*+'?"
    r"|(?:\$\{\w{1,80}\}|[^\s,;&\"'|)}\]])+"
)
# The end of a string, or what is wholly a regular expression: `\s*(\S+`, `.*`, `\([^`.
_NO_VALUE = re.compile(
    r"['\"]\).*|(?=[\\.])(?:\\[SwWdDsB()\[\]]|[()\[\].*+?^$]|\{[0-9]{1,4}|\\(?![SwWdDsB()\[\]]))+", re.S
)
_PASSES = re.compile(r"[123](?::(?:turbo|[a-z_]{2,20}=[\w.-]{1,20}))+")  # of x264: `pass=1:turbo:me=umh`
# A word and at least two more behind a colon; a call; `@/run/token`.
_PROSE = re.compile(r"[a-zß-ÿ]{2,20}+(?: [a-z0-9ß-ÿ-]{1,30}+){2}")
_CALLED = re.compile(r"[A-Za-z_][A-Za-z_.]{1,40}+\(")
_FROM_FILE = re.compile(r"@[~.]{0,2}/[\w./-]{1,200}")
# Of one word of an argument list, where blanks belong to the value.
_WHOLE_MARKS = frozenset(" \"'&;(")
_MAX_WHOLE = 65_536
_MAX_NAME = 4096
# One look that most names pass: none of these, and no rule can match.
_MAY_HOLD_SECRET = re.compile(
    r"(?i)pass|pwd|secret|token|key|sess|sid|cred|cookie|auth|bearer|basic|pin|psk|otp|jwt|://|%3a%2f|:[^\s@/:]{3,200}@"
    r"|eyj|\$[1256y]|hook|jdbc|[a-z0-9+/_-]{24}|[a-z0-9]{2,12}[_.-][a-z0-9_.-]{16}|\bpw\b|\bsig\b|cert|seed|code=|salt|nonce|private|licen"
)
_WHOLE_NAMED = re.compile(  # `DB_PASS=S`, `Account:pass=S`, `knife[:password]=S`, up to the next `name=`
    r"((?:[^\s=\"'/,;&]{0,60}[^\w\s=\"'.-])?)([\w.-]{1,100}+)(\]?[=:] ?)"
    r"((?:(?![,;& ] ?[\w.-]{1,60}=.).)+)(?:[,;& ].*)?",
    re.S,
)
_WHOLE_VALUE = re.compile(r"(?:(?!\s[\w.-]{1,60}\s?=)[^,;&\"'|)}\]\n])+")
_RANDOM = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")

_BUILD = re.compile(r"[\w-]{20}/[\w-]{20}|\w{0,200}?17h[0-9a-f]{16}E")
_COMMIT = re.compile(r"[0-9a-f]{7,12}")
_BUILT = re.compile(r"(?:[a-z]{2,20}[-_]){0,4}(?:[0-9a-f]{8}|[0-9a-f]{16}|[0-9a-f]{20})")
_LONG_HEX = re.compile(r"[0-9a-f]{16}|[0-9A-F]{16}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def redact_name(name: str) -> str:
    """Give a name (of a function, file, thread, folder) with what is secret in it hidden: `password-…`."""
    if len(name) > _MAX_NAME:
        name = name[:_MAX_NAME] + TRUNCATED
    if _MAY_HOLD_SECRET.search(name) is None:
        return name
    return hide_patterns(name, lambda _rule, value: value if value in (HIDDEN, TRUNCATED) else HIDDEN)


def hide_patterns(text: str, hide: Hide) -> str:
    """Replace every secret that its own shape or its key gives away."""
    marks = _MARKS.intersection(text)  # most words have none, and most rules need one
    if marks:
        text = _hide_in_structures(text, marks, hide)
    text = _WEBHOOK.sub(lambda m: m[1] + hide("webhook", m[2]), text) if "/" in marks else text
    if ":" in marks:
        text = _SLASHED.sub(lambda m: m[1] + hide("option", m[2]), text)
        text = _URL.sub(lambda m: safe_url(m, hide), text)
        text = _LOGIN.sub(lambda m: f"{m[1]}:{_safe_login(m[2], hide)}@{m[3]}", text)
    if marks & _BLANKS:
        text = _SCHEME.sub(lambda m: m[1] + m[2] + hide_scheme(m[1], m[3], hide), text)
    text = _NAMED_PART.sub(lambda m: m[1] + _safe_part(m[1], m[2], hide), text)
    if len(text) < _SHORTEST_ISSUED:
        return text
    if _MAY_BE_ISSUED.search(text):
        text = _VENDOR.sub(lambda m: hide(m.lastgroup or "", m[0]), text)
    return _RANDOM.sub(lambda m: m[0] if _is_fingerprint(m) else _hide_random(m[0], hide), text)


def _hide_in_structures(text: str, marks: Set[str], hide: Hide) -> str:
    """What stands in a key file, behind a name, in a call, in a statement."""
    if "-----BEGIN" in text:
        text = _PEM.sub(lambda m: hide("private_key", m[0]), text)
    text = _HEADER.sub(lambda m: m[1] + m[2] + _safe_header(m[3], hide), text) if ":" in marks else text
    text = _XML.sub(lambda m: f"<{m[1]}{m[2]}{_if_named(m[1], m[3], hide)}", text) if "</" in text else text
    text = _XML_PAIR.sub(lambda m: m[1] + _if_named(m[2], m[3], hide), text) if "</" in text else text
    text = _ORACLE.sub(lambda m: m[1] + hide("url_login", m[2]), text) if "jdbc:" in text else text
    text = _ENCODED_URL.sub(lambda m: m[1] + hide("url_login", m[2]), text) if "%" in marks else text
    if not marks.isdisjoint("=:"):
        text = _IN_PARTS.sub(lambda m: m[1] + hide("keyed", m[2]), text)
        text = _USER_GIVEN.sub(lambda m: m[1] + (hide("login", m[2]) if _is_no_group(m[2]) else m[2]), text)
        text = _NAME_AND_VALUE.sub(lambda m: m[1] + _value_named(m[2], m[3], hide), text)
    if "(" in marks:
        text = _CALL.sub(lambda m: _safe_call(m, hide), text)
        text = _CRYPTO_CALL.sub(lambda m: m[1] + _safe_literals(m[2], hide), text)
    text = _hide_keyed(text, hide) if not marks.isdisjoint("=:") else text
    text = _INSERTED.sub(lambda m: m[1] + _safe_row(m[2], m[3], hide), text) if "(" in marks else text
    return _hide_in_phrases(text, hide) if marks & _BLANKS else text


def _hide_in_phrases(text: str, hide: Hide) -> str:
    """What stands behind words: `set password S`, `password is S`, `echo S | chpasswd`."""
    text = _SET.sub(lambda m: m[1] + _safe_setting(m, hide), text)
    text = _PROTOCOL.sub(lambda m: m[1] + hide("keyed", m[2]), text)
    text = _SET_FOR.sub(lambda m: m[1] + hide("keyed", m[2]), text)
    text = _LOGIN_WORDS.sub(lambda m: m[1] + (hide("login", m[3]) if is_person(m[2]) else m[3]), text)
    text = _PIPED.sub(lambda m: m[1] + hide("piped", m[2]) + m[3], text) if "|" in text else text
    text = _SAID.sub(lambda m: m[1] + hide("said", m[2]), text)
    return _QUOTED.sub(lambda m: m[1] + hide("said", m[3]), text)


def hide_whole_value(word: str, hide: Hide) -> str:
    """Hide a value in one word of an argument list: it ends where that word does, blanks and quotes in it.

    In free text the first blank ends a value: `PASSWORD=S ./run`.
    """
    if len(word) > _MAX_WHOLE or _WHOLE_MARKS.isdisjoint(word):
        return word
    if (
        (named := _WHOLE_NAMED.fullmatch(word)) is not None
        and named[2] != "auth"
        and is_sensitive(named[2])
        and named[4][0] not in "\"'[{("
        and not named[4].startswith(HIDDEN)
        and not _is_told(named[3], named[4])
    ):
        return named[1] + named[2] + named[3] + hide("keyed", named[4]) + word[named.end(4) :]
    for found in _KEY.finditer(word):
        value = _WHOLE_VALUE.match(word, found.end())
        if value is None or " " not in value[0] or not is_sensitive(found[1]):
            continue
        before = word[: found.start()]
        if "=" not in found[2] or not all("=" in piece for piece in before.split()[:-1] or before.split()):
            return word
        return before + found[0] + hide("keyed", value[0]) + word[value.end() :]
    return word


def _is_told(sign: str, value: str) -> bool:
    """A value that says where it is, or the rest of a sentence."""
    if _FROM_FILE.fullmatch(value) or is_choice(value):
        return True
    return sign == ": " and _is_prose(value)


def _is_prose(text: str) -> bool:
    return _PROSE.match(text) is not None and strangeness_bits(text.partition(" ")[0]) < _STRANGE_BITS


def _hide_keyed(text: str, hide: Hide) -> str:
    """Hide the value after `name=`, `name: ` and `"name": ` where the name announces a secret."""
    done: list[str] = []
    position = copied = 0
    while found := _KEY.search(text, position):
        position = found.end()
        is_sure = is_sensitive(found[1])
        if not is_sure and not is_suspicious(found[1]):
            continue
        if ":" in found[2] and (typed := _TYPE.match(text, position)):
            position = typed.end()
        listed = _LIST_AHEAD.match(text, position)
        if listed and is_sure and "{" not in listed[0]:
            safe = _STRING.sub(lambda m: m[0][0] + hide("keyed", m[0][1:-1]) + m[0][0], listed[0])
            done += [text[copied : listed.start()], safe]
            position = copied = listed.end()
            continue
        value = _VALUE.match(text, position)
        if value is None or value[0][0] in "([{" or _NO_VALUE.fullmatch(value[0]):
            continue
        if found[1] == "pass" and _PASSES.fullmatch(value[0]):
            continue
        if _is_label(text, found, value) or _CALLED.match(text, position):
            continue
        if not is_sure and not looks_made(value[0]):
            continue
        position = value.end()
        done += [text[copied : value.start()], _hide_value(value[0], hide)]
        copied = position
    return "".join([*done, text[copied:]])


def _is_label(text: str, key: re.Match[str], value: re.Match[str]) -> bool:
    """`//auth:token_test`, `auth::token`, `token:user:42`, and a subject: `token: handle expiry of it`."""
    if key[2] == ": " and _is_prose(text[value.start() : value.start() + 120]):
        return True
    if key[2] != ":" or value[0][0] in "\"'":
        return False
    if value[0][0] in ":/" or text[max(0, key.start() - 80) : key.start()].split(" ")[-1][:4] == "arn:":
        return True
    is_inside = text[key.start() - 1 : key.start()] in (":", "/")
    if is_inside and _COMMIT.fullmatch(value[0]):  # `registry/auth:3f7c9d1`
        return True
    is_path = is_inside or key[1] == "auth"
    parts = value[0].split(":")
    return (is_path or len(parts) > 1) and all(map(is_readable, parts))


def _hide_value(value: str, hide: Hide) -> str:
    bare = value.lstrip("bBrRuUfFN")
    prefix = value[: len(value) - len(bare)] if bare[:1] in ("'", '"') else ""
    value = value[len(prefix) :]
    for quote in ('\\"', '"', "'"):
        if value.startswith(quote):
            inside = value[len(quote) :].removesuffix(quote)
            tail = quote if len(value) > len(quote) and value.endswith(quote) else ""
            return prefix + quote + hide("keyed", inside) + tail if inside else prefix + value
    if _FROM_FILE.fullmatch(value) or is_file(value):
        return prefix + value
    is_login = value.partition("@")[0] == HIDDEN  # an earlier pass took `name:S@host` for one
    if is_login or value == TRUNCATED or is_choice(value):
        return value
    choice, colon, rest = value.partition(":")
    if not colon or not is_choice(choice):
        return hide("keyed", value)
    return f"{choice}:{rest if not rest or is_choice(rest) else hide('keyed', rest)}"


def _safe_header(value: str, hide: Hide) -> str:
    return value if _is_told(":", value) else hide("header", value)


def _safe_login(word: str, hide: Hide) -> str:
    """`bob:S@host`; `compress=zstd:3,subvol=@home` is none."""
    return word if word[-1] == "=" and "," in word else hide("login", word)


def _is_no_group(word: str) -> bool:
    """Tell a password behind `user=bob:` from a group's name or number."""
    return not (word.isdigit() or is_wordlike(word) or HIDDEN in word)


def _if_named(name: str, value: str, hide: Hide) -> str:
    """Hide a value under a telling name, but for what chooses a method."""
    is_secret = is_sensitive(name) or (is_suspicious(name) and looks_made(value))
    return hide("keyed", value) if is_secret and not is_choice(value) else value


def _safe_setting(found: re.Match[str], hide: Hide) -> str:
    """`set password S`, and `auth_pass S` of a configuration if S looks chosen."""
    name, value = found[2] or found[3], found[4]
    return _if_named(name, value, hide) if found[2] or looks_chosen(value) else value


def _safe_call(found: re.Match[str], hide: Hide) -> str:
    """`set_password("…")`: what is given to a function whose name announces a secret."""
    value = found[4] or found[5]
    quote = '"' if found[4] else "'"
    if len(value) < 3:  # `gen_salt('bf')`
        return found[0]
    return f"{found[1]}{found[3]}{quote}{_if_named(found[2], value, hide)}{quote}"


def _value_named(name: str, value: str, hide: Hide) -> str:
    quote = value[0] if value[0] in "\"'" else ""
    inside = value.strip(quote) if quote else value
    return (
        f"{quote}{_if_named(name, inside, hide)}{quote if value[1:].endswith(quote) else ''}"
        if inside
        else value
    )


def _safe_row(columns: str, row: str, hide: Hide) -> str:
    """The values of `INSERT INTO t (user, pw) VALUES ('bob', 'S')`."""
    names = [column.strip(' `"[]') for column in columns.split(",")]
    return _STRING.sub(lambda m: _safe_literal(m, hide), row) if any(map(is_sensitive, names)) else row


def _safe_literals(arguments: str, hide: Hide) -> str:
    """What is given to a call that encrypts, signs or logs in, up to its end."""
    end = arguments.find(")")
    inside, rest = (arguments, "") if end < 0 else (arguments[:end], arguments[end:])
    return _STRING.sub(lambda m: _safe_literal(m, hide), inside) + rest


def _safe_literal(found: re.Match[str], hide: Hide) -> str:
    value = found[1] or found[2]
    is_kept = (
        HIDDEN in value or is_choice(value) or value.isupper() or value in ("utf8", "utf-8", "hex", "base64")
    )
    return found[0] if is_kept else f"{found[0][0]}{hide('call', value)}{found[0][0]}"


def _safe_part(name: str, value: str, hide: Hide) -> str:
    """What follows `password-` or `sess_` in a name, unless it is made of words, a version or a date.

    `auth_token-HEX` and `change-password-HEX.js` are built so: of sessions alone such a part is theirs.
    """
    sign = name[-1]
    stem = value.partition(".")[0]
    if is_wordlike(value.partition("@")[0]):
        return value
    if _BUILT.fullmatch(stem) and not name.lower().startswith(("sess", "sid")):
        return value
    if sign in "./" and not (
        _UUID.match(value) or looks_chosen(value) or looks_random(value) or _LONG_HEX.match(value)
    ):
        return value
    is_ordinary = is_wordlike(value) or not any(map(str.isalpha, value)) or HIDDEN in value
    return value if is_ordinary else hide("named_part", value)


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
    if not looks_random(word) or is_named_thing(word):
        return word
    if "/" not in word or not _is_path(word):
        return hide("random", word)
    return "/".join(
        hide("random", part) if looks_random(part) and not part.islower() else part
        for part in word.split("/")
    )


def _is_fingerprint(found: re.Match[str]) -> bool:
    """`SHA256:…` of a public key, the two halves of a build of Go, the end of Rust's mangled names."""
    if found.string[max(0, found.start() - 7) : found.start()] == "SHA256:":
        return True
    return _BUILD.fullmatch(found[0]) is not None


def _is_path(word: str) -> bool:
    parts = word.split("/")
    return word.startswith("/") or sum(part.islower() or part.isdigit() for part in parts) * 2 >= len(parts)
