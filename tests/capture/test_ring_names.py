"""Names are put in place of addresses: of the file that was mapped, and of no other."""

from __future__ import annotations

import ctypes
import json
import os
import random
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from monitord.capture import ring_names
from monitord.capture.before import RingNames
from monitord.model import Capture, CaptureStatus, ProcessKey
from monitord.pipeline.failures import Failures
from monitord.stacks.box import SPAN_NS, BlackBox, now_ns
from monitord.stacks.opening import BoxSettings
from tests.capture.targets import Targets, key_of, stat_fields, wait_for
from tests.capture.test_unnamed_code import JAVA
from tests.fakes import START
from tests.patience import PATIENCE_S

C_PROGRAM = "void guilty_native(void) {} int main(void) { guilty_native(); return 0; }"


@pytest.fixture
def program(require_tool: Callable[[str], str]) -> Iterator[Path]:
    """Where everybody may read it: the child is a user of its own, who may read no more."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        source, program = Path(folder, "hot.c"), Path(folder, "hot")
        source.write_text(C_PROGRAM)
        subprocess.run([require_tool("gcc"), "-O0", "-no-pie", "-o", program, source], check=True)
        yield program


def offset_of(program: Path, name: str) -> int:
    """Where a function lies in its file; the first segment of a small program begins at 0x400000."""
    found = subprocess.run(["nm", str(program)], capture_output=True, text=True, check=True).stdout
    (address,) = [line.split()[0] for line in found.splitlines() if line.endswith(f" {name}")]
    return int(address, 16) - 0x400000


def document(frames: list[Any], places: list[Any], files: list[Any]) -> dict[str, Any]:
    return {
        "format": "monitord-ring", "version": 1, "clock": "boottime", "began_ns": 5, "ended_ns": 9,
        "rate_hz": 19, "scope": "machine", "notes": [], "lost": 0, "unreadable": 0, "impossible": 0,
        "processes": [{"pid": 7, "start_ns": 1, "name": "hot", "parent_pid": 1, "ended_ns": 9, "is_target": True}],
        "threads": [[0, 7]], "frames": frames, "places": places, "files": files,
        "stacks": [list(range(len(frames)))], "samples": [[0, 0, 0, 1]],
    }  # fmt: skip


def named(told: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What the child writes, run as the recorder runs it."""
    taken = Capture(
        role="before", profiler="ring", status=CaptureStatus.OK, started_at=START, duration_s=1.0,
        target=ProcessKey(2**22 - 1, 1), format="ring", payload=json.dumps(told).encode(),
    )  # fmt: skip
    found = RingNames().put_in(taken, folder / "spool")
    assert list((folder / "spool").iterdir()) == []
    assert found.payload is not None
    return {**json.loads(found.payload), "noted": dict(found.notes)}


def leaf(told: dict[str, Any]) -> str:
    return str(told["frames"][told["stacks"][0][-1]][0])


def native(module: str) -> list[Any]:
    return [None, None, None, module, "native"]


def test_a_function_has_its_name_by_the_file_that_was_mapped(program: Path, tmp_path: Path) -> None:
    """Of a process that is gone: by its path, if it is the same file."""
    found = program.stat()
    files = [[str(program), found.st_dev, found.st_ino]]
    place = ["file", 0, offset_of(program, "guilty_native") + 1]
    assert leaf(named(document([native("hot")], [place], files), tmp_path)) == "guilty_native"


@pytest.mark.parametrize(
    "what", ["other inode", "other device", "gone", "a link to it", "a FIFO", "a folder"]
)
def test_another_file_at_that_path_gives_no_name(what: str, program: Path, tmp_path: Path) -> None:
    found, path = program.stat(), program
    device, inode = found.st_dev, found.st_ino
    if what == "other inode":
        inode += 1
    elif what == "other device":
        device = os.makedev(250, 3)
    elif what == "gone":
        program.unlink()
    else:
        path = tmp_path / "planted"
        {
            "a link to it": lambda: path.symlink_to("/etc/shadow"),
            "a FIFO": lambda: os.mkfifo(path),
            "a folder": path.mkdir,
        }[what]()
    place = ["file", 0, offset_of(program, "guilty_native") + 1] if what != "gone" else ["file", 0, 0x1130]
    told = named(document([native("hot")], [place], [[str(path), device, inode]]), tmp_path)
    assert leaf(told) == "[hot]"


