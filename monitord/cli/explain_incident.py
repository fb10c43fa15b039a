"""`explain ID`: an incident in plain sentences, from what was recorded."""

from __future__ import annotations

from monitord.cli.context import CliContext
from monitord.cli.terminal import emit, page, width, wrap
from monitord.export.encoding import json_text
from monitord.export.explaining import explain_incident, sentence_row
from monitord.export.surroundings import surroundings_of
from monitord.redaction import printable


def tell_incident(context: CliContext, incident_id: str, *, as_json: bool) -> None:
    """Print the sentences about an incident."""
    reader = context.reader()
    view = reader.incident(reader.find(incident_id).correlation_id)
    sentences = explain_incident(view, surroundings_of(reader, view))
    if as_json:
        said = [sentence_row(each) for each in sentences]
        emit(json_text({"correlation_id": view.correlation_id, "sentences": said}) + "\n")
        return
    columns = min(width(), 100)
    style, about = context.style(), ""
    lines: list[str] = []
    for sentence in sentences:
        if sentence.about != about:
            lines += [""] if about else []
            about = sentence.about
        dim = ("dim",) if about in ("unknown", "further") else ()
        lines += [style.paint(line, *dim) for line in wrap(printable(sentence.text), columns)]
    page(lines)
