"""The environment that the machine's service runs from: below /opt/monitord, root's own, made anew each time.

Made beside the one that runs and given its name when it is whole; `current` points to the one in use. What it
is made of comes as bytes from a child with the rights of its owner: root opens none of those files.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypedDict

from monitord.children import own_command, own_environment
from monitord.errors import MonitordError, PermissionDeniedError
from monitord.model import counted
from monitord.ownership import who_asks, why_untrusted
from monitord.redaction import printable
from monitord.service.steps import Command, Run

CURRENT, PREVIOUS = "current", "previous"
_LARGEST_BYTES, _MOST_FILES = 2 << 30, 100_000
_NAME = re.compile(r"(bin|lib/python3\.\d+/site-packages)(/[^/\0]+)+")
_BUILD_S = 600.0
_NOBODY = 65534


@dataclass(frozen=True, slots=True)
class BuildEnvironment:
    """Make `target` of this installation, read with the rights of `owner`, for the interpreter `python`."""

    target: Path
    python: Path
    owner: int

    def text(self) -> str:
        whose = f", read with the rights of uid {self.owner}" if self.owner else ""
        return f"# environment {self.target} with {self.python}, of what is installed in {sys.prefix}{whose}"

    def do(self, run: Run) -> str:
        with _draft(self.target) as draft:
            _call((str(self.python), "-I", "-m", "venv", "--without-pip", str(draft)))
            files = _take_over(draft, self.owner)
            _finish(draft, self.target)
        return f"made {self.target}: {counted(files, 'file')}"


@dataclass(frozen=True, slots=True)
class InstallInto:
    """Make `target` by pip: of a wheel, a folder of wheels, or a requirement from the configured index."""

    target: Path
    python: Path
    source: str

    def text(self) -> str:
        return f"# environment {self.target} with {self.python}, by pip from {self.source}; wheels only"

    def do(self, run: Run) -> str:
        with _draft(self.target) as draft:
            words = _what_to_install(self.source, draft / "wheels")  # refused before seconds were spent
            _call((str(self.python), "-I", "-m", "venv", str(draft)))
            pip = (str(draft / "bin/python"), "-I", "-m", "pip", "install", "--no-input", "--quiet")
            # No source distribution: building one would run its code with the rights of root.
            _call((*pip, "--only-binary", ":all:", *words), _pip_environment())
            shutil.rmtree(draft / "wheels", ignore_errors=True)
            _finish(draft, self.target)
        return f"made {self.target} from {self.source}"


@dataclass(frozen=True, slots=True)
class UseVersion:
    """Let `current` point to this environment, in one step; the one before stays, older ones go."""

    target: Path

    def text(self) -> str:
        return f"# link {self.target.parent.parent / CURRENT} -> versions/{self.target.name}"

    def do(self, run: Run) -> str:
        link = self.target.parent.parent / CURRENT
        before = _version_at(link)
        if before not in (None, self.target.name):
            _point(link.with_name(PREVIOUS), str(before))
        _point(link, self.target.name)
        keep = {self.target.name, _version_at(link.with_name(PREVIOUS))}
        for each in self.target.parent.iterdir():
            if each.name not in keep:
                shutil.rmtree(each, ignore_errors=True)
        return f"{link} leads to {self.target}"


@dataclass(frozen=True, slots=True)
class StartOrGoBack:
    """Start the service; where it does not come up, let the environment before this one run again."""

    start: Command
    home: Path | None

    def text(self) -> str:
        return self.start.text()

    def do(self, run: Run) -> str:
        try:
            return self.start.do(run)
        except MonitordError as error:
            before = _version_at(self.home / PREVIOUS) if self.home else None
            if self.home is None or before is None or before == _version_at(self.home / CURRENT):
                raise
            _point(self.home / CURRENT, before)
            raise MonitordError(f"{error}; {self._again(run, before)}") from error

    def _again(self, run: Run, before: str) -> str:
        try:
            self.start.do(run)
        except MonitordError:
            return f"{before}, which ran before, does not start either: `monitord logs --system`"
        return f"{before}, which ran before, runs again"


def _version_at(link: Path) -> str | None:
    return link.readlink().name if link.is_symlink() and link.exists() else None


def _point(link: Path, version: str) -> None:
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(Path("versions") / version)
    fresh.replace(link)


@contextlib.contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """A folder beside the target, gone when anything fails."""
    versions, folder = target.parent, target.with_name(f".{target.name}.new")
    for above in (versions.parent.parent, versions.parent, versions):
        above.mkdir(mode=0o755, exist_ok=True)
    if (reason := why_untrusted(versions)) is not None:
        raise PermissionDeniedError(f"cannot make an environment in {versions}: {reason}")
    folder.mkdir(mode=0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _take_over(draft: Path, owner: int) -> int:
    """Write what the packing child sends into the environment, as root's; how many files."""
    command = own_command("monitord.service.packing", keeps_bytecode=False)
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
        env=own_environment(), **_rights_of(owner),
    ) as child:  # fmt: skip
        sent = child.stdout or io.BytesIO()
        try:
            count = unpack(sent, draft)
        except (tarfile.TarError, EOFError) as error:
            raise _not_sent(child) from error
        finally:
            sent.close()  # one that goes on sending is ended by that
        if child.wait() or not count:
            raise _not_sent(child)
    return count


