"""Whether a path can be trusted by a process with rights that others lack: the one answer to that question.

A path is what everybody who may change one of its parts makes of it. So every part counts, symbolic links
resolved one by one: who owns it and who may write to it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MACHINE_GROUP = "monitord"  # whose members read what the machine's service recorded
MACHINE_DATA_DIR = Path(
    "/Library/Application Support/monitord" if sys.platform == "darwin" else "/var/lib/monitord"
)
_MAX_LINKS = 40
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OTHERS_WRITE, _GROUP_WRITES = stat.S_IWOTH, stat.S_IWGRP
_ROOTS_GROUP = 0
_HOLDS_CAPABILITIES = ("CapEff:", "CapAmb:")


def is_privileged() -> bool:
    """Whether this process is root or holds capabilities: then what it runs and reads must be root's."""
    return os.geteuid() == 0 or _holds_capabilities()


def _holds_capabilities() -> bool:
    try:
        lines = Path("/proc/self/status").read_bytes().decode("utf-8", "replace").splitlines()
    except OSError:
        return False
    return any(int(line.split()[1], 16) for line in lines if line.startswith(_HOLDS_CAPABILITIES))


def why_untrusted(path: Path, *, owners: frozenset[int] = frozenset({0})) -> str | None:
    """Why somebody else decides what lies at an absolute `path`, in words; None: only the `owners` do.

    Root always counts as an owner. What does not exist is judged by who could make it. A folder where
    everybody may write is accepted on the way to what exists, if its entries stay their owners' (sticky).
    """
    trusted = owners | {0}
    shared: str | None = None  # such a folder, when nothing in it was seen yet
    for part, status, is_last in _parts(path):
        if status.st_uid not in trusted:
            return f"{part} belongs to {_user(status.st_uid)}"
        shared = None
        if stat.S_ISLNK(status.st_mode):
            continue  # its mode says nothing; where it lies was judged, and where it leads will be
        if _is_open(status, trusted) and not stat.S_ISCHR(status.st_mode):  # /dev/null holds what it holds
            if is_last or not _is_shared(status):
                return f"{part} can be written by others (mode {stat.S_IMODE(status.st_mode):04o})"
            shared = part
    return f"{shared} can be written by others, who could make {path}" if shared else None


def open_folder(folder: Path, owners: frozenset[int]) -> int:
    """Open an absolute folder for a process with rights: what is opened is what root and `owners` made of it.

    Walks part by part and follows a symbolic link only where nobody else could have put it. Raises OSError;
    PermissionError at such a link.
    """
    trusted = owners | {0}
    waiting = [part for part in reversed(str(folder).split("/")) if part not in ("", ".")]
    current, links = os.open("/", _FOLDER), 0
    try:
        while waiting:
            name = waiting.pop()
            leads_to = _link_in(current, name, trusted)
            if leads_to is None:
                following = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=current)
                os.close(current)
                current = following
                continue
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))
            if leads_to.startswith("/"):
                os.close(current)
                current = os.open("/", _FOLDER)
            waiting += [part for part in reversed(leads_to.split("/")) if part not in ("", ".")]
    except BaseException:
        os.close(current)
        raise
    return current


def make_folder(folder: Path, *, owners: frozenset[int] = frozenset()) -> None:
    """Make the folder, and those above it that are missing, for their owner alone, whatever the umask.

    With rights that others lack: only where nobody but root, we and `owners` decides what is there, or in a
    folder like /tmp. Else a HOME that root was left with would lead it anywhere. Raises OSError.
    """
    missing = [one for one in (*reversed(folder.absolute().parents), folder.absolute()) if not one.exists()]
    if not is_privileged():
        for one in missing:
            one.mkdir(mode=0o700, exist_ok=True)
    elif missing:
        trusted = owners | {os.geteuid()}
        above = open_folder(missing[0].parent, trusted)
        try:
            if not belongs_to(above, trusted) and not _is_shared(os.fstat(above)):
                raise PermissionError(errno.EPERM, "another user can write above it", str(folder))
            _make_within(above, [one.name for one in missing])
        finally:
            os.close(above)


def _make_within(above: int, names: Sequence[str]) -> None:
    """Make one in the other, by descriptors: none is exchanged meanwhile."""
    held = os.dup(above)
    try:
        for name in names:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=held)
            following = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=held)
            os.close(held)
            held = following
    finally:
        os.close(held)


def belongs_to(folder: int, owners: frozenset[int]) -> bool:
    """Whether nobody but root and `owners` can put anything into an opened folder."""
    status, trusted = os.fstat(folder), owners | {0}
    return status.st_uid in trusted and not _is_open(status, trusted)


