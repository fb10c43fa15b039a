"""Gives up, for good, what a process does not need: capabilities, user, network, writing, system calls.

Linux; elsewhere, and where a kernel lacks one of the means, the others still hold. Standard library only, and
modules written in C where there is a choice: capture's isolated supervisor is sent this code too, and a first
look waits for it.
"""

from __future__ import annotations

import array  # knows where its bytes lie; loaded before there is a user who could not read it
import os
import sys

_ON_LINUX = sys.platform == "linux"
CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER = 0, 1, 3
CAP_DAC_READ_SEARCH, CAP_SETPCAP, CAP_SYS_PTRACE, CAP_SYS_ADMIN = 2, 8, 19, 21
CAP_SYSLOG, CAP_PERFMON = 34, 38
_OF_ROOT = 1 << 0 | 1 << 6 | 1 << 7  # CAP_CHOWN, CAP_SETGID, CAP_SETUID
_CAPABILITY_COUNT = 64

# Nobody's number: systemd's table of user ids leaves 65520-65533 unused.
STRANGER = 65_529

_RTLD_NOW = 2
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_SET_KEEPCAPS, _PR_SET_SECCOMP, _PR_CAP_AMBIENT = 24, 38, 8, 22, 47
_AMBIENT_RAISE, _AMBIENT_CLEAR_ALL, _SECCOMP_MODE_FILTER = 2, 4, 2
_CAPABILITY_VERSION_3 = 0x20080522
_CLONE_NEWNS = 0x00020000
_CHARACTER_DEVICE = 0o020000
_MS_NOSUID, _MS_NODEV, _MS_REC, _MS_PRIVATE = 2, 4, 0x4000, 1 << 18

# include/uapi/linux/landlock.h; the numbers of these three calls are the same on every architecture.
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_WRITE_FILE, _REMOVE_FILE, _MAKE_FILE, _TRUNCATE = 1 << 1, 1 << 5, 1 << 8, 1 << 14
_ALL_WRITING = _WRITE_FILE | sum(1 << bit for bit in range(4, 13))
_MOVING, _TCP, _SCOPES = 1 << 13, 0b11, 0b11

# System calls by number: x86_64, aarch64 (the tables in arch/*/…/syscall*.tbl).
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_NEVER_NEEDED = {
    "socket": (41, 198), "process_vm_writev": (311, 271), "bpf": (321, 280), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "setns": (308, 268),
    "unshare": (272, 97), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsmount": (432, 432), "mount_setattr": (442, 442), "io_uring_setup": (425, 425),
    "userfaultfd": (323, 282), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104),
    "open_by_handle_at": (304, 265), "pidfd_getfd": (438, 438), "reboot": (169, 142),
    "syslog": (103, 116),
}  # fmt: skip
_OF_PROFILERS_ONLY = {"process_vm_readv": (310, 270), "perf_event_open": (298, 241), "kcmp": (312, 272)}
_PTRACE = (101, 117)
# What may be asked of ptrace (include/uapi/linux/ptrace.h, arch/x86's): TRACEME, PEEK*, CONT, GETREGS,
# GETFPREGS, ATTACH, DETACH; from 0x4200 SETOPTIONS, GETEVENTMSG, GETSIGINFO, GETREGSET, SEIZE, INTERRUPT,
# LISTEN. All that writes into a process is left out, also what kernels to come will add.
_PTRACE_READING = (
    *(0, 1, 2, 3, 7, 12, 14, 16, 17),
    *(0x4200, 0x4201, 0x4202, 0x4204, 0x4206, 0x4207, 0x4208),
)


