"""Samples of what sends and receives: read as the kernel writes them, and of the thread and descriptor that do."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord import procfs
from monitord.perf_events import moving
from tests.causes.conftest import Run, run  # noqa: F401 - a fixture
from tests.causes.talking import FAR, HEAD, SHARED
from tests.patience import PATIENCE_S
from tests.perf_events.test_records import record
from tests.strangers import without

SEND, RECEIVE, ELSEWHERE = 0xFFFFFFFF81000010, 0xFFFFFFFF82000010, 0xFFFFFFFF83000000
KALLSYMS = b"""\
ffffffff80fffff0 t __pfx_tcp_sendmsg
ffffffff81000000 T tcp_sendmsg
ffffffff81000100 T tcp_sendmsg_of_another_name
ffffffff82000000 t tcp_recvmsg_locked.isra.0
ffffffff82000100 T tcp_close
ffffffffa0000000 t tls_sw_sendmsg\t[tls]
ffffffffa0000800 t tls_setsockopt\t[tls]
"""
FUNCTIONS = moving.functions_in(KALLSYMS)


def sample(pid: int, thread: int, chain: tuple[int, ...], descriptor: int | None, abi: int = 2) -> bytes:
    registers = struct.pack("=QQ", abi, descriptor) if descriptor is not None else struct.pack("=Q", 0)
    body = struct.pack(f"=IIQ{len(chain)}Q", pid, thread, len(chain), *chain) + registers
    return record(9, body)


def test_the_kernels_list_says_which_functions_move_bytes() -> None:
    assert FUNCTIONS == [
        (0xFFFFFFFF81000000, 0xFFFFFFFF81000100, True),
        (0xFFFFFFFF82000000, 0xFFFFFFFF82000100, False),
        (0xFFFFFFFFA0000000, 0xFFFFFFFFA0000800, True),
    ]
    hidden = b"0000000000000000 T tcp_sendmsg\n0000000000000000 T tcp_close\n"
    assert moving.functions_in(hidden) == [], "where the kernel hides them there are none"


def test_a_sample_says_who_moves_bytes_which_way_and_at_which_descriptor() -> None:
    data = (
        sample(5, 6, (ELSEWHERE, SEND), 7)
        + sample(5, 6, (SEND, RECEIVE), 8)
        + sample(5, 6, (ELSEWHERE,), 9)
        + sample(0, 0, (SEND,), 9)
    )
    assert list(moving.met_in(data, FUNCTIONS)) == [(5, 6, 7, True), (5, 6, 8, False)], (
        "the outermost counts; what is of no process is left out"
    )


def test_without_registers_of_64_bits_no_descriptor_is_made_up() -> None:
    data = sample(5, 6, (SEND,), None) + sample(5, 6, (SEND,), 7, abi=1)
    assert [one.descriptor for one in moving.met_in(data, FUNCTIONS)] == [-1, -1]


@given(st.binary(max_size=200), st.integers(0, 60))
def test_whatever_the_bytes_reading_ends(data: bytes, cut: int) -> None:
    list(moving.met_in(data, FUNCTIONS))
    whole = sample(5, 6, (SEND,), 7)
    assert len(list(moving.met_in(whole[: len(whole) - cut] + data, FUNCTIONS))) <= 1 + len(data) // 32


@pytest.mark.root
def test_of_two_that_run_all_the_time_only_the_one_that_sends_is_met(run: Run) -> None:  # noqa: F811
    """At the descriptor that it sends at; /proc says of both no more than that they run."""
    _, (burner, sender, _port) = run(HEAD + FAR + SHARED["a child of a parent that burns CPU"])
    samples, met = moving.opened(procfs.online_cpus()), Counter[tuple[int, str, bool]]()
    assert samples is not None
    end_s = time.monotonic() + PATIENCE_S
    while sum(met.values()) < 10 and time.monotonic() < end_s:
        time.sleep(0.03)
        for pid, _thread, descriptor, is_sending in samples.fresh():
            if pid in (burner, sender):
                met[pid, os.readlink(f"/proc/{pid}/fd/{descriptor}")[:8], is_sending] += 1  # noqa: PTH115
    samples.close()
    assert met.total() >= 10
    assert met.keys() == {(sender, "socket:[", True)}


def test_who_may_not_sample_gets_none() -> None:
    code = "from monitord.perf_events import moving; print(moving.opened((0,)))"
    done = subprocess.run(
        [*without(), sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    paranoid = int(procfs.text("/proc/sys/kernel/perf_event_paranoid", 16))
    if paranoid > 0:
        assert done.stdout == "None\n"