def _link_in(folder: int, name: str, trusted: frozenset[int]) -> str | None:
    """Where a name leads if it is a link; PermissionError where somebody else could have put it."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        return None
    if not belongs_to(folder, trusted):
        raise PermissionError(
            errno.EPERM, f"{name} is a symbolic link in a folder that others can write", name
        )
    return os.readlink(name, dir_fd=folder)


def _is_open(status: os.stat_result, trusted: frozenset[int]) -> bool:
    """Written by others, or by a group that is more than root's or, where root alone counts, root's own."""
    if status.st_mode & _OTHERS_WRITE:
        return True
    if not status.st_mode & _GROUP_WRITES or status.st_gid == _ROOTS_GROUP:
        return False
    return status.st_gid not in trusted or not _is_private(status.st_gid)


def _is_private(gid: int) -> bool:
    """Whether a group is that of the user of the same number alone.

    Many systems give every user one, and a umask that lets it write. It has that user's name and no other
    members; a number without a name has none.
    """
    import grp
    import pwd

    try:
        group = grp.getgrgid(gid)
    except KeyError:
        return True
    try:
        user = pwd.getpwuid(gid).pw_name
    except KeyError:
        return False
    return group.gr_name == user and set(group.gr_mem) <= {user}


def _is_shared(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode) and bool(status.st_mode & stat.S_ISVTX)


def _parts(path: Path) -> Iterator[tuple[str, os.stat_result, bool]]:
    """Every part that leads to `path`, links and where they lead included, with its status and if it is last.

    Ends early where something does not exist; raises nothing.
    """
    current, links = "/", 0
    waiting = [part for part in reversed(str(path.absolute()).split("/")) if part not in ("", ".")]
    try:
        yield current, os.lstat(current), not waiting
        while waiting:
            name = waiting.pop()
            if name == "..":
                current = os.path.dirname(current)  # noqa: PTH120 - text
                continue
            found = os.lstat(f"{current.rstrip('/')}/{name}")
            yield f"{current.rstrip('/')}/{name}", found, not waiting and not stat.S_ISLNK(found.st_mode)
            if not stat.S_ISLNK(found.st_mode):
                current = f"{current.rstrip('/')}/{name}"
                continue
            links += 1
            if links > _MAX_LINKS:
                return
            leads_to = os.readlink(f"{current.rstrip('/')}/{name}")  # noqa: PTH115 - text, part by part
            current = "/" if leads_to.startswith("/") else current
            waiting += [part for part in reversed(leads_to.split("/")) if part not in ("", ".")]
    except OSError:
        return


def _user(uid: int) -> str:
    try:
        import pwd

        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except (ImportError, KeyError):
        return f"uid {uid}"


def code_places(program: Path | None = None) -> tuple[Path, ...]:
    """What this program is made of: interpreter, what it imports from, monitord, and the `program` file."""
    ours = Path(__file__).resolve().parent
    found = [Path(sys.executable), Path(os.__file__), ours]
    found += [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    found += [Path(entry) for entry in sys.path if entry and Path(entry).is_absolute()]
    found += [Path(sys.prefix) / "pyvenv.cfg", ours.parent]
    return tuple(dict.fromkeys([*([program] if program else []), *found]))


def why_code_untrusted(program: Path | None = None) -> str | None:
    """Why root, or a service with capabilities, must not run this monitord: one line; None: it may."""
    for place in code_places(program):
        reason = why_untrusted(place)
        if reason is not None:
            return reason
    return None


def why_unfit_for_service(*programs: Path) -> str | None:
    """Why a system service can't be made of these files: others decide what they are, or it can't come there.

    For our own interpreter all that it imports counts. The daemon, `service install` and doctor ask this.
    """
    found = list(programs)
    if Path(sys.executable).resolve() in {program.resolve() for program in programs}:
        found += code_places()
    for path in found:
        reason = why_untrusted(path)
        if reason is not None:
            return reason
    for path in found if sys.platform == "linux" else ():
        blocked = closed_to_others(path) if path.exists() else None
        if blocked is not None:
            on_the_way = f" on the way to {path}" if blocked != path else ""
            return f"the service has a user of its own, who can't enter {blocked}{on_the_way} (203/EXEC)"
    missing = next((program for program in programs if not program.exists()), None)
    return f"{missing} does not exist" if missing is not None else None


@dataclass(frozen=True, slots=True)
class Fitness:
    """Whether this monitord can be the machine's service: then `why_not_itself` is None.

    Else `refused` says why root makes no environment of its own of it either; where that is None, `python` is
    the interpreter for one, and `owner` has the rights that suffice to read what it is made of.
    """

    why_not_itself: str | None = None
    refused: str | None = None
    python: Path | None = None
    owner: int = 0


def fitness(*programs: Path, asker: int | None = None) -> Fitness:
    """Judge the files that start monitord: `service install`, doctor and every hint ask this.

    Root takes over only what nobody but root and the `asker` can change: who called sudo, else who we are.
    """
    reason = why_unfit_for_service(*programs)
    if reason is None:
        return Fitness()
    asker = who_asks() if asker is None else asker
    refused = _why_no_source(programs, asker)
    python = python_for_all() if refused is None else None
    if refused is None and python is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        refused = f"{reason}, and this machine has no Python {version} that is root's and open to everybody"
    owners = {place.stat().st_uid for place in code_places() if place.exists()}
    return Fitness(reason, refused, python, asker if asker in owners else 0)


def who_asks() -> int:
    """The user behind sudo, else the effective one."""
    told = os.environ.get("SUDO_UID", "")
    return int(told) if os.geteuid() == 0 and told.isdecimal() else os.geteuid()


def _why_no_source(programs: Sequence[Path], asker: int) -> str | None:
    own = Path(sys.executable)
    if not {own, own.resolve()} & {each for program in programs for each in (program, program.resolve())}:
        return why_unfit_for_service(*programs)  # another installation: what it is made of is not known
    found = (why_untrusted(place, owners=frozenset({asker})) for place in (*programs, *code_places()))
    return next((reason for reason in found if reason is not None), None)


def python_for_all() -> Path | None:
    """An interpreter of our version that only root can change and everybody can execute, if there is one."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    places = (Path(sys.executable).resolve(), Path("/usr/bin") / version, Path("/usr/local/bin") / version)
    return next((each for each in places if is_for_all(each)), None)


