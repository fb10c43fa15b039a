"""What a target may do to who reads it: every answer is a stack or a refusal, after so many reads at most."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord.procfs.memory import Memory
from monitord.stacks.cpython import (
    ImpossibleStackError,
    Interpreter,
    NotPythonError,
    StackError,
    UnknownLayoutError,
    UnreadableError,
)
from monitord.stacks.cpython.codes import CODES_CAP, FILE_CAP, LETTERS_CAP, NAME_CAP
from monitord.stacks.cpython.interpreter import TRUNCATED
from tests.patience import PATIENCE_S
from tests.stacks.cpython.fake_python import BASE, SIZE, Host, Image, host
from tests.stacks.cpython.pythons import OURS, TOLD, holding, line_of, started
from tests.strangers import process_of_another

CALLS_CAP = 3000
"""Of one question: three tries, each of so many frames that lie alone, and what can't be read of names."""
STACK = 4096 * 100 + BASE


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    import shutil

    def require(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"{name} is missing: run .ci/pythons FOLDER, or install it")
        return path

    with host(tmp_path_factory.mktemp("fake"), require) as one:
        yield one


def image(pid: int) -> tuple[Image, int]:
    """A thread that is in main > work > leaf; gives its innermost frame, too."""
    made = Image()
    codes = [
        made.code(name, f"/app/{name}.py", 10 * number + 1)
        for number, name in enumerate(("main", "work", "leaf"))
    ]
    frame = made.stack(codes, STACK)
    made.threads([pid, pid + 1], frame)
    return made, frame


def asked(pid: int) -> tuple[tuple[str, str | None, int | None], ...] | StackError | None:
    """What is answered, and that it took no more reads than it may."""
    try:
        interpreter = Interpreter.attach(pid)
    except StackError as error:
        return error
    before = interpreter.call_count
    try:
        return interpreter.stack(pid)
    except StackError as error:
        return error
    finally:
        assert interpreter.call_count - before <= CALLS_CAP


def test_an_image_made_by_hand_is_read(fake: Host) -> None:
    """Or the others would say nothing."""
    fake.become(image(fake.pid)[0])
    assert asked(fake.pid) == (
        ("main", "/app/main.py", 1),
        ("work", "/app/work.py", 11),
        ("leaf", "/app/leaf.py", 21),
    )


def test_whatever_stands_in_its_words_ends_in_an_answer(fake: Host) -> None:
    """Pointers to themselves, to each other, to nothing, to a device; counts of everything."""
    chance, answers = random.Random(2), set()
    for _ in range(1500):
        made, _ = image(fake.pid)
        places = list(made.places)
        for _change in range(chance.choice((1, 1, 2, 4, 30))):
            place = chance.choice(places)
            made.put(place, chance.choice((
                0, 1, place, chance.choice(places), chance.choice(places) + 1, BASE - 8, BASE + SIZE - 8, BASE + SIZE - 4, fake.device,
                fake.device + 4096, 1 << 20, 1 << 31, 1 << 47, 1 << 63, (1 << 64) - 1, chance.randrange(1 << 64),
            )))  # fmt: skip
        fake.become(made)
        answer = asked(fake.pid)
        answers.add(type(answer).__name__)
        if isinstance(answer, tuple):
            assert len(answer) <= 1024
            assert all(
                len(name) <= NAME_CAP + 1 and len(file or "") <= FILE_CAP + 1 for name, file, _ in answer
            )
    assert answers >= {"tuple", "NoneType", "UnreadableError", "ImpossibleStackError"}


def test_frames_in_a_circle_are_impossible(fake: Host) -> None:
    for to in range(3):
        made, _ = image(fake.pid)
        made.put(STACK + 8, STACK + to * 14 * 8)
        fake.become(made)
        assert isinstance(asked(fake.pid), ImpossibleStackError)


def test_a_chain_of_frames_that_ends_nowhere_is_cut(fake: Host) -> None:
    """Each on a page of its own, of no function, or of one on and on."""
    for owner, step in ((1, 4096), (3, 4096), (1, 96), (3, 96)):
        made = Image()
        codes = [made.code("f", "/f.py", 1)]
        count = (BASE + SIZE - STACK) // step
        for number in range(count):
            at = STACK + number * step
            made.put(at, codes[0], at + step if number + 1 < count else STACK - 4096)
            made.put(at + 56, codes[0] + 194)
            made.data[at - BASE + 70] = owner
        made.threads([fake.pid], STACK)
        fake.become(made)
        answer = asked(fake.pid)
        if owner == 3 or step == 4096:  # it leads out of what fits here
            assert answer is None or isinstance(answer, StackError), answer
        else:
            assert isinstance(answer, tuple), answer
            assert answer[0] == TRUNCATED
            assert len(answer) <= 1024