@pytest.mark.parametrize("what", ["a FIFO", "a link to one"])
def test_nothing_that_lies_at_a_path_is_opened_before_it_is_known_to_be_the_file(
    what: str, tmp_path: Path
) -> None:
    """Opening a device does something: a watchdog begins to run. The path is a process' word."""
    path = planted = tmp_path / "planted"
    os.mkfifo(path)
    if what == "a link to one":
        planted = tmp_path / "link"
        planted.symlink_to(path)
    libc = ctypes.CDLL(None)
    watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    is_opened = 0x20
    try:
        assert libc.inotify_add_watch(watch, os.fsencode(path), is_opened) >= 0
        found = path.stat()
        files = ring_names.CodeFiles([[str(planted), found.st_dev, found.st_ino]], {})
        assert files.name(0, 16) is None
        with pytest.raises(BlockingIOError):
            os.read(watch, 4096)
    finally:
        os.close(watch)


@pytest.mark.parametrize("how", ["made anew", "written over"])
def test_a_file_that_became_another_one_since_gives_no_name(how: str, program: Path, tmp_path: Path) -> None:
    """A removed file's number is the next one's: a program that was built again has other functions there."""
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    place = ["file", 0, offset_of(program, "guilty_native") + 1]
    data = program.read_bytes()
    if how == "made anew":
        program.unlink()
    program.write_bytes(data)
    program.chmod(0o755)
    found = program.stat()
    after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    told = [
        leaf(
            named(
                document([native("hot")], [place], [[str(program), found.st_dev, found.st_ino, at]]), tmp_path
            )
        )
        for at in (before - 10**9, after + 10**9)
    ]
    assert told == ["[hot]", "guilty_native"]


def test_below_python_only_what_tells_something_stays() -> None:
    """An extension's function has a name of its own; what the interpreter does to evaluate has no place there."""
    python = ["work", "/srv/app.py", 3, None, "python"]
    frames = [
        python,
        ["list_ass_slice", None, None, "libpython3.11.so.1.0", "native"],
        ["sre_ucs1_match", None, None, "libpython3.11.so.1.0", "native"],
        ["[libz.so.1]", None, None, "libz.so.1", "native"],
        ["deflate", None, None, "libz.so.1", "native"],
    ]
    told = json.loads(ring_names.without_files(json.dumps(document(frames, [None] * 5, [])).encode()))
    names = [told["frames"][number][0] for number in told["stacks"][0]]
    assert names == ["work", "sre_ucs1_match", "deflate"]


def test_frames_that_come_to_be_the_same_are_one_and_so_are_stacks() -> None:
    """Two addresses of one library without names are told once."""
    told = document(
        [native("libfoo.so"), native("libfoo.so")], [["file", 0, 16], ["file", 0, 99]], [["/x", 1, 1]]
    )
    told["stacks"], told["samples"] = [[0], [1]], [[0, 0, 0, 1], [4, 0, 1, 2]]
    found = json.loads(ring_names.without_files(json.dumps(told).encode()))
    assert [frame[0] for frame in found["frames"]] == ["[libfoo.so]"]
    assert found["samples"] == [[0, 0, 0, 1], [4, 0, 0, 2]]
    assert "places" not in found
    assert "files" not in found


def test_the_kernels_functions_have_names_where_it_shows_them(tmp_path: Path) -> None:
    shown, hidden = tmp_path / "shown", tmp_path / "hidden"
    shown.write_text(
        "ffffffff81000000 T first\nffffffff81000100 t second\nffffffff81000200 d data\nffffffff81000300 T last\n"
    )
    hidden.write_text("0000000000000000 T first\n0000000000000000 T second\n")
    wanted = [0xFFFFFFFF81000010, 0xFFFFFFFF81000150, 0xFFFFFFFF80000000, 0xFFFFFFFF81000310]
    names = ring_names.kernel_names(wanted, str(shown))
    assert [names.name(one) for one in wanted] == ["first", "second", None, None]
    assert ring_names.kernel_names(wanted, str(hidden)).name(wanted[0]) is None
    assert ring_names.kernel_names(wanted, str(tmp_path / "gone")).name(wanted[0]) is None


