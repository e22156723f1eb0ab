"""Events reach every reader in order; a slow one is told what it lost."""

import asyncio

from device.api.events import KEPT_BYTES, Event, EventHub, EventKind, Gap
from device.model import Gesture
from engine import JobMessage, MessageSeverity
from engine.sync.job import MessageSource
from tests.device.large_jobs import large_job
from tests.device.measured import bytes_taken
from tests.fakes.clock import VirtualClock


def numbers(found: list[Event | Gap]) -> list[object]:
    return [one.sequence if isinstance(one, Event) else one for one in found]


async def test_a_reader_gets_what_comes_after_it_came(clock: VirtualClock) -> None:
    hub = EventHub(clock)
    hub.status_changed()

    with hub.subscribe() as reader:
        hub.pressed(Gesture.SHORT)
        hub.status_changed()
        await reader.wait()
        found = reader.take()

    assert numbers(found) == [2, 3]
    assert [e.kind for e in found if isinstance(e, Event)] == [EventKind.BUTTON, EventKind.STATUS]


async def test_a_reader_waits_until_there_is_something(clock: VirtualClock) -> None:
    hub = EventHub(clock)

    with hub.subscribe() as reader:
        waiting = asyncio.ensure_future(reader.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        hub.status_changed()
        await waiting
        assert numbers(reader.take()) == [1]

        again = asyncio.ensure_future(reader.wait())
        await asyncio.sleep(0)
        assert not again.done()
        again.cancel()


async def test_a_slow_reader_loses_the_oldest_and_is_told(clock: VirtualClock) -> None:
    hub = EventHub(clock, kept=4)

    with hub.subscribe() as slow, hub.subscribe() as quick:
        for _ in range(3):
            hub.status_changed()
        assert numbers(quick.take()) == [1, 2, 3]
        for _ in range(7):
            hub.status_changed()

        assert numbers(slow.take()) == [Gap(6), 7, 8, 9, 10]
        assert numbers(quick.take()) == [Gap(3), 7, 8, 9, 10]
        assert slow.take() == []


async def test_readers_that_went_are_forgotten(clock: VirtualClock) -> None:
    hub = EventHub(clock)

    for _ in range(3):
        with hub.subscribe():
            pass

    assert not hub._readers


async def test_the_events_of_maps_with_many_layers_take_no_more_memory(clock: VirtualClock) -> None:
    hub = EventHub(clock)

    def publish() -> None:
        for number in range(64):
            hub.job_changed(large_job(clock, str(number), layers=100))

    assert bytes_taken(publish) < 2 * KEPT_BYTES
    assert hub.lost_after(0) == hub.last - len(list(hub.after(0))) > 0


async def test_messages_of_many_words_take_no_more_memory(clock: VirtualClock) -> None:
    hub = EventHub(clock)

    def publish() -> None:
        for number in range(100):
            text = f"{number} " + "words " * 2000
            kind, source = MessageSeverity.INFO, MessageSource.SERVICE
            message = JobMessage(text=text, severity=kind, source=source, at=clock.now())
            hub.said("job", "trees", message)

    assert bytes_taken(publish) < 2 * KEPT_BYTES


async def test_the_newest_event_is_kept_however_large_it_is(clock: VirtualClock) -> None:
    hub = EventHub(clock)

    with hub.subscribe() as reader:
        hub.status_changed()
        hub.job_changed(large_job(clock, "a", layers=2000))

        assert numbers(reader.take()) == [Gap(1), 2]
