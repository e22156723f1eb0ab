"""Messages of rtnetlink, read from bytes: interfaces, addresses, routes.

Whatever comes, reading ends and raises nothing: what is cut or not understood is left out.
Sources: netlink(7), rtnetlink(7), and the kernel's ``linux/{netlink,rtnetlink,if_link,if_addr}.h``.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network

AF_UNSPEC, AF_INET, AF_INET6 = 0, 2, 10
GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE."""

NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_GETLINK = 16, 18
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
NLM_F_REQUEST, NLM_F_DUMP_INTR, NLM_F_DUMP = 0x1, 0x10, 0x300

IFF_UP, IFF_LOOPBACK, IFF_LOWER_UP = 0x1, 0x8, 0x10000
_IFLA_IFNAME, _IFLA_LINK, _IFLA_LINKINFO, _IFLA_CARRIER_CHANGES, _IFLA_INFO_KIND = 3, 5, 18, 35, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_IFA_F_UNUSABLE = 0x08 | 0x40  # DADFAILED, TENTATIVE
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_MULTIPATH, _RTA_TABLE = 1, 4, 5, 6, 9, 15
_RTN_UNICAST, _RT_TABLE_MAIN = 1, 254
_RTNH_F_UNUSABLE = 0x1 | 0x10  # DEAD, LINKDOWN
_ATTRIBUTE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEXT_HOP = struct.Struct("=HBBi")
_WITHOUT_COUNTS = struct.pack("=HHI", 8, 29, 8)  # IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a datagram."""

    kind: int
    flags: int
    sequence: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface. ``hardware`` is its ARPHRD number; ``kind`` names what a virtual one is.

    ``parent`` is the index of the interface that a VLAN or the like stands on.
    """

    index: int
    name: str
    hardware: int
    flags: int
    kind: str = ""
    parent: int | None = None
    carrier_changes: int = 0
    """Grows with each time the carrier comes or goes, however quickly."""

    @property
    def is_up(self) -> bool:
        """It can carry packets. The operational state is not asked: PPP and tunnels have none."""
        wanted = IFF_UP | IFF_LOWER_UP
        return self.flags & (wanted | IFF_LOOPBACK) == wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceAddress:
    """An address that packets may be sent from."""

    index: int
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A way to ``prefix`` over the interface ``index``, in the main table."""

    index: int
    prefix: Prefix
    metric: int
    gateway: Address | None


def request(kind: int, family: int, sequence: int) -> bytes:
    """A request for all there is of that kind."""
    body = {
        RTM_GETLINK: _LINK.pack(family, 0, 0, 0, 0) + _WITHOUT_COUNTS,
        RTM_GETADDR: _ADDRESS.pack(family, 0, 0, 0, 0),
        RTM_GETROUTE: _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0),
    }[kind]
    flags = NLM_F_REQUEST | NLM_F_DUMP
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def messages(datagram: bytes) -> Iterator[Message]:
    """The messages of one datagram, up to the first that is cut."""
    at = 0
    while at + _HEADER.size <= len(datagram):
        size, kind, flags, sequence, _ = _HEADER.unpack_from(datagram, at)
        if not _HEADER.size <= size <= len(datagram) - at:
            return
        yield Message(kind, flags, sequence, datagram[at + _HEADER.size : at + size])
        at += _aligned(size)


def error_number(message: Message) -> int:
    """Of an NLMSG_ERROR or NLMSG_DONE: 0 if all went well, else the number of the system error."""
    if len(message.body) < 4:
        return 0
    return max(0, -(_whole(message.body[:4]) or 0))


def interface(message: Message) -> Interface | None:
    """The interface that an RTM_NEWLINK tells of."""
    if message.kind != RTM_NEWLINK or len(message.body) < _LINK.size:
        return None
    _, hardware, index, flags, _ = _LINK.unpack_from(message.body)
    found = _attributes(message.body, _LINK.size)
    name = _text(found.get(_IFLA_IFNAME, b""))
    if index <= 0 or not name:
        return None
    info = _attributes(found.get(_IFLA_LINKINFO, b""), 0)
    return Interface(
        index=index,
        name=name,
        hardware=hardware,
        flags=flags,
        kind=_text(info.get(_IFLA_INFO_KIND, b"")),
        parent=_whole(found.get(_IFLA_LINK)),
        carrier_changes=_whole(found.get(_IFLA_CARRIER_CHANGES)) or 0,
    )