def test_names_that_a_jit_wrote_are_read_and_cleaned(tmp_path: Path) -> None:
    path = tmp_path / "perf.map"
    path.write_bytes(
        b"7f0010 20 LazyCompile:~hot\n7f0100 10 \x1b[31mred\nnonsense\n0x00007f0300 0x10 of Java\n7f0200 10 "
        + b"x" * 9000
        + b"\n"
    )
    names = ring_names.made_names(path)
    assert names.name(0x7F0011) == "LazyCompile:~hot"
    assert names.name(0x7F0105) == "?[31mred"
    assert names.name(0x7F0030) is None
    assert names.name(0x7F0308) == "of Java"
    assert len(names.name(0x7F0201) or "") <= 512


def test_code_that_a_jit_wrote_over_other_code_has_no_name(tmp_path: Path) -> None:
    """A sample may be of either. The same name told twice is that name; what lies beside is not in doubt."""
    path = tmp_path / "perf.map"
    path.write_bytes(
        b"7f0000 100 old\n7f0040 20 new\n7f0200 10 zeta\n7f0200 10 alpha\n7f0300 10 same\n7f0300 20 same\n"
        b"7f1000 ffffffffffff huge\n7f2000 10 inside\n"
    )
    names = ring_names.made_names(path)
    told = [
        names.name(at)
        for at in (0x7F0010, 0x7F0050, 0x7F0070, 0x7F0205, 0x7F0305, 0x7F0315, 0x7F2005, 0x7F3000)
    ]
    assert told == ["old", None, "old", None, "same", "same", None, "huge"]
    path.write_bytes(
        b"7f0000 ffffff all\n" + b"".join(b"%x 10 f%d\n" % (0x7F0010 + 16 * n, n) for n in range(50_000))
    )
    names, began_s = ring_names.made_names(path), time.thread_time()
    assert {names.name(0x7F0018 + 16 * n) for n in range(0, 50_000, 50)} == {None}
    assert time.thread_time() - began_s < 2


@pytest.mark.root
def test_compiled_java_has_names_in_what_ran_before(
    require_tool: Callable[[str], str], targets: Targets, tmp_path: Path
) -> None:
    """The program is asked for them, and goes on; nobody had it write a map."""
    source = targets.script(JAVA, "Hot.java")
    subprocess.run([require_tool("javac"), "-d", targets.folder, source], check=True)
    box = BlackBox(BoxSettings(), lambda _name, _executable: True, Failures().run)
    box.start()
    try:
        process = targets.start(require_tool("java"), "-cp", str(targets.folder), "Hot")
        wait_for(lambda: int(stat_fields(process.pid)[11]) > 200, "it to be compiled and to work")
        key = key_of(process)
        found = box.take(key, now_ns() - SPAN_NS, now_ns())
    finally:
        box.close(PATIENCE_S)
    assert found is not None
    taken = Capture(
        role="before", profiler="ring", status=CaptureStatus.OK, started_at=START, duration_s=1.0,
        target=key, format="ring", payload=found.payload,
    )  # fmt: skip
    named = RingNames().put_in(taken, tmp_path / "spool")
    assert "read just after" in named.notes["java"], "code that was written over has the newer name"
    told = json.loads(named.payload or b"")
    weights: Counter[str] = Counter()
    for _at, _thread, stack, weight in told["samples"]:
        weights[told["frames"][told["stacks"][stack][-1]][0]] += weight
    assert "hotLoop" in weights.most_common(1)[0][0]
    assert process.poll() is None


def test_whatever_a_document_holds_the_child_ends_with_a_reason_or_a_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ours, but made of a hostile process' words and numbers.

    Of the kernel's symbols some are enough: each of 300 documents would read all 100,000.
    """
    symbols = tmp_path / "kallsyms"
    symbols.write_bytes(b"".join(Path("/proc/kallsyms").read_bytes().splitlines(keepends=True)[:100]))
    monkeypatch.setattr(ring_names, "kernel_names", partial(ring_names.kernel_names, path=str(symbols)))
    random_ = random.Random(3)
    text = json.dumps(document([native("a"), native("b")], [["file", 0, 1], ["kernel", 9]], [["/x", 1, 1]]))
    for _ in range(300):
        at = random_.randrange(len(text))
        broken = (
            text[:at]
            + random_.choice(['"', "[", "]", "-1", "null", "{}", "", "9" * 30, ","])
            + text[at + 1 :]
        )
        (tmp_path / "in").write_text(broken)
        (tmp_path / "files").write_text("{}")
        assert ring_names.main([str(tmp_path / one) for one in ("in", "out", "files")]) in (0, 1)
