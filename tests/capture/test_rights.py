"""What the children of capture may do: as little as their work needs, whoever monitord is."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from monitord import rights
from monitord.capture import perf_maps
from monitord.capture.profilers import eu_stack, perf
from monitord.capture.profilers.eu_stack import EuStack, EuStackLook
from monitord.capture.profilers.perf import Perf
from monitord.capture.target import Target
from monitord.capture.tool_runner import LOOKS_AT_PROCESSES, Outcome, Rights, Runner, ToolRun
from monitord.capture.tools import Toolbox
from monitord.capture.views import strange_file
from monitord.model import CaptureStatus
from monitord.procfs.maps import mapped_code
from tests.capture.targets import NATIVE_BURNER, SHORT, Targets, key_of, take
from tests.strangers import unshared

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="capabilities and namespaces are Linux's")
KINDS = {
    "reader": Rights(),
    "looks at processes": LOOKS_AT_PROCESSES,
    "perf record": perf._RECORDS,
    "perf script": perf._NAMES,
    "eu-stack": eu_stack._RIGHTS,
}
STATUS = "cat /proc/self/status; "
# A JIT in forty lines: code on a page that belongs to no file, which only a perf map can name.
JIT = """
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void) {
    unsigned char *page = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, "\\x55\\x48\\x89\\xe5\\xeb\\xfe", 6); /* push rbp; mov rbp, rsp; a jump to itself */
    printf("%lx\\n", (unsigned long)page);
    fflush(stdout);
    ((void (*)(void))page)();
}
"""


def status_of(folder: Path, allowed: Rights, command: str = "") -> tuple[dict[str, str], Outcome]:
    outcome = Runner().run(ToolRun(("/bin/sh", "-c", STATUS + command), folder, 10.0, rights=allowed))
    lines = outcome.stdout.decode().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}, outcome


@pytest.mark.parametrize("kind", KINDS)
def test_a_child_has_the_capabilities_of_its_work_and_gets_no_others(folder: Path, kind: str) -> None:
    """Of those that monitord itself has; neither an exec nor a setuid program brings any back."""
    allowed = sum(1 << number for number in KINDS[kind].capabilities)
    seen, outcome = status_of(folder, KINDS[kind])
    assert outcome.exit_status == 0, outcome
    for which in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(seen[which], 16) & ~allowed == 0, which
    if os.geteuid() == 0:
        assert int(seen["CapBnd"], 16) & ~allowed == 0
    assert seen["NoNewPrivs"] == "1"
    assert seen["Seccomp"] == "2"


@pytest.mark.root
@pytest.mark.parametrize("kind", KINDS)
def test_no_child_of_root_stays_root_where_its_program_is_for_everybody(folder: Path, kind: str) -> None:
    seen, _ = status_of(folder, KINDS[kind])
    assert set(seen["Uid"].split()) == {str(rights.STRANGER)}
    assert seen["Groups"].split() in ([], [str(rights.STRANGER)])


@pytest.mark.root
def test_a_child_reads_for_a_target_as_the_targets_user(targets: Targets, folder: Path) -> None:
    process = targets.start(
        "/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sleep", "60"
    )
    _until_user(process.pid, 65534)
    with Target(key_of(process)) as target:
        tool_run = ToolRun(("/bin/sh", "-c", STATUS), folder, 10.0, rights=perf._NAMES)
        said = Runner().run(tool_run, target).stdout.decode()
    assert "Uid:\t65534\t65534\t65534\t65534" in said


def test_a_reader_writes_in_its_folder_alone_and_reaches_nobody(folder: Path, tmp_path: Path) -> None:
    """Not even as root: nothing of others is changed, no socket is made, no process is sent a signal."""
    other = tmp_path / "other"
    other.mkdir(mode=0o777)
    other.chmod(0o777)
    tries = (
        f"echo x > {other}/made", f"mkdir {other}/folder", "echo x > inside", f"mv inside {other}/moved",
        f"python3 -c 'import socket; socket.socket()' && touch {other}/socket",
        f"kill -0 {os.getpid()} && echo reached",
    )  # fmt: skip
    _, outcome = status_of(folder, Rights(), "; ".join(tries))
    assert list(other.iterdir()) == []
    assert [path.name for path in folder.iterdir()] == ["inside"]
    assert b"reached" not in outcome.stdout
    (folder / "inside").unlink()


def test_a_child_is_bounded_in_cpu_and_in_open_files(folder: Path) -> None:
    outcome = Runner().run(ToolRun(("/bin/sh", "-c", "ulimit -t; ulimit -n"), folder, 5.0, (1.0, 1.0)))
    assert outcome.stdout.split() == [b"8", b"256"]
    busy = ToolRun(("/bin/sh", "-c", "while :; do :; done"), folder, 60.0)
    outcome = Runner().run(replace(busy, limit_s=0.5, grace_periods_s=(0.1, 0.1)))
    assert outcome.ended == "timeout"


def _jit(targets: Targets, compiler: str) -> tuple[int, str]:
    process = targets.native(compiler, JIT)
    assert process.stdout is not None
    return process.pid, process.stdout.readline().decode().strip()


def _plant(kind: str, path: Path, line: str, secret: Path) -> None:
    """Something under the name at which perf looks for the names of a process."""
    if kind == "its own":
        path.write_text(line)
    elif kind == "a link":
        secret.write_text(line)
        path.symlink_to(secret)
    elif kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "huge":
        path.write_text(line)
        os.truncate(path, 20 << 30)
    elif kind == "of another user":
        path.write_text(line)
        os.chown(path, 65534, 65534)
    elif kind == "with another name":
        secret.write_text(line)
        os.link(secret, path)


@pytest.mark.root
@pytest.mark.parametrize(
    "kind", ["its own", "a link", "a FIFO", "huge", "of another user", "with another name", "nothing"]
)
def test_a_perf_map_is_used_when_it_is_the_targets_own_and_never_otherwise(
    targets: Targets, folder: Path, require_tool: Callable[[str], str], kind: str
) -> None:
    require_tool("perf")
    if os.uname().machine != "x86_64":
        pytest.skip("needs x86_64: the code that is made at run time is its")
    pid, address = _jit(targets, require_tool("gcc"))
    path, secret = Path(f"/tmp/perf-{pid}.map"), Path(f"/tmp/monitord-test-{pid}.secret")
    try:
        _plant(kind, path, f"{address} 1000 named_by_the_map\n", secret)
        capture = take(Perf(), targets.last, folder, Toolbox(), SHORT)
        before = path.lstat() if kind != "nothing" else None
    finally:
        path.unlink(missing_ok=True)
        secret.unlink(missing_ok=True)
    assert capture.status is CaptureStatus.OK, capture
    assert capture.path is not None
    text = capture.path.read_text()
    assert ("named_by_the_map" in text) is (kind == "its own"), text
    assert sorted(one.name for one in folder.iterdir()) == ["perf.folded"]
    assert before is None or stat.S_IFMT(before.st_mode)  # what was planted still lay there, as it was
    capture.path.unlink()


def test_a_perf_map_is_looked_for_in_the_targets_own_root(targets: Targets, folder: Path) -> None:
    """A process with a /tmp of its own: its file counts, the one in ours does not."""
    code = "mount -t tmpfs none /tmp && echo inner > /tmp/perf-$$.map && echo ready && exec sleep 60"
    process = targets.start(*unshared("--mount"), "/bin/sh", "-c", code)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    path = Path(f"/tmp/perf-{process.pid}.map")
    path.write_text("outer")
    try:
        with Target(key_of(process)) as target:
            assert perf_maps.take_over(target, folder) == {path.name: perf_maps.COPY}
    finally:
        path.unlink()
    assert (folder / perf_maps.COPY).read_text() == "inner\n"


def test_eu_stack_opens_nothing_for_a_process_that_lives_among_other_files(
    targets: Targets, folder: Path, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """The name in its maps leads to another file here: it is refused with that name; a look is perf's then."""
    require_tool("eu-stack")
    program = targets.program(require_tool("gcc"), NATIVE_BURNER)
    inner = tmp_path / "inner"
    inner.mkdir()
    code = f"cp {program} {inner}/copy && mount --bind {inner} {program.parent} && exec {program.parent}/copy"
    (program.parent / "copy").write_bytes(b"another file of this name")
    process = targets.start(*unshared("--mount"), "/bin/sh", "-c", code)
    _until(lambda: strange_file(process.pid) is not None)
    profile, look = (take(one, process, folder, Toolbox()) for one in (EuStack(), EuStackLook()))
    assert profile.status is CaptureStatus.REFUSED
    assert str(program.parent / "copy") in (profile.reason or "")
    assert (look.profiler, look.role, look.format, look.path) == ("perf", "dump", "folded", None)
    assert b"hot_leaf" in (look.payload or b"")


