"""Incidents made fit to leave this machine: redacted, scanned again, and what is left replaced.

All incidents are gone through twice (what one of them gives away
is hidden in every other), and one at a time is held.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from monitord import __version__
from monitord.export.cleaning import Cleaner, Identities
from monitord.export.encoding import csv_rows, iso, json_text
from monitord.export.shapes import CSV_DETAIL_KEYS, detail, flat_detail
from monitord.model import TriggerMetric
from monitord.storage.views import IncidentView

FORMAT = "monitord-export/1"
ASKED_BY = re.compile(r"\Aasked for by hand by ([^\s,;:]+)")


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
        cleaner = Cleaner(identities)
        for view in self._views():
            learn_incident(cleaner, view)  # a secret found in one place is removed in every other
        for view in self._views():
            before = cleaner.replaced
            safe = cleaner.clean(detail(view))
            self.replaced[view.correlation_id] += cleaner.replaced - before
            yield safe
        self.hidden, self.replaced = cleaner.hidden, +self.replaced


def learn_incident(cleaner: Cleaner, view: IncidentView) -> None:
    """Let the cleaner know everything that one incident gives away."""
    user = view.process.user if view.process else None
    asked = ASKED_BY.search(view.reason) if view.metric is TriggerMetric.MANUAL else None
    cleaner.learn_names(
        users=filter(None, [user, asked[1] if asked else None]), machine_ids=filter(None, [view.boot_id])
    )
    cleaner.learn(detail(view))
