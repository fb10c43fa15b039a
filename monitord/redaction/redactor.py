"""What leaves this machine: every secret out, every identity under a pseudonym that stays the same.

One Redactor serves one export. Its key is random, so two exports can't be laid side by side; within one,
the same user, host or address always has the same pseudonym, so a story stays readable.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from urllib.parse import quote

from monitord.redaction.addresses import hide_addresses
from monitord.redaction.arguments import hide_arguments, hide_text
from monitord.redaction.hosts import hosts_in
from monitord.redaction.known import KnownWords
from monitord.redaction.lone_lines import redact_source
from monitord.redaction.words import HIDDEN, TRUNCATED, is_sensitive

_KEPT_NAMES = frozenset({"root", "nobody", "localhost", "localhost.localdomain", "user", "shared", "runner"})
# Too common to be removed everywhere only because somebody once used them as a password.
_COMMON = frozenset(
    {"true", "false", "none", "null", "password", "secret", "token", "python", "admin", "default"}
)
_MAX_DEPTH = 100
_REMEMBERED = 4096  # texts: a field's name, a process's, a frame's stand hundreds of times in one export
_HOME = re.compile(r"(?<![\w.])(/home/|/Users/|/run/user/|/var/home/)([^/\s:;,\"'()<>|&]{1,64}+)")


@dataclass(frozen=True, slots=True)
class _Read:
    """A text without what the rules hide in it, and what that is: rule and value."""

    safe: str
    hidden: list[tuple[str, str]]


class Redactor:
    """Redacts everything of one export: `learn` (optional) first, then `text` and `value`.

    `known` are secrets that the caller knows of; `users`, `hosts` and `machine_ids` are identities of this
    machine. `counts` says per rule how often something was replaced, for the manifest.
    """

    def __init__(
        self,
        *,
        home: bool = True,
        known: Iterable[str] = (),
        users: Iterable[str] = (),
        hosts: Iterable[str] = (),
        machine_ids: Iterable[str] = (),
        key: bytes | None = None,
    ) -> None:
        self._home = home
        self._key = key or os.urandom(32)
        self.counts: Counter[str] = Counter()
        self._secrets: set[str] = set()
        self._names: dict[str, str] = {}
        self._read: dict[str, _Read] = {}
        self._known_secrets = KnownWords(whole_words=False)
        self._known_names = KnownWords(whole_words=True)
        for secret in known:
            self._learn_secret(secret)
        self.learn_identities(users, hosts, machine_ids)

    def learn_identities(
        self, users: Iterable[str] = (), hosts: Iterable[str] = (), machine_ids: Iterable[str] = ()
    ) -> None:
        """Names of users and of machines, so that later texts have their pseudonyms instead."""
        for user in users:
            self._learn_name("user", user)
        for host in hosts:
            self._learn_name("host", host)
            self._learn_name("host", host.partition(".")[0], as_if=host)
        for machine_id in machine_ids:
            self._learn_machine_id(machine_id)

    def learn(self, value: object) -> None:
        """Look through JSON-like data for secrets and names, so that later texts lose them everywhere."""
        for piece in _strings(value):
            self._learn_from(piece)

    def text(self, text: str) -> str:
        """Give the text without secrets and with pseudonyms for users, homes, hosts and addresses."""
        self._learn_from(text)
        return self._redact(text)

    def source(self, line: str) -> str:
        """Give a line of Python without literals and identities; its code stays."""
        safe = redact_source(line)
        if safe != line:
            self.counts["source"] += 1
        return self._without_known(safe)

    def words(self, words: Sequence[str]) -> list[str]:
        """Give an argument list as one: an option and its value are two words."""
        return [self.text(word) for word in hide_arguments(words, self._count)]

    def learn_words(self, words: Sequence[str]) -> None:
        """Look through an argument list as one."""
        hide_arguments(words, self._note)
        self.learn(" ".join(words))

    def learn_found(self, secrets: Iterable[str], names: Mapping[str, Iterable[str]]) -> None:
        """Secrets and names (by kind), as they are spelt, that another Redactor came upon."""
        self._learn_spellings(secrets)
        for kind, spellings in names.items():
            for name in spellings:
                self._learn_name(kind, name)

    def names(self, kind: str) -> tuple[str, ...]:
        """Every spelling of a "user" or "host" that has a stand-in so far."""
        return tuple(name for name, stand_in in self._names.items() if stand_in.startswith(f"{kind}-"))

    @property
    def secrets(self) -> Set[str]:
        """Every value that was hidden so far, for a second scan; it grows with what is learned."""
        return self._secrets

    def value(self, value: object) -> object:
        """Give JSON-like data of the same shape: strings redacted, numbers kept, nothing dropped.

        A string under a name like "password" is hidden whatever it looks like; so is what lies deeper
        than a hundred levels, which no data of ours does.
        """
        self.learn(value)
        return self._walk(value)

    def pseudonym(self, kind: str, value: str) -> str:
        """Give `kind-xxxxxxxx`, the same for the same value within this Redactor."""
        digest = hmac.new(
            self._key, f"{kind}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256
        ).digest()
        return f"{kind}-{base64.b32encode(digest)[:8].decode().lower()}"

    # ------------------------------------------------------------------------------------- learning

    def _learn_from(self, text: str) -> None:
        for _rule, value in self._reading_of(text).hidden:
            self._learn_secret(value)
        for host in hosts_in(text):
            self._learn_name("host", host)
        if self._home:
            for found in _HOME.finditer(text):
                if found[1] != "/run/user/":
                    self._learn_name("user", found[2])

    def _note(self, _rule: str, value: str) -> str:
        self._learn_secret(value)
        return HIDDEN

    def _learn_secret(self, secret: str) -> None:
        plain = secret.strip().strip("\"'")
        if HIDDEN in plain or TRUNCATED in plain or not 5 <= len(plain) <= 4096 or plain.lower() in _COMMON:
            return
        if plain in self._secrets or (plain.isdigit() and len(plain) < 8) or plain.startswith("/"):
            return
        raw = plain.encode("utf-8", "surrogatepass")
        spellings = [plain, quote(raw, safe=""), base64.b64encode(raw).decode().rstrip("=")]
        if ":" in plain and len(login := plain.partition(":")[2]) >= 5:
            spellings.append(login)
        self._learn_spellings(spellings)

    def _learn_spellings(self, spellings: Iterable[str]) -> None:
        for spelling in spellings:
            self._secrets.add(spelling)
            self._known_secrets.add(spelling)

    def _learn_name(self, kind: str, name: str, as_if: str | None = None) -> None:
        if len(name) < 2 or name.lower() in _KEPT_NAMES or name in self._names or name.startswith(f"{kind}-"):
            return
        pseudonym = self.pseudonym(kind, as_if or name)
        self._name(name, pseudonym)
        if kind == "host":
            for spelling in (name.replace("-", "_"), name.replace(".", "-"), name.lower(), name.upper()):
                self._name(spelling, self._names.get(spelling, pseudonym))

    def _learn_machine_id(self, machine_id: str) -> None:
        plain = machine_id.strip().replace("-", "").lower()
        if len(plain) != 32 or plain in self._names:
            return
        parts = (plain[:8], plain[8:12], plain[12:16], plain[16:20], plain[20:])
        for spelling in (plain, "-".join(parts), plain.upper(), "-".join(parts).upper()):
            self._name(spelling, self.pseudonym("machine", plain))

    def _name(self, spelling: str, pseudonym: str) -> None:
        self._names[spelling] = pseudonym
        self._known_names.add(spelling)

    # ----------------------------------------------------------------------------------- redacting

    def _redact(self, text: str) -> str:
        read = self._reading_of(text)
        self.counts.update(rule for rule, _value in read.hidden)
        return self._without_known(read.safe)

    def _reading_of(self, text: str) -> _Read:
        read = self._read.get(text)
        if read is None:
            if len(self._read) >= _REMEMBERED:
                self._read.clear()
            read = self._read[text] = _read(text)
        return read

    def _without_known(self, text: str) -> str:
        text = self._known_secrets.replace(text, lambda _: self._count("known_value", ""))
        if self._home:
            text = _HOME.sub(self._home_folder, text)
        text = self._known_names.replace(text, self._pseudonym_of)
        return hide_addresses(text, self._address)

    def _count(self, rule: str, value: str) -> str:
        if value in (HIDDEN, TRUNCATED):
            return value
        self.counts[rule] += 1
        return HIDDEN

    def _pseudonym_of(self, name: str) -> str:
        pseudonym = self._names[name]
        self.counts[pseudonym.partition("-")[0]] += 1
        return pseudonym

    def _home_folder(self, found: re.Match[str]) -> str:
        name = found[2]
        if name.lower() in _KEPT_NAMES or name.startswith(("user-", "uid-")):
            return found[0]
        self.counts["home"] += 1
        return found[1] + (
            self.pseudonym("uid", name) if found[1] == "/run/user/" else self.pseudonym("user", name)
        )

    def _address(self, kind: str, canonical: str) -> str:
        self.counts[kind.partition("-")[0]] += 1
        return self.pseudonym(kind, canonical)

    def _walk(self, value: object, hidden: bool = False, depth: int = 0) -> object:
        if depth > _MAX_DEPTH:
            return self._count("too_deep", "")
        if isinstance(value, str):
            return self._count("keyed", value) if hidden and value else self._redact(value)
        if isinstance(value, Mapping):
            walked: dict[object, object] = {}
            for name, inner in value.items():
                if name == "source_line" and isinstance(inner, str):
                    walked[name] = self.source(inner)
                    continue
                safe: object = self._redact(name) if isinstance(name, str) else name
                while safe in walked:
                    safe = f"{safe}#"
                walked[safe] = self._walk(
                    inner, hidden or (isinstance(name, str) and is_sensitive(name)), depth + 1
                )
            return walked
        if isinstance(value, (list, tuple)):
            return [self._walk(inner, hidden, depth + 1) for inner in value]
        return value


def _read(text: str) -> _Read:
    hidden: list[tuple[str, str]] = []

    def hide(rule: str, value: str) -> str:
        if value in (HIDDEN, TRUNCATED):
            return value
        hidden.append((rule, value))
        return HIDDEN

    return _Read(hide_text(text, hide), hidden)


def _strings(value: object, named: str = "", depth: int = 0) -> Iterable[str]:
    """Give all texts in JSON-like data; those under a telling name come as `name=value`."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, str):
        yield f'{named}="{value}"' if named and '"' not in value else value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if name == "source_line":
                continue  # its literals go whatever they are, and its code stays
            sensitive = isinstance(name, str) and is_sensitive(name)
            yield from _strings(inner, "password" if sensitive else named, depth + 1)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner, named, depth + 1)
