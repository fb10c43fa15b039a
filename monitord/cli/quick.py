"""`summary` and `open`: one incident to paste, or in the browser."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import typer

from monitord.cli.context import CliContext
from monitord.cli.show import IdArgument
from monitord.cli.terminal import emit, say


class SummaryForm(StrEnum):
    """How a summary is written."""

    TEXT = "text"
    MARKDOWN = "markdown"


def summary(
    context: CliContext,
    incident_id: IdArgument,
    output: Annotated[
        SummaryForm, typer.Option("-o", "--output", help="text, or markdown for a ticket.")
    ] = SummaryForm.TEXT,
    copy: Annotated[bool, typer.Option("--copy", help="Put it into the clipboard, too.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Hide nothing in it.")] = False,
) -> None:
    """Print an incident in a few lines, ready to paste: without secrets and names of users and machines."""
    from monitord.actions import desktop
    from monitord.actions.summary import summary as summary_of

    found = summary_of(context.workspace, incident_id, raw=raw)
    text = found.as_markdown() if output is SummaryForm.MARKDOWN else found.as_text()
    emit(text)
    if copy:
        desktop.copy(text, os.environ)
        say("copied to the clipboard")


class OpenedPage(StrEnum):
    """What the browser shows."""

    REPORT = "report"
    FLAMEGRAPH = "flamegraph"


def open_incident(
    context: CliContext,
    incident_id: IdArgument,
    page: Annotated[
        OpenedPage, typer.Option("--page", help="report: everything; flamegraph: the flame graph alone.")
    ] = OpenedPage.REPORT,
) -> None:
    """Open an incident in the browser: everything that is known of it on one page, or its flame graph."""
    from monitord.actions import desktop
    from monitord.actions.comparing import evidence
    from monitord.actions.exporting import profile_in_form, report, write_export
    from monitord.actions.incidents import find
    from monitord.storage.ids import short_id

    workspace = context.workspace
    name = short_id(find(workspace, incident_id).correlation_id)
    file = f"{name}.{'report.' if page is OpenedPage.REPORT else ''}html"
    form = f" --format {page.value}"
    desktop.refuse_as_root(f"sudo monitord export {name}{form} -o {file} && xdg-open {file}")
    if page is OpenedPage.REPORT:
        written = report(workspace, name, "html")
    else:
        written = profile_in_form(evidence(workspace, name), page.value, raw=False)
    path = desktop.page_to_open(file)
    write_export(path, written.content)
    emit(f"{path}\n")
    desktop.open_page(path, os.environ)
