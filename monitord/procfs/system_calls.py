"""Names of the system calls that a thread is found waiting in, and which of them are about an open file.

By machine, because the numbers differ: Linux' arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h. Others are told by their number.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """A system call; `has_file`: its first argument is a descriptor."""

    name: str
    has_file: bool


_WITH_FILE_X86_64 = """
    0 read 1 write 3 close 5 fstat 8 lseek 16 ioctl 17 pread64 18 pwrite64 19 readv 20 writev
    40 sendfile 42 connect 43 accept 44 sendto 45 recvfrom 46 sendmsg 47 recvmsg 72 fcntl 73 flock
    74 fsync 75 fdatasync 77 ftruncate 78 getdents 217 getdents64 232 epoll_wait 275 splice
    277 sync_file_range 281 epoll_pwait 285 fallocate 288 accept4 295 preadv 296 pwritev 299 recvmmsg
    306 syncfs 307 sendmmsg 326 copy_file_range 426 io_uring_enter
"""
_OTHERS_X86_64 = """
    2 open 4 stat 6 lstat 7 poll 21 access 23 select 26 msync 34 pause 35 nanosleep 56 clone 58 vfork
    59 execve 61 wait4 82 rename 83 mkdir 84 rmdir 87 unlink 89 readlink 128 rt_sigtimedwait 162 sync
    165 mount 166 umount2 202 futex 219 restart_syscall 230 clock_nanosleep 247 waitid 257 openat
    262 newfstatat 263 unlinkat 267 readlinkat 269 faccessat 270 pselect6 271 ppoll 316 renameat2
    332 statx 435 clone3 439 faccessat2
"""
_WITH_FILE_ARM64 = """
    22 epoll_pwait 25 fcntl 29 ioctl 32 flock 46 ftruncate 47 fallocate 57 close 61 getdents64 62 lseek
    63 read 64 write 65 readv 66 writev 67 pread64 68 pwrite64 71 sendfile 76 splice 80 fstat 82 fsync
    83 fdatasync 84 sync_file_range 202 accept 203 connect 206 sendto 207 recvfrom 211 sendmsg
    212 recvmsg 242 accept4 243 recvmmsg 267 syncfs 269 sendmmsg 285 copy_file_range 426 io_uring_enter
"""
_OTHERS_ARM64 = """
    35 unlinkat 38 renameat 39 umount2 40 mount 48 faccessat 56 openat 72 pselect6 73 ppoll 78 readlinkat
    79 newfstatat 81 sync 95 waitid 98 futex 101 nanosleep 115 clock_nanosleep 128 restart_syscall
    137 rt_sigtimedwait 220 clone 221 execve 227 msync 260 wait4 276 renameat2 291 statx
    435 clone3 439 faccessat2
"""


def _table(with_file: str, others: str) -> dict[str, Call]:
    found: dict[str, Call] = {}
    for text, has_file in ((with_file, True), (others, False)):
        words = text.split()
        found |= {number: Call(name, has_file) for number, name in zip(words[::2], words[1::2], strict=True)}
    return found


_TABLES = {
    "x86_64": _table(_WITH_FILE_X86_64, _OTHERS_X86_64),
    "aarch64": _table(_WITH_FILE_ARM64, _OTHERS_ARM64),
}
CALLS = _TABLES.get(os.uname().machine, {})
SENDS = frozenset(("write", "writev", "sendto", "sendmsg", "sendmmsg", "sendfile"))
RECEIVES = frozenset(("read", "readv", "recvfrom", "recvmsg", "recvmmsg", "splice"))
"""What moves bytes to, and from, the file that is the first argument."""
