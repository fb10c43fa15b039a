"""`doctor`: what is missing for good evidence, each with the exact fix."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitord import __version__
from monitord.cli.context import CliContext, JsonFlag, OutputFlag, wants_json
from monitord.cli.terminal import Style, emit, wrap
from monitord.cli.terminal import width as screen_width
from monitord.errors import ConfigError, MonitordError
from monitord.export.encoding import json_text
from monitord.redaction import printable

if TYPE_CHECKING:
    from monitord.config import LoadedConfig, Settings
    from monitord.doctor import Check, Surroundings

_PAINT = {"ok": "green", "warning": "yellow", "failure": "red"}


def doctor(
    context: CliContext,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are failures too: exit 1.")] = False,
    output: OutputFlag = None,
    json: JsonFlag = False,
) -> None:
    """Check permissions, tools and the store.

    Each finding comes with the exact fix. Exit 1 when something essential is missing.
    """
    from monitord.doctor import run_checks

    as_json = wants_json(output, json)
    loaded, broken = _configured(context)
    checks = [*broken, *run_checks(_surroundings(context, loaded.settings)), *_storage_urls(loaded)]
    if as_json:
        shown = [
            {"name": c.name, "outcome": c.outcome, "detail": printable(c.detail), "fix": c.fix}
            for c in checks
        ]
        emit(json_text(shown) + "\n")
    else:
        for line in _lines(checks, context.style(), screen_width()):
            emit(f"{line}\n")
    sys.stdout.flush()
    bad = [check for check in checks if check.outcome == "failure" or (strict and check.outcome == "warning")]
    if bad:
        names = ", ".join(dict.fromkeys(check.name for check in bad))
        raise MonitordError(f"{len(bad)} of {len(checks)} checks need attention: {names}")


def _configured(context: CliContext) -> tuple[LoadedConfig, list[Check]]:
    """The configuration; where it can't be used the defaults, and a check that says so."""
    from monitord.config import load
    from monitord.doctor import Check

    try:
        return context.config(), []
    except ConfigError as error:
        failure = Check("configuration", "failure", str(error), "monitord config validate")
        return load(Path(os.devnull), {}), [failure]


def _storage_urls(loaded: LoadedConfig) -> Iterator[Check]:
    """Whether evidence can be kept at what is configured; nothing is connected to."""
    from monitord.doctor import Check
    from monitord.recorder.artefact_stores import check_storage

    if not (loaded.settings.storage.url or loaded.settings.storage.archive_url):
        return
    try:
        check_storage(loaded)
    except MonitordError as error:
        yield Check("storage url", "failure", str(error), "monitord config validate")
    else:
        yield Check("storage url", "ok", "supported; `monitord storage status` tries it")


def _surroundings(context: CliContext, settings: Settings) -> Surroundings:
    from monitord.doctor import Surroundings

    return Surroundings(
        data_dir=context.data_dir(),
        version=__version__,
        max_total_bytes=settings.retention.max_total_bytes,
        min_free_disk_bytes=settings.retention.min_free_disk_bytes,
        is_remote=bool(settings.storage.url),
        units=_units(),
    )


def _units() -> Mapping[Path, str]:
    """Every service file this version would write, by its path."""
    from monitord.service import ServicePaths, plan_install

    here = ServicePaths.here()
    plans = [plan_install(system, here) for system in (False, True)]
    return {file.path: file.content for plan in plans for file in plan.files}


def _lines(checks: list[Check], style: Style, columns: int) -> Iterator[str]:
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark = style.paint(f"{check.outcome:<7}", _PAINT[check.outcome])
        first, *more = wrap(printable(check.detail), max(columns - width - 11, 12))
        yield f"{mark}  {check.name:<{width}}  {first}"
        yield from (f"{'':7}  {'':{width}}  {line}" for line in more)
        if check.fix and check.outcome != "ok":  # never wrapped: a person copies it
            yield f"{'':7}  {'':{width}}  fix: {style.paint(printable(check.fix), 'cyan')}"
