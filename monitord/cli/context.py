"""What every command is told besides its own words: which configuration, which data, which colours.

`--config`, `--data-dir` and `--color` may stand before or after the command's name.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitord.cli.terminal import Style, say, wants_colour
from monitord.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from monitord.actions.workspace import Workspace
    from monitord.config import LoadedConfig


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


OutputFlag = Annotated[
    Output | None, typer.Option("-o", "--output", help="table, json, or a file that ends in .json.")
]
JsonFlag = Annotated[bool, typer.Option("--json", hidden=True, help="The same as -o json.")]


_FORMS = (
    inspect.Parameter("output", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=OutputFlag),
    inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=JsonFlag),
)


def wants_json(output: str | None, json: bool) -> bool:
    """Whether -o json or --json was said; both may be, if they agree."""
    if json and output not in (None, "json"):
        raise UsageError(f"invalid call: --json and -o {output}, expected one of them")
    return json or output == "json"


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

    def data_dir(self, *, records: bool = False) -> Path:
        """The folder that holds the store; with `records`, the one that this user may write to."""
        from monitord.config.places import resolve_data_dir

        return resolve_data_dir(self.data_dir_flag, os.environ, records=records)

    def config(self) -> LoadedConfig:
        """Load the configuration in force; raises ConfigError."""
        from monitord.config import load

        return load(self.config_path, os.environ)

    @property
    def workspace(self) -> Workspace:
        """Where actions work for this call."""
        from monitord.actions.workspace import Workspace

        return Workspace(self.data_dir(), self.config_path, say)

    def own_folder(self) -> Path:
        """Where what is this user's own lies, such as a token: beside the store, unless that is another's."""
        from monitord.config.places import resolve_data_dir

        folder = self.data_dir(records=True)
        if os.access(folder, os.W_OK) or not folder.exists():
            return folder
        return resolve_data_dir(None, {}, records=True)

    @property
    def recording_workspace(self) -> Workspace:
        """Where actions record for this call: never into the machine's store by an ordinary user."""
        from monitord.actions.workspace import Workspace

        return Workspace(self.data_dir(records=True), self.config_path, say)

    def style(self) -> Style:
        """Colours for what goes to stdout."""
        return Style(wants_colour(self.colour, os.environ, sys.stdout.isatty()))


class RecorderWatch:
    """Says a trouble once, and once more when it becomes another one."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._told: str | None = None

    def tell(self) -> None:
        """Look, and say what is new."""
        from monitord.actions.recorder import recorder_trouble

        found = recorder_trouble(self._data_dir)
        kind = found.kind if found else None
        if found and kind != self._told:
            say(f"monitord: {found.text}")
        self._told = kind


def _require_current_folder() -> None:
    """Nothing named relatively can be found from a folder that was removed."""
    try:
        Path.cwd()
    except OSError as error:
        raise NotFoundError(
            f"cannot use the current directory ({error.strerror}); `cd /` and try again"
        ) from error


def placed(function: Callable[..., None], *, asks: bool = False) -> Callable[..., None]:
    """Give a command function, whose first parameter is its CliContext, the options that every command has.

    Its parameter `as_json` becomes -o and --json. Who `asks` about what was recorded is told behind the
    answer when nobody records.
    """
    _context, *parameters = inspect.signature(function, eval_str=True).parameters.values()
    has_forms = any(each.name == "as_json" for each in parameters)

    def run(
        ctx: typer.Context, config: Path | None, data_dir: Path | None, color: Colour | None, **words: Any
    ) -> None:
        context = (ctx.obj or CliContext()).overridden(config, data_dir, color)
        _require_current_folder()
        if has_forms:
            words["as_json"] = wants_json(words.pop("output"), words.pop("json"))
        file = ctx.meta.get("monitord.output_file")  # usage.take_files_too
        if file is None:
            function(context, **words)
        elif words.get("follow"):
            raise UsageError(f"invalid -o {file} with -f: it never ends, expected > {file}")
        else:
            from monitord.cli.output import written_to

            with written_to(file):
                function(context, **words)
        if asks:
            sys.stdout.flush()
            RecorderWatch(context.data_dir()).tell()

    own = [flag for each in parameters for flag in (_FORMS if each.name == "as_json" else [each])]
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
