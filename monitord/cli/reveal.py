"""`reveal`: where an artefact lies, for people who want the file itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from monitord.cli.context import CliContext
from monitord.cli.show import IdArgument
from monitord.cli.terminal import emit
from monitord.errors import NotFoundError
from monitord.redaction import printable
from monitord.storage.ids import short_id


def reveal(context: CliContext, incident_id: IdArgument) -> None:
    """Print where an incident's best evidence lies: a path, or a URL; on macOS, show it in its folder."""
    from monitord.recorder.artefact_stores import place_of
    from monitord.storage.schema import ARTEFACTS_NAME

    record = context.reader().find(incident_id)
    if record.artefact_key is None:
        if not record.profile_path:
            name = short_id(record.correlation_id)
            raise NotFoundError(f"{name} has no evidence; `monitord show {name}` says why")
        where = record.profile_path
    else:
        folder = context.data_dir() / ARTEFACTS_NAME
        where = place_of(context.config().settings.storage, folder, record.artefact_key)
    emit(f"{printable(where)}\n")
    if sys.platform == "darwin" and sys.stdout.isatty() and Path(where).exists():
        subprocess.run(["/usr/bin/open", "-R", where], check=False, cwd="/")
