"""One incident in a few lines, ready to paste into a ticket or a chat. Pure; it is cleaned before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitord.export.markdown import code, inline
from monitord.redaction import printable

_FUNCTIONS = 3
_LEAST_SHARE = 0.05
_UNKNOWN = 2
_BEFORE = 2
_NOTES = 3
_LONGEST = 400


@dataclass(frozen=True, slots=True)
class Summary:
    """What a message says: one sentence, whom it is about, when, why, what is known, how to look further.

    `name` is the incident's short id. `facts` are labels with texts, `unknown` what could not be found out.
    """

    name: str
    verdict: str
    headline: str
    when: str
    why: str
    facts: Sequence[tuple[str, str]] = ()
    unknown: Sequence[str] = ()

    @property
    def further(self) -> str:
        """The command that shows everything."""
        return f"monitord show {self.name}"

    def as_text(self) -> str:
        """Plain text, a few lines."""
        return "\n".join(printable(line) for line in self._lines()) + "\n"

    def as_markdown(self) -> str:
        """Markdown in which foreign texts stay texts."""
        lines = [f"**{inline(self.verdict)}**", "", f"- {inline(self.headline)}, {inline(self.when)}"]
        lines += [f"- **{inline(label)}**: {inline(text)}" for label, text in self._all_facts()]
        lines.append(f"- **look further**: {code(self.further)}")
        return "\n".join(lines) + "\n"

    def _lines(self) -> Iterator[str]:
        yield self.verdict
        yield f"  {self.headline}, {self.when}"
        for label, text in self._all_facts():
            yield f"  {label}: {text}"
        yield f"  look further: {self.further}"

    def _all_facts(self) -> Iterator[tuple[str, str]]:
        for label, text in (("why", self.why), *self.facts, *(("not known", one) for one in self.unknown)):
            yield label, _limited(text)


def summary_of(document: Mapping[str, Any]) -> Summary:
    """Make it from a report's document (`report.document_of`)."""
    incident = document["incident"]
    spots = [one for one in incident["hotspots"] if one["self_share"] >= _LEAST_SHARE][:_FUNCTIONS]
    facts = [("hottest", "; ".join(map(_function, spots)))] if spots else []
    cause = incident["cause"]
    if cause:
        facts.append(("cause", document["cause"]))
        facts += [("decided by", cause["decides"])] if cause["decides"] else []
    before = [one["text"] for one in document["sentences"] if one["about"] == "before"]
    facts += [("before", text) for text in before[:_BEFORE]]
    facts += _notes([note["text"] for note in incident["annotations"]])
    unknown = [one["text"] for one in document["sentences"] if one["about"] == "unknown"]
    return Summary(
        document["name"], document["verdict"], _limited(document["headline"]), document["when"],
        document["why"], tuple(facts), tuple(unknown[:_UNKNOWN]),
    )  # fmt: skip


def _notes(texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The last ones; of those before them how many there are."""
    yield from (("note", text) for text in texts[-_NOTES:])
    if len(texts) > _NOTES:
        yield "notes", f"{len(texts) - _NOTES} earlier"


def _limited(text: str) -> str:
    """As it is shown, no longer than anybody reads in a message."""
    shown = printable(text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _function(spot: Mapping[str, Any]) -> str:
    place = f" ({spot['file']}:{spot['line']})" if spot["file"] and spot["line"] else ""
    seen = f", {spot['seen']}" if spot["seen"] else ""
    return f"{spot['self_share'] * 100:.0f} % {spot['function']}{place}{seen}"
