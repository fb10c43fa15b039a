"""Where a frame's code belongs, told from its path alone: the same on every machine and in every checkout.

A path below site-packages or a standard library keeps what stands below it. Of any other path the file and
its folder are kept: enough to tell files apart, and nothing of where the project happens to lie.
"""

from __future__ import annotations

import re
from hashlib import blake2b

_LIBRARY = re.compile(r".*/(?:site-packages|dist-packages|(?:python|pypy)[23]\.[0-9]+t?)/")
_COMPREHENSIONS = re.compile(r"(?:\.<locals>)?\.<(?:listcomp|setcomp|dictcomp|genexpr)>")
_UNNAMED = re.compile(r"\[.*\]|0x[0-9a-f]+")
_ADDRESS = re.compile(r"(?=.*[0-9])[0-9a-f]{6,}")  # as perf writes one; "add" and "decade" are names
_FOLDERS_KEPT = 1
_ID_BYTES = 8


def place_of(file: str) -> str | None:
    """The path without what differs between installations; None for code that has no file (`<string>`)."""
    if file.startswith("<"):
        return file if file.startswith("<frozen ") else None
    found = _LIBRARY.match(file)
    if found is not None:
        return file[found.end() :]
    return "/".join(file.split("/")[-1 - _FOLDERS_KEPT :])


def module_of(file: str, packages: int = 0) -> str | None:
    """The dotted name of a Python file's module, `packages` folders of which are packages.

    Below site-packages and the standard library every folder is one.
    """
    if file.startswith("<"):
        return file[len("<frozen ") : -1] or None if file.startswith("<frozen ") else None
    found = _LIBRARY.match(file)
    parts = file[found.end() :].split("/") if found else file.split("/")[-1 - packages :]
    stem, _dot, suffix = parts[-1].rpartition(".")
    if not stem or suffix not in ("py", "pyc", "pyw", "pyx"):
        return None
    names = parts[:-1] if stem == "__init__" else [*parts[:-1], stem]
    return ".".join(names) or None


def folded_name(name: str) -> str:
    """Return a function's qualified name; comprehensions belong to the function they stand in.

    Since Python 3.12 they run in its frame, before that in one of their own.
    """
    return _COMPREHENSIONS.sub("", name) or name


def func_id_of(name: str, file: str | None, module: str | None, kind: str) -> str | None:
    """Name a function by where it belongs and its qualified name; None when it has no place or name.

    Neither its lines nor its body matter. Native functions belong to their binary, by its file name.
    """
    if _UNNAMED.fullmatch(name) or (kind != "python" and _ADDRESS.fullmatch(name)):
        return None  # unknown code of two programs is not the same
    if kind == "python":
        place = place_of(file) if file else module
    else:
        place = (module or "").rpartition("/")[2] or (place_of(file) if file else kind)
    if not place:
        return None
    return short_hash(kind, place, folded_name(name))


def short_hash(*parts: str) -> str:
    """Hash to 64 bits in hexadecimal: a million functions collide once in 30 million machines."""
    digest = blake2b(digest_size=_ID_BYTES)
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()
