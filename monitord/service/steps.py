"""What a service plan is made of: each step says itself in words before it is done, and does it."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from monitord.errors import MonitordError, NotFoundError, PermissionDeniedError
from monitord.model import counted
from monitord.ownership import who_asks, why_untrusted
from monitord.service.accounts import members

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]

_DATABASE = "monitord.db"
_FOLDERS = ("artefacts", "spool", "quarantine")  # and files of a store whose database is gone:
_BEGINNINGS = ("monitord.db", "lock", "capture.lock", "migration.lock", "status.json", "recorder.sock")


class Step(Protocol):
    """One thing to be done; `text` is what `--print` shows of it, `do` returns what was done in one line."""

    def text(self) -> str: ...

    def do(self, run: Run) -> str: ...


@dataclass(frozen=True, slots=True)
class Command:
    """One command; `may_fail` where a failure means that it was not there."""

    argv: tuple[str, ...]
    may_fail: bool = False

    def __str__(self) -> str:
        return " ".join(self.argv)

    def text(self) -> str:
        return f"$ {self}"

    def do(self, run: Run) -> str:
        try:
            result = run(self.argv)
        except FileNotFoundError as error:
            if self.may_fail:
                return f"nothing to do for {self}"
            raise NotFoundError(f"cannot find {self.argv[0]}; start `monitord run` yourself") from error
        except subprocess.TimeoutExpired as error:
            raise MonitordError(
                f"cannot wait for `{self}` any longer: it did not end within {error.timeout:.0f} s"
            ) from error
        if result.returncode == 0:
            return f"ran {self}"
        if self.may_fail:
            return f"nothing to do for {self}"
        said = (result.stderr.strip() or result.stdout.strip()).splitlines()
        words = said[0] if said else f"exit status {result.returncode}"
        if "--user" in self.argv and "bus" in words:
            words += "; the user manager is not reachable from here: log in as that user (not by su or sudo)"
        raise MonitordError(f"cannot run `{self}`: {words}")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that is to be there; root's own where `is_roots`."""

    path: Path
    is_roots: bool = False

    def text(self) -> str:
        return f"# folder {self.path}"

    def do(self, run: Run) -> str:
        """Make it; earlier versions left the configuration's folder to a user who goes with the service."""
        was_there = self.path.is_dir()
        self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
        if self.is_roots and os.geteuid() == 0 and self.path.lstat().st_uid != 0:
            os.chown(self.path, 0, 0, follow_symlinks=False)
        return f"{'unchanged' if was_there else 'made'} {self.path}"


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file as it is to be, published in one rename; an identical one is left as it is."""

    path: Path
    content: str
    mode: int = 0o644

    def text(self) -> str:
        return f"# file {self.path} (mode {self.mode:04o})\n{self.content.rstrip()}\n"

    def do(self, run: Run) -> str:
        if not self.path.is_symlink() and self.path.is_file():
            is_same = self.path.read_text(encoding="utf-8", errors="surrogateescape") == self.content
            if is_same and self.path.stat().st_mode & 0o777 == self.mode:
                return f"unchanged {self.path}"
        fresh = self.path.with_name(f".{self.path.name}.new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self.mode)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as stream:
            os.fchmod(stream.fileno(), self.mode)
            stream.write(self.content)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(self.path)
        return f"wrote {self.path}"


@dataclass(frozen=True, slots=True)
class CommandLink:
    """The program where every user's PATH and sudo's find it; what else is there stays as it is."""

    path: Path
    target: Path

    def text(self) -> str:
        return f"# link {self.path} -> {self.target}, unless something else is there"

    def do(self, run: Run) -> str:
        if is_link_to(self.path, self.target):
            return f"unchanged {self.path}"
        if os.path.lexists(self.path) or not self.path.parent.is_dir():
            return f"left {self.path} alone; the program is {self.target}"
        self.path.symlink_to(self.target)
        return f"linked {self.path} to {self.target}"


def is_link_to(path: Path, target: Path) -> bool:
    """Whether it is the link that an install made."""
    return path.is_symlink() and path.readlink() == target


@dataclass(frozen=True, slots=True)
class RemoveFile:
    """A file of ours, or a link, gone afterwards."""

    path: Path

    def text(self) -> str:
        return f"# remove {self.path}"

    def do(self, run: Run) -> str:
        if not self.path.exists() and not self.path.is_symlink():
            return f"{self.path} does not exist; nothing to remove"
        self.path.unlink()
        return f"removed {self.path}"


@dataclass(frozen=True, slots=True)
class RemoveTree:
    """A folder of ours with all that is in it, gone afterwards. A link is never followed."""

    path: Path

    def text(self) -> str:
        return f"# remove {self.path} and all that is in it"

    def do(self, run: Run) -> str:
        try:
            is_folder = stat.S_ISDIR(self.path.lstat().st_mode)
        except FileNotFoundError:
            return f"{self.path} does not exist; nothing to remove"
        if not is_folder:
            raise MonitordError(f"cannot remove {self.path}: it is a link or not a directory")
        _require_in_place(self.path)
        shutil.rmtree(self.path)
        return f"removed {self.path}"


@dataclass(frozen=True, slots=True)
class RemoveData:
    """A data directory, gone afterwards, and only what is one: a wrong path must not cost anybody a home."""

    path: Path

    def text(self) -> str:
        return f"# remove {self.path} and every incident in it"

    def do(self, run: Run) -> str:
        folder = self.path
        if folder.is_symlink() and folder.resolve() == folder.parent.resolve() / "private" / folder.name:
            done = RemoveData(folder.resolve()).do(run)  # of a dynamic user's: the link is systemd's
            folder.unlink()
            return done
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise MonitordError(f"cannot remove {folder}: it is a link or not a directory")
        if not folder.exists():
            return f"{folder} does not exist; nothing to remove"
        _require_in_place(folder)
        names = set(os.listdir(folder))  # noqa: PTH208  names are all that is wanted
        others = {name for name in names if name not in _FOLDERS and not name.startswith(_BEGINNINGS)}
        if _DATABASE not in names and others:
            raise MonitordError(f"cannot remove {folder}: it does not hold monitord's data")
        home = next((home for home in _homes() if home.is_relative_to(folder.resolve())), None)
        if home is not None:
            raise MonitordError(f"cannot remove {folder}: {home} is in it; remove monitord's files by hand")
        shutil.rmtree(folder)
        return f"removed {folder}"


def _homes() -> Iterator[Path]:
    """Where the caller is at home, under sudo, too."""
    import pwd

    yield Path.home().resolve()
    with contextlib.suppress(KeyError):
        yield Path(pwd.getpwuid(who_asks()).pw_dir).resolve()


def _require_in_place(path: Path) -> None:
    """Root removes nothing whose place another user can give to another folder meanwhile."""
    if os.geteuid() != 0:
        return
    reason = why_untrusted(path.parent)
    if reason is not None and why_untrusted(path) is not None:
        raise PermissionDeniedError(f"cannot remove {path} as root: {reason}; try it as that user")


@dataclass(frozen=True, slots=True)
class ShareStore:
    """What an earlier version recorded for root alone, opened to the group of the service's user."""

    data_dir: Path
    user: str

    def text(self) -> str:
        return f"# let the group {self.user} read {self.data_dir}, if it is there"

    def do(self, run: Run) -> str:
        from monitord.storage.sharing import share_with_group

        readers = members(self.user)
        told = f"; its members read it: {', '.join(readers)}" if readers else ""
        folder = self.data_dir.resolve()
        if not folder.is_dir():
            return f"{self.data_dir} does not exist yet; the group {self.user} may read it{told}"
        uid, gid = account(self.user)
        with contextlib.suppress(FileNotFoundError):
            count = share_with_group(folder, uid, gid)
        return f"the group {self.user} may read {counted(count, 'file')} in {self.data_dir}{told}"


def account(name: str) -> tuple[int, int]:
    """The numbers of a user and a group of this name; raises MonitordError where there is none."""
    import grp
    import pwd

    try:
        return pwd.getpwnam(name).pw_uid, grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise MonitordError(f"cannot find the user and group {name} that the service runs as") from error
