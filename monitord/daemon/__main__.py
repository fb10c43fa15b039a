"""`python -m monitord.daemon`: what `monitord run` turns itself into, so that no Typer stays in memory."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# Optional parts of what we import, never used in the daemon, 8 MB together (benchmarks/memory.py):
# structlog loads rich's traceback printer where Typer has brought it; asyncio and hashlib load OpenSSL,
# which has built-in stand-ins. A module that is None can't be imported, and its users do without.
for optional in ("rich", "ssl", "_hashlib"):
    sys.modules[optional] = None  # type: ignore[assignment]

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
    try:
        status = main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    sys.stderr.flush()
    os._exit(status)  # a thread that hangs in a disk must not hold up the end; what was said is durable
