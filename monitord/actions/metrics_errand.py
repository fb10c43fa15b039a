"""`python -m monitord.actions.metrics_errand NAME`: what the recorder has a child do with figures; ends.

A child of the recorder without its rights. The last line on stdout says how it went, as JSON.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from monitord import rights
from monitord.actions.workspace import Workspace
from monitord.children import answer, end_with_parent
from monitord.errors import MonitordError


def _textfile(workspace: Workspace) -> str:
    from monitord.actions.metrics import write_textfile

    path = Path(workspace.settings.metrics.textfile)
    write_textfile(workspace, path)
    return f"wrote {path}"


def _otlp(workspace: Workspace) -> str:
    from monitord.actions.otlp import send

    return f"sent {send(workspace)}"


_ERRANDS: dict[str, Callable[[Workspace], str]] = {"textfile": _textfile, "otlp": _otlp}


def main() -> int:
    """Do one errand; the exit status."""
    parser = argparse.ArgumentParser(prog="monitord errand")
    parser.add_argument("name", choices=_ERRANDS)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--data-dir", type=Path, required=True)
    arguments = parser.parse_args()
    end_with_parent()
    rights.keep_only(())
    try:
        detail = _ERRANDS[arguments.name](Workspace(arguments.data_dir, arguments.config))
    except MonitordError as error:
        answer("failed", str(error))
        return error.exit_code
    answer("ok", detail)
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # a name that is asked for without end must not hold up the end
