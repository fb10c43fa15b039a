"""What every command is told besides its own words: which configuration, which data, which colours.

`--config`, `--data-dir` and `--color` may stand before or after the command's name. Rooms are imported
where they are used, so that asking stays fast: no read command loads SQLAlchemy, psutil or APScheduler.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitord.cli.terminal import Style, say, wants_colour
from monitord.errors import BusyError, MonitordError, NotFoundError, UsageError

if TYPE_CHECKING:
    from monitord.config import LoadedConfig
    from monitord.storage import SQLiteProfileStore
    from monitord.storage.artefact_store import ArtefactStore, OpenArtefacts
    from monitord.storage.queries import StoreReader


class Colour(StrEnum):
    """When to colour."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


ConfigFlag = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Configuration file (MONITORD_CONFIG).")
]
DataDirFlag = Annotated[
    Path | None, typer.Option("--data-dir", metavar="DIR", help="Data directory (MONITORD_DATA_DIR).")
]
ColourFlag = Annotated[Colour | None, typer.Option("--color", help="Colours; auto asks the terminal.")]


class Output(StrEnum):
    """How an answer about one thing is written."""

    TABLE = "table"
    JSON = "json"


OutputFlag = Annotated[Output | None, typer.Option("-o", "--output", help="table, for people, or json.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="The same as -o json.")]


def wants_json(output: Output | None, json: bool) -> bool:
    """Whether -o json or --json was said; both may be, if they agree."""
    if json and output not in (None, Output.JSON):
        raise UsageError(f"--json and -o {output} contradict each other; say one of them")
    return json or output is Output.JSON


def log_to_stderr() -> None:
    """Rooms that write also log; a person at a terminal wants to hear of trouble only."""
    from monitord import logs

    logs.configure("warning")


@dataclass(frozen=True, slots=True)
class CliContext:
    """Where a command works."""

    config_flag: Path | None = None
    data_dir_flag: Path | None = None
    colour: Colour = Colour.AUTO

    def overridden(self, config: Path | None, data_dir: Path | None, colour: Colour | None) -> CliContext:
        """What stands after the command's name wins over what stands before it."""
        return replace(
            self,
            config_flag=config or self.config_flag,
            data_dir_flag=data_dir or self.data_dir_flag,
            colour=colour or self.colour,
        )

    @property
    def config_path(self) -> Path | None:
        """The one file that was named, or None: the usual places."""
        named = os.environ.get("MONITORD_CONFIG")
        return self.config_flag or (Path(named) if named else None)

    def data_dir(self) -> Path:
        """The folder that holds the store."""
        from monitord.config.places import resolve_data_dir

        return resolve_data_dir(self.data_dir_flag, os.environ)

    def config(self) -> LoadedConfig:
        """Load the configuration in force; raises ConfigError."""
        from monitord.config import load

        return load(self.config_path, os.environ)

    def reader(self) -> StoreReader:
        """The store, read-only; it opens at the first question.

        The configuration is read, and a remote provider asked, only for an artefact's bytes.
        """
        from monitord.storage.queries import StoreReader

        return StoreReader(self.data_dir(), self.open_full_store, _tell_damage)

    def open_full_store(self, folder: Path, *, create: bool = True) -> ArtefactStore:
        """Opens what is kept in and behind this folder, as configured."""
        from monitord.recorder.artefact_stores import open_full_store

        settings = self.config().settings
        if not (settings.storage.url or settings.storage.archive_url):
            return open_full_store(settings)(folder, create=create)
        key = repr(settings.storage)
        if key not in _FULL_STORES:
            _FULL_STORES[key] = open_full_store(settings, cached=True)
        return _FULL_STORES[key](folder, create=create)

    def _open_local_store(self, folder: Path, *, create: bool = True) -> ArtefactStore:
        from monitord.recorder.artefact_stores import open_local_store

        return open_local_store(self.config().settings)(folder, create=create)

    @contextmanager
    def store(self, *, whole: bool = False) -> Iterator[SQLiteProfileStore]:
        """The store, to write to; closed at the end. Far artefacts are seen only when it is to be `whole`.

        Something must be there already: a database, even a damaged one, or artefacts to rebuild it from.
        """
        from monitord.storage import open_store

        log_to_stderr()
        folder = self.data_dir()
        _leave_to_recorder(folder)
        opener = self.open_full_store if whole else self._open_local_store
        is_data_remote = whole and bool(self.config().settings.storage.url)
        store = open_store(
            folder,
            create=is_data_remote or _holds_data(folder),
            open_artefacts=opener,
            budget_bytes=self.config().settings.retention.max_total_bytes,
        )
        try:
            yield store
        finally:
            store.close()

    @contextmanager
    def holdings(self) -> Iterator[ArtefactStore]:
        """What keeps artefacts, here and remotely."""
        from monitord.storage.folder import check_data_dir
        from monitord.storage.schema import ARTEFACTS_NAME

        folder = self.data_dir() / ARTEFACTS_NAME
        check_data_dir(folder.parent)
        is_data_remote = bool(self.config().settings.storage.url)
        if not is_data_remote and not folder.exists():
            raise NotFoundError(f"no artefact is stored in {folder.parent} yet; `monitord run` stores them")
        holdings = self.open_full_store(folder, create=is_data_remote)
        try:
            yield holdings
        finally:
            holdings.close()

    def style(self) -> Style:
        """Colours for what goes to stdout."""
        return Style(wants_colour(self.colour, os.environ, sys.stdout.isatty()))


def _leave_to_recorder(folder: Path) -> None:
    """Refuse to change the schema under a recorder that runs: it would save nothing from then on."""
    from monitord.recorder.locks import DAEMON_LOCK, holder
    from monitord.storage.readonly import stored_revision
    from monitord.storage.schema import DATABASE_NAME, HEAD

    pid = holder(folder / DAEMON_LOCK)
    if pid is None or not (folder / DATABASE_NAME).is_file():
        return
    try:
        revision = stored_revision(folder / DATABASE_NAME)
    except MonitordError:
        return  # opening it reports what is wrong
    if revision not in (None, HEAD):
        raise BusyError(
            f"an older monitord still records (pid {pid or 'unknown'}), and would save nothing into schema"
            f" {HEAD}: `monitord service restart` upgrades both"
        )


def _tell_damage(words: str) -> None:
    say(f"monitord: {words}")


# What reads remote artefacts in this process shares one cache (storage.cache_mb): a server asks again.
_FULL_STORES: dict[str, OpenArtefacts] = {}


def _holds_data(folder: Path) -> bool:
    try:
        return any((folder / name).exists() for name in ("monitord.db", "artefacts"))
    except PermissionError:
        return False  # the store says whose it is


def _require_current_folder() -> None:
    """Nothing named relatively can be found from a folder that was removed."""
    try:
        Path.cwd()
    except OSError as error:
        raise NotFoundError(
            f"the current directory can't be used ({error.strerror}); `cd /` and try again"
        ) from error


def placed(function: Callable[..., None], *, asks: bool = False) -> Callable[..., None]:
    """Give a command function, whose first parameter is its CliContext, the options that every command has.

    Who `asks` about what was recorded is told behind the answer when nobody records.
    """
    signature = inspect.signature(function, eval_str=True)

    def run(
        ctx: typer.Context, config: Path | None, data_dir: Path | None, color: Colour | None, **words: Any
    ) -> None:
        context = (ctx.obj or CliContext()).overridden(config, data_dir, color)
        _require_current_folder()
        function(context, **words)
        if asks:
            from monitord.cli.recorder import RecorderWatch

            sys.stdout.flush()
            RecorderWatch(context.data_dir()).tell()

    own = list(signature.parameters.values())[1:]
    common = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in (("config", ConfigFlag), ("data_dir", DataDirFlag), ("color", ColourFlag))
    ]
    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    return look_like(function, run, [context, *own, *common])


def look_like(
    function: Callable[..., None], run: Callable[..., None], parameters: Sequence[inspect.Parameter]
) -> Callable[..., None]:
    """Give `run` the name and words of `function`, and parameters that it is called with by name."""
    first, *others = parameters
    by_name = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in others]
    run.__signature__ = inspect.Signature([first, *by_name])  # type: ignore[attr-defined]  # PEP 362: any callable may carry one
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__name__, run.__doc__, run.__module__ = function.__name__, function.__doc__, function.__module__
    return run
