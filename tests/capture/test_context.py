"""The context record: everything readable, nothing secret, the unreadable by name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord import procfs
from monitord.capture import Consent, ProfileCaptureService, context
from monitord.model import CapturePlan, CaptureStatus
from monitord.procfs import descriptors
from tests.capture import targets as t
from tests.capture.targets import Targets, key_of, stat_fields, wait_for

CONTEXT_ONLY = CapturePlan(profiler="none")

HOLDS_FILES = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
kept = open(sys.argv[1])
print("ready", flush=True)
while True:
    pass
"""


def record_of(targets: Targets, folder: Path, source: str, *arguments: str) -> dict[str, object]:
    process = targets.python(source, *arguments)
    service = ProfileCaptureService(Consent())
    captures = service.capture(key_of(process), CONTEXT_ONLY, folder)
    assert [c.status for c in captures] == [CaptureStatus.OK]
    assert t.names_in(folder) == []
    found: dict[str, object] = json.loads(captures[0].payload or b"")
    return found


def test_it_says_who_the_process_is_and_what_it_does(targets: Targets, folder: Path) -> None:
    script = targets.script("", "held.txt")
    record = record_of(targets, folder, HOLDS_FILES, str(script), "--password=hunter2secret")
    text = json.dumps(record)
    assert "hunter2secret" not in text
    assert str(script) not in json.dumps(record["files"]), "folders are counted, files are not listed"
    identity, files, threads = record["identity"], record["files"], record["threads"]
    assert isinstance(identity, dict)
    assert isinstance(files, dict)
    assert isinstance(threads, dict)
    assert identity["executable"] == os.path.realpath(sys.executable)
    assert identity["python"] == "{}.{}".format(*sys.version_info)
    assert os.getpid() in [parent["pid"] for parent in identity["ancestors"]]
    assert files["kinds"]["socket"] == 2
    assert files["sockets"] == {"listen": 1, "established": 1, "not_tcp": 0}
    assert str(targets.folder) in files["top_folders"]
    assert threads["count"] == 1
    assert threads["shown"][0]["cpu_percent"] > 5
    assert record["cpu_percent"] is not None
    assert {"status", "limits", "cgroup", "system", "memory", "io"} <= record.keys()
    assert "environ" not in text


def test_a_name_of_any_bytes_does_not_break_it(targets: Targets, folder: Path) -> None:
    source = (
        "import ctypes\n"
        "ctypes.CDLL(None).prctl(15, b'a\\nb) S 1\\xff\\x1b', 0, 0, 0)\n"
        "print('ready', flush=True)\n"
        "while True: pass\n"
    )
    record = record_of(targets, folder, source)
    identity = record["identity"]
    assert isinstance(identity, dict)
    assert identity["name"] == "a\nb) S 1\udcff\x1b"


def test_it_stays_small_with_many_threads(targets: Targets, folder: Path) -> None:
    record = record_of(targets, folder, t.PYTHON_CROWD.replace("range(60)", "range(300)"))
    threads = record["threads"]
    assert isinstance(threads, dict)
    assert threads["count"] == 301
    assert len(threads["shown"]) == 100
    assert len(json.dumps(record)) < 256 * 1024


def test_a_record_over_its_cap_drops_threads_and_says_so() -> None:
    record = {"threads": {"count": 100, "shown": [{"name": "x" * 100}] * 100}}
    text = context.fit(record, cap_bytes=2000)
    assert len(text) <= 2000
    assert "left out" in text


def test_a_replaced_process_has_no_record(targets: Targets) -> None:
    process = targets.python(t.PYTHON_IDLER)
    assert context.take(process.pid, int(stat_fields(process.pid)[19]) + 1, 0.0) == {
        "error": "target_replaced"
    }
    process.kill()
    process.wait()
    assert context.take(process.pid, 1, 0.0) == {"error": "target_gone"}


@pytest.mark.parametrize(
    ("link", "kind"),
    [
        ("socket:[123]", "socket"),
        ("pipe:[9]", "pipe"),
        ("anon_inode:[eventpoll]", "anon_inode:[eventpoll]"),
        ("/dev/null", "device"),
        ("/home/x/y (deleted)", "file"),
        ("mnt:[1]", "other"),
    ],
)
def test_descriptors_are_told_apart(link: str, kind: str) -> None:
    assert descriptors.kind_of(link) == kind


def test_a_read_that_hangs_is_given_up(tmp_path: Path) -> None:
    """A FIFO that nobody writes to stands for a file of a hung process."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert procfs.read_within(str(fifo), 0.05, 100) is None
    os.close(os.open(fifo, os.O_RDWR | os.O_NONBLOCK))  # lets the reader go


BLOCKED_PAGE = r"""
/* A process with one page inside its argument that is never served (userfaultfd): reading it blocks the reader. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv) {
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    struct uffdio_api api = {.api = UFFD_API};
    if (argc < 2 || fd < 0 || ioctl(fd, UFFDIO_API, &api)) return 3;
    unsigned long page = ((unsigned long)argv[1] + 4096) & ~4095UL;
    void *p = mmap((void *)page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    struct uffdio_register reg = {.range = {page, 4096}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (p == MAP_FAILED || ioctl(fd, UFFDIO_REGISTER, &reg)) return 3;
    printf("ready\n");
    fflush(stdout);
    pause();
}
"""


@pytest.mark.root
def test_a_target_whose_memory_blocks_its_readers_holds_up_nobody(
    targets: Targets, folder: Path, require_tool: Callable[[str], str]
) -> None:
    """Every step ends with its word; the target is the same afterwards."""
    code, program = targets.script(BLOCKED_PAGE, "blocked.c"), targets.folder / "blocked"
    subprocess.run([require_tool("gcc"), "-o", program, code], check=True)
    process = targets.start(str(program), "x" * 20000)
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        pytest.skip("userfaultfd is refused: sudo sysctl vm.unprivileged_userfaultfd=1, or run as root")
    captures = ProfileCaptureService(Consent(), grace_s=1.0).capture(
        key_of(process), CapturePlan(duration_s=0.5), folder
    )
    assert captures[0].status in (CaptureStatus.OK, CaptureStatus.TIMEOUT)
    assert len(captures) >= 2
    assert process.poll() is None


def test_a_stopped_target_has_a_context(targets: Targets, folder: Path) -> None:
    process = targets.python(t.PYTHON_IDLER)
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: t.state_of(process.pid) == "T", "the target to stop")
    captures = ProfileCaptureService(Consent()).capture(key_of(process), CONTEXT_ONLY, folder)
    record = json.loads(captures[0].payload or b"")
    assert record["status"]["State"].startswith("T")
    assert record["cpu_percent"] == 0.0
