"""Incidents and profiles as files: which ones, without which names, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitord.actions.files import calling_user, write_file
from monitord.actions.identities import identities
from monitord.actions.reporting import Known, known_of
from monitord.actions.workspace import Workspace, ignore
from monitord.errors import DamagedRowError, MonitordError, NotFoundError, UsageError
from monitord.export.bundle import Bundle, learn_incident
from monitord.export.cleaning import Cleaner, Identities
from monitord.export.encoding import json_text
from monitord.export.evidence import Evidence, Written, write_difference, write_form, write_forms
from monitord.export.report import cleaned_again
from monitord.export.summary import summary_of
from monitord.model import counted
from monitord.redaction import printable
from monitord.storage.queries import StoreReader
from monitord.storage.views import IncidentView, RecentFilter

GRAPH = "graph-data"
PROFILE_FILES = {
    "flamegraph": "profile.html",
    "speedscope": "profile.speedscope.json",
    "pprof": "profile.pb.gz",
    "folded": "profile.folded",
    "profile-json": "profile.json",
}
"""Every form of a profile, and what its file is called in an archive."""
_WATCHED_EACH = 100
_REPORTS = {"html": "html", "markdown": "md"}


@dataclass(frozen=True, slots=True)
class ChosenIncidents:
    """Gives the incidents, read anew at each call: of all of them only the ids are held.

    Of a period, retention may delete some meanwhile: they are left out, and told once. A named one that is
    gone raises NotFoundError. `watch` hears how far it is.
    """

    reader: StoreReader
    ids: Sequence[str]
    are_named: bool
    tell: Callable[[str], object]
    watch: Callable[[str], object] = ignore
    _told: set[str] = field(default_factory=set)

    def __call__(self) -> Iterator[IncidentView]:
        gone = 0
        for number, correlation_id in enumerate(self.ids):
            if number % _WATCHED_EACH == 0:
                self.watch(f"incident {number:,} of {len(self.ids):,}")
            try:
                view = self.reader.incident(correlation_id)
            except (NotFoundError, DamagedRowError) as error:
                if self.are_named:
                    raise
                if correlation_id not in self._told:
                    self.tell(f"monitord: left out: {error}")
                    self._told.add(correlation_id)
                    gone += 1
                continue
            yield view
        if gone:
            self.tell(f"monitord: left out of the period: {counted(gone, 'incident')}")


def choose(
    workspace: Workspace,
    names: Sequence[str],
    period: RecentFilter,
    watch: Callable[[str], object] = ignore,
) -> ChosenIncidents:
    """Choose the incidents that are named, or all of a period; raises NotFoundError where there are none."""
    if names and (period.since or period.until or period.process):
        raise UsageError("invalid call: expected incidents, or a period or process, not both")
    reader = workspace.reader()
    records = (reader.find(name) for name in names) if names else reader.each_recent(period)
    ids = list(dict.fromkeys(record.correlation_id for record in records))
    if not ids:
        raise NotFoundError("cannot find an incident that matches; `monitord recent` lists what there is")
    return ChosenIncidents(reader, ids, bool(names), workspace.tell, watch)


def bundle_of(
    workspace: Workspace,
    names: Sequence[str],
    period: RecentFilter,
    *,
    raw: bool = False,
    watch: Callable[[str], object] = ignore,
) -> Bundle:
    """Return incidents to be written as one file; `raw` hides nothing. `watch` hears how far it is."""
    chosen = choose(workspace, names, period, watch)
    return Bundle(chosen, datetime.now(UTC), None if raw else identities())


def profile_in_form(evidence: Evidence, form: str, *, raw: bool, key: bytes | None = None) -> Written:
    """Return a profile in a form of `monitord.profiles.writing`; `raw` hides nothing in it.

    `key` makes the stand-ins for names; without one they are others each time.
    """
    return write_form(evidence, form, None if raw else _all_known_of(evidence.view, key=key))


def _all_known_of(*views: IncidentView, key: bytes | None = None) -> Identities:
    """What this machine and the incidents give away, so that it is hidden in their profiles, too."""
    names = identities(views)
    cleaner = Cleaner(names if key is None else replace(names, key=key))
    for view in views:
        learn_incident(cleaner, view)
    return cleaner.identities


def report(workspace: Workspace, name: str, form: str, *, raw: bool = False) -> Written:
    """Return everything that is known of one incident as a page of its own; `form` is html or markdown.

    Without secrets and identities; `raw` hides nothing. Raises NotFoundError for no such incident.
    """
    known = known_of(workspace, name, raw=raw)
    drawn, document = _drawn(known, (GRAPH,))
    return Written(_page(form, document, drawn), (), document.get("hidden"))


def incident_archive(
    workspace: Workspace, name: str, *, raw: bool = False, tell: Callable[[str], object] = ignore
) -> Written:
    """Return a tar.zst of one incident: report, JSON, CSV, its profile in every form, configuration, doctor.

    `tell` hears what is being made. Raises as `report` does.
    """
    from monitord.export.archive import archive

    tell("reading the incident")
    known = known_of(workspace, name, raw=raw)
    configuration = _configuration(workspace, known.cleaner)
    tell("writing the profile in every form")
    drawn, document = _drawn(known, (GRAPH, *PROFILE_FILES))
    tell("writing the report")
    files = {f"report.{ending}": _page(form, document, drawn) for form, ending in _REPORTS.items()}
    files["summary.md"] = summary_of(document).as_markdown().encode("utf-8", "backslashreplace")
    one = Bundle(lambda: [known.view], datetime.now(UTC), known.identities)
    files["incident.json"] = "".join(one.as_json()).encode()
    files["incident.csv"] = "".join(one.as_csv()).encode()
    files |= {file: drawn[form].content for form, file in PROFILE_FILES.items() if form in drawn}
    shown = known.cleaner.clean(configuration) if known.cleaner else configuration
    files["configuration.json"] = f"{json_text(shown)}\n".encode()
    files["doctor.json"] = f"{json_text(document['doctor'])}\n".encode()
    tell("packing")
    about = {"incident": known.view.correlation_id, "redacted": not raw}
    folder = f"monitord-incident-{document['name']}"
    return Written(archive(folder, files, datetime.now(UTC), about), (), document.get("hidden"))


def _drawn(known: Known, forms: Sequence[str]) -> tuple[dict[str, Written], Mapping[str, Any]]:
    """The profile in these forms, empty without a profile; and the document, which says what went wrong.

    What one of them gives away is hidden in the other.
    """
    document, cleaner = known.document, known.cleaner
    drawn: dict[str, Written] = {}
    if known.evidence is not None:
        try:
            drawn = write_forms(known.evidence, forms, known.identities)
        except MonitordError as error:
            words = f"Its profile can't be drawn: {printable(str(error))}."
            document = {**document, "trouble": [*document["trouble"], words]}
    if cleaner is None:
        return drawn, document
    written = next(iter(drawn.values()), Written(b""))  # all forms are of one profile
    cleaner.learn_found(written.found)
    return drawn, cleaned_again(document, cleaner, written.hidden)


def _page(form: str, document: Mapping[str, Any], drawn: Mapping[str, Written]) -> bytes:
    from monitord.export.report_html import write_html
    from monitord.export.report_markdown import write_markdown

    graph = json.loads(drawn[GRAPH].content) if GRAPH in drawn else None
    return write_html(document, graph) if form == "html" else write_markdown(document, graph)


def _configuration(workspace: Workspace, cleaner: Cleaner | None) -> Any:
    """What is in force, or why it can't be used; the cleaner learns it."""
    from monitord.actions.configuration import shown_settings

    try:
        loaded = workspace.config()
        shown: dict[str, Any] = shown_settings(loaded)
        users = [user for rule in loaded.settings.rules for user in rule.match.users if not user.isdigit()]
    except MonitordError as error:
        shown, users = {"error": str(error)}, []
    if cleaner is not None:
        cleaner.learn_names(users=users)
        cleaner.learn(shown)
    return shown


def flame_graph_of_both(before: Evidence, after: Evidence, *, raw: bool) -> Written:
    """Return a flame graph of the second, coloured by what changed since the first."""
    return write_difference(before, after, None if raw else _all_known_of(before.view, after.view))


def graph_of(evidence: Evidence) -> bytes:
    """Return what a flame graph is drawn from, as JSON; nothing is hidden in it."""
    return write_form(evidence, GRAPH, None).content


def graph_of_both(before: Evidence, after: Evidence) -> bytes:
    """Return what a flame graph of the second is drawn from, with what it was in the first."""
    return write_difference(before, after, None, GRAPH).content


def write_export(path: Path, content: bytes | Iterable[bytes]) -> str | None:
    """Write the whole file or none of it, for its owner alone; a device or a pipe is written to as it is.

    Under sudo it belongs to who typed that, in a folder where they could have made it; elsewhere it is
    root's, and what is returned says so.
    """
    write_file(path, content, keeps_mode=False, for_caller=True)
    caller = calling_user()
    if caller is None or not path.is_file() or path.stat().st_uid == caller[0]:
        return None
    return f"{printable(str(path))} belongs to root, because its folder is not yours: `sudo cat` reads it"
