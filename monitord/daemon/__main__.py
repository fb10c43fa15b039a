"""`python -m monitord.daemon`: what `monitord run` turns itself into, so that no Typer stays in memory."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# structlog loads rich's traceback printer where rich is installed (Typer brings it): 4 MB that a
# daemon writing to a log never uses. A module that is None can't be imported.
sys.modules["rich"] = None  # type: ignore[assignment]

from monitord.errors import MonitordError  # noqa: E402


def main() -> int:
    """Run until told to stop; a refusal is one line and its exit code."""
    parser = argparse.ArgumentParser(prog="monitord run")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--data-dir", type=Path, required=True)
    arguments = parser.parse_args()
    from monitord.daemon.loop import run

    try:
        run(arguments.config, arguments.data_dir)
    except MonitordError as error:
        print(f"monitord: {error}", file=sys.stderr)  # noqa: T201  the one line a refused start owes
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
