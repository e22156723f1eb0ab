"""A kernel that tells of the links a test gives it, over a pair of datagram sockets.

It answers as the kernel does: the dump of what is asked for in one or more datagrams, ended by a
message of its own; and it can lose events, be interrupted, refuse, or not answer at all.
"""

import asyncio
import errno
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from types import TracebackType
from typing import Self

ETHERNET, PPP, NONE = 1, 512, 65534
UP, LOWER_UP, LOOPBACK = 0x1, 0x10000, 0x8
RUNNING = UP | LOWER_UP


def message(kind: int, body: bytes, *, sequence: int = 0, flags: int = 2) -> bytes:
    """One message with its header, padded."""
    size = 16 + len(body)
    return _padded(struct.pack("=IHHII", size, kind, flags, sequence, 0) + body)


def attribute(kind: int, value: bytes) -> bytes:
    return _padded(struct.pack("=HH", 4 + len(value), kind) + value)


def link_body(
    index: int,
    name: str,
    *,
    hardware: int = ETHERNET,
    flags: int = RUNNING,
    kind: str = "",
    carrier_changes: int = 1,
    parent: int | None = None,
) -> bytes:
    """The body of an RTM_NEWLINK."""
    body = struct.pack("=BxHiII", 0, hardware, index, flags, 0)
    body += attribute(3, name.encode() + b"\0")
    body += attribute(35, struct.pack("=I", carrier_changes))
    if parent is not None:
        body += attribute(5, struct.pack("=I", parent))
    if kind:
        body += attribute(18 | 0x8000, attribute(1, kind.encode() + b"\0"))
    return body


def address_body(index: int, address: str, *, flags: int = 0) -> bytes:
    """The body of an RTM_NEWADDR for an address with a prefix length."""
    text, _, length = address.partition("/")
    own = ip_address(text)
    family = 2 if own.version == 4 else 10
    body = struct.pack("=BBBBI", family, int(length or own.max_prefixlen), flags & 0xFF, 0, index)
    body += attribute(1, own.packed)
    if own.version == 4:
        body += attribute(2, own.packed)
    return body + attribute(8, struct.pack("=I", flags))


def route_body(
    index: int,
    prefix: str = "0.0.0.0/0",
    *,
    gateway: str | None = None,
    metric: int = 0,
    table: int = 254,
    kind: int = 1,
    flags: int = 0,
) -> bytes:
    """The body of an RTM_NEWROUTE."""
    network = ip_network(prefix)
    family = 2 if network.version == 4 else 10
    short_table = table if table < 256 else 0
    length = network.prefixlen
    body = struct.pack("=BBBBBBBBI", family, length, 0, 0, short_table, 3, 0, kind, flags)
    body += attribute(15, struct.pack("=I", table))
    if length:
        body += attribute(1, network.network_address.packed)
    if metric:
        body += attribute(6, struct.pack("=I", metric))
    if gateway is not None:
        body += attribute(5, ip_address(gateway).packed)
    return body + attribute(4, struct.pack("=I", index))


@dataclass
class FakeKernel:
    """Give :attr:`open_socket` to what is tested. A context manager, which closes all sockets."""

    links: list[bytes] = field(default_factory=list)
    addresses: list[bytes] = field(default_factory=list)
    routes: list[bytes] = field(default_factory=list)
    dumps: int = 0
    """How often the links were asked for."""
    interrupted: int = 0
    """So many dumps tell that they are out of date."""
    refused: int = 0
    """So many questions are refused."""
    silent: int = 0
    """So many questions get no answer."""
    strays: list[bytes] = field(default_factory=list)
    """Datagrams that come before each answer."""
    _sockets: list[socket.socket] = field(default_factory=list)
    _listener: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in self._sockets:
            if each.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(each.fileno())
                each.close()

    def open_socket(self, groups: int) -> socket.socket:
        """A socket as of rtnetlink."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        theirs.setblocking(False)
        self._sockets.append(ours)
        if groups:
            self._listener = ours
        else:
            asyncio.get_running_loop().add_reader(ours.fileno(), self._answer, ours)
        return theirs

    def event(self, body: bytes = b"", *, kind: int = 16, times: int = 1) -> None:
        """Tell that something changed; what exactly may be nonsense."""
        assert self._listener is not None
        for _ in range(times):
            self._listener.send(message(kind, body))

    def _answer(self, ours: socket.socket) -> None:
        with suppress(BrokenPipeError):  # whoever asked has gone meanwhile
            self._tell(ours)

    def _tell(self, ours: socket.socket) -> None:
        question = ours.recv(65536)
        if not question:
            asyncio.get_running_loop().remove_reader(ours.fileno())
            ours.close()
            return
        _, kind, _, sequence, _ = struct.unpack_from("=IHHII", question)
        family = question[16]
        self.dumps += kind == 18
        if self.silent:
            self.silent -= 1
            return
        if self.refused:
            self.refused -= 1
            refusal = struct.pack("=i", -errno.EPERM) + question[:16]
            ours.send(message(2, refusal, sequence=sequence))
            return
        for stray in self.strays:
            ours.send(stray)
        flags = 2
        if self.interrupted and kind == 18:
            self.interrupted -= 1
            flags |= 0x10
        for body in self._bodies(kind, family):
            ours.send(message(kind - 2, body, sequence=sequence, flags=flags))
        ours.send(message(3, struct.pack("=i", 0), sequence=sequence, flags=flags))

    def _bodies(self, kind: int, family: int) -> Iterable[bytes]:
        if kind == 18:
            return self.links
        if kind == 22:
            return self.addresses
        return [body for body in self.routes if body[0] == family]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
