"""The links of the device, as the kernel tells of them; it is not asked while nothing happens.

An event of rtnetlink only says that something changed: not every change has its event (when an
interface goes down, its IPv4 routes go without one), and events get lost (``ENOBUFS``). So after
any of them everything is asked for anew.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

from device.links import netlink
from device.links.classes import Classifier
from device.links.netlink import Address, Message
from device.links.routing import Network, WayOut, destinations_of, ways_out
from device.model import Link, LinkClass, Reach
from engine import Clock

log = logging.getLogger(__name__)

DEBOUNCE_S = 0.3
"""One change makes many events."""
ANSWER_TIMEOUT_S = 5.0
RECEIVE_BYTES = 64 * 1024  # the kernel's datagrams have at most half of it
BUFFER_BYTES = 256 * 1024
DRAIN_LIMIT = 100
ATTEMPTS = 5

OpenSocket = Callable[[int], socket.socket]
"""Opens a socket that is told of the events of those groups."""


def open_netlink(groups: int) -> socket.socket:
    """A socket of rtnetlink, for which no privilege is needed."""
    flags = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    opened = socket.socket(socket.AF_NETLINK, flags, 0)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        opened.bind((0, groups))
    except OSError:
        opened.close()
        raise
    return opened


class LinkMonitor:
    """Watches the links. An async context manager; one task goes through :meth:`changes`."""

    def __init__(
        self,
        *,
        clock: Clock,
        classifier: Classifier | None = None,
        open_socket: OpenSocket = open_netlink,
        debounce_s: float = DEBOUNCE_S,
    ) -> None:
        self._clock = clock
        self._classifier = classifier or Classifier()
        self._destinations: frozenset[Address | None] = frozenset({None})
        self._open_socket = open_socket
        self._debounce_s = debounce_s
        self._events: socket.socket | None = None
        self._sequence = 0
        self._happened = asyncio.Event()
        self._is_stale = False
        self._is_deaf = False
        self._links: tuple[Link, ...] = ()
        self._identities: dict[str, tuple[object, ...]] = {}
        self._classes: dict[str, LinkClass] = {}

    @property
    def links(self) -> tuple[Link, ...]:
        """The ways out, those that the kernel prefers first."""
        return self._links

    @property
    def classes(self) -> dict[str, LinkClass]:
        """Name → class of every interface that was a link, without overlays: whose bytes cost."""
        return dict(self._classes)

    async def __aenter__(self) -> Self:
        self._events = self._open_socket(netlink.GROUPS)
        try:
            asyncio.get_running_loop().add_reader(self._events.fileno(), self._drain)
            await self._look()
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    async def changes(self) -> AsyncIterator[tuple[Link, ...]]:
        """The links now, and again whenever they are others."""
        told = self._links
        yield told
        while True:
            await self._happened.wait()
            self._happened.clear()
            if self._is_stale:
                await self._clock.sleep(self._debounce_s)
                self._is_stale = False
                await self._look()
            if told != self._links:
                told = self._links
                yield told

    def note_reach(self, interface: str, reach: Reach) -> None:
        """What an exchange over that interface has shown."""
        self._links = tuple(
            replace(link, reach=reach) if link.interface == interface else link
            for link in self._links
        )
        self._happened.set()

    def set_services(self, urls: Iterable[str]) -> None:
        """The services that links are wanted for. One in a network that leads nowhere else is
        reached, too, if its URL has an address in place of a name."""
        found = destinations_of(urls) or frozenset({None})
        if found != self._destinations:
            self._destinations = found
            self._changed()

    # --- what the kernel tells --------------------------------------------------------------------

    def _close(self) -> None:
        if self._events is not None:
            with suppress(RuntimeError):  # the loop is closed already
                asyncio.get_running_loop().remove_reader(self._events.fileno())
            self._events.close()
        self._events = None

    def _drain(self) -> None:
        """Take the events from the socket; what they say does not matter, nor if some were lost."""
        assert self._events is not None
        for _ in range(DRAIN_LIMIT):
            try:
                self._events.recv(RECEIVE_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                log.debug("events of the kernel were lost: %s", error)
                break
        self._changed()

    async def _look(self) -> None:
        """Ask for everything and note what is different."""
        for attempt in range(1, ATTEMPTS + 1):
            network = await self._asked()
            if network is not None:
                self._note(ways_out(network, self._classifier, self._destinations))
                return
            await self._clock.sleep(self._debounce_s * attempt)
        self._changed()  # what was known before stays, and is looked at again

    def _changed(self) -> None:
        self._is_stale = True
        self._happened.set()

    async def _asked(self) -> Network | None:
        """None if it is to be asked for again. A new socket: no late answer to an earlier question
        is waiting in it."""
        try:
            with self._open_socket(0) as asking:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    network = await self._dump(asking)
        except (OSError, TimeoutError) as error:
            if not self._is_deaf:
                log.warning("the kernel does not tell of its links: %s", error or "no answer")
            self._is_deaf = True
            return None
        self._is_deaf = False
        return network

    async def _dump(self, asking: socket.socket) -> Network | None:
        """None if it changed while it was told."""
        links = await self._ask(asking, netlink.RTM_GETLINK, netlink.AF_UNSPEC)
        addresses = await self._ask(asking, netlink.RTM_GETADDR, netlink.AF_UNSPEC)
        four = await self._ask(asking, netlink.RTM_GETROUTE, netlink.AF_INET)
        six = await self._ask(asking, netlink.RTM_GETROUTE, netlink.AF_INET6)
        if links is None or addresses is None or four is None or six is None:
            return None
        return Network(
            interfaces=[i for m in links if (i := netlink.interface(m)) is not None],
            addresses=[a for m in addresses if (a := netlink.interface_address(m)) is not None],
            routes=[route for m in (*four, *six) for route in netlink.routes(m)],
        )

    async def _ask(self, asking: socket.socket, kind: int, family: int) -> list[Message] | None:
        """All messages of one answer; None if it changed meanwhile (``NLM_F_DUMP_INTR``)."""
        loop = asyncio.get_running_loop()
        self._sequence += 1
        await loop.sock_sendall(asking, netlink.request(kind, family, self._sequence))
        found: list[Message] = []
        is_whole = True
        while True:
            datagram = await loop.sock_recv(asking, RECEIVE_BYTES)
            if not datagram:
                raise ConnectionError("the socket was closed")
            for message in self._answers(datagram):
                is_whole &= not message.flags & netlink.NLM_F_DUMP_INTR
                if message.kind in (netlink.NLMSG_DONE, netlink.NLMSG_ERROR):
                    number = netlink.error_number(message)
                    if number:
                        raise OSError(number, "the kernel refused the question")
                    return found if is_whole else None
                found.append(message)

    def _answers(self, datagram: bytes) -> Iterator[Message]:
        for message in netlink.messages(datagram):
            if message.sequence == self._sequence:
                yield message

    # --- what is different ------------------------------------------------------------------------

    def _note(self, found: list[WayOut]) -> None:
        now = self._clock.monotonic()
        known = {link.interface: link for link in self._links}
        links = []
        for way in found:
            link = known.get(way.interface)
            is_new = link is None or self._identities.get(way.interface) != way.identity
            links.append(
                Link(
                    interface=way.interface,
                    link_class=way.link_class,
                    since=now if link is None or is_new else link.since,
                    reach=Reach.UNKNOWN if link is None or is_new else link.reach,
                    is_preferred=way.is_preferred,
                    underlay=way.underlay,
                )
            )
            self._classes[way.underlay or way.interface] = way.link_class
        self._identities = {way.interface: way.identity for way in found}
        self._links = tuple(links)
