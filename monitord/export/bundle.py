"""Incidents made fit to leave this machine: redacted, scanned again, and what is left replaced.

The first pass replaces secrets and identities. The second scan goes by other means; what it finds is replaced
and counted, and everything else is written. All incidents are gone through twice (what one of them gives away
is hidden in every other), and one at a time is held.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitord import __version__
from monitord.export.encoding import csv_rows, iso, json_text
from monitord.export.shapes import CSV_DETAIL_KEYS, detail, flat_detail
from monitord.redaction import Redactor, SecondScan
from monitord.storage.views import IncidentView

FORMAT = "monitord-export/1"


@dataclass(frozen=True, slots=True)
class Identities:
    """This machine's names, so that they can be replaced wherever they stand."""

    users: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    machine_ids: tuple[str, ...] = ()


class Bundle:
    """One export. `views` gives the incidents each time it is called; without `identities` nothing is hidden.

    `count`, `hidden` (how often each rule hid something; None: nothing was to be hidden) and `replaced` (by
    incident, what only the second scan found) hold once everything was written.
    """

    def __init__(
        self,
        views: Callable[[], Iterable[IncidentView]],
        exported_at: datetime,
        identities: Identities | None = None,
    ) -> None:
        self._views = views
        self._exported_at = exported_at
        self._identities = identities
        self.count = 0
        self.hidden: Mapping[str, int] | None = None
        self.replaced: Counter[str] = Counter()

    def as_json(self) -> Iterator[str]:
        """Yield one object: who wrote it, the incidents as in `show -o json`, what was hidden in them."""
        about = {
            "format": FORMAT,
            "monitord": __version__,
            "exported_at": iso(self._exported_at),
            "redacted": self._identities is not None,
        }
        yield json_text(about).removesuffix("\n}") + ',\n  "incidents": ['
        for number, incident in enumerate(self.incidents()):
            yield ("," if number else "") + "\n" + textwrap.indent(json_text(incident), "    ")
        told = {"hidden": self.hidden, "replaced": self.replaced}
        yield ("\n  ]" if self.count else "]") + "," + json_text(told).removeprefix("{") + "\n"

    def as_csv(self) -> Iterator[str]:
        """Yield a header, then one row for each incident (RFC 4180)."""
        yield csv_rows(CSV_DETAIL_KEYS, ())
        for incident in self.incidents():
            yield csv_rows(CSV_DETAIL_KEYS, [flat_detail(incident)], header=False)

    def incidents(self) -> Iterator[Mapping[str, Any]]:
        """Each as it is to be written."""
        self.count, self.hidden, self.replaced = 0, None, Counter()
        shaped = (detail(view) for view in self._views())
        for incident in shaped if self._identities is None else self._redacted(self._identities):
            self.count += 1
            yield incident

    def _redacted(self, identities: Identities) -> Iterator[Mapping[str, Any]]:
        """Without secrets and identities, and without what a second scan still finds."""
        redactor = Redactor(
            users=identities.users, hosts=identities.hosts, machine_ids=identities.machine_ids
        )
        for view in self._views():
            _learn(redactor, view)  # a secret found in one place is removed in every other
        redactor.counts.clear()
        scan, known = SecondScan(redactor.secrets), len(redactor.secrets)
        for view in self._views():
            incident = _shaped(redactor, view)
            safe = _restore(incident, redactor.value(incident))
            if len(redactor.secrets) > known:  # it has got more since it was looked through
                scan, known = SecondScan(redactor.secrets), len(redactor.secrets)
            before = scan.replaced
            safe = _scanned(scan, safe)
            self.replaced[view.correlation_id] += scan.replaced - before
            yield safe
        self.hidden, self.replaced = dict(sorted(redactor.counts.items())), +self.replaced


def _learn(redactor: Redactor, view: IncidentView) -> None:
    user = view.process.user if view.process else None
    redactor.learn_identities(users=filter(None, [user]), machine_ids=filter(None, [view.boot_id]))
    redactor.learn(detail(view))
    _shaped(redactor, view)


def _shaped(redactor: Redactor, view: IncidentView) -> dict[str, Any]:
    """The incident as it is written, its command line redacted as one."""
    incident = detail(view)
    if incident["process"]:
        words = incident["process"]["command_line"]
        redactor.learn_words(words)
        incident["process"]["command_line"] = redactor.words(words)
    return incident


# Our own words and numbers: they say nothing about anybody and must stay comparable.
_OWN_KEYS = frozenset(
    {"id", "correlation_id", "captured_at", "raised_at", "crossed_at", "taken_at", "started_at", "checksum"}
    | {"func_id", "stmt_id", "func_hash", "ast_version"}
)


def _restore(before: Any, after: Any) -> Any:
    """What was redacted, but for our own ids and times."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return {
            key: before[key] if key in _OWN_KEYS else _restore(before.get(key), inner)
            for key, inner in after.items()
        }
    if isinstance(before, list) and isinstance(after, list):
        return [_restore(old, new) for old, new in zip(before, after, strict=True)]
    return after


def _scanned(scan: SecondScan, value: Any, key: str = "") -> Any:
    """The same shape, scanned again; a command line as one."""
    if isinstance(value, str):
        return value if key in _OWN_KEYS else scan.text(value)
    if isinstance(value, Mapping):
        return {name: _scanned(scan, inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list):
        is_words = key == "command_line" and all(isinstance(word, str) for word in value)
        return scan.words(value) if is_words else [_scanned(scan, inner, key) for inner in value]
    return value
