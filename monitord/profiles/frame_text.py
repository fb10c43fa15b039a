"""How a frame is spelt as one word, `name (file:line)` or `name (module)`, read and written.

It is the spelling of py-spy's raw form, which flame graph tools read too.
"""

from __future__ import annotations

import re

from monitord.profiles.representation import UNKNOWN, Frame, Thread

_NATIVE_SOURCES = (
    ".c",
    ".cc",
    ".cpp",
    ".cxx",
    ".h",
    ".hpp",
    ".hh",
    ".rs",
    ".s",
    ".S",
    ".pyx",
    ".pxd",
    ".m",
    ".mm",
    ".go",
    ".inc",
)
_PYTHON_SOURCES = (".py", ".pyc", ".pyw", ".ipynb")
_LONE = re.compile("[\ud800-\udfff]")
_LINE = re.compile(r"(.+):([0-9]{1,9})")
_THREAD = re.compile(r"thread \((\w{1,20})\)(?:: ?(.*))?", re.S)
_PROCESS = re.compile(r'process ([0-9]{1,10}):"')
_NOT_KERNEL = frozenset({"[vdso]", "[vsyscall]", "[heap]", "[stack]", "[anon]", "[uprobes]", UNKNOWN})


def read_frame(word: str) -> Frame:
    """Give the frame that a word spells; a word without a place is a name, its kind taken for Python's."""
    # A path may hold brackets: "hot (/srv/app (old)/run)", "hot (/usr/bin/app (deleted))".
    name, opening, place = word.partition(" (/") if " (/" in word else word.rpartition(" (")
    place = f"/{place}" if opening == " (/" else place
    if not opening or not place.endswith(")") or not name:
        return Frame(word)
    place = place[:-1]
    if place == UNKNOWN:
        return Frame(name, kind="native")
    if with_line := _LINE.fullmatch(place):
        file, line = with_line[1], int(with_line[2]) or None
        return Frame(name, file, line, kind="native" if file.endswith(_NATIVE_SOURCES) else "python")
    if place.endswith(_PYTHON_SOURCES) or (place.startswith("<") and place.endswith(">")):
        return Frame(name, place)
    if place.endswith(_NATIVE_SOURCES):
        return Frame(name, place, kind="native")
    return Frame(name, module=place, kind="kernel" if is_kernel_module(place) else "native")


def spell_frame(frame: Frame) -> str:
    """Give the word for a frame; nothing in it can break a line of the folded form."""
    place = frame.file or frame.module or ""
    if frame.file and frame.line:
        place = f"{frame.file}:{frame.line}"
    if not place and (frame.kind != "python" or frame.name.endswith(")")):
        place = UNKNOWN
    return one_word(f"{frame.name} ({place})" if place else frame.name)


def one_word(text: str) -> str:
    """Give `text` without what separates frames and lines."""
    return " ".join(text.replace(";", ":").splitlines()) if text.splitlines() else ""


def read_thread(word: str) -> Thread | None:
    """Give the thread that a root word names (`thread (9684): MainThread`), or None for an ordinary frame."""
    found = _THREAD.fullmatch(word)
    if not found:
        return None
    number = found[1]
    try:
        thread_id = int(number, 0)
    except ValueError:
        thread_id = None
    return Thread(found[2] or None, thread_id)


def process_of(word: str) -> int | None:
    """Give the pid of a `process PID:"command line"` word; the command line is for nobody's eyes."""
    found = _PROCESS.match(word)
    return int(found[1]) if found else None


def is_kernel_module(module: str) -> bool:
    return (
        module.startswith("[") and module not in _NOT_KERNEL and not module.startswith("[JIT]")
    ) or ".ko" in module[-7:]


def encodable(text: str) -> str:
    """Give `text` so that every encoder takes it: bytes that are not UTF-8 become the characters `\\xNN`."""
    return _LONE.sub(lambda found: _escaped(ord(found[0])), text)


def _escaped(code: int) -> str:
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
