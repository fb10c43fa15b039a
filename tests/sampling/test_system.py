"""The machine as a whole: read by descriptors that are kept, and the same as psutil reads it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from monitord.model import DiskCounters, InterfaceCounters
from monitord.sampling import devices
from monitord.sampling.devices import parse_diskstats, parse_net_dev
from monitord.sampling.sources import ProcFile
from monitord.sampling.system import (
    UNCOUNTED,
    LinuxSystemReader,
    SystemReader,
    arc_bytes_of,
    memory_held,
    parse_meminfo,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

QUIET_LOOKS = """
import json, sys
from monitord.model import Demand
from monitord.sampling import Sampler

sampler = Sampler(heartbeat_s=1e9)
sampler.look(Demand())
opened = []
sys.addaudithook(lambda event, words: opened.append(str(words[0])) if event == "open" else None)
looks = [sampler.look(Demand()) for _ in range(3)]
print(json.dumps([opened, [look.is_complete for look in looks]]))
"""


def test_both_readers_agree_on_the_same_machine() -> None:
    """Levels and names are equal, counters lie between two other readings; only idle disks are left out."""
    reader, portable = LinuxSystemReader(), SystemReader()
    before, ours, after = portable.read()[0], reader.read()[0], portable.read()[0]
    reader.close()
    assert (ours.cpu_count, ours.memory_total_bytes, ours.swap_total_bytes) == (
        before.cpu_count, before.memory_total_bytes, before.swap_total_bytes,
    )  # fmt: skip
    disks = {disk.name: (disk.read_bytes, disk.write_bytes) for disk in ours.disks}
    for first, last in zip(before.disks, after.disks, strict=True):
        read_bytes, write_bytes = disks.pop(first.name, (0, 0))
        assert first.read_bytes <= read_bytes <= last.read_bytes
        assert first.write_bytes <= write_bytes <= last.write_bytes
    assert not disks
    links = {link.name: (link.received_bytes, link.sent_bytes) for link in ours.interfaces}
    assert links.keys() == {link.name for link in before.interfaces}
    for link, later in zip(before.interfaces, after.interfaces, strict=True):
        received_bytes, sent_bytes = links[link.name]
        assert link.received_bytes <= received_bytes <= later.received_bytes
        assert link.sent_bytes <= sent_bytes <= later.sent_bytes


def test_a_look_that_is_left_out_opens_no_file() -> None:
    """All it reads are descriptors that are open already: the price of a quiet tick can't creep unseen."""
    done = subprocess.run([sys.executable, "-c", QUIET_LOOKS], capture_output=True, text=True, check=True)
    opened, complete = json.loads(done.stdout)
    assert complete == [False, False, False]
    assert opened == []


def test_a_file_longer_than_the_first_read_is_read_whole(tmp_path: object) -> None:
    path = f"{tmp_path}/long"
    with open(path, "wb") as file:
        file.write(b"x" * 50_000)
    proc = ProcFile(path)
    assert len(proc.read()) == len(proc.read()) == 50_000
    proc.close()


def test_a_machine_without_the_file_has_no_rows(tmp_path: object) -> None:
    reader = LinuxSystemReader(str(tmp_path))
    sample, totals = reader.read()
    assert (sample.disks, sample.interfaces, totals) == ((), (), None)
    reader.close()


def test_idle_loop_devices_partitions_and_short_lines_are_left_out() -> None:
    text = (
        b"   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0\n   7       1 nosuchdisk1 5 0 16 0 3 0 8 0 0 0 0\n   8\n"
    )
    assert list(parse_diskstats(text)) == []


def test_sectors_are_512_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(devices._whole_disks, "sdx", True)  # no machine has it: the folder can't say so
    line = b"   8       0 sdx 5 1 16 7 3 2 8 9 0 1 2 0 0 0 0 0 0\n"
    assert list(parse_diskstats(line)) == [DiskCounters("sdx", 16 * 512, 8 * 512)]


def test_an_interface_may_have_a_colon_in_its_name() -> None:
    heading = b"Inter-|   Receive  |  Transmit\n face |bytes |bytes\n"
    line = b"eth0:1: 592850725 1 0 0 0 0 0 0 1153020 2 0 0 0 0 0 0\n"
    assert list(parse_net_dev(heading + line)) == [InterfaceCounters("eth0:1", 592850725, 1153020)]


def test_free_memory_stands_in_where_available_is_not_known() -> None:
    text = (
        b"MemTotal:  100 kB\nMemFree:  7 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nAnonPages: 2 kB\nMapped: 3 kB\n"
    )
    assert parse_meminfo(text)["MemAvailable"] == 7 * 1024
    assert parse_meminfo(text + b"MemAvailable: 9 kB\n")["MemAvailable"] == 9 * 1024


GIB = 1 << 30


@pytest.mark.parametrize(
    ("arc_bytes", "hidden_bytes", "said"),
    [
        (0, 0, set()),
        (6 * GIB, 0, {"the ZFS cache"}),
        (0, 6 * GIB, {UNCOUNTED}),
        (3 * GIB, 3 * GIB, {"the ZFS cache", UNCOUNTED}),
    ],
)
def test_memory_that_no_line_of_meminfo_counts_is_named(
    arc_bytes: int, hidden_bytes: int, said: set[str]
) -> None:
    """A ZFS cache by its own counter; what is left over is said to be unknown, and not put on a process."""
    counted = {"MemFree": GIB, "Cached": 3 * GIB, "AnonPages": 3 * GIB, "Slab": GIB}
    memory = {"MemTotal": sum(counted.values()) + arc_bytes + hidden_bytes, **counted}
    held = memory_held(memory, arc_bytes)
    assert set(held) - {"processes' own memory"} == said
    assert held.get(UNCOUNTED, hidden_bytes) == hidden_bytes


def test_where_meminfo_tells_too_little_nothing_is_said_to_be_missing() -> None:
    """Containers show some lines only."""
    assert memory_held({"MemTotal": 8 * GIB, "MemFree": GIB, "AnonPages": GIB}) == {
        "processes' own memory": GIB
    }


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (b"9 1 0x01\nname type data\nhits 4 7\nsize 4 5000\nc_max 4 9\n", 5000),
        (b"", 0),
        (b"size 4 x\n", 0),
        (b"size\n", 0),
    ],
)
def test_the_size_of_the_zfs_cache_is_read(text: bytes, size: int) -> None:
    assert arc_bytes_of(text) == size
