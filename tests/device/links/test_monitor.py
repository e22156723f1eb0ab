"""The monitor against a kernel that tells what a test wants, and loses what a test wants."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from device.links.classes import Classifier
from device.links.monitor import DEBOUNCE_S, LinkMonitor
from device.model import Link, LinkClass, Reach
from tests.fakes.clock import VirtualClock
from tests.fakes.netlink import FakeKernel, address_body, link_body, message, route_body


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """Time passes only when a test says so."""
    virtual = VirtualClock()
    yield virtual
    virtual.close()


@pytest.fixture
async def kernel() -> AsyncIterator[FakeKernel]:
    with FakeKernel() as fake:
        plug_in(fake)
        yield fake


def plug_in(kernel: FakeKernel, *, carrier_changes: int = 1) -> None:
    kernel.links = [link_body(2, "eth0", carrier_changes=carrier_changes)]
    kernel.addresses = [address_body(2, "192.168.1.5/24")]
    kernel.routes = [route_body(2, gateway="192.168.1.1", metric=100)]


def unplug(kernel: FakeKernel) -> None:
    kernel.links = [link_body(2, "eth0", flags=0x1)]
    kernel.addresses, kernel.routes = [], []


def dial(kernel: FakeKernel) -> None:
    kernel.links.append(link_body(4, "wwan0"))
    kernel.addresses.append(address_body(4, "100.64.0.2/30"))
    kernel.routes.append(route_body(4, gateway="100.64.0.1", metric=700))


class Watcher:
    """Goes through the changes in a task, as the daemon does."""

    def __init__(self, monitor: LinkMonitor, clock: VirtualClock) -> None:
        self.told: list[tuple[Link, ...]] = []
        self.monitor = monitor
        self._clock = clock

    async def run(self) -> None:
        async for links in self.monitor.changes():
            self.told.append(links)

    @property
    def names(self) -> list[list[str]]:
        return [[link.interface for link in links] for links in self.told]

    async def settle(self, seconds: float = 2 * DEBOUNCE_S) -> None:
        await self._clock.advance(0)
        await self._clock.advance(seconds)


@asynccontextmanager
async def watching(kernel: FakeKernel, clock: VirtualClock) -> AsyncIterator[Watcher]:
    classifier = Classifier(root=Path("/nonexistent"))
    async with LinkMonitor(
        clock=clock, classifier=classifier, open_socket=kernel.open_socket
    ) as monitor:
        watcher = Watcher(monitor, clock)
        task = asyncio.create_task(watcher.run())
        await clock.advance(0)
        yield watcher
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_links_are_known_from_the_start(kernel: FakeKernel, clock: VirtualClock) -> None:
    async with watching(kernel, clock) as watcher:
        (link,) = watcher.monitor.links

    assert (link.interface, link.link_class) == ("eth0", LinkClass.WIRED)
    assert (link.since, link.reach, link.is_preferred) == (0.0, Reach.UNKNOWN, True)
    assert watcher.names == [["eth0"]]


async def test_while_nothing_happens_the_kernel_is_not_asked(
    kernel: FakeKernel, clock: VirtualClock
) -> None:
    async with watching(kernel, clock) as watcher:
        await watcher.settle(24 * 3600)

    assert kernel.dumps == 1


async def test_many_events_at_once_are_one_look(kernel: FakeKernel, clock: VirtualClock) -> None:
    async with watching(kernel, clock) as watcher:
        unplug(kernel)
        kernel.event(times=60)
        await watcher.settle()

    assert kernel.dumps == 2
    assert watcher.names == [["eth0"], []]


async def test_an_event_is_believed_in_nothing_but_that_something_changed(
    kernel: FakeKernel, clock: VirtualClock
) -> None:
    """As with PPP: the interface went down, and no event tells of its route."""
    async with watching(kernel, clock) as watcher:
        dial(kernel)
        kernel.event(b"\xff" * 40, kind=999)
        await watcher.settle()

    assert watcher.names[-1] == ["eth0", "wwan0"]


async def test_an_event_while_the_kernel_is_asked_is_not_lost(
    kernel: FakeKernel, clock: VirtualClock
) -> None:
    async with watching(kernel, clock) as watcher:
        unplug(kernel)
        kernel.event()
        await clock.advance(DEBOUNCE_S)
        plug_in(kernel)
        kernel.event()
        await watcher.settle()

    assert watcher.names == [["eth0"], [], ["eth0"]]


async def test_a_link_that_was_away_between_two_looks_is_a_new_one(
    kernel: FakeKernel, clock: VirtualClock
) -> None:
    async with watching(kernel, clock) as watcher:
        watcher.monitor.note_reach("eth0", Reach.SERVICE)
        await watcher.settle(100)
        plug_in(kernel, carrier_changes=3)
        kernel.event()
        await watcher.settle()
        (link,) = watcher.monitor.links

    assert link.since > 100
    assert link.reach is Reach.UNKNOWN


async def test_a_link_that_stays_keeps_what_is_known_of_it(
    kernel: FakeKernel, clock: VirtualClock
) -> None:
    async with watching(kernel, clock) as watcher:
        watcher.monitor.note_reach("eth0", Reach.SERVICE)
        await watcher.settle(100)
        dial(kernel)
        kernel.event()
        await watcher.settle()
        first, second = watcher.monitor.links

    assert (first.since, first.reach) == (0.0, Reach.SERVICE)
    assert (second.interface, second.is_preferred) == ("wwan0", False)
    assert [link.reach for links in watcher.told[:2] for link in links] == [
        Reach.UNKNOWN,
        Reach.SERVICE,
    ]


async def test_a_service_in_a_network_of_its_own_makes_that_a_link(
    kernel: FakeKernel, clock: VirtualClock
) -> None:
    kernel.routes = [route_body(2, "192.168.1.0/24")]
    async with watching(kernel, clock) as watcher:
        watcher.monitor.set_services(["http://192.168.1.9/rest"])
        await watcher.settle()
        watcher.monitor.set_services(["http://192.168.1.9/rest"])
        await watcher.settle()

    assert watcher.names == [[], ["eth0"]]
    assert kernel.dumps == 2


async def test_the_bytes_of_a_tunnel_are_counted_below_it(
    kernel: FakeKernel, clock: VirtualClock
) -> None:
    dial(kernel)
    kernel.links.append(link_body(9, "tun0", kind="tun"))
    kernel.addresses.append(address_body(9, "10.8.0.2/24"))
    kernel.routes.append(route_body(9, metric=50))

    async with watching(kernel, clock) as watcher:
        assert watcher.monitor.classes == {
            "eth0": LinkClass.WIRED,
            "wwan0": LinkClass.CELLULAR,
        }
        assert watcher.monitor.links[0].underlay == "eth0"


@pytest.mark.parametrize("trouble", ["interrupted", "refused"])
async def test_an_answer_that_cannot_be_used_is_asked_for_again(
    kernel: FakeKernel, clock: VirtualClock, trouble: str
) -> None:
    async with watching(kernel, clock) as watcher:
        unplug(kernel)
        setattr(kernel, trouble, 2)
        kernel.event()
        await watcher.settle(10)

    assert watcher.names == [["eth0"], []]


async def test_a_kernel_that_refuses_for_long_leaves_the_links_as_they_were(
    kernel: FakeKernel, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(kernel, clock) as watcher:
        kernel.refused = 40
        dial(kernel)
        kernel.event()
        await watcher.settle(10)
        assert watcher.names == [["eth0"]]

        await watcher.settle(100)
        assert watcher.names[-1] == ["eth0", "wwan0"]

    assert len(caplog.records) == 1


async def test_messages_that_answer_another_question_are_left_out(
    kernel: FakeKernel, clock: VirtualClock
) -> None:
    kernel.strays = [
        message(16, link_body(8, "wlan0"), sequence=77),
        message(3, b"\0\0\0\0", sequence=77),
        b"\1\2\3",
    ]

    async with watching(kernel, clock) as watcher:
        assert [link.interface for link in watcher.monitor.links] == ["eth0"]


async def test_it_ends_wherever_it_is_cancelled(kernel: FakeKernel, clock: VirtualClock) -> None:
    for moment_s in (0.0, DEBOUNCE_S / 2, DEBOUNCE_S):
        async with watching(kernel, clock):
            kernel.event()
            await clock.advance(moment_s)

    assert not asyncio.all_tasks() - {asyncio.current_task()}


async def test_sockets_are_closed_when_it_cannot_begin(clock: VirtualClock) -> None:
    with FakeKernel(refused=1000) as deaf:
        opened = []

        def open_socket(groups: int) -> object:
            opened.append(deaf.open_socket(groups))
            return opened[-1]

        monitor = LinkMonitor(clock=clock, open_socket=open_socket)  # type: ignore[arg-type]
        entering = asyncio.create_task(monitor.__aenter__())
        await clock.advance(0.1)
        entering.cancel()
        await asyncio.gather(entering, return_exceptions=True)

        assert opened
        assert all(each.fileno() == -1 for each in opened)
