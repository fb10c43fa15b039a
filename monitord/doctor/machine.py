"""What the kernel offers: descriptors for the cheap pass, pressure figures, cgroups for profilers."""

from __future__ import annotations

import resource
from collections.abc import Iterator

from monitord.doctor.check import OK, WARNING, Check, Surroundings
from monitord.model import counted

# One cached descriptor a process, and some for the daemon's own files.
_OWN_DESCRIPTORS = 64


def check_descriptors(here: Surroundings) -> Iterator[Check]:
    """The hard limit bounds how many processes are read through cached descriptors."""
    if not here.is_linux:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield judge_descriptors(hard, _process_count(here))


def judge_descriptors(hard_limit: int, process_count: int) -> Check:
    """Enough for every process, or how many are read the slower way."""
    wanted = process_count + _OWN_DESCRIPTORS
    detail = f"up to {hard_limit} open files for {counted(process_count, 'process')}"
    if hard_limit in (resource.RLIM_INFINITY, -1) or hard_limit >= wanted:
        return Check("open files", OK, detail)
    fix = f"ulimit -Hn {2 * wanted}  # as root, or LimitNOFILE={2 * wanted} in the service file"
    return Check("open files", WARNING, f"{detail}: some are read more slowly", fix)


def check_pressure(here: Surroundings) -> Iterator[Check]:
    if not here.is_linux:
        return
    if here.read("proc/pressure/cpu") is not None:
        yield Check("pressure", OK, "the kernel reports pressure (PSI)")
    else:
        fix = "add psi=1 to the kernel's command line and reboot   (needs CONFIG_PSI)"
        yield Check("pressure", WARNING, "no pressure figures (PSI) in incidents", fix)


def check_cgroup(here: Surroundings) -> Iterator[Check]:
    """Unified lets a profiler's whole process tree be killed at once; the others do it less surely."""
    if not here.is_linux:
        return
    base = here.root / "sys/fs/cgroup"
    if (base / "cgroup.controllers").exists():
        yield Check("cgroup", OK, "unified (v2)")
    elif (base / "unified/cgroup.procs").exists():
        yield Check("cgroup", OK, "hybrid (v1 with a v2 tree): limits of the service file may not apply")
    elif base.is_dir() and any(base.iterdir()):
        yield Check("cgroup", OK, "legacy (v1): limits of the service file may not apply")
    else:
        fix = "sudo mount -t cgroup2 none /sys/fs/cgroup"
        yield Check("cgroup", WARNING, "none mounted: no unit or container names in incidents", fix)


def _process_count(here: Surroundings) -> int:
    try:
        return sum(1 for entry in (here.root / "proc").iterdir() if entry.name.isdigit())
    except OSError:
        return 0
