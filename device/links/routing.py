"""Which interfaces lead out of the device, and which of them the kernel takes.

What decides is the kernel's routing table: the longest prefix, then the lowest metric. Only a run
that is bound to an interface goes otherwise (:mod:`device.links.bound_loop`).
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_address
from urllib.parse import urlsplit

from device.links.classes import Classifier
from device.links.netlink import Address, Interface, InterfaceAddress, Route
from device.model import LinkClass

_PRIVATE_IPV6 = IPv6Network("fc00::/7")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """All that the kernel told at one time."""

    interfaces: Sequence[Interface] = ()
    addresses: Sequence[InterfaceAddress] = ()
    routes: Sequence[Route] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOut:
    """An interface that leads out. ``identity`` changes when what is behind it may have changed."""

    interface: str
    link_class: LinkClass
    is_preferred: bool
    underlay: str | None
    identity: tuple[object, ...]


def destinations_of(urls: Iterable[str]) -> frozenset[Address | None]:
    """Where services are: the address in a URL that has one; None, which is somewhere, for a name,
    and for what is on the device itself and may lead anywhere from there."""
    found: set[Address | None] = set()
    for url in urls:
        try:
            address = ip_address(urlsplit(url).hostname or "")
        except ValueError:
            found.add(None)
        else:
            found.add(None if address.is_loopback else address)
    return frozenset(found)


def ways_out(
    network: Network, classifier: Classifier, destinations: Collection[Address | None] = (None,)
) -> list[WayOut]:
    """The interfaces that are up and have an address and a route, the preferred first.

    Preferred are those that the kernel takes to one of the ``destinations``: to an address by its
    own route, which needs not be one to everywhere; to None, somewhere, by the default routes.
    """
    return _Table(network, classifier, destinations).ways_out()


class _Table:
    def __init__(
        self, network: Network, classifier: Classifier, destinations: Collection[Address | None]
    ) -> None:
        self._classifier = classifier
        self._destinations = destinations
        self._up = {i.index: i for i in network.interfaces if i.is_up}
        self._all = {i.index: i for i in network.interfaces}
        self._addresses: dict[int, list[Address]] = {}
        for each in network.addresses:
            self._addresses.setdefault(each.index, []).append(each.address)
        self._routes = [r for r in network.routes if self._is_usable(r)]
        self._defaults = sorted(
            (r for r in self._routes if not r.prefix.prefixlen), key=lambda r: r.metric
        )

    def ways_out(self) -> list[WayOut]:
        preferred = set(self._preferred())
        leading = dict.fromkeys([*preferred, *(r.index for r in self._defaults)])
        found = [self._way_out(index, is_preferred=index in preferred) for index in leading]
        return sorted(
            (way for way in found if way is not None),
            key=lambda way: (not way.is_preferred, way.interface),
        )

    def _is_usable(self, route: Route) -> bool:
        """Whether packets can be sent from there, with an address that the other side can answer:
        to everywhere a private IPv6 address is none."""
        return route.index in self._up and any(
            address.version == route.prefix.version
            and not (not route.prefix.prefixlen and address in _PRIVATE_IPV6)
            for address in self._addresses.get(route.index, ())
        )

    def _preferred(self) -> Iterator[int]:
        """Indices of the interfaces that the services are reached over."""
        for destination in self._destinations:
            if destination is None:
                for version in (4, 6):
                    found = [r for r in self._defaults if r.prefix.version == version]
                    yield from self._best(found)
                continue
            leading = [r for r in self._routes if destination in r.prefix]
            longest = max((r.prefix.prefixlen for r in leading), default=0)
            yield from self._best([r for r in leading if r.prefix.prefixlen == longest])

    def _best(self, routes: Sequence[Route]) -> Iterator[int]:
        """All of the lowest metric: several next hops share the packets."""
        lowest = min((r.metric for r in routes), default=0)
        yield from (r.index for r in routes if r.metric == lowest)

    def _way_out(self, index: int, *, is_preferred: bool) -> WayOut | None:
        own = self._up[index]
        below = self._physical(own)
        if below is None:
            return None
        link_class = self._classifier.class_of(below)
        if link_class is None:
            return None
        return WayOut(
            interface=own.name,
            link_class=link_class,
            is_preferred=is_preferred,
            underlay=below.name if self._is_overlay(own) else None,
            identity=(*self._identity(own), *(() if below is own else self._identity(below))),
        )

    def _is_overlay(self, found: Interface) -> bool:
        return self._classifier.class_of(found) is None

    def _physical(self, found: Interface) -> Interface | None:
        """What an interface rides on: itself, or for an overlay the link with the best route, else
        the dearest that is up with an address. For a VLAN on something mobile that something."""
        if not self._is_overlay(found):
            parent = self._all.get(found.parent or 0)
            is_on_parent = found.kind in ("vlan", "macvlan", "ipvlan") and parent is not None
            return parent if is_on_parent and parent is not None else found
        gated = sorted((r for r in self._routes if r.gateway), key=lambda r: r.metric)
        for route in (*self._defaults, *gated):
            if not self._is_overlay(self._up[route.index]):
                return self._up[route.index]
        others = [i for i in self._up.values() if i.index in self._addresses]
        return max((i for i in others if not self._is_overlay(i)), key=self._cost, default=None)

    def _cost(self, found: Interface) -> int:
        link_class = self._classifier.class_of(found)
        return -1 if link_class is None else list(LinkClass).index(link_class)

    def _identity(self, found: Interface) -> tuple[object, ...]:
        """Interface, carrier, and which network that is. IPv6 tells only by its router, and only
        where there is no IPv4: its addresses are made anew each day."""
        addresses = self._addresses.get(found.index, [])
        version = 4 if any(a.version == 4 for a in addresses) else 6
        gateways = {
            str(r.gateway)
            for r in self._defaults
            if r.index == found.index and r.prefix.version == version
        }
        own = {str(a) for a in addresses if version == a.version == 4}
        return (found.index, found.carrier_changes, *sorted(own), *sorted(gateways))