def interface_address(message: Message) -> InterfaceAddress | None:
    """The address that an RTM_NEWADDR tells of, if others can be reached with it."""
    if message.kind != RTM_NEWADDR or len(message.body) < _ADDRESS.size:
        return None
    family, _, short_flags, _, index = _ADDRESS.unpack_from(message.body)
    found = _attributes(message.body, _ADDRESS.size)
    flags = _whole(found.get(_IFA_FLAGS))
    if (short_flags if flags is None else flags) & _IFA_F_UNUSABLE:
        return None
    own = _address(family, found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS)))
    if own is None or own.is_link_local or own.is_loopback or own.is_unspecified:
        return None
    return InterfaceAddress(index=index, address=own)


def routes(message: Message) -> list[Route]:
    """The unicast routes of the main table that an RTM_NEWROUTE tells of: one per next hop."""
    if message.kind != RTM_NEWROUTE or len(message.body) < _ROUTE.size:
        return []
    family, length, _, _, table, _, _, kind, flags = _ROUTE.unpack_from(message.body)
    found = _attributes(message.body, _ROUTE.size)
    wide_table = _whole(found.get(_RTA_TABLE))
    if kind != _RTN_UNICAST or (table if wide_table is None else wide_table) != _RT_TABLE_MAIN:
        return []
    prefix = _prefix(family, found.get(_RTA_DST), length)
    if prefix is None:
        return []
    metric = (_whole(found.get(_RTA_PRIORITY)) or 0) & 0xFFFFFFFF
    hops = list(_next_hops(family, found.get(_RTA_MULTIPATH, b"")))
    index = _whole(found.get(_RTA_OIF))
    if index is not None:
        hops.append((index, flags, _address(family, found.get(_RTA_GATEWAY))))
    return [
        Route(index=index, prefix=prefix, metric=metric, gateway=gateway)
        for index, flags, gateway in hops
        if index > 0 and not flags & _RTNH_F_UNUSABLE
    ]


def _next_hops(family: int, data: bytes) -> Iterator[tuple[int, int, Address | None]]:
    at = 0
    while at + _NEXT_HOP.size <= len(data):
        size, flags, _, index = _NEXT_HOP.unpack_from(data, at)
        if not _NEXT_HOP.size <= size <= len(data) - at:
            return
        more = _attributes(data[at : at + size], _NEXT_HOP.size)
        yield index, flags, _address(family, more.get(_RTA_GATEWAY))
        at += _aligned(size)


def _attributes(data: bytes, at: int) -> dict[int, bytes]:
    """Type → value of the attributes from ``at`` on; of a type that comes twice the last."""
    found: dict[int, bytes] = {}
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= size <= len(data) - at:
            break
        found[kind & _ATTRIBUTE_MASK] = data[at + _ATTRIBUTE.size : at + size]
        at += _aligned(size)
    return found


def _aligned(size: int) -> int:
    return (size + 3) & ~3


def _whole(value: bytes | None) -> int | None:
    if value is None or len(value) != 4:
        return None
    (number,) = struct.unpack("=i", value)
    return int(number)


def _text(value: bytes) -> str:
    return value.partition(b"\0")[0].decode("ascii", "replace")


def _address(family: int, value: bytes | None) -> Address | None:
    if family == AF_INET and value is not None and len(value) == 4:
        return IPv4Address(value)
    if family == AF_INET6 and value is not None and len(value) == 16:
        return IPv6Address(value)
    return None


def _prefix(family: int, value: bytes | None, length: int) -> Prefix | None:
    """The destination of a route; one that does not say it leads everywhere."""
    if family == AF_INET and length <= 32:
        found = IPv4Address(0) if value is None else _address(family, value)
        return IPv4Network((int(found), length), strict=False) if found is not None else None
    if family == AF_INET6 and length <= 128:
        found = IPv6Address(0) if value is None else _address(family, value)
        return IPv6Network((int(found), length), strict=False) if found is not None else None
    return None
