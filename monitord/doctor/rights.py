"""What the kernel lets this user look at: perf, ptrace, capabilities, other people's processes."""

from __future__ import annotations

from collections.abc import Iterator

from monitord.doctor.check import OK, WARNING, Check, Surroundings

# Bits of CapEff in /proc/PID/status (linux/capability.h): what lets a profiler read another user's process.
CAPABILITIES = {2: "CAP_DAC_READ_SEARCH", 19: "CAP_SYS_PTRACE", 38: "CAP_PERFMON"}
CAP_PERFMON, CAP_SYS_ADMIN = 1 << 38, 1 << 21
_KPTR = "proc/sys/kernel/kptr_restrict"


def check_perf_paranoid(here: Surroundings) -> Iterator[Check]:
    """perf for own processes works up to level 2; Debian patches in 3, which CAP_PERFMON does not lift (both
    measured).
    """
    level = number(here, "proc/sys/kernel/perf_event_paranoid")
    if not here.is_linux or level is None:
        return
    held = capabilities(here)
    detail = f"kernel.perf_event_paranoid is {level}"
    if level <= 2 or held & CAP_SYS_ADMIN:
        yield Check("perf rights", OK, detail)
        return
    by_whom = "perf is refused"
    if held & CAP_PERFMON:
        by_whom += " by Debian's kernels, in spite of CAP_PERFMON"
    yield Check(
        "perf rights",
        WARNING,
        f"{detail}: {by_whom}",
        "echo kernel.perf_event_paranoid=2 | sudo tee /etc/sysctl.d/60-monitord.conf && sudo sysctl --system",
    )


def check_kernel_names(here: Surroundings) -> Iterator[Check]:
    """Check whether functions of the kernel have names. Who may not sample it has no stacks of it anyway."""
    try:
        with (here.root / "proc/kallsyms").open("rb") as file:
            address = file.readline(64).split(b" ")[0]
    except OSError:
        return
    if address.strip(b"0"):
        yield Check("kernel names", OK, "the kernel shows where its functions lie")
    elif capabilities(here) & (CAP_PERFMON | CAP_SYS_ADMIN):
        level = number(here, _KPTR)
        words = f"kernel.kptr_restrict is {level}: the kernel's functions have no names in stacks from here"
        fix = "record as root, or with CAP_SYSLOG"
        if level == 2:
            kept = "/etc/sysctl.d/60-monitord-names.conf"
            fix = f"echo kernel.kptr_restrict=1 | sudo tee {kept} && sudo sysctl --system"
        yield Check("kernel names", WARNING, words, fix)


def check_yama(here: Surroundings) -> Iterator[Check]:
    """Check Yama's ptrace_scope: 0 own processes, 1 children, 2 CAP_SYS_PTRACE, 3 nobody until reboot."""
    level = number(here, "proc/sys/kernel/yama/ptrace_scope")
    if not here.is_linux or level is None:
        return
    detail = f"kernel.yama.ptrace_scope is {level}"
    if level == 0 or (level < 3 and capabilities(here) & 1 << 19):
        yield Check("ptrace", OK, detail)
    elif level == 3:
        fix = (
            "echo kernel.yama.ptrace_scope=1 | sudo tee /etc/sysctl.d/60-monitord-ptrace.conf && sudo reboot"
        )
        yield Check("ptrace", WARNING, f"{detail}: no profiler may read a process until the next boot", fix)
    else:
        yield Check(
            "ptrace",
            WARNING,
            f"{detail}: py-spy may not read even your own processes",
            f"{here.system_install}   (or, for this boot: sudo sysctl kernel.yama.ptrace_scope=0)",
        )


def check_capabilities(here: Surroundings) -> Iterator[Check]:
    if not here.is_linux:
        return
    held = capabilities(here)
    missing = [name for bit, name in CAPABILITIES.items() if not held & 1 << bit]
    if not missing:
        yield Check("capabilities", OK, "every capability that profiling other users' processes needs")
    else:
        words = f"without {', '.join(missing)}: other users' processes can't be profiled from here"
        yield Check("capabilities", WARNING, words, here.system_install)


def check_whose(here: Surroundings) -> Iterator[Check]:
    """Whose processes a capture started from here can reach."""
    if here.uid == 0:
        yield Check("whose processes", OK, "everybody's: running as root")
    elif here.is_mac:
        words = "py-spy needs root on macOS; sample reads your own processes"
        yield Check("whose processes", WARNING, words, here.system_install)
    elif not capabilities(here) & 1 << 19:
        words = f"those of uid {here.uid} only"
        yield Check("whose processes", WARNING, words, here.system_install)
    else:
        yield Check("whose processes", OK, "everybody's: CAP_SYS_PTRACE is held")


def capabilities(here: Surroundings) -> int:
    """The effective capabilities of this process as a bit set; 0 when unknown."""
    for line in (here.read("proc/self/status") or "").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def number(here: Surroundings, name: str) -> int | None:
    """What a file of one number says."""
    text = here.read(name)
    try:
        return int(text) if text else None
    except ValueError:
        return None
