"""Log lines: what a stream that can't be written does to whoever logs."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitord import logs


def test_a_stream_that_cant_be_written_costs_lines_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A full disk, a closed pipe, a terminal that is gone: the line is lost, the logger goes on."""
    full = open("/dev/full", "w")  # noqa: SIM115 - closing it fails too
    logs.configure(stream=full)
    logs.get_logger().info("passes.on")
    with contextlib.suppress(OSError):
        full.close()
    closed = io.StringIO()
    closed.close()
    logs.configure(stream=closed)
    logs.get_logger().info("passes.on")
    logs.configure()
    logs.get_logger().info("is.heard")
    assert "is.heard" in capsys.readouterr().err


def test_nobody_reads_and_whoever_logs_goes_on() -> None:
    """A pipe that is full: lines are dropped and counted; the count is told when there is a reader again."""
    reader, writer = os.pipe()
    stream = logs.QueuedStream(writer, most_lines=50)
    logs.configure(stream=stream)
    for number in range(20_000):
        logs.get_logger().info("passes.on", number=number, padding="x" * 100)
    assert not stream.close(0.01), "the pipe is full and nobody reads"
    assert stream.dropped_count > 10_000
    told, count = b"", 0
    while count <= 10_000:
        told += os.read(reader, 1 << 16)
        logs.get_logger().info("passes.on")
        *whole, told = told.split(b"\n")
        count += sum(int(line.rpartition(b"lines=")[2]) for line in whole if b"log.dropped" in line)
    os.close(reader)
    logs.configure()


@pytest.mark.parametrize("kind", ["full", "closed"])
def test_a_descriptor_that_takes_nothing_costs_lines_and_nothing_else(kind: str) -> None:
    """/dev/full, or a pipe whose reader is gone."""
    if kind == "full":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, descriptor = os.pipe()
        os.close(reader)
    stream = logs.QueuedStream(descriptor)
    for _ in range(5):
        stream.write("said\n")
    assert stream.close(30)
    assert stream.dropped_count == 5


CLOSED = """
import os, sys
from monitord.logs import hold_standard_streams
hold_standard_streams()
print([os.open("/dev/zero", os.O_RDONLY) > 2, sys.stdin is not None, sys.stderr is not None], file=sys.stdout)
with open(sys.argv[1], "w") as told:
    told.write("\\n".join(os.readlink(f"/proc/self/fd/{number}") for number in range(3)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_no_file_ever_takes_the_number_of_a_closed_stream(tmp_path: Path, closed: str) -> None:
    """What is closed leads to /dev/null, so that no database is written into by whoever says something."""
    told = tmp_path / "told"
    words = [sys.executable, "-c", CLOSED, str(told)]
    subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *words], check=True, stdin=subprocess.DEVNULL)
    links = told.read_text().splitlines()
    assert len(links) == 3
    assert [links[number] for number in range(3) if f"{number}<" in closed or f"{number}>" in closed] == [
        "/dev/null"
    ] * closed.count("&-")
