"""What the kernel says of sockets: bytes and other end of TCP's, and which are UDP's, in every namespace.

sock_diag(7), spoken by ourselves: the messages are of <linux/inet_diag.h> and <linux/tcp.h>, whose layouts
never change. Entering another network namespace takes CAP_SYS_ADMIN; a socket opened there stays there, so
that the right can be given up before anything is read. UDP has no byte counters.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from monitord import procfs
from monitord.procfs.tcp_table import shown

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_ATTRIBUTE = struct.Struct("=HH")  # struct rtattr
_INFORMATION = 2  # INET_DIAG_INFO; as a bit of idiag_ext one lower
_MESSAGE_BYTES = 72  # struct inet_diag_msg: family and three more, the addresses, inode at its end
_BYTES_ACKED_AT, _BYTES_RECEIVED_AT = 120, 128  # in struct tcp_info, since Linux 4.1

_CONNECTED = ((1 << 12) - 1) & ~(1 << 10 | 1 << 6 | 1 << 3)
"""All TCP states but LISTEN, TIME_WAIT and SYN_RECV, which have no owner or move nothing."""

_ANY_STATE = (1 << 12) - 1
_CLONE_NEWNET = 0x40000000
_NAMESPACES_AT_MOST = 64
_ANSWER_S = 5.0


@dataclass(frozen=True, slots=True)
class Counted:
    """A TCP socket and its bytes so far: those that the other end acknowledged, and those received."""

    remote: str
    sent_bytes: int
    received_bytes: int

    @property
    def moved_bytes(self) -> int:
        return self.sent_bytes + self.received_bytes


@dataclass(slots=True)
class Sockets:
    """One look, by inode: TCP's with their bytes and other ends; and which are UDP's."""

    tcp: dict[int, Counted] = field(default_factory=dict)
    udp: set[int] = field(default_factory=set)

    def moved(self) -> dict[int, int]:
        """Bytes in both directions, by inode."""
        return {inode: counted.moved_bytes for inode, counted in self.tcp.items()}

    def both(self) -> dict[int, tuple[int, int]]:
        """Bytes sent and received, by inode."""
        return {inode: (counted.sent_bytes, counted.received_bytes) for inode, counted in self.tcp.items()}


@dataclass(slots=True)
class Namespaces:
    """Ways to ask in each network namespace; `closed` are those we may not enter, with a pid of each."""

    open: list[socket.socket] = field(default_factory=list)
    closed: dict[int, int] = field(default_factory=dict)


def open_namespaces() -> Namespaces:
    """Our own network namespace first, then all others that can be told and entered."""
    found = Namespaces([_asker()])
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        for inode, pid in _others().items():
            asker = _asker_in(procfs.path(pid, "ns/net"))
            if asker is not None:
                found.open.append(asker)
            elif os.path.exists(procfs.path(pid)):  # noqa: PTH110 - many of them
                found.closed[inode] = pid
        if len(found.open) > 1:
            _set_namespace(own)
    finally:
        os.close(own)
    return found


def asker_of(pid: int) -> socket.socket | None:
    """One in the network namespace of a process; None: it is another one than ours, and closed to us.

    This process is in its own namespace again afterwards. Raises OSError when the process is gone.
    """
    if _is_ours(pid):
        return _asker()
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        asker = _asker_in(procfs.path(pid, "ns/net"))
        _set_namespace(own)
        return asker
    finally:
        os.close(own)


def _is_ours(pid: int) -> bool:
    own, theirs = (os.stat(path).st_ino for path in ("/proc/self/ns/net", procfs.path(pid, "ns/net")))  # noqa: PTH116 - a namespace
    return own == theirs


def look(askers: Sequence[socket.socket]) -> Sockets:
    """The sockets of all these namespaces. Raises OSError when the kernel does not answer."""
    found = Sockets()
    for asker in askers:
        for family in (socket.AF_INET, socket.AF_INET6):
            for message in _dump(asker, family, socket.IPPROTO_TCP, _CONNECTED):
                inode, information = _inode(message), _information(message)
                if inode and len(information) >= _BYTES_RECEIVED_AT + 8:
                    found.tcp[inode] = Counted(
                        _peer(family, message),
                        _u64(information, _BYTES_ACKED_AT),
                        _u64(information, _BYTES_RECEIVED_AT),
                    )
            found.udp.update(map(_inode, _dump(asker, family, socket.IPPROTO_UDP, _ANY_STATE)))
    found.udp.discard(0)
    return found


# -------------------------------------------------------------------------------------- namespaces


def _others() -> dict[int, int]:
    """The lowest pid of every other network namespace that can be told, by the namespace's inode."""
    found: dict[int, int] = {}
    own = os.stat("/proc/self/ns/net").st_ino  # noqa: PTH116 - a namespace
    for pid in sorted(procfs.pids()):
        try:
            inode = os.stat(procfs.path(pid, "ns/net")).st_ino  # noqa: PTH116 - a namespace
        except OSError:
            continue  # gone, or another user's
        if inode != own and len(found) < _NAMESPACES_AT_MOST:
            found.setdefault(inode, pid)
    return found


def _asker() -> socket.socket:
    asker = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
    asker.settimeout(_ANSWER_S)
    return asker


def _asker_in(path: str) -> socket.socket | None:
    """One in another namespace, where this process is from now on; None: it is gone, or closed to us."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return _asker() if _set_namespace(descriptor) else None
    finally:
        os.close(descriptor)


def _set_namespace(descriptor: int) -> bool:
    return bool(ctypes.CDLL(None).setns(descriptor, _CLONE_NEWNET) == 0)


# ---------------------------------------------------------------------------------------- messages


def _dump(asker: socket.socket, family: int, protocol: int, states: int) -> Iterator[bytes]:
    """Every struct inet_diag_msg with its attributes that fits; what the kernel does not know is empty."""
    extensions = 1 << (_INFORMATION - 1) if protocol == socket.IPPROTO_TCP else 0
    request = struct.pack("=BBBxI48x", family, protocol, extensions, states)
    size = _HEADER.size + len(request)
    asker.send(_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 0, 0) + request)
    while True:
        data = asker.recv(1 << 18)
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, *_ = _HEADER.unpack_from(data, at)
            if kind in (_DONE, _ERROR) or length < _HEADER.size:
                return
            message = data[at + _HEADER.size : at + length]
            if len(message) >= _MESSAGE_BYTES:
                yield message
            at += (length + 3) & ~3


def _inode(message: bytes) -> int:
    return int(struct.unpack_from("=I", message, _MESSAGE_BYTES - 4)[0])


def _peer(family: int, message: bytes) -> str:
    """Where struct inet_diag_sockid says the other end is: ports at 4, both addresses from 8 on."""
    port = struct.unpack_from("!H", message, 6)[0]
    length = 16 if family == socket.AF_INET6 else 4
    return shown(family, message[24 : 24 + length], port)


def _information(message: bytes) -> bytes:
    """The struct tcp_info; empty when the socket has none."""
    at = _MESSAGE_BYTES
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if kind == _INFORMATION:
            return message[at + _ATTRIBUTE.size : at + length]
        at += max((length + 3) & ~3, _ATTRIBUTE.size)
    return b""


def _u64(data: bytes, at: int) -> int:
    return int(struct.unpack_from("=Q", data, at)[0])
