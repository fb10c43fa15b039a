"""What `-o` means, everywhere: a format's name, a file whose ending names it, or - for stdout."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from monitord.cli.terminal import say
from monitord.errors import MonitordError, UsageError

STDOUT = "-"
_FORMATS_ELSEWHERE = frozenset({"table", "json", "jsonl", "csv", "html", "text", "markdown"})
"""What is a format with some command is a file's name with none."""


def chosen(
    output: str | None, wanted: str | None, endings: Mapping[str, Sequence[str]], formats: Collection[str]
) -> tuple[str, str | None]:
    """Return where to write (a path, or - for stdout) and in which format; None: nobody said which.

    `endings` map a file's ending to the format that it stands for alone, then to others that may end so.
    Raises UsageError for an unknown ending without a format, and where the two contradict each other.
    """
    if output in formats:
        if wanted not in (None, output):
            raise UsageError(f"invalid call: -o {output} and --format {wanted}, expected one format")
        return STDOUT, output
    if output in _FORMATS_ELSEWHERE:
        raise UsageError(f"invalid -o {output}, expected a format ({', '.join(sorted(formats))}) or a file")
    if output is None or output == STDOUT:
        return STDOUT, wanted
    name = os.path.basename(output)  # noqa: PTH119  Path forgets the "/" at the end of a folder
    if name in ("", ".", ".."):
        raise UsageError(f"invalid -o {output!r}, expected a file: a folder needs the name of one in it")
    ending = next((each for each in endings if name.lower().endswith(each)), None)
    if ending is None and wanted is None and _looks_like_an_ending(name):
        raise UsageError(
            f"invalid -o {output}, expected a format ({', '.join(sorted(formats))}) or a file that ends in"
            f" {', '.join(endings)}; or say --format"
        )
    if ending is not None and wanted not in (None, *endings[ending]):
        raise UsageError(f"invalid call: -o {output} and --format {wanted}, expected one format")
    return output, wanted or (endings[ending][0] if ending else None)


@contextmanager
def written_to(file: str) -> Iterator[None]:
    """Put what the block writes to stdout into a file, whole, and for its owner alone.

    Also where it ends with a MonitordError or an exit code, if it had something to say before.
    """
    held, screen = io.BytesIO(), sys.stdout
    sys.stdout = io.TextIOWrapper(held, encoding="utf-8", newline="", write_through=True)
    ended: BaseException | None = None
    try:
        yield
    except (MonitordError, typer.Exit) as end:
        ended = end
    finally:
        sys.stdout.flush()
        sys.stdout, _written = screen, sys.stdout
    if held.getvalue():
        from monitord.actions.exporting import write_export
        from monitord.redaction import printable

        note = write_export(Path(file), held.getvalue())
        say(note or f"wrote {printable(file)}")
    if ended is not None:
        raise ended


def _looks_like_an_ending(name: str) -> bool:
    return bool(Path(name).suffix) and not name.startswith(".")