def is_for_all(program: Path) -> bool:
    """Whether only root can change it, and everybody can execute it."""
    return program.exists() and why_untrusted(program) is None and closed_to_others(program) is None


def lasting_path(path: str) -> str:
    """The same file by the name that stays when a newer version of root's own environment takes over."""
    return re.sub(r"^(/opt/monitord)/versions/[^/]+/", r"\1/current/", path)


def line_for_all(program: Sequence[str] = (), interpreter: Path | None = None) -> str:
    """What to type, as it stands, to record everybody's processes: with ours (or `program`), or a fit one."""
    python = interpreter or Path(sys.executable)
    script = python.parent / "monitord"
    words = program or ((str(script),) if script.exists() else (str(python), "-I", "-m", "monitord"))
    if fitness(Path(words[0]), python).refused is not None:
        return how_to_install_for_all()
    return " ".join(("sudo", lasting_path(words[0]), *words[1:], "service install --system"))


def how_to_install_for_all() -> str:
    """What to type for an installation that is root's and that everybody can execute."""
    return (
        f"sudo {_system_python()} -m venv /opt/monitord && sudo /opt/monitord/bin/pip install {_source()}"
        " && sudo /opt/monitord/bin/monitord service install --system"
    )


def _system_python() -> str:
    """An interpreter that root can trust: the one behind ours, or the system's."""
    own = Path(sys.executable).resolve()
    return str(own) if is_for_all(own) else "/usr/bin/python3"


def _source() -> str:
    """What this monitord was installed from (PEP 610), or the checkout that it runs from."""
    import json
    import shlex
    from importlib import metadata
    from urllib.parse import unquote, urlsplit

    unknown = "PATH   (PATH: a checkout of monitord, or its wheel)"
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "pyproject.toml").is_file():
        return shlex.quote(str(checkout)) if _is_askers(checkout) else unknown
    try:
        said = json.loads(metadata.distribution("monitord").read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        said = {}
    url = str(said.get("url", "")) if isinstance(said, dict) else ""
    path = Path(unquote(urlsplit(url).path))
    if url.startswith("file:") and path.exists() and _is_askers(path):
        return shlex.quote(str(path))
    how = said.get("vcs_info", {}).get("vcs", "") if isinstance(said, dict) else ""
    if url and not url.startswith("file:"):
        return shlex.quote(f"{how}+{url}" if how else url)
    return unknown


def _is_askers(path: Path) -> bool:
    """Whether nobody but root and the caller can change it: else root is not advised to install it."""
    return why_untrusted(path, owners=frozenset({who_asks()})) is None


def closed_to_others(path: Path) -> Path | None:
    """The first part of an absolute path that not everybody may execute or enter; None: all may.

    A missing part is closed too. Files other than programs must be readable instead. Links count as where
    they lead.
    """
    for part, status, is_last in _parts(path):
        if stat.S_ISLNK(status.st_mode):
            continue
        wanted = stat.S_IXOTH
        if is_last and not stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o111:
            wanted = stat.S_IROTH
        if not status.st_mode & wanted:
            return Path(part)
        if is_last:
            return None
    return path
