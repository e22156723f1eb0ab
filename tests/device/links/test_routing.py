"""Which interfaces are links, and over which of them the kernel sends."""

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest

from device.links import netlink
from device.links.classes import Classifier
from device.links.routing import Network, WayOut, destinations_of, ways_out
from device.model import LinkClass
from tests.fakes import netlink as fake
from tests.fakes.netlink import NONE, PPP, UP, address_body, link_body, route_body

ETH = (link_body(2, "eth0"), address_body(2, "192.168.1.5/24"))
WLAN = (link_body(3, "wlan0"), address_body(3, "192.168.2.5/24"))
CELL = (link_body(4, "ppp0", hardware=PPP, kind="ppp"), address_body(4, "10.64.0.2/32"))
ETH_ROUTE = route_body(2, gateway="192.168.1.1", metric=100)
WLAN_ROUTE = route_body(3, gateway="192.168.2.1", metric=600)
CELL_ROUTE = route_body(4, metric=700)


def found(
    interfaces: Sequence[Sequence[bytes]],
    routes: Sequence[bytes],
    classifier: Classifier | None = None,
    services: Sequence[str] = ("https://gis.example.com/rest",),
) -> list[WayOut]:
    def one(body: bytes, kind: int) -> netlink.Message:
        return next(netlink.messages(fake.message(kind, body)))

    links = [netlink.interface(one(each[0], 16)) for each in interfaces]
    addresses = [netlink.interface_address(one(b, 20)) for each in interfaces for b in each[1:]]
    network = Network(
        interfaces=[i for i in links if i is not None],
        addresses=[a for a in addresses if a is not None],
        routes=[r for body in routes for r in netlink.routes(one(body, 24))],
    )
    nowhere = Classifier(root=Path("/nonexistent"))
    return ways_out(network, classifier or nowhere, destinations_of(services))


def told(ways: Sequence[WayOut]) -> list[tuple[str, LinkClass, bool]]:
    return [(w.interface, w.link_class, w.is_preferred) for w in ways]


def test_of_several_default_routes_the_lowest_metric_is_taken() -> None:
    ways = found([ETH, WLAN, CELL], [CELL_ROUTE, WLAN_ROUTE, ETH_ROUTE])

    assert told(ways) == [
        ("eth0", LinkClass.WIRED, True),
        ("ppp0", LinkClass.CELLULAR, False),
        ("wlan0", LinkClass.WIFI, False),
    ]


def test_a_dial_up_without_a_metric_takes_everything_and_that_is_told() -> None:
    ways = found([WLAN, CELL], [WLAN_ROUTE, route_body(4)])

    assert told(ways)[0] == ("ppp0", LinkClass.CELLULAR, True)
    assert told(ways)[1] == ("wlan0", LinkClass.WIFI, False)


@pytest.mark.parametrize(
    ("interface", "routes"),
    [
        ((link_body(2, "eth0", flags=UP), ETH[1]), [ETH_ROUTE]),
        ((link_body(2, "eth0", flags=0x10000), ETH[1]), [ETH_ROUTE]),
        ((ETH[0],), [ETH_ROUTE]),
        ((ETH[0], address_body(2, "169.254.3.4/16")), [ETH_ROUTE]),
        (ETH, []),
        (ETH, [route_body(2, "192.168.1.0/24")]),
        ((ETH[0], address_body(2, "2001:db8::2/64")), [ETH_ROUTE]),
        ((ETH[0], address_body(2, "fd00::2/64")), [route_body(2, "::/0", gateway="fe80::1")]),
    ],
    ids=[
        "no carrier",
        "down",
        "no address",
        "link-local",
        "no route",
        "a route to its network alone",
        "IPv6 address, IPv4 route",
        "private IPv6",
    ],
)
def test_what_leads_nowhere_is_no_link(interface: Sequence[bytes], routes: list[bytes]) -> None:
    assert found([interface], routes) == []


def test_a_point_to_point_link_needs_no_gateway_and_no_operational_state() -> None:
    assert told(found([CELL], [CELL_ROUTE])) == [("ppp0", LinkClass.CELLULAR, True)]


def test_ipv6_alone_is_a_link() -> None:
    only = (link_body(2, "eth0"), address_body(2, "2001:db8::2/64"))

    ways = found([only], [route_body(2, "::/0", gateway="fe80::1", metric=1024)])

    assert told(ways) == [("eth0", LinkClass.WIRED, True)]


