"""This installation as a tar stream on stdout: what `service install --system` makes root's environment of.

It runs as the user whose files they are, so that it reads what that user may read and nothing else. Names are
relative to an environment: `lib/python3.11/site-packages/…`, `bin/…`. Links are left out.
"""

from __future__ import annotations

import io
import os
import re
import stat
import sys
import tarfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath

import monitord
from monitord.errors import PermissionDeniedError
from monitord.ownership import why_untrusted

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"""\bextra\s*==\s*['"]([^'"]*)['"]""")
_PACKAGE = Path(monitord.__file__).resolve().parent
# A checkout has beside the package what a wheel has within it, as pyproject.toml tells the wheel's builder.
_BESIDE = {
    "migrations": "monitord/_migrations",
    "systemd": "monitord/_service/systemd",
    "launchd": "monitord/_service/launchd",
}
_LARGEST_FILE_BYTES = 512 << 20


def pack(out: io.BufferedIOBase | io.RawIOBase) -> int:
    """Write monitord and everything it requires that is installed, extras included; how many files."""
    site = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    count = 0
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for name, path in _files():
            target = name if name.startswith("bin/") else f"{site}/{name}"
            count += _add(tar, target, path)
    return count


def _files() -> Iterator[tuple[str, Path]]:
    for distribution in _required("monitord"):
        yield from _of_distribution(distribution)
    for path in _below(_PACKAGE):
        yield f"monitord/{path.relative_to(_PACKAGE)}", path
    if not (_PACKAGE / "_migrations").is_dir():
        for beside, target in _BESIDE.items():
            folder = _PACKAGE.parent / beside
            yield from ((f"{target}/{path.relative_to(folder)}", path) for path in _below(folder))


def _required(name: str) -> Iterable[metadata.Distribution]:
    """The distribution of this name with all its extras, and what it requires, as far as it is installed."""
    waiting: list[tuple[str, frozenset[str] | None]] = [(name, None)]
    asked, found = set(), {}
    while waiting:
        wanted, extras = waiting.pop()
        key = re.sub(r"[-_.]+", "-", wanted).lower()
        if (key, extras) in asked:
            continue
        asked.add((key, extras))
        try:
            found[key] = metadata.distribution(wanted)
        except metadata.PackageNotFoundError:
            continue  # an extra that was not asked for, or another platform's
        waiting += _requirements(found[key], extras)
    return found.values()


def _requirements(
    distribution: metadata.Distribution, extras: frozenset[str] | None
) -> Iterator[tuple[str, frozenset[str]]]:
    """Names and extras of what it requires, of its own extras only those that were asked for (None: all)."""
    for each in distribution.requires or ():
        requirement, _, marker = each.partition(";")
        name, of = _REQUIREMENT.match(requirement), _EXTRA.search(marker)
        if name and (of is None or extras is None or of[1] in extras):
            yield name[1], frozenset(re.findall(r"[\w.-]+", name[2] or ""))


def _of_distribution(distribution: metadata.Distribution) -> Iterator[tuple[str, Path]]:
    """What its RECORD lists: modules, metadata, and programs, but not scripts. Our package comes apart."""
    for file in distribution.files or ():
        path = Path(str(distribution.locate_file(file)))
        parts = PurePosixPath(file).parts
        if "__pycache__" in parts or parts[0] == "monitord":
            continue
        if ".." not in parts and not PurePosixPath(file).is_absolute():
            is_of_a_checkout = len(parts) == 1 and path.suffix == ".pth"  # points below a home
            if not is_of_a_checkout:
                yield str(PurePosixPath(file)), path
        elif parts[-2:-1] == ("bin",) and not _is_script(path):
            yield f"bin/{parts[-1]}", path


def _is_script(path: Path) -> bool:
    """Scripts name the interpreter of the environment that they were made for."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True


def _below(folder: Path) -> Iterator[Path]:
    for above, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        yield from (Path(above) / name for name in sorted(names))


def _add(tar: tarfile.TarFile, name: str, path: Path) -> bool:
    reason = why_untrusted(path, owners=frozenset({os.geteuid()}))
    if reason is not None:
        raise PermissionDeniedError(f"cannot take over {path}: {reason}")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # a RECORD may list what was removed since
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return False
        content = file.read(_LARGEST_FILE_BYTES)
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o755 if status.st_mode & 0o100 else 0o644
    tar.addfile(member, io.BytesIO(content))
    return True


def main() -> int:
    """Exit 1 when there is nothing to pack, 4 with one line on stderr when others could change any of it."""
    try:
        with open(os.dup(1), "wb") as out:
            return 0 if pack(out) else 1
    except PermissionDeniedError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
