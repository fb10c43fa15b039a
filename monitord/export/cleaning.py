"""Plain values made fit to leave this machine: secrets out, identities under stand-ins, then a second scan.

The first pass replaces secrets and identities. The second goes by other means; what it finds is replaced and
counted. One Cleaner serves one file: within it the same user or host always has the same stand-in.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from monitord.redaction import Redactor, SecondScan

# Our own words and numbers: they say nothing about anybody and must stay comparable. Where names are a
# profiler's choice nothing is ours.
_OWN_KEYS = frozenset(
    {"id", "correlation_id", "captured_at", "raised_at", "crossed_at", "taken_at", "started_at", "checksum"}
    | {"func_id", "stmt_id", "func_hash", "ast_version"}
)
_FOREIGN = frozenset({"notes"})


@dataclass(frozen=True, slots=True)
class Found:
    """Secrets and names that were come upon in texts: in what leaves with these they are hidden, too."""

    secrets: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    @classmethod
    def by(cls, redactor: Redactor) -> Found:
        """Return what a Redactor came upon."""
        return cls(tuple(sorted(redactor.secrets)), redactor.names("user"), redactor.names("host"))

    def teach(self, redactor: Redactor) -> None:
        """Let a Redactor know it."""
        redactor.learn_found(self.secrets, {"user": self.users, "host": self.hosts})

    def as_plain(self) -> dict[str, list[str]]:
        """Return it as JSON can hold it; `from_plain` reads it."""
        return {each.name: list(map(_as_hex, getattr(self, each.name))) for each in fields(self)}

    @classmethod
    def from_plain(cls, told: Mapping[str, Sequence[str]]) -> Found:
        """Return what `as_plain` wrote."""
        return cls(**{each.name: tuple(map(_from_hex, told[each.name])) for each in fields(cls)})


def _as_hex(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").hex()


def _from_hex(text: str) -> str:
    return bytes.fromhex(text).decode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Identities:
    """This machine's names, so that they can be replaced wherever they stand.

    `key` makes the stand-ins: with the same one they are the same. `found` was found elsewhere in what leaves
    together.
    """

    users: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    machine_ids: tuple[str, ...] = ()
    key: bytes = field(default_factory=lambda: os.urandom(32))
    found: Found = field(default_factory=Found)

    def redactor(self) -> Redactor:
        """Return a Redactor that knows them."""
        redactor = Redactor(users=self.users, hosts=self.hosts, machine_ids=self.machine_ids, key=self.key)
        self.found.teach(redactor)
        return redactor

    def as_plain(self) -> dict[str, Any]:
        """Return them as JSON can hold them; `from_plain` reads it."""
        return {
            "users": self.users, "hosts": self.hosts, "machine_ids": self.machine_ids, "key": self.key.hex(),
            "found": self.found.as_plain(),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, told: Mapping[str, Any]) -> Identities:
        """Return what `as_plain` wrote."""
        names = {kind: tuple(told[kind]) for kind in ("users", "hosts", "machine_ids")}
        return cls(**names, key=bytes.fromhex(told["key"]), found=Found.from_plain(told["found"]))


class Cleaner:
    """`learn` everything first (a secret found in one place is removed in every other), then `clean` it.

    `hidden` says how often each rule hid something, `replaced` what only the second scan found.
    """

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self._redactor = identities.redactor()
        self._scan = SecondScan()
        self._known = -1
        self.replaced = 0

    def learn_names(self, users: Iterable[str] = (), machine_ids: Iterable[str] = ()) -> None:
        """Names that are to have stand-ins."""
        self._redactor.learn_identities(users=users, machine_ids=machine_ids)

    def learn_found(self, found: Found) -> None:
        """What was found in something else that leaves together with this."""
        found.teach(self._redactor)

    def learn(self, value: Any) -> None:
        """Look through plain data for secrets and names; what it counts so far is forgotten."""
        self._redactor.learn(value)
        self._with_words(value)
        self._redactor.counts.clear()

    def clean(self, value: Any) -> Any:
        """Return plain data of the same shape, fit to leave."""
        value = self._with_words(value)
        safe = _restored(value, self._redactor.value(value))
        if len(self._redactor.secrets) > self._known:  # it has got more since it was looked through
            self._scan, self._known = SecondScan(self._redactor.secrets), len(self._redactor.secrets)
        before = self._scan.replaced
        safe = _scanned(self._scan, safe)
        self.replaced += self._scan.replaced - before
        return safe

    @property
    def hidden(self) -> dict[str, int]:
        return dict(sorted(self._redactor.counts.items()))

    @property
    def identities(self) -> Identities:
        """What another process needs for the same stand-ins, and to know the same secrets."""
        return replace(self._identities, found=Found.by(self._redactor))

    def _with_words(self, value: Any) -> Any:
        """Every command line redacted as one: an option and its value are two words."""
        if isinstance(value, Mapping):
            return {name: self._worded(name, inner) for name, inner in value.items()}
        return [self._with_words(inner) for inner in value] if isinstance(value, list | tuple) else value

    def _worded(self, name: str, value: Any) -> Any:
        if not _is_command_line(name, value):
            return self._with_words(value)
        self._redactor.learn_words(value)
        return self._redactor.words(value)


def _is_command_line(name: str, value: Any) -> bool:
    return (
        name == "command_line"
        and isinstance(value, list | tuple)
        and all(isinstance(word, str) for word in value)
    )


def _restored(before: Any, after: Any) -> Any:
    """What was redacted, but for our own ids and times."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return {key: _own(before, key, inner) for key, inner in after.items()}
    if isinstance(before, list) and isinstance(after, list):
        return [_restored(old, new) for old, new in zip(before, after, strict=True)]
    return after


def _own(before: Mapping[str, Any], key: str, after: Any) -> Any:
    if key in _FOREIGN:
        return after
    return before[key] if key in _OWN_KEYS else _restored(before.get(key), after)


def _scanned(scan: SecondScan, value: Any, key: str = "") -> Any:
    """The same shape, scanned again; a command line as one."""
    if isinstance(value, str):
        return value if key in _OWN_KEYS else scan.text(value)
    if isinstance(value, Mapping) and key in _FOREIGN:
        return {scan.text(name): _scanned(scan, inner) for name, inner in value.items()}
    if isinstance(value, Mapping):
        return {name: _scanned(scan, inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list):
        return scan.words(value) if _is_command_line(key, value) else [_scanned(scan, v, key) for v in value]
    return value