def keep_only(capabilities: tuple[int, ...], user: tuple[int, int] | None = None) -> None:
    """Hold these capabilities at most, through an exec as well, and never get others again.

    `user`: become this (uid, gid) on the way, with no other groups; stays who it is where that can't be.
    Raises OSError when the kernel refuses to take something away.
    """
    if not _ON_LINUX:
        return
    held = _held()
    kept = held & sum(1 << number for number in capabilities)
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call("prctl", _PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)
    if held >> CAP_SETPCAP & 1:
        for number in range(_CAPABILITY_COUNT):
            if not kept >> number & 1 and _call("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0) < 0:
                break  # past the last one that this kernel knows
    if user is not None:
        _become(user)
    _set_capabilities(kept)
    for number in capabilities:
        if kept >> number & 1:
            _call("prctl", _PR_CAP_AMBIENT, _AMBIENT_RAISE, number, 0, 0)


def may_change_user() -> bool:
    """Whether this process can become another user and give files to that one: root with capabilities."""
    return _ON_LINUX and os.geteuid() == 0 and _held() & _OF_ROOT == _OF_ROOT


def _become(user: tuple[int, int]) -> None:
    uid, gid = user
    _call("prctl", _PR_SET_KEEPCAPS, 1, 0, 0, 0)
    try:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError:
        pass  # a user namespace without this number, or no right to change: without capabilities all the same


def _held() -> int:
    """The permitted capabilities as a bit set."""
    with open("/proc/self/status", "rb") as file:
        return next((int(line.split()[1], 16) for line in file if line.startswith(b"CapPrm:")), 0)


def _set_capabilities(kept: int) -> None:
    header = _words(_CAPABILITY_VERSION_3, 0)
    low, high = kept & 0xFFFFFFFF, kept >> 32
    if _call("capset", header, _words(low, low, low, high, high, high)) < 0:
        raise OSError(1, "cannot give up capabilities")


def write_only_in(folders: tuple[str, ...]) -> bool:
    """Let this process write below these folders alone, and reach no other process and no TCP port.

    By Landlock, which needs no right; False where the kernel has none.
    """
    version = _call("syscall", _LANDLOCK_CREATE, None, 0, 1) if _ON_LINUX else -1
    if version < 1:
        return False
    in_folders = _WRITE_FILE | _REMOVE_FILE | _MAKE_FILE | (_TRUNCATE if version >= 3 else 0)
    writing = _ALL_WRITING | (_MOVING if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    parts = [writing, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0]
    attributes = b"".join(part.to_bytes(8, sys.byteorder) for part in parts)
    size = 8 if version < 4 else 16 if version < 6 else 24
    rules = _call("syscall", _LANDLOCK_CREATE, attributes[:size], size, 0)
    if rules < 0:
        return False
    for folder in folders:
        _allow(rules, folder, in_folders)
    _allow(rules, os.devnull, _WRITE_FILE)
    is_held = _call("syscall", _LANDLOCK_RESTRICT, rules, 0) == 0
    os.close(rules)
    return is_held


def _allow(rules: int, path: str, what: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = what.to_bytes(8, sys.byteorder) + place.to_bytes(4, sys.byteorder)
    _call("syscall", _LANDLOCK_ADD, rules, 1, rule, 0)
    os.close(place)


def refuse_calls(*, profiles: bool, sockets: bool = False) -> None:
    """Refuse (EPERM) what no child of ours needs: networks, mounts, namespaces, writing to other processes.

    With `profiles` it may still read and stop other processes, with `sockets` still open sockets, also in
    another network namespace; a second call then refuses that, too. Needs `keep_only` first. By seccomp(2),
    on the architectures whose numbers are known.
    """
    if not _ON_LINUX or os.uname().machine not in _ARCHITECTURES:
        return
    column, architecture = _ARCHITECTURES[os.uname().machine]
    refused = [
        numbers[column]
        for name, numbers in _NEVER_NEEDED.items()
        if not (sockets and name in ("socket", "setns"))
    ]
    if not profiles:
        refused += [numbers[column] for numbers in _OF_PROFILERS_ONLY.values()] + [_PTRACE[column]]
    code = array.array("B", _program(architecture, refused, _PTRACE[column] if profiles else None))
    fields = (len(code) // 8, code.buffer_info()[0])  # struct sock_fprog: a length, padded, and a pointer
    call = b"".join(field.to_bytes(8, sys.byteorder) for field in fields)
    _call("prctl", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, call, 0, 0)


def _program(architecture: int, refused: list[int], ptrace: int | None) -> bytes:
    """Classic BPF over struct seccomp_data: number at 0, architecture at 4, first argument at 16."""
    load, equal, at_least, end = 0x20, 0x15, 0x35, 0x06
    tests = [(equal, number) for number in refused] + [(at_least, 0x40000000)]  # the latter: x32's numbers
    words = _PTRACE_READING if ptrace is not None else ()
    # Every test is followed by as many instructions as it has to jump over to reach the last one.
    lines = [(load, 0, 0, 4), (equal, 1, 0, architecture), (end, 0, 0, 0x00050001), (load, 0, 0, 0)]
    tail = len(words) + 3 if words else 0
    for index, (kind, number) in enumerate(tests):
        lines.append((kind, len(tests) - index - 1 + tail + 1, 0, number))
    if words:
        lines += [(equal, 0, len(words) + 2, ptrace or 0), (load, 0, 0, 16)]
        lines += [(equal, len(words) - index, 0, word) for index, word in enumerate(words)]
        lines += [(end, 0, 0, 0x00050001)]
    lines += [(end, 0, 0, 0x7FFF0000), (end, 0, 0, 0x00050001)]
    order = sys.byteorder
    return b"".join(
        code.to_bytes(2, order) + bytes((true, false)) + value.to_bytes(4, order)
        for code, true, false, value in lines
    )


def replace_in_tmp(files: dict[str, str], folder: str, size_bytes: int) -> bool:
    """Let this process see these files in /tmp in place of what has their names: name → path, "" for none.

    Everything else stays as it is. `folder` is an empty one of its own. False where no mount namespace, or no
    overlay, can be had.
    """
    if not _ON_LINUX or _call("unshare", _CLONE_NEWNS) < 0:
        return False
    options = b"mode=0755,size=%d" % size_bytes
    if (
        _call("mount", None, b"/", None, _MS_REC | _MS_PRIVATE, None) < 0
        or _call("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", _MS_NOSUID | _MS_NODEV, options) < 0
    ):
        return False
    upper, work = f"{folder}/upper", f"{folder}/work"
    mask = os.umask(0o022)  # what becomes /tmp is for everybody to read
    for path in (upper, work):
        os.mkdir(path)  # noqa: PTH102 - pathlib would double the start-up time
    os.umask(mask)
    for name, source in files.items():
        _put(f"{upper}/{name}", source)
    layers = os.fsencode(f"lowerdir=/tmp,upperdir={upper},workdir={work}")
    return _call("mount", b"overlay", b"/tmp", b"overlay", _MS_NOSUID | _MS_NODEV, layers) == 0


def _put(path: str, source: str) -> None:
    """A copy for everybody to read; without a source, what overlayfs shows as nothing (a whiteout)."""
    if not source:
        os.mknod(path, _CHARACTER_DEVICE, 0)
        return
    # Not what a tool may have put in its place; a pipe would wait.
    given_fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(given_fd, "rb") as given, open(path, "xb") as made:
        while piece := given.read(1 << 20):
            made.write(piece)
        os.fchmod(made.fileno(), 0o644)


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, sys.byteorder) for value in values)


def _call(name: str, *arguments: int | bytes | None) -> int:
    """A function of libc by its name; -1 when it failed or is not there."""
    import _ctypes

    try:
        function = _ctypes.dlsym(_ctypes.dlopen(None, _RTLD_NOW), name)  # type: ignore[arg-type]  # None: ourselves
    except OSError:
        return -1
    return int(_ctypes.call_function(function, arguments))
