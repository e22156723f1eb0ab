"""Messages of rtnetlink: recorded from a kernel, made by hand, and damaged in every way."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from device.links import netlink
from device.links.classes import Classifier
from device.links.netlink import Interface, InterfaceAddress, Route
from device.links.routing import Network, ways_out
from tests.fakes import netlink as fake

RECORDED: dict[str, list[str]] = json.loads(
    Path(__file__).with_name("recorded.json").read_text(encoding="ascii")
)
"""Of Linux 6.18: two veth pairs, a tunnel, two IPv4 default routes, one of IPv6; the datagrams as
they came. ``events``: of making them, and of setting one interface down."""


def recorded(name: str) -> list[netlink.Message]:
    return [m for text in RECORDED[name] for m in netlink.messages(bytes.fromhex(text))]


def network(kinds: dict[str, list[netlink.Message]]) -> Network:
    return Network(
        interfaces=[i for m in kinds["links"] if (i := netlink.interface(m)) is not None],
        addresses=[
            a for m in kinds["addresses"] if (a := netlink.interface_address(m)) is not None
        ],
        routes=[r for m in kinds["routes"] for r in netlink.routes(m)],
    )


def one(body: bytes, kind: int) -> netlink.Message:
    (found,) = netlink.messages(fake.message(kind, body))
    return found


def test_recorded_dumps_tell_of_the_links_as_they_were(tmp_path: Path) -> None:
    found = network(
        {
            "links": recorded("links"),
            "addresses": recorded("addresses"),
            "routes": recorded("routes4") + recorded("routes6"),
        }
    )

    assert {i.name: (i.kind, i.is_up) for i in found.interfaces} == {
        "lo": ("", False),
        "eth0": ("veth", True),
        "far": ("veth", True),
        "tun0": ("tun", False),
        "wwan0": ("veth", True),
        "tower": ("veth", True),
    }
    assert {str(a.address) for a in found.addresses} == {
        "192.168.7.2",
        "10.8.0.2",
        "100.64.3.9",
        "2001:db8:1::2",
    }
    defaults = [(r.index, r.metric, str(r.gateway)) for r in found.routes if not r.prefix.prefixlen]
    assert defaults == [(3, 100, "192.168.7.1"), (6, 700, "100.64.3.10"), (3, 1024, "fe80::1")]
    assert not any("10.77" in str(r.prefix) or "1.2.3" in str(r.prefix) for r in found.routes)
    ways = ways_out(found, Classifier(root=tmp_path))
    assert [(w.interface, w.is_preferred) for w in ways] == [("eth0", True), ("wwan0", False)]


def test_what_is_made_here_is_read_back() -> None:
    link = one(fake.link_body(7, "ppp0", hardware=fake.PPP, kind="ppp", parent=3), 16)
    address = one(fake.address_body(7, "10.64.0.2/32"), 20)
    route = one(fake.route_body(7, "10.0.0.0/8", gateway="10.64.64.64", metric=4_000_000_000), 24)

    assert netlink.interface(link) == Interface(
        index=7,
        name="ppp0",
        hardware=512,
        flags=fake.RUNNING,
        kind="ppp",
        parent=3,
        carrier_changes=1,
    )
    own = netlink.interface_address(address)
    assert own is not None
    assert (own.index, str(own.address)) == (7, "10.64.0.2")
    (found,) = netlink.routes(route)
    assert (str(found.prefix), str(found.gateway), found.metric) == (
        "10.0.0.0/8",
        "10.64.64.64",
        4_000_000_000,
    )


@pytest.mark.parametrize(
    "body",
    [
        fake.address_body(1, "127.0.0.1/8"),
        fake.address_body(2, "169.254.7.7/16"),
        fake.address_body(2, "fe80::1/64"),
        fake.address_body(2, "2001:db8::2/64", flags=0x40),
        fake.address_body(2, "2001:db8::2/64", flags=0x08),
    ],
    ids=["loopback", "link-local", "link-local IPv6", "tentative", "doubled"],
)
def test_an_address_that_leads_nowhere_is_none(body: bytes) -> None:
    assert netlink.interface_address(one(body, 20)) is None


@pytest.mark.parametrize(
    "body",
    [
        fake.route_body(2, table=77),
        fake.route_body(2, table=1000),
        fake.route_body(2, kind=6),
        fake.route_body(2, flags=0x10),
        fake.route_body(2, flags=0x1),
        fake.route_body(0),
    ],
    ids=["another table", "a high table", "blackhole", "no carrier", "dead", "no interface"],
)
def test_a_route_that_packets_do_not_take_is_none(body: bytes) -> None:
    assert netlink.routes(one(body, 24)) == []


def everything(datagram: bytes) -> list[Interface | InterfaceAddress | Route | int]:
    found: list[Interface | InterfaceAddress | Route | int] = []
    for message in netlink.messages(datagram):
        found.append(netlink.error_number(message))
        for one in (netlink.interface(message), netlink.interface_address(message)):
            found += [] if one is None else [one]
        found += netlink.routes(message)
    return found


DATAGRAMS = [bytes.fromhex(text) for name in RECORDED for text in RECORDED[name]]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_datagrams_never_raise_and_always_end(data: st.DataObject) -> None:
    datagram = bytearray(data.draw(st.sampled_from(DATAGRAMS)))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, max(0, len(datagram) - 1)))
        how = data.draw(st.sampled_from(["byte", "cut", "drop", "double", "zero", "lengths"]))
        if how == "byte" and datagram:
            datagram[at] = data.draw(st.integers(0, 255))
        elif how == "cut":
            del datagram[at:]
        elif how == "drop":
            del datagram[at : at + data.draw(st.integers(1, 9))]
        elif how == "double":
            datagram[at:at] = datagram[at : at + 16]
        elif how == "zero":
            datagram[at : at + 4] = bytes(len(datagram[at : at + 4]))
        else:
            datagram[at : at + 2] = data.draw(st.sampled_from([b"\0\0", b"\1\0", b"\xff\xff"]))

    found = everything(bytes(datagram))

    assert len(found) <= len(datagram)


@settings(max_examples=200, deadline=None)
@given(datagram=st.binary(max_size=300), kind=st.sampled_from([2, 3, 16, 20, 24]))
def test_nonsense_never_raises(datagram: bytes, kind: int) -> None:
    everything(datagram)
    everything(fake.message(kind, datagram))


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_a_datagram_cut_at_every_byte_never_raises(name: str) -> None:
    for text in RECORDED[name]:
        whole = bytes.fromhex(text)
        for end in range(0, len(whole), 7):
            everything(whole[:end])
