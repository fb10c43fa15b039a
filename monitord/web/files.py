"""The page's files, read once and kept compressed; no part of a request's path is ever a path on the disk.

Our own lie in `static/`, those of other makers in `assets/` (`make assets`; a wheel has them).
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from monitord.errors import NotFoundError

_ROOM = files("monitord.web")
SHELL = "index.html"
TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
_COMPRESSED_ALREADY = frozenset({".png", ".ico", ".woff2"})
NEEDED = ("uplot/uPlot.iife.min.js", "uplot/uPlot.min.css", "speedscope/index.html")
"""Assets without which the page is not whole."""


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is sent. `squeezed` is its content under gzip, or None where that saves nothing."""

    content: bytes
    squeezed: bytes | None
    media_type: str
    etag: str


def require() -> None:
    """Raise NotFoundError, with what to type, where assets are missing."""
    assets = _ROOM / "assets"
    missing = [name for name in NEEDED if not (assets / name).is_file()]
    if missing:
        raise NotFoundError(f"cannot find the page's asset {missing[0]}; in a checkout, type `make assets`")


def load() -> dict[str, File]:
    """Return every file by its address; raises NotFoundError where assets are missing."""
    require()
    assets = _ROOM / "assets"
    found = {f"/static/{path}": _file(path, one) for path, one in _walk(_ROOM / "static", "")}
    found |= {f"/assets/{path}": _file(path, one) for path, one in _walk(assets, "")}
    return found | {
        "/static/flamegraph.js": _module(files("monitord.profiles") / "flamegraph.js", "{ drawFlameGraph }"),
        "/static/uplot.js": _module(assets / "uplot" / "uPlot.iife.min.js", "{ uPlot as default }"),
    }


def _walk(folder: Traversable, above: str) -> Iterator[tuple[str, Traversable]]:
    for one in sorted(folder.iterdir(), key=lambda each: each.name):
        path = f"{above}{one.name}"
        if one.is_dir():
            yield from _walk(one, f"{path}/")
        elif _ending(path) in TYPES:
            yield path, one


def _file(path: str, source: Traversable) -> File:
    return made(source.read_bytes(), _ending(path))


def _module(script: Traversable, exported: str) -> File:
    """A script that others use as it is, as a module."""
    return made(b"%s\nexport %s;\n" % (script.read_bytes(), exported.encode("ascii")), ".js")


def made(content: bytes, ending: str) -> File:
    """Make a file of its content; the ending says what it is."""
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    squeezed = None if ending in _COMPRESSED_ALREADY else gzip.compress(content, 9, mtime=0)
    return File(content, squeezed, TYPES[ending], etag)


def _ending(path: str) -> str:
    return path[path.rfind(".") :] if "." in path else ""