def test_frames_that_do_not_fit_each_other_are_impossible(fake: Host) -> None:
    """Each function takes so many words of the data stack: between a frame and its caller nothing else lies."""
    for shift in (8, -8, 64, 4096 * 3 + 8):
        made = Image()
        codes = [made.code(name, "/f.py", 1) for name in ("main", "work")]
        made.put(STACK, codes[0], 0)
        at = STACK + 14 * 8 + shift
        made.put(at, codes[1], STACK)
        made.threads([fake.pid], at)
        fake.become(made)
        assert isinstance(asked(fake.pid), ImpossibleStackError), shift


def test_names_are_cut_and_hold_nothing_that_moves_a_cursor(fake: Host) -> None:
    names = (
        "x" * 100_000,
        "ж" * 5000,
        "\U0001f600" * 5000,
        "a\x1b[2Jb;c\nd",
        "\ud800\udfff",
        "e" * NAME_CAP,
        "",
        "ü" * 300,
    )
    made = Image()
    codes = [made.code(name, name, 1) for name in names]
    made.threads([fake.pid], made.stack(codes, STACK))
    fake.become(made)
    answer = asked(fake.pid)
    assert isinstance(answer, tuple), answer
    for name, (function, file, _) in zip(names, answer, strict=True):
        assert len(function) <= NAME_CAP + 1
        assert function.isprintable()
        assert ";" not in function
        assert function.encode()
        assert function.endswith("…") == (len(name) > NAME_CAP)
        if len(name) <= NAME_CAP and name.isprintable() and name:
            assert (function, file) == (name, name)
    assert answer[6][0] == "[unknown]"


def test_of_absurd_sizes_nothing_is_read(fake: Host) -> None:
    """Of a text, a location table, a code object."""
    for size in (1 << 62, (1 << 64) - 1, 1 << 31):
        made = Image()
        code = made.code("main", "/main.py", 7)
        for place in ("name", "table", "code"):
            name, table = (struct.unpack_from("<Q", made.data, code - BASE + at)[0] for at in (128, 136))
            made.put({"name": name, "table": table, "code": code}[place] + 16, size)
        made.threads([fake.pid], made.stack([code], STACK))
        fake.become(made)
        answer = asked(fake.pid)
        assert isinstance(answer, tuple | StackError)


def test_lists_of_threads_that_never_end_are_read_so_far(fake: Host) -> None:
    """And not again for each question: walking rests in proportion to what it took."""
    made, frame = image(fake.pid)
    made.threads(list(range(10**6, 10**6 + 2500)), frame)
    fake.become(made)
    interpreter = Interpreter.attach(fake.pid)
    interpreter.stack(fake.pid)
    before = interpreter.call_count
    for number in range(200):
        assert interpreter.stack(2 * 10**6 + number) is None
    assert interpreter.call_count - before < 2700, "one walk at most"


DEFINES = (
    TOLD
    + """
sys.setrecursionlimit(5000)
for round in range(12):
    body = "".join(f"def f{number}(): return f{number + 1}()\\n" for number in range(900))
    names = {"hold": hold}
    exec(compile(body + "def f900(): return hold_on()\\n", f"<round {round}>" + "x" * 300, "exec"), names)
    def hold_on():
        print("ready", flush=True); sys.stdin.readline()
    names["hold_on"] = hold_on
    names["f0"]()
"""
)


def test_a_million_functions_leave_no_more_than_is_kept(tmp_path: Path) -> None:
    """Thousands of them, each round others at the same addresses: the names are right, what is kept is bounded."""
    (tmp_path / "defines.py").write_text(DEFINES)
    with started([sys.executable, str(tmp_path / "defines.py")]) as process:
        line_of(process)
        interpreter = Interpreter.attach(process.pid)
        for turn in range(12):
            stack = interpreter.stack(process.pid)
            assert stack is not None
            names = [(function, file) for function, file, _ in stack if file and file.startswith("<round")]
            assert names == [(f"f{number}", f"<round {turn}>" + "x" * 300) for number in range(901)]
            assert len(interpreter._codes.known) <= CODES_CAP
            assert interpreter._codes.letter_count <= LETTERS_CAP
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
            if turn < 11:
                line_of(process)


