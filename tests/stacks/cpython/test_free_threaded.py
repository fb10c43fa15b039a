"""A free-threaded 3.14, by an image laid out by hand: no package has such a build, and few compile one.

Its objects have another head, and each thread runs a copy of a function's instructions. Where somebody built one,
test_stacks.py reads it: 3.13t, 3.14t and 3.15t were tried so.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import pytest

from monitord.stacks.cpython import Interpreter
from monitord.symbols.cpython_layouts import COOKIE, ORDERS
from tests.stacks.cpython.fake_python import BASE, Host, Image, host

STACK = 4096 * 100 + BASE
# As its headers have them where Py_GIL_DISABLED is defined.
OFFSETS = {
    "version": 0x030E00F0, "free_threaded": 1, "interpreters": 1600, "next_interpreter": 0, "threads": 72,
    "next_thread": 8, "current_frame": 72, "thread_id": 144, "code": 0, "previous": 8, "instruction": 56,
    "local_code_index": 72, "owner": 78, "first_line": 84, "file_name": 128, "name": 144, "line_table": 152,
    "local_codes": 224, "instructions": 232, "type": 24, "text_length": 32, "text_state": 48, "text_bytes": 56,
}  # fmt: skip
STACK_WORDS, FRAME_WORDS = 2, 10


class FreeThreadedImage(Image):
    """Objects of 3.14 with the head that they have without a lock, and what the runtime publishes."""

    def __init__(self) -> None:
        super().__init__()
        names = ORDERS[3, 14].split()
        words = (OFFSETS.get(name, 0) for name in names)
        self.data[: 8 + 8 * len(names)] = COOKIE + struct.pack(f"<{len(names)}Q", *words)

    def _type(self, name: bytes) -> int:
        at, words = self.room(64), self.room(len(name) + 8)
        self.data[words - BASE : words - BASE + len(name)] = name
        self.put(at + 40, words)
        return at

    def text(self, words: str) -> int:
        at = self.room(64 + len(words))
        self.put(at + 24, self.str_type, len(words), hash(words), 1 << 8 | 1 << 11 | 1 << 12)
        self.data[at - BASE + 56 : at - BASE + 56 + len(words)] = words.encode("ascii")
        return at

    def code(self, name: str, file: str, line: int, variables: int = 3) -> int:
        """A function of ten instructions: the first six on one line, the others on the next."""
        at, table = self.room(320), self.room(64)
        self.put(table + 24, self.bytes_type, 6)
        self.data[table - BASE + 48 : table - BASE + 54] = b"\xd5\x00\x00\xdb\x00\x00"
        self.put(at + 24, self.code_type, 10)
        frame_words = FRAME_WORDS + variables + STACK_WORDS
        struct.pack_into("<iiii", self.data, at - BASE + 80, STACK_WORDS, line, variables, frame_words)
        self.put(at + 128, self.text(file), 0, self.text(name), table)
        return at

    def with_copies(self, code: int, count: int) -> list[int]:
        """Where each thread's copy of its instructions begins; the first is its own."""
        places = [code + 232, *(self.room(64) for _ in range(count - 1))]
        holder = self.room(8 + 8 * count)
        self.put(holder, count, *places)
        self.put(code + 224, holder)
        return places

    def calls(self, *frames: tuple[int, int, int]) -> int:
        """Frames on the data stack, the root first: code, instruction, copy; gives the innermost."""
        previous, at = 0, STACK
        for code, instruction, copy in frames:
            self.put(at, code | 1, previous)  # the lowest bits of a reference say that it is not counted
            self.put(at + 56, instruction)
            struct.pack_into("<i", self.data, at - BASE + 72, copy)
            size = struct.unpack_from("<i", self.data, code - BASE + 92)[0] * 8
            previous, at = at, at + size
        return previous

    def thread(self, pid: int, frame: int) -> None:
        interpreter, state = self.room(256), self.room(256)
        self.put(BASE + 1600, interpreter)
        self.put(interpreter + 72, state)
        self.put(state + 8, 0)
        self.put(state + 72, frame)
        self.put(state + 144, pid)


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Iterator[Host]:
    with host(tmp_path_factory.mktemp("fake"), require_tool) as one:
        yield one


def told(fake: Host, image: FreeThreadedImage) -> tuple[tuple[str, str | None, int | None], ...] | None:
    fake.become(image)
    interpreter = Interpreter.attach(fake.pid)
    assert interpreter.version == (3, 14)
    assert interpreter.is_free_threaded
    return interpreter.stack(fake.pid)


def test_a_stack_of_threads_with_instructions_of_their_own_has_its_lines(fake: Host) -> None:
    """The main thread's are the function's own, another's are in its copy; both stand on the second line."""
    for copy in (0, 2):
        image = FreeThreadedImage()
        main, work = image.code("main", "/app/main.py", 1), image.code("Order.work", "/app/work.py", 11)
        frames = [(code, image.with_copies(code, 3)[copy] + 2 * 8, copy) for code in (main, work)]
        image.thread(fake.pid, image.calls(*frames))
        assert told(fake, image) == (("main", "/app/main.py", 2), ("Order.work", "/app/work.py", 12))


@pytest.mark.parametrize("copy", [3, 1 << 30, -1])
def test_a_copy_that_is_not_there_gives_the_function_without_a_line(copy: int, fake: Host) -> None:
    """What was published of it is the target's word: better no line than another one."""
    image = FreeThreadedImage()
    code = image.code("main", "/app/main.py", 1)
    places = image.with_copies(code, 3)
    image.thread(fake.pid, image.calls((code, places[2] + 2 * 8, copy)))
    assert told(fake, image) == (("main", "/app/main.py", None),)
