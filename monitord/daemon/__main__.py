"""`python -m monitord.daemon`: what `monitord run` turns itself into, so that no Typer stays in memory."""

from __future__ import annotations

from monitord.daemon import later  # first: what is imported below finds its stand-ins

# isort: split
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from monitord.durable import is_shared
from monitord.errors import MonitordError, PermissionDeniedError
from monitord.logs import QueuedStream, hold_standard_streams
from monitord.ownership import how_to_install_for_all, is_privileged, why_code_untrusted
from monitord.recorder.notify import Notifier

_USAGE = "usage: python -m monitord.daemon --data-dir PATH [--config PATH]"
_FAREWELL_S = 0.5  # for what was said and nobody has read


def main() -> int:
    """Run until told to stop; a refusal is one line and its exit code."""
    hold_standard_streams()
    log = QueuedStream(sys.stderr.fileno())
    try:
        return _run(log)
    except MonitordError as error:
        log.write(f"monitord: {error}\n")
        Notifier().status(f"refused: {error}")  # `systemctl status` shows it
        return error.exit_code
    except (OSError, MemoryError) as error:
        log.write(f"monitord: cannot record: {type(error).__name__}: {error}\n")
        return 1
    except Exception:  # noqa: BLE001  a bug: its traceback, but not through a stream that may hang
        log.write(traceback.format_exc())
        return 1
    finally:
        log.close(_FAREWELL_S)


def require_trusted_code() -> None:
    """Refuse to record with the rights of root, or of a service, from files that others can change."""
    reason = why_code_untrusted() if is_privileged() else None
    if reason is not None:
        raise PermissionDeniedError(
            f"cannot run with rights of root from files that others can change: {reason};"
            f" run it as an ordinary user, or install it for all: {how_to_install_for_all()}"
        )


def _read_call(words: Sequence[str]) -> tuple[Path | None, Path] | None:
    """The configuration and the data directory; None when that is not what the words say.

    No argparse: it would stay for as long as we record.
    """
    options = dict(zip(words[::2], words[1::2], strict=False))
    if len(words) != 2 * len(options) or not {"--data-dir"} <= options.keys() <= {"--config", "--data-dir"}:
        return None
    config = options.get("--config")
    return Path(config).absolute() if config else None, Path(options["--data-dir"]).absolute()


def umask_for(data_dir: Path) -> int:
    """Nobody else reads what is recorded, but the group of a directory that is shared with it."""
    try:
        return 0o027 if is_shared(data_dir.stat()) else 0o077
    except OSError:
        return 0o077  # not made yet, or what follows explains it


def _run(log: QueuedStream) -> int:
    call = _read_call(sys.argv[1:])
    if call is None:
        log.write(f"{_USAGE}\n")
        return 2
    config, data_dir = call
    from monitord.daemon.loop import run

    later.settle()
    os.chdir("/")  # started in anybody's folder, it has none
    os.umask(umask_for(data_dir))
    require_trusted_code()
    run(config, data_dir, log)
    return 0


if __name__ == "__main__":
    try:
        status = main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    os._exit(status)  # a thread that hangs in a disk must not hold up the end; what was said is durable