def test_perf_takes_names_from_the_file_that_was_mapped_and_not_from_the_one_here(
    targets: Targets, folder: Path, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """As in a container: under the name in its maps lies another program here, whose names are wrong."""
    require_tool("perf")
    program = targets.program(require_tool("gcc"), NATIVE_BURNER)
    inner = tmp_path / "inner"
    inner.mkdir()
    code = f"cp {program} {inner}/copy && mount --bind {inner} {program.parent} && exec {program.parent}/copy"
    wrong = NATIVE_BURNER.replace("hot_leaf", "wrong_leaf").replace("middle", "wrong_middle")
    program.rename(program.with_name("right"))
    targets.program("gcc", wrong).rename(program.with_name("copy"))
    program.with_name("right").rename(program)
    process = targets.start(*unshared("--mount"), "/bin/sh", "-c", code)
    _until(lambda: strange_file(process.pid) is not None)
    capture = take(Perf(), process, folder, Toolbox(), SHORT)
    assert capture.path is not None, capture
    text = capture.path.read_text()
    assert "wrong" not in text, text
    assert capture.hotspots[0].function == "hot_leaf", text
    assert capture.hotspots[0].module == f"{program.parent}/copy"
    capture.path.unlink()


def test_a_process_among_the_same_files_is_none_that_is_strange(targets: Targets) -> None:
    process = targets.start("/bin/sleep", "60")
    _until(lambda: b"sleep" in Path(f"/proc/{process.pid}/maps").read_bytes())
    assert strange_file(process.pid) is None
    maps = b"0-1 r-xp 0 08:01 5   /usr/bin/a b\n1-2 r--p 0 08:01 5 /x\n2-3 r-xp 0 0:0 0 [vdso]\n"
    assert [(one.path, one.inode) for one in mapped_code(maps)] == [("/usr/bin/a b", 5)]


def _until_user(pid: int, uid: int) -> None:
    _until(lambda: f"Uid:\t{uid}" in Path(f"/proc/{pid}/status").read_text())


def _until(condition: Callable[[], bool]) -> None:
    from tests.capture.targets import wait_for

    wait_for(condition, "the target to be ready")


@pytest.mark.skipif(
    os.uname().machine not in rights._ARCHITECTURES,
    reason="needs x86_64 or aarch64, whose system calls are known",
)
@pytest.mark.parametrize("kind", ["looks at processes", "eu-stack", "reader"])
def test_of_ptrace_only_what_reads_is_let_through(folder: Path, kind: str) -> None:
    """Every request there is or may be; of a process that is not there it is the filter that refuses (EPERM)."""
    number = rights._PTRACE[rights._ARCHITECTURES[os.uname().machine][0]]
    program = (
        f"for my $request (1 .. 300, 0x4200 .. 0x43ff) {{ $! = 0; syscall({number}, $request, 4194305, 0, 0);"
        ' print "$request\n" unless $!{EPERM} }'
    )
    outcome = Runner().run(
        ToolRun(("/usr/bin/perl", "-MErrno", "-e", program), folder, 20.0, rights=KINDS[kind])
    )
    assert outcome.exit_status == 0, outcome
    through = {int(line) for line in outcome.stdout.split()}
    writing = {4, 5, 6, 13, 15, 18, 19, 23, 26, 30, 34, 0x4203, 0x4205, 0x420B, 0x4210, 0x4212}
    assert not through & writing
    assert through == (set() if kind == "reader" else set(rights._PTRACE_READING) - {0})
