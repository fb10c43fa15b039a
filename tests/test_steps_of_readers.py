"""Whatever reads a process's bytes does work that grows with them at the most: steps are counted, never time.

READERS is the table of those readers, walked over against the rooms: a module that takes text apart stands in it,
or in OURS with the reason why no process writes what it reads. Longer than 400 lines: there is one table.
"""

from __future__ import annotations

import csv
import importlib
import inspect
import io
import json
import os
import pkgutil
import re
import re._parser as pattern_parser  # type: ignore[import-not-found]  # the standard library's, without types
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, partial
from types import FrameType, ModuleType
from typing import Any

import pytest

import monitord
from monitord.model import CONTEXT_LABELS, Cause, Hotspot, Match, ProcessKey, ProcessRates, TriggerMetric
from tests.perf_events import large_records
from tests.profiles.ring_documents import many_lives

SLACK = 3_000  # what a call costs however short its input is
Work = Callable[[int], object]


def steps(work: Callable[[], object]) -> int:
    """Lines that Python runs, and functions of C that it calls."""
    count = 0

    def line(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        count += event in ("call", "line")
        return line

    def call(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "c_call"

    before = sys.getprofile(), sys.gettrace()
    sys.setprofile(call)
    sys.settrace(line)
    try:
        work()
    finally:
        sys.settrace(before[1])
        sys.setprofile(before[0])
    return count


def of(module: str) -> ModuleType:
    return importlib.import_module(f"monitord.{module}")


def rates(name: str, unit: str) -> ProcessRates:
    return ProcessRates(ProcessKey(1, 1), name, 1, "R", 0, 99.0, 0, 1, unit=unit)


def parsed(form: str, data: bytes) -> object:
    from monitord.profiles import ProfileError, hotspots, parse

    try:
        return hotspots(parse(form, data))
    except ProfileError:
        return None


def speedscope(n: int) -> bytes:
    frames = [{"name": f"f{k}", "file": "/x"} for k in range(n)]
    lanes = [{"name": f"t{k}", "unit": "none", "samples": [[k]], "weights": [1]} for k in range(n)]
    return json.dumps({"shared": {"frames": frames}, "profiles": lanes}).encode()


def judged(text: str) -> object:
    """A verdict of a process, a function and a cause that are called so."""
    spot = Hotspot(text, text, 1, 0.5, 0.5)
    facts = partial(
        of("profiles.verdict").VerdictFacts,
        who=text,
        metric=TriggerMetric.CPU,
        happened=text,
        hotspots=(spot, spot),
    )
    tell = of("profiles.verdict").verdict
    return tell(facts()), tell(facts(cause=Cause("tight loop", f"{text}:1) {text}", "likely")))


def weighed(n: int) -> object:
    """As many threads, none of which says who it is, as profiles."""
    use = {"threads": {str(k): 1.0 for k in range(n)}, "window_s": 1.0, "process_s": float(n), "main_id": 0}
    lanes = [{"name": "?", "samples": [[0]], "weights": [1]} for _ in range(n)]
    return of("profiles.weighing").weigh({"profiles": lanes}, use, 0.01)


def mapped_again(n: int) -> object:
    """One name that is given to another file again and again, with as many words known of other files."""
    names = of("symbols.names").Names()
    told = " PERF_RECORD_MMAP2 1/1: [0x1(0x2) @ 0 08:01 {} 0]: r-xp {}"
    for k in range(n):
        names.note(told.format(k, f"/x{k}"))
        names.name("1f", f"/x{k}")
    for k in range(n):
        names.note(told.format(k, "/again"))
    return names


def context(n: int) -> object:
    small = {
        "thread_id": 1,
        "name": "x",
        "state": "D",
        "wchan": "w",
        "kernel_stack": ["[<0>] f+0x1/0x2"],
        "cpu_percent": 50.0,
    }
    large = small | {"name": "x" * n, "wchan": "w" * n, "kernel_stack": small["kernel_stack"] * n}
    record = {
        "threads": {"count": n, "shown": [large, *[small] * n]},
        "files": {"count": n, "kinds": {str(k): k for k in range(n)}, "top_folders": {str(k): k for k in range(n)}, "sockets": {str(k): 1 for k in range(n)}},
        "cgroup": {"limits": {"memory.events": "a 1\n" * n, "cpu.pressure": "some avg10=1.0 " * n}},
        "identity": {"ancestors": [{"name": "x", "pid": 1}] * n}, "not_readable": {f"/{k}": "no" for k in range(n)},
    }  # fmt: skip
    told = of("capture.context_text").render_context(record)
    assert all(len(text) <= 400 for text in told.values())
    assert set(told) <= set(CONTEXT_LABELS)
    return told


def explained(member: str, seen: dict[str, Any]) -> object:
    from monitord.causes.facts import Facts
    from tests.fakes import an_alert

    return of(f"causes.{member}").explain(Facts(an_alert(), before=seen, after=seen))


def hanging_groups(n: int) -> dict[str, Any]:
    """Threads that each wait for a mutex of the next, in a ring, and others behind them."""
    groups = [
        {
            "on": "mutex", "state": "S", "call": "futex", "is_steady": True, "count": 1, "has_main": False,
            "named": [[k + 1, "x" * n]], "holders": [{"pid": 1, "thread_id": (k + 1) % n + 1, "name": "x" * n}],
        }
        for k in range(n)
    ]  # fmt: skip
    return {"threads": n, "groups": groups}


def ring_document(n: int) -> bytes:
    """As many samples, processes, mappings, files and Python stacks as there can be, with long names."""
    life, family = of("stacks.life"), of("stacks.family")
    code = [life.Code(2 * k, 2 * k + 1, 0, 1, k + 1, "/python3." * n + f"x{k}") for k in range(10)]
    code += [life.Code(100 + 2 * k, 101 + 2 * k, 0, 1, k + 1, f"/x{k}") for k in range(n)]
    lives = [life.Life(pid, 1, "a" * n, 1, None, None, tuple(code)) for pid in range(2, 4)]
    members = {one.pid: (family.Member(one),) for one in lives}
    stacks = ((k, 3, 3, (("f" * n, "/x", 1), (f"f{k}", None, None))) for k in range(n))
    builder = of("stacks.document").DocumentBuilder(members, stacks)
    for k in range(n):
        builder.add((k + 1, 2 + k % 2, 2 + k % 2, tuple(range(k % 40, k % 40 + 40))))
    return builder.build(of("stacks.document").Span(None, 19, "machine")).payload


def dump(n: int) -> bytes:
    return json.dumps(
        [{"pid": 1, "thread_id": k, "frames": [{"name": "f", "line": 1}] * 5} for k in range(n)]
    ).encode()


def nettop(n: int) -> str:
    return ",bytes_in,bytes_out,\n" + "a.b.c.1,1,2,\n" * n + ",bytes_in,bytes_out,\n" + "a.b.c.1,2,3,\n" * n


def program_file(n: int) -> object:
    """A program whose own tables say that they have as many entries as they can, or `n`."""
    head = bytearray(64)
    head[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<QQ", head, 32, 64, 64)
    struct.pack_into("<HHHHH", head, 54, 56, 65_535, 64, n, 0)
    descriptor = os.memfd_create("program")
    os.write(descriptor, bytes(head) + struct.pack("<IIQQQQQQ", 1, 1, 0, 0, 0, 1 << 40, 1 << 40, 0) * n * 2)
    file = of("symbols.files").File(descriptor)
    try:
        return file.function_at(100), file.name_at(100, reads_symbols=True)
    finally:
        file.close()


def call_frames(n: int) -> object:
    """A function whose table has `n` instructions, of which many remember all that came before."""
    elf, module = of("symbols.elf"), of("symbols.call_frames")
    program = (b"\x85\x01\x0a" * n)[: 60 * 1024]
    common = struct.pack("<IB", 0, 1) + b"zR\0" + b"\x01\x78\x10\x01\x1b" + program
    own = struct.pack("<IiIB", 8 + len(common), 0, 1 << 20, 0) + program
    data = struct.pack("<I", len(common)) + common + struct.pack("<I", len(own)) + own
    descriptor = os.memfd_create("frames")
    os.write(descriptor, data)
    starts = type("Starts", (), {"entry_before": lambda _self, _address: 4 + len(common)})()
    try:
        rows = module.CallFrames(descriptor, [elf.Segment(elf.LOAD, 0, 0, len(data))], starts)
        with suppress(*elf.BROKEN):
            return rows.row_at(12 + len(common))
        return None
    finally:
        os.close(descriptor)


def large_record(n: int) -> str:
    """Threads are what is cut from a record; what is left is within the cap."""
    record = {"threads": {"shown": [{"name": "x" * 400}] * n * 100}}
    text = str(of("capture.context").fit(record))
    assert len(text) <= 256 * 1024
    return text


def words(*shapes: str) -> Iterator[str]:
    yield from ("a", "a/", "/", ".", "-", "_", ":", ")", " ", "\n", "0", "é", "\udcff", "(", "a.b", *shapes)


def each(read: Callable[[str], object], *shapes: str) -> Work:
    """A reader of one text, over texts of one shape each."""
    return lambda n: [_tried(read, shape * n) for shape in words(*shapes)]


def _tried(read: Callable[[Any], object], value: Any) -> object:
    try:
        return read(value)
    except (ValueError, IndexError, KeyError, SyntaxError, csv.Error):
        return None


def raw(read: Callable[[bytes], object], *shapes: str) -> Work:
    return each(lambda text: read(text.encode("utf-8", "surrogateescape")), *shapes)


def argv(read: Callable[[list[str]], object]) -> Work:
    """A reader of a command line: many words, and long ones."""
    given = ("python", "-m", "-c", "sudo", "java", "-cp", "env", "A=b", "--", "-", "node", "sh", "x.py")
    return lambda n: [
        (read(["python", *[word] * n]), read(["sudo", word * n, *[word] * n])) for word in given
    ]


def spots(n: int) -> list[Hotspot]:
    return [
        Hotspot("[unknown]" if k % 2 else f"f{k}", f"/x/{'a/' * 9}{k}.py", 1, 0.1, 0.1, "native", f"m{k}")
        for k in range(n)
    ]


def stacks_of(n: int) -> Any:
    """A profile of many stacks, one of which is deep and has long names."""
    builder = of("profiles.builder").ProfileBuilder("x")
    frame = of("profiles.representation").Frame
    thread = of("profiles.representation").Thread
    for k in range(n):
        builder.add(thread(f"t{k}", k), [builder.frame(frame(f"f{k}", module="m", kind="native"))], 1)
    builder.add(thread("t", 1), [builder.frame(frame("f" * 60, "/x.py", k)) for k in range(n)], 1)
    return builder.build()


STAT = b"1 (%s) R 1 " + b"1 " * 60
MOUNT = "1 2 0:1 / /sys/fs/cgroup/{} rw - cgroup cgroup rw,cpu\n"


READERS: dict[str, Work] = {
    "interpreters": argv(lambda given: of("interpreters").started(given[0], given)),
    "redaction.naming": argv(lambda given: (of("redaction.naming").display_name(given[0], given), of("redaction.naming").fits_name("*x*y*", given[0], given), of("redaction.naming").kinship(given[0], given))),
    "detection.matching": lambda n: of("detection.matching").Matcher(Match(names=("*a*a*b",), units=("*.a*b",), not_names=("?*c",)), {}).hits(rates("a" * n, "a." * n)),
    "procfs.cgroups": each(lambda text: [_tried(getattr(of("procfs.cgroups"), read), text) for read in ("best_path", "unit_in", "container_in", "memberships", "mounted")], "1:a,b:/c\n", MOUNT.format("x"), "/a.service", "docker-", "-" + "a" * 63, "lxc.payload.", "/lxc"),
    "sampling.network": lambda n: _tried(lambda text: of("sampling.network").parse_nettop(text, 1.0), nettop(n)),
    "procfs": lambda n: (of("procfs").parse_stat(STAT % (b") R 1 " * n)), of("procfs").numbers("a: 1\n:" * n), of("redaction").redact_argv(of("procfs").arguments(b"a\0" * n + b"\0" * n))),
    "procfs.maps": raw(lambda data: (of("procfs.maps").python_version(data), of("procfs.maps").mapped_code(data)), "1-2 r-xp 0 08:01 1 /a b\n"),
    "procfs.descriptors": each(lambda text: (of("procfs.descriptors").info_in(text), of("procfs.descriptors").kind_of(text), of("procfs.descriptors").inode_in(text)), "pos:\t1\n", "lock:\t1: FLOCK\n", "socket:[", "anon_inode:", "/dev/"),
    "procfs.locks": each(of("procfs.locks").parse, "1: POSIX  ADVISORY  WRITE 1 fe:00:2 0 EOF\n", "1: -> ", "POSIX "),
    "procfs.tcp_table": each(lambda text: list(of("procfs.tcp_table").rows(text)), " 0: 0100007F:0016 00000000:0000 0A 0:0 0:0 0 0 0 7\n", "0:", "F"),
    "procfs.mounts": each(lambda text: list(of("procfs.mounts").mount_points(text)), MOUNT.format("x\\040y"), "\\04"),
    "capture.context": large_record,
    "capture.context_text": context,
    "capture.context_system": each(of("capture.context_system").cgroup, "1:memory,cpu:/b\n", "0::/..\n", "1:a:/b\n", "0::/x.service/", "a" * 63 + "-"),
    "capture.target": each(lambda text: of("capture.target")._network_bytes(text), "eth0: 1 2 3 4 5 6 7 8 9\n"),
    "capture.dumps": lambda n: (of("capture.dumps").kept_dump(dump(n), dict.fromkeys(range(n), 0.5)), of("capture.dumps").read_dump(b"[" * n), of("capture.dumps").annotated_text(b"#0  0x1 f\n    [a] b\n" * n, dict.fromkeys(range(n), 0.1))),
    "capture.perf_fold": lambda n: list(of("capture.perf_fold").folded(dict.fromkeys(of("capture.perf_fold").stacks(["\t 1 f (/x)", "\t 2 " + "(" * n + " (/y)"] * n + [""]), 1))),
    "capture.perf_maps": raw(lambda data: of("capture.perf_maps").short_lines(data, 0), "1 2 a\n"),
    "capture.sources": raw(of("capture.sources").decoded, "# coding: ", "\\\n", "'''"),
    "causes.mappings": raw(lambda data: list(of("causes.mappings").regions(data)), "1-2 rw-p 0 08:01 1   /a b\nRss: 4 kB\n", "1-2 rw-p 0 0:0 0\n", "a_:"),
    "causes.scan": raw(lambda data: (list(of("causes.scan").Piece(data).objects()), list(of("causes.scan").Piece(data).large())), "\x01" + 7 * "\0" + 6 * "\x10" + "\0\0"),
    "perf_events.records": large_records.read,
    "stacks.document": ring_document,
    "capture.ring_names": lambda n: (of("capture.ring_names").without_files(ring_document(n)), [of("capture.ring_names")._MAP_LINE.findall(text * n) for text in (b"a", b"1 2 f\n", b"1 2 ", b" ")]),
    "stacks.life": large_records.lived,
    "stacks.lives": raw(lambda data: list(of("stacks.lives")._code_in(data)), "1-2 r-xp 0 08:01 1 /a b\n"),
    "stacks.cpython.locations": raw(lambda data: of("stacks.cpython.locations").line_at(data, 1, 1 << 40), b"\xf0\x7f".decode("latin-1"), b"\x80".decode("latin-1"), "\0"),
    "symbols.names": mapped_again,
    "symbols.function_table": each(of("symbols.function_table").readable, "_ZN", "_R", "17h", "$LT$", "::", "E"),
    "symbols.cpp": each(of("symbols.function_table").readable, "_ZN", "_ZZN1aE", "_Z1aI", "_Z1aPK", "_ZN1aS_", "_Z1aIJ"),
    "symbols.rust": each(of("symbols.function_table").readable, "_RNvB1_", "_RINvC1a", "_RMs_", "_ZN1a17h", "_RNvTC1a"),
    "symbols.elf": program_file,
    "symbols.tables": program_file,
    "symbols.go": program_file,
    "symbols.unwinding": program_file,
    "symbols.call_frames": call_frames,
    "capture.unresolved": lambda n: of("capture.unresolved").advice(spots(n), "/usr/bin/" + "python3." * n),
    "capture.doubts": lambda n: of("capture.doubts").calls_compiled_code(spots(n)),
    "causes.frame_classes": each(lambda text: [_tried(getattr(of("causes.frame_classes"), read), text) for read in ("class_of", "kernel_class_of", "statement_class_of", "is_collector")] + [of("causes.frame_classes").python_class_of(text, "/lib/python3.11/" + text), of("causes.frame_classes").class_of("a", text)], "a", "a::", "v8::internal::", "(", "std::sys::", "_", "json.", "/lib/python3/", "G1Mark "),
    "causes.allocating": each(lambda text: of("causes.allocating").asker_of([(text, "a"), ("malloc", text), ("b", "a")]), "a", "a::", "runtime.", "net/", "std::", "<alloc::", "/", "perl"),
    "causes.shares": lambda n: (of("causes.shares").leaf_shares({"stacks": [[1, "t" * n, [["f" * n, "m" * n, "native"]] * n]]}), of("causes.shares").context_shares(stacks_of(n), ()), of("causes.shares").native_shares(stacks_of(n))),
    "capture.snapshot": raw(of("capture.snapshot").cpu_of, "[", '{"a":'),
    "causes.futexes": lambda n: [of("causes.futexes").judge(of("causes.futexes").Call(8, 0, 2, True, False), b"\2\0\0\0" * n, n, {2: 2})],
    "causes.hang": lambda n: explained("hang", hanging_groups(n)),
    "causes.disk_io": lambda n: explained("disk_io", {"files": [{"fd": k, "path": f"/x/{k}", "position": 9, "was": [0, 0]} for k in range(n)], "seen": {"files": [{"path": f"/y/{k}", "events": 1} for k in range(n)]}, "mapped": ["/z"] * n}),
    "causes.network": lambda n: explained("network", {"moved": [{"remote": f"[::{k}]:1", "sent": 1, "received": 1, "by": [[k, "x" * n]]} for k in range(n)]}),
    "causes.thread_growth": lambda n: explained("thread_growth", {"count": n, "kinds": {f"{k}-a": 1 for k in range(n)}, "targets": {"0-a": {str(k): 1 for k in range(n)}}}),
    "profiles.weighing": weighed,
    "profiles.verdict": each(judged, "/", "a/", " (pid ", ":"),
    "profiles.frame_text": each(lambda text: (of("profiles.frame_text").read_frame(text), of("profiles.frame_text").one_word(text), of("profiles.frame_text").read_thread(text), of("profiles.frame_text").process_of(text)), "f (", "(a:1)", "thread (", 'process 1:"', ":1)"),
    "profiles.locations": each(lambda text: (of("profiles.locations").place_of(text), of("profiles.locations").module_of(text), of("profiles.locations").folded_name(text), of("profiles.locations").func_id_of(text, text, text, "python")), "site-packages/", "<lambda>", ".<locals>."),
    "profiles.idle_calls": each(lambda text: (of("profiles.idle_calls").is_waiting(text), of("profiles.idle_calls").is_background(text, text)), "wait_", "::", "<"),
    "profiles.ranking": lambda n: parsed("folded", b"".join(b"main (a:1);" + b"f (a:%d);" % k * 20 + b"g (a:2) 1\n" for k in range(n))),
    "profiles.source_scopes": each(of("profiles.source_scopes").scopes_of, "def f(): pass\n", "class A: pass\n", "lambda: 0\n", "x = [lambda: 0]\n"),
    "profiles.scalene_document": lambda n: _tried(lambda data: of("profiles.scalene_document").kept_document(data, of("profiles.scalene_document").Names("/", "/")), json.dumps({"files": {f"/{k}.py": {"lines": [{"lineno": 1, "n_cpu_percent_python": 1}]} for k in range(n)}, "stacks": [[["/a.py f:1;"], {"count": 1}]] * n}).encode()),
    "profiles.folded": lambda n: parsed("folded", b"a;b" * n + b" 1\n" + b'process 1:"x;' * n + b"f (a:1) 2\n" * n),
    "profiles.perf_script": lambda n: parsed("perf-script", b"app 1/1 1.0: \n" + b"\t 1 f (/x)\n" * n + b"\n" + b"a b 1/1 [0] 1.0:  " * n + b"\n"),
    "profiles.eu_stack": lambda n: parsed("eu-stack", b"PID 1 - x\n" + b"TID 1:\n#0 0x1 f - /x\n" * n + b"CPU 1 0.5\n" * n),
    "profiles.speedscope": lambda n: parsed("speedscope", speedscope(n)),
    "profiles.py_spy_dump": lambda n: (parsed("py-spy-dump", dump(n)), parsed("py-spy-dump", b"Process 1: x\nThread 1 (active): \"" + b"a\"" * n + b"\n" + b"    f (a.py:1)\n" * n)),
    "profiles.scalene": lambda n: parsed("scalene", json.dumps({"stacks": [[["/a.py f:1;"] * 3, {"count": 1}]] * n}).encode()),
    "profiles.ring": lambda n: (parsed("ring", many_lives(n)), of("profiles").parse("ring", many_lives(n), pid=5), of("profiles.timeline").timeline(of("profiles.ring_document").read_ring(io.BytesIO(many_lives(n))), 5)),
    "profiles.tachyon": lambda n: parsed("tachyon", b"tid:1;" + b"a.py:f:1;" * n + b" 1\n" + b"tid:1;a.py:f:1 1\n" * n),
    "profiles.macos_sample": lambda n: parsed("sample", b"Call graph:\n    10 Thread_1\n" + b"      10 f  (in x)\n" * n + b"".join(b" " * (k % 30) + b"10 g  (in x)\n" for k in range(n))),
    "profiles.macos_spindump": lambda n: parsed("spindump", b"Process: a [1]\n  Thread 0x1 10 samples\n" + b"    10  f (x + 1) [0x1]\n" * n + b"".join(b" " * (k % 30) + b"10  g (x + 1) [0x1]\n" for k in range(n))),
}  # fmt: skip


@pytest.mark.parametrize("module", READERS)
def test_a_reader_does_work_that_grows_with_its_input_at_the_most(module: str) -> None:
    """At 4 and 16 times the size at most about 4 and 16 times the steps."""
    work = READERS[module]
    work(3)  # what is loaded with the first call
    once, four, sixteen = (steps(lambda size=size: work(size)) for size in (40, 160, 640))  # type: ignore[misc]
    assert four <= 5 * once + SLACK, (once, four, sixteen)
    assert sixteen <= 5 * four + SLACK, (once, four, sixteen)


# ------------------------------------------------------------------------------- is every reader there?

ROOMS = (
    "procfs",
    "sampling",
    "symbols",
    "stacks",
    "capture",
    "causes",
    "profiles",
    "perf_events",
    "scripts",
    "supervision",
    "interpreters",
    "redaction.naming",
    "detection",
)
TAKES_APART = re.compile(
    r"re\.compile|\.splitlines\(|\.r?split\(|json\.loads|\.r?partition\(|struct\.|ast\.parse|tokenize|csv\.reader"
)
OURS: dict[str, str] = {
    **dict.fromkeys(
        (
            "sampling.entries", "sampling.groups", "sampling.details", "sampling.system", "sampling.devices", "sampling.waiting", "procfs.holders", "procfs.memory", "sampling.sockets", "procfs.sockdiag",
            "capture.thread_cpu", "capture.context_threads", "capture.context_files", "capture.cgroups", "supervision.supervisor",
            "capture.session", "procfs.system_calls", "capture.java", "capture.java_names", "symbols.opening",
            "causes.usage", "causes.leaves", "causes.faults", "causes.holders", "causes.room", "causes.waits", "causes.ends", "causes.fanotify", "causes.threads", "causes.fd_growth", "perf_events.perf_event", "perf_events.faults", "perf_events.moving",
        ),
        "numbers and short words of the kernel; how many threads, descriptors and sockets are read is capped there",
    ),
    **dict.fromkeys(
        (
            "capture.hidden_frames", "capture.service", "capture.causes", "causes.facts", "causes.hottest", "causes.memory", "causes.machine_cpu", "capture.reading", "supervision",
            "capture.profilers.perf", "capture.before", "profiles.scalene_kept", "scripts.registry", "detection.judges", "detection.oom",
        ),
        "what another part of ours wrote",
    ),
    **dict.fromkeys(
        ("scripts.request", "scripts.standby"), "64 KiB of argv, given to the readers above",
    ),
    **dict.fromkeys(
        ("capture.tools", "capture.profilers.eu_stack", "capture.profilers.py_spy", "scripts.profiler"),
        "one search in a tool's output, which the runner caps; the expression is tried below",
    ),
    **dict.fromkeys(
        (
            "capture.python_frames", "procfs.memory", "symbols.loaded", "stacks.cpython.codes", "stacks.cpython.interpreter", "symbols.cpython_layouts",
            "stacks.cpython.texts", "stacks.cpython.threads", "stacks.cpython.types", "stacks.cpython.walking",
            "causes.census", "causes.python_types", "causes.sizes", "causes.blocks", "causes.rlocks",
        ),
        "the target's memory: every length and count is capped where it is read",
    ),
    "profiles.limits": "the caps themselves: tests/profiles/test_hostile_input.py",
}  # fmt: skip


def modules() -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages(monitord.__path__, "monitord."):
        if not info.name.endswith("__main__") and "_migrations" not in info.name:
            yield importlib.import_module(info.name)


def test_every_module_that_takes_text_apart_is_in_a_table() -> None:
    found = set()
    for module in modules():
        name = module.__name__.removeprefix("monitord.")
        is_of_a_room = any(name == room or name.startswith(f"{room}.") for room in ROOMS)
        if is_of_a_room and TAKES_APART.search(inspect.getsource(module)):
            found.add(name)
    assert found - READERS.keys() - OURS.keys() == set(), "say how it is tried, or who writes what it reads"
    assert OURS.keys() - found == set()


# ------------------------------------------------------------------------------- expressions

Tree = Any
# The first has tests/redaction/test_steps.py, the others read what a person types.
NOT_TRIED_HERE = ("monitord.redaction", "monitord.cli", "monitord.config")


SHORT = {"monitord.capture.unresolved._VERSION": "the name of a program's file: 255 bytes at the most"}


@cache
def expressions() -> dict[str, tuple[re.Pattern[Any], bool]]:
    """Every one that a module holds, and whether it is searched for (else it only begins a text)."""
    found: dict[str, tuple[re.Pattern[Any], bool]] = {}
    for module in modules():
        if module.__name__.startswith(NOT_TRIED_HERE):
            continue
        source = inspect.getsource(module)
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern) and f"\n{name} = " in source:
                is_searched = (
                    re.search(rf"\b{name}\.(search|sub|subn|finditer|findall|split)\b", source) is not None
                )
                found[f"{module.__name__}.{name}"] = value, is_searched
    return found


def literals(tree: Tree) -> Iterator[str]:
    """The words that an expression looks for."""
    word = ""
    for kind, given in tree:
        if kind is pattern_parser.LITERAL:
            word += chr(given)
            continue
        yield word
        word = ""
        parts = given if isinstance(given, tuple | list) else (given,)
        for part in (*parts, *(parts[1] if kind is pattern_parser.BRANCH else ())):
            if isinstance(part, pattern_parser.SubPattern):
                yield from literals(part)
    yield word


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", sorted(expressions().keys() - SHORT.keys()))
def test_no_expression_backtracks_over_60_kb(name: str) -> None:
    """Quadratic, each would need minutes; the limit is for hangs only."""
    pattern, is_searched = expressions()[name]
    known = {
        word for word in literals(pattern_parser.parse(pattern.pattern, pattern.flags & re.VERBOSE)) if word
    }
    shapes = {"a", "0", " ", "/", "0.", "a-", "a ", "\n", "(", "".join(sorted(known)), *known}
    shapes |= {word + more for word in sorted(known)[:4] for more in ("a", "0", " ")}
    for shape in shapes - {""}:
        bait: Any = shape * (60_000 // len(shape)) + "!"
        if isinstance(pattern.pattern, bytes):
            bait = bait.encode("latin-1", "replace")
        pattern.fullmatch(bait)
        if is_searched:
            for _ in pattern.finditer(bait):
                pass
