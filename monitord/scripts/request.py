"""What is to be run and by which Python; everything that can be seen to be wrong is said before it starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from monitord.errors import MonitordError, NotFoundError, PermissionDeniedError, UsageError
from monitord.scripts import start_scalene

_ASK = (
    "import importlib.metadata as m, importlib.util as u\n"
    "print(m.version('scalene') if u.find_spec('scalene') else '')"
)
_ASK_LIMIT_S = 20.0
_OLDEST = (2, 0)
_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Program:
    """A script (or `module`) with its arguments, and the Python that runs it."""

    name: str
    arguments: tuple[str, ...] = ()
    is_module: bool = False
    python: str = sys.executable
    scalene_version: str = ""

    @property
    def root(self) -> Path:
        """The folder whose code it is: the script's, or where a module is looked for."""
        return Path.cwd() if self.is_module else Path(self.name).resolve().parent

    @property
    def title(self) -> str:
        """The program as people name it: a script's name, or `-m MODULE`."""
        return f"-m {self.name}" if self.is_module else Path(self.name).name

    def command(self, output: Path, *, memory: bool = False, is_off: bool = False) -> tuple[str, ...]:
        """Return the `scalene run` command over it (Scalene 2), whose profile goes to `output`."""
        flags = (*(() if memory else ("--cpu-only",)), *(("--off",) if is_off else ()), "-o", str(output))
        what = ("-m", self.name) if self.is_module else (self.name,)
        rest = ("---", *self.arguments) if self.arguments else ()
        return (self.python, start_scalene.__file__, "scalene", "run", *flags, *what, *rest)


@dataclass(frozen=True, slots=True)
class ScriptRequest:
    """What was asked of Scalene, unchecked."""

    name: str
    arguments: tuple[str, ...] = ()
    is_module: bool = False
    python: str | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


def resolve(request: ScriptRequest) -> Program:
    """Find the program that was asked for.

    Raises NotFoundError, UsageError or MonitordError with what to type.
    """
    if request.is_module:
        _check_module(request.name)
    else:
        _check_script(Path(request.name))
    python = _python(request)
    return Program(request.name, request.arguments, request.is_module, python, _scalene_of(python))


def _check_module(name: str) -> None:
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"invalid module name: {name}, expected a dotted name as after `python -m`")


def _check_script(path: Path) -> None:
    try:
        if path.is_dir():
            raise UsageError(f"invalid script: {path} is a folder, expected the script in it")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError as error:
        raise NotFoundError(f"cannot find script {path}; check the path") from error
    except OSError as error:
        kind = PermissionDeniedError if isinstance(error, PermissionError) else MonitordError
        raise kind(f"cannot read {path}: {error.strerror}") from error
    if b"\0" in head:
        raise UsageError(f"invalid script: {path} is a binary file, expected Python")
    first = head.split(b"\n", 1)[0]
    if first.startswith(b"#!") and b"python" not in first and b"pypy" not in first:
        raise UsageError(
            f"invalid script: {path} runs {first[2:80].decode(errors='replace').strip()}, expected Python"
        )


def _python(request: ScriptRequest) -> str:
    """The Python that was named, the active virtual environment's, or the one that runs monitord."""
    if request.python:
        found = shutil.which(request.python)
        if found is None:
            raise NotFoundError(f"cannot find --python {request.python}; name a program")
        return str(Path(found).absolute())
    active = request.environment.get("VIRTUAL_ENV")
    own = Path(active, "bin", "python") if active else None
    return str(own) if own is not None and os.access(own, os.X_OK) else sys.executable


def _scalene_of(python: str) -> str:
    """The version of Scalene that this Python would run; raises MonitordError when it has none to use."""
    version = _own_scalene() if python == sys.executable else _asked(python)
    if not version:
        raise MonitordError(
            f"cannot find Scalene in {python}; install it there: {python} -m pip install scalene"
            " (or name another Python with --python; a process that runs already: `monitord capture PID`)"
        )
    if _numbers(version) < _OLDEST:
        raise MonitordError(
            f"cannot use Scalene {version} of {python}: too old; try {python} -m pip install 'scalene>=2.4'"
        )
    return version


def _own_scalene() -> str:
    from importlib import metadata

    try:
        return metadata.version("scalene")
    except metadata.PackageNotFoundError:
        return ""


def _asked(python: str) -> str:
    """What another Python answers."""
    try:
        said = subprocess.run(
            [python, "-c", _ASK], cwd="/", stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_ASK_LIMIT_S, check=False,
        )  # fmt: skip
    except OSError as error:
        raise MonitordError(f"cannot start {python}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise MonitordError(
            f"cannot ask {python} for its version: no answer within {_ASK_LIMIT_S:.0f} s"
        ) from error
    return said.stdout.decode(errors="replace").strip()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split(".")[:2])