def test_the_two_protocols_may_take_two_links() -> None:
    six = (CELL[0], CELL[1], address_body(4, "2001:db8::4/64"))

    ways = found([ETH, six], [ETH_ROUTE, CELL_ROUTE, route_body(4, "::/0", metric=700)])

    assert [w.is_preferred for w in ways] == [True, True]


def test_a_service_that_is_known_by_address_is_reached_over_its_own_route() -> None:
    routes = [ETH_ROUTE, CELL_ROUTE, route_body(4, "203.0.113.0/24", metric=900)]

    ways = found([ETH, CELL], routes, services=["https://203.0.113.9:6443/arcgis"])

    assert told(ways) == [("ppp0", LinkClass.CELLULAR, True), ("eth0", LinkClass.WIRED, False)]


def test_a_network_without_a_way_out_is_a_link_to_the_service_in_it() -> None:
    ways = found([ETH], [route_body(2, "192.168.1.0/24")], services=["http://192.168.1.9/rest"])

    assert told(ways) == [("eth0", LinkClass.WIRED, True)]


def test_services_in_two_networks_are_reached_over_two_links() -> None:
    both = ["https://gis.example.com/rest", "http://192.168.2.9/rest"]

    ways = found([ETH, WLAN], [ETH_ROUTE, route_body(3, "192.168.2.0/24")], services=both)

    assert told(ways) == [("eth0", LinkClass.WIRED, True), ("wlan0", LinkClass.WIFI, True)]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/rest", "http://[::1]/", "no URL", "http://["]
)
def test_a_service_on_the_device_or_nowhere_may_lead_anywhere(url: str) -> None:
    assert destinations_of([url]) == {None}
    assert destinations_of(["https://[2001:db8::7]/x"]) == {ip_address("2001:db8::7")}


def test_next_hops_of_equal_rank_are_all_taken() -> None:
    ways = found([ETH, WLAN], [route_body(2, metric=5), route_body(3, metric=5)])

    assert [w.is_preferred for w in ways] == [True, True]


# --- overlays -------------------------------------------------------------------------------------

VPN = (link_body(9, "tun0", hardware=NONE, kind="tun"), address_body(9, "10.8.0.2/24"))


def test_a_tunnel_costs_what_the_link_costs_that_it_rides_on() -> None:
    ways = found([CELL, VPN], [CELL_ROUTE, route_body(9, metric=50)])

    assert told(ways) == [("tun0", LinkClass.CELLULAR, True), ("ppp0", LinkClass.CELLULAR, False)]
    assert [w.underlay for w in ways] == ["ppp0", None]


def test_a_tunnel_that_took_the_default_route_rides_on_the_link_with_a_gateway() -> None:
    to_server = route_body(3, "198.51.100.7/32", gateway="192.168.2.1")

    ways = found([ETH, WLAN, VPN], [to_server, route_body(9)])

    assert [(w.interface, w.underlay, w.link_class) for w in ways] == [
        ("tun0", "wlan0", LinkClass.WIFI)
    ]


def test_a_tunnel_over_nothing_known_counts_as_the_dearest_link_there_is() -> None:
    ways = found([ETH, CELL, VPN], [route_body(9)])

    assert [(w.underlay, w.link_class) for w in ways] == [("ppp0", LinkClass.CELLULAR)]


def test_a_tunnel_over_nothing_is_no_link() -> None:
    assert found([VPN], [route_body(9)]) == []


# --- identity -------------------------------------------------------------------------------------


def identity(interface: Sequence[bytes], route: bytes = ETH_ROUTE) -> tuple[object, ...]:
    (way,) = found([interface], [route])
    return way.identity


@pytest.mark.parametrize(
    ("interface", "route", "is_another"),
    [
        (ETH, ETH_ROUTE, False),
        ((*ETH, address_body(2, "2001:db8::77/64")), ETH_ROUTE, False),
        (ETH, route_body(2, gateway="192.168.1.1", metric=101), False),
        ((link_body(2, "eth0", carrier_changes=3), ETH[1]), ETH_ROUTE, True),
        ((ETH[0], address_body(2, "192.168.1.6/24")), ETH_ROUTE, True),
        (ETH, route_body(2, gateway="192.168.1.254", metric=100), True),
        ((link_body(5, "eth0"), address_body(5, "192.168.1.5/24")), route_body(5), True),
    ],
    ids=["same", "new IPv6", "metric", "carrier", "address", "gateway", "made anew"],
)
def test_a_link_is_another_one_when_the_network_behind_it_may_be(
    interface: Sequence[bytes], route: bytes, is_another: bool
) -> None:
    assert (identity(interface, route) != identity(ETH)) == is_another