def _not_sent(child: subprocess.Popen[bytes]) -> MonitordError:
    """Why nothing whole came, in the child's own line if it said one."""
    said = child.stderr.read(4096).decode(errors="replace").strip() if child.stderr else ""
    if child.wait() == PermissionDeniedError.exit_code and said:
        return PermissionDeniedError(printable(said.splitlines()[-1]))
    return MonitordError(f"cannot read what is installed in {sys.prefix}: exit status {child.returncode}")


def unpack(stream: IO[bytes], folder: Path) -> int:
    """Write the files of a tar stream below a folder of ours, which nobody else can change meanwhile.

    Only plain files with names of an environment are taken, none twice, within bounds: what sends them may
    be anybody's. Raises MonitordError.
    """
    count, total = 0, 0
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            count, total = count + 1, total + member.size
            if not member.isreg() or not _is_name(member.name):
                raise MonitordError(f"cannot take over {member.name[:200]!r}: not a file of an environment")
            if total > _LARGEST_BYTES or count > _MOST_FILES:
                raise MonitordError(f"cannot take over more than {_LARGEST_BYTES >> 20:,} MiB, or that many")
            source = tar.extractfile(member)
            _write(folder / member.name, source or io.BytesIO(), 0o755 if member.mode & 0o100 else 0o644)
    return count


def _is_name(name: str) -> bool:
    is_direct = not {"..", "."}.intersection(name.split("/"))
    return bool(_NAME.fullmatch(name)) and is_direct and name.isprintable()


def _write(path: Path, source: IO[bytes], mode: int) -> None:
    for folder in reversed(path.parents):
        if not folder.is_dir():
            folder.mkdir(mode=0o755)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    except FileExistsError as error:
        raise MonitordError(f"cannot take over {path.name!r}: it comes twice") from error
    with open(descriptor, "wb") as out:
        os.fchmod(descriptor, mode)
        shutil.copyfileobj(source, out, 1 << 20)


def _what_to_install(source: str, wheels: Path) -> tuple[str, ...]:
    """Words for pip. Wheels are copied first: what was looked at is what is installed.

    Only those are taken that nobody but root and the caller can change.
    """
    path = Path(source)
    found = sorted(path.glob("*.whl")) if path.is_dir() else [path] if path.suffix == ".whl" else []
    if not found:
        if re.fullmatch(r"monitord(\[[\w,-]+\])?([=<>!~]=?[\w.*,=<>!~]+)?", source):
            return ("--", source)
        raise MonitordError(
            f"invalid --from {source!r}: expected a wheel, a folder of wheels, or a requirement such as"
            " monitord==1.0"
        )
    wheels.mkdir(mode=0o755)
    for wheel in found:
        reason = why_untrusted(wheel, owners=frozenset({who_asks()}))
        if reason is not None:
            raise PermissionDeniedError(f"cannot install {printable(str(wheel))}: {printable(reason)}")
        try:
            descriptor = os.open(wheel, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise MonitordError(f"cannot install {printable(str(wheel))}: {error.strerror}") from error
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise MonitordError(f"cannot install {printable(str(wheel))}: it is not a regular file")
            _write(wheels / wheel.name, file, 0o644)
    if path.is_dir():
        return ("--no-index", "--find-links", str(wheels), "--", "monitord")
    return ("--", str(wheels / path.name))


def _finish(draft: Path, target: Path) -> None:
    """Its program, its compiled modules, one try as nobody; then it takes its name."""
    script = draft / "bin/monitord"
    script.unlink(missing_ok=True)
    python = target / "bin/python"
    # -I: no search path of the caller's environment counts, nor anybody's own packages.
    text = f"#!{python} -I\nimport sys\nfrom monitord.cli import main\nsys.exit(main())\n"
    _write(script, io.BytesIO(text.encode()), 0o755)
    for leftover in draft.glob("bin/[aA]ctivate*"):
        leftover.unlink()  # they name the draft
    for site in draft.glob("lib/python3*/site-packages"):
        _call((str(draft / "bin/python"), "-I", "-S", "-m", "compileall", "-q", str(site)), may_fail=True)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    try:
        _call((str(script.parent / "monitord").replace(str(draft), str(target)), "--version"), user=_NOBODY)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _call(
    argv: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    may_fail: bool = False,
    user: int = 0,
) -> None:
    try:
        done = subprocess.run(
            argv, cwd="/", env=dict(environment or own_environment()), stdin=subprocess.DEVNULL, check=False,
            capture_output=True, text=True, errors="replace", timeout=_BUILD_S, umask=0o022,
            **_rights_of(user),
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise MonitordError(f"cannot run {argv[0]}: {error}") from error
    if done.returncode and not may_fail:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        words = said[-1][:500] if said else f"exit status {done.returncode}"
        raise MonitordError(f"cannot run `{' '.join(argv)}`: {words}")


def _pip_environment() -> dict[str, str]:
    """Which index is asked is root's own configuration."""
    names = ("HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "no_proxy")
    told = {name: text for name, text in os.environ.items() if name in names or name.startswith("PIP_")}
    return {**own_environment(), **told}


class _Rights(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def _rights_of(uid: int) -> _Rights:
    """What a child of root's is started with to have no more rights than this user; root's own for 0."""
    if uid == 0 or os.geteuid() != 0:
        return {}
    import pwd

    try:
        gid = pwd.getpwuid(uid).pw_gid
    except KeyError:
        gid = uid
    return {"user": uid, "group": gid, "extra_groups": []}
