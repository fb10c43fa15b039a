"""SQL over all that was kept, by word or by a template's name; versions of programs that were deployed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from monitord.actions.workspace import Workspace
from monitord.analytics.engine import DEADLINE_S, MEMORY_MB, Answer, need_extra, open_engine
from monitord.analytics.tables import TABLES
from monitord.analytics.templates import FOLDER, Template, template, templates
from monitord.analytics.versions import Deployment, deployments, known_versions, mark_deployed
from monitord.errors import MonitordError, UsageError
from monitord.export.cleaning import Cleaner
from monitord.export.encoding import json_text

if TYPE_CHECKING:
    from monitord.analytics.views import Period

MAX_ROWS = 10_000
QUERIES = "queries"
LONGEST_PARQUET_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: `words` is SQL or a template's name, `values` are the template's.

    Times are aware UTC; None sets no end.
    """

    words: str
    values: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    max_rows: int = MAX_ROWS
    memory_mb: int = MEMORY_MB
    deadline_s: float = DEADLINE_S


@contextmanager
def asked(workspace: Workspace, question: Question) -> Iterator[Answer]:
    """Yield the answer; its rows are read in the block.

    Raises UsageError for SQL or values that do not fit, NotFoundError for no such template or no store,
    MonitordError for what takes too long or too much, and where the extra is missing.
    """
    from monitord.analytics.views import Period

    sql, parameters = _sql(workspace, question)
    need_extra()
    period = Period(question.since, question.until)
    with _views(workspace, sql, period) as views:
        limits = {"memory_mb": question.memory_mb, "deadline_s": question.deadline_s}
        with open_engine(views, max_rows=question.max_rows, **limits) as engine:  # type: ignore[arg-type]
            yield engine.ask(sql, parameters)


@contextmanager
def _views(
    workspace: Workspace, sql: str, period: Period, on_too_much: Callable[[str], object] | None = None
) -> Iterator[Any]:
    from monitord.analytics.views import stored_views

    with workspace.past() as reader:
        versions = known_versions(deployments(reader.storage))
        with stored_views(
            reader,
            sql,
            period,
            versions,
            cold_url=workspace.settings.analytics.cold_url,
            on_damage=lambda words: workspace.tell(f"monitord: {words}"),
            on_too_much=on_too_much,
        ) as views:
            yield views


def _sql(workspace: Workspace, question: Question) -> tuple[str, dict[str, Any]]:
    if is_sql(question.words):
        if question.values:
            raise UsageError(f"invalid call: {question.values[0]!r} behind SQL, expected SQL in quotes alone")
        return question.words, {}
    found = template(question.words, folders(workspace))
    return found.sql, found.values(question.values)


def is_sql(words: str) -> bool:
    """Whether it is SQL and no template's name."""
    return any(character.isspace() or character in "();*" for character in words.strip())


def list_templates(workspace: Workspace) -> list[Template]:
    """Return all templates by name; of one name yours counts. Raises ConfigError."""
    found = templates(folders(workspace))
    return [found[name] for name in sorted(found)]


def folders(workspace: Workspace) -> list[Path]:
    """Return where your own templates lie: `queries` beside the configuration, the strongest last."""
    from monitord.config import default_path
    from monitord.config.loading import SYSTEM_FILE

    named = workspace.config_path or (
        Path(os.environ["MONITORD_CONFIG"]) if "MONITORD_CONFIG" in os.environ else None
    )
    files = [named] if named else [SYSTEM_FILE, default_path()]
    return [file.absolute().with_name(QUERIES) for file in files]


def deployed(workspace: Workspace, process: str, version: str, at: datetime | None = None) -> Deployment:
    """Note that processes of this name run this version from then on (default: now).

    Raises UsageError for words that can't be, NotFoundError where there is no store.
    """
    with workspace.store() as store:
        return mark_deployed(store.state, process, version, at or datetime.now(UTC))


@contextmanager
def companion_file(
    workspace: Workspace,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    raw: bool = False,
    memory_mb: int = MEMORY_MB,
) -> Iterator[tuple[Iterator[bytes], dict[str, int] | None]]:
    """Yield the bytes of a DuckDB file of all views, and what was hidden in it; `raw` hides nothing.

    Days that are too much to be brought from the bucket are left out, and told. Raises StorageError, and
    MonitordError where the extra is missing.
    """
    need_extra("write a DuckDB file")
    from monitord.actions.identities import identities
    from monitord.analytics.companion import companion, pieces
    from monitord.analytics.views import Period

    def too_much(words: str) -> None:
        workspace.tell(f"monitord: {words}")

    cleaner = None if raw else Cleaner(identities())
    every = " ".join(table.name for table in TABLES)
    with (
        _views(workspace, every, Period(since, until), too_much) as views,
        TemporaryDirectory(prefix="monitord-companion-") as folder,
    ):
        path = companion(views, Path(folder), cleaner, memory_mb)
        yield pieces(path), cleaner.hidden if cleaner else None


CATALOGUE_KEYS = ("kind", "name", "usage", "says", "parameters", "source")


def catalogue(workspace: Workspace) -> Iterator[dict[str, Any]]:
    """Yield what can be asked: the templates, then the views with their columns; keys as CATALOGUE_KEYS."""
    for each in list_templates(workspace):
        told = [{"name": one.name, "kind": one.kind, "default": one.default} for one in each.parameters]
        yield {
            "kind": "template", "name": each.name, "usage": each.usage, "says": each.says,
            "parameters": told, "source": None if each.source.parent == FOLDER else str(each.source),
        }  # fmt: skip
    for table in TABLES:
        columns = ", ".join(f"{name} {kind}" for name, kind in table.columns)
        yield {
            "kind": "view", "name": table.name, "usage": table.name, "says": columns,
            "parameters": [], "source": None,
        }  # fmt: skip


def as_parquet(answer: Answer) -> bytes:
    """Return the rows that are left as a Parquet file: lists and structures as JSON text.

    Raises UsageError for a number that no column of it can hold, MonitordError for more than is held at once.
    """
    from monitord.analytics.parquet import groups, require_pyarrow

    require_pyarrow()
    import pyarrow
    from pyarrow import parquet

    types = {
        "int64": pyarrow.int64(), "float64": pyarrow.float64(), "bool": pyarrow.bool_(),
        "time": pyarrow.timestamp("us", "UTC"),
    }  # fmt: skip
    schema = pyarrow.schema([(each.name, types.get(each.kind, pyarrow.string())) for each in answer.columns])
    held = pyarrow.BufferOutputStream()
    with parquet.ParquetWriter(held, schema, compression="zstd") as writer:
        kinds = [each.kind for each in answer.columns]
        for chunk in groups(tuple(map(_cell, row, kinds)) for row in answer.rows):
            columns = zip(*chunk, strict=True)
            try:
                arrays = [
                    pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)
                ]
            except (pyarrow.ArrowException, OverflowError) as error:
                raise UsageError(
                    f"invalid value for Parquet: {error}; expected CAST(… AS VARCHAR)"
                ) from error
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
            if held.tell() > LONGEST_PARQUET_BYTES:
                most = f"{LONGEST_PARQUET_BYTES >> 20} MB"
                raise MonitordError(f"cannot write more than {most} of Parquet; try -n or -o jsonl")
    return bytes(held.getvalue())


def _cell(value: Any, kind: str) -> Any:
    if kind == "json" and value is not None:
        return json_text(value, indent=None)
    return None if kind == "time" and isinstance(value, str) else value  # before Christ, after 9999