MANY_THREADS = (
    TOLD
    + """
import threading
threading.stack_size(65536)
gate, started = threading.Lock(), threading.Semaphore(0)
gate.acquire()
def wait():
    started.release()
    gate.acquire()
for number in range(4000): threading.Thread(target=wait, daemon=True).start()
for number in range(4000): started.acquire()
print("ready", flush=True); sys.stdin.readline()
"""
)


def test_four_thousand_threads_are_walked_once(tmp_path: Path) -> None:
    (tmp_path / "threads.py").write_text(MANY_THREADS)
    with started([sys.executable, str(tmp_path / "threads.py")]) as process:
        line_of(process)
        interpreter = Interpreter.attach(process.pid)
        threads = sorted(int(one.name) for one in Path(f"/proc/{process.pid}/task").iterdir())
        assert interpreter.stack(process.pid) is not None
        walked = interpreter.call_count
        assert walked < 4500
        for thread_id in threads[-100:]:
            stack = interpreter.stack(thread_id)
            assert stack is not None
            assert stack[-1][0] == "wait"
        assert interpreter.call_count - walked < 100 * 20


EXECS = """
import os, sys
def of_{0}(count):
    end = 0
    while end < 20000: end += 1
    if count: os.execv(sys.executable, [sys.executable, sys.argv[{1}], sys.argv[{0}], sys.argv[{1}], str(count - 1)] if {0} == 1 else [sys.executable, sys.argv[{1}], sys.argv[{1}], sys.argv[{0}], str(count - 1)])
of_{0}(int(sys.argv[3]))
"""


def test_a_program_that_execs_while_it_is_read_gives_no_mixed_stack(tmp_path: Path) -> None:
    """Two programs that become each other: a stack is of one of them, and attaching never takes one for the other."""
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text(EXECS.format(1, 2))
    second.write_text(EXECS.format(2, 1))
    with started([sys.executable, str(first), str(first), str(second), "100000"]) as process:
        seen: set[str] = set()
        rounds, deadline = 0, time.monotonic() + PATIENCE_S
        while (rounds < 100 or len(seen) < 2) and time.monotonic() < deadline:
            rounds += 1
            try:
                interpreter = Interpreter.attach(process.pid)
                for _ in range(20):
                    stack = interpreter.stack(process.pid) or ()
                    own = {file for _, file, _ in stack if file in (str(first), str(second))}
                    assert len(own) <= 1, stack
                    seen |= own
            except (UnreadableError, ImpossibleStackError, NotPythonError):
                continue
        assert seen == {str(first), str(second)}


def test_a_program_that_execs_while_it_is_attached_to_is_no_unknown_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read of one half and of the other is of no version; and that is not told of it."""
    with holding(OURS, tmp_path, "hold()\n") as (process, _):

        def between(memory: Memory) -> None:
            monkeypatch.setattr("monitord.procfs.image_of", lambda _pid: (1, 2))
            raise UnknownLayoutError("a Python before 3.11")

        monkeypatch.setattr("monitord.stacks.cpython.interpreter.runtime_of", between)
        with pytest.raises(UnreadableError, match="became another one"):
            Interpreter.attach(process.pid)


def test_a_program_that_is_killed_while_it_is_read_ends_in_a_refusal(tmp_path: Path) -> None:
    for _ in range(10):
        with holding(OURS, tmp_path, "def f(): hold()\nf()\n") as (process, told):
            interpreter = Interpreter.attach(process.pid)
            assert interpreter.stack(process.pid) == tuple(told)
            assert interpreter.is_same()
            process.kill()
            process.wait()
            with pytest.raises(UnreadableError):
                interpreter.stack(process.pid)
            assert not interpreter.is_same()


def test_who_may_not_read_it_is_told_what_to_do(tmp_path: Path) -> None:
    script = "import sys\nfrom monitord.stacks.cpython import *\ntry: Interpreter.attach(int(sys.argv[1]))\nexcept StackError as error: print(type(error).__name__, error)"
    with holding(OURS, tmp_path, "hold()\n") as (ours, _), process_of_another() as other:
        words, pid = [sys.executable, "-c", script], other
        if os.geteuid() == 0:
            words[:1] = ["setpriv", "--reuid=65534", "--clear-groups", "--regid=65534", "/usr/bin/python3.11"]
            pid = ours.pid
        path = str(Path(__file__).parents[3])
        done = subprocess.run(
            [*words, str(pid)], capture_output=True, text=True, env={"PYTHONPATH": path}, cwd="/", check=False
        )
    assert done.stdout.startswith(("UnreadableError", "NotPythonError")), (done.stdout, done.stderr)
    assert "may not be read" in done.stdout or "can't be read" in done.stdout or "may be read" in done.stdout
