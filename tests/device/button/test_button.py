"""The button, end to end over a pipe that holds what the kernel would write."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from device.button.button import Button
from device.model import Gesture
from tests.fakes.button import FakeButton
from tests.fakes.clock import VirtualClock


class Heard:
    """What a button said."""

    def __init__(self) -> None:
        self.gestures: list[Gesture] = []
        self.presses = 0
        self.held: list[Gesture | None] = []

    def press(self) -> None:
        self.presses += 1


@asynccontextmanager
async def listening(fake: FakeButton, clock: VirtualClock) -> AsyncIterator[tuple[Button, Heard]]:
    heard = Heard()
    button = Button(
        fake.path,
        clock,
        on_press=heard.press,
        on_held=heard.held.append,
        is_down=lambda descriptor, code: fake.is_down,
    )

    async def listen() -> None:
        async for gesture in button.gestures():
            heard.gestures.append(gesture)

    task = asyncio.create_task(listen())
    try:
        await clock.advance(0)
        yield button, heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def fake(tmp_path: Path, clock: VirtualClock) -> FakeButton:
    return FakeButton(tmp_path / "event0", clock)


async def test_a_press_when_short_is_answered_at_once_and_told_on_release(
    fake: FakeButton, clock: VirtualClock
) -> None:
    with fake:
        async with listening(fake, clock) as (_, heard):
            fake.press()
            await clock.advance(0.3)
            assert (heard.presses, heard.gestures) == (1, [])
            fake.release()
            await clock.advance(0)

    assert heard.gestures == [Gesture.SHORT]
    assert heard.held == []


async def test_a_press_when_long_says_when_to_let_go(fake: FakeButton, clock: VirtualClock) -> None:
    with fake:
        async with listening(fake, clock) as (_, heard):
            fake.press()
            for _ in range(12):
                await clock.advance(0.25)
                fake.repeat()
            assert heard.held == [Gesture.LONG]
            fake.release()
            await clock.advance(0)

    assert heard.gestures == [Gesture.LONG]
    assert heard.held == [Gesture.LONG, None]


async def test_a_key_when_jammed_is_told_once(fake: FakeButton, clock: VirtualClock) -> None:
    with fake:
        async with listening(fake, clock) as (_, heard):
            fake.press()
            await clock.advance(300)
            fake.release()
            await clock.advance(0)

    assert heard.gestures == [Gesture.STUCK]
    assert heard.held == [Gesture.LONG, None, Gesture.VERY_LONG, None]


async def test_a_press_when_events_were_lost_is_no_gesture(
    fake: FakeButton, clock: VirtualClock
) -> None:
    with fake:
        async with listening(fake, clock) as (_, heard):
            fake.press()
            fake.drop()
            await clock.advance(0.1)
            fake.release()
            await clock.advance(1)
            fake.press()
            await clock.advance(0.1)
            fake.release()
            await clock.advance(0)

    assert heard.gestures == [Gesture.SHORT]


async def test_a_key_when_down_at_the_start_means_nothing(
    fake: FakeButton, clock: VirtualClock
) -> None:
    with fake:
        fake.is_down = True
        async with listening(fake, clock) as (_, heard):
            await clock.advance(1)
            fake.release()
            await clock.advance(0)

    assert (heard.presses, heard.gestures) == (0, [])


async def test_a_button_when_unplugged_and_back_is_heard_again(
    fake: FakeButton, clock: VirtualClock
) -> None:
    async with listening(fake, clock) as (button, heard):
        assert "cannot hear the button" in button.problem
        fake.plug()
        await clock.advance(60)
        assert not button.problem
        fake.press()
        await clock.advance(3)
        fake.unplug()
        await clock.advance(0)
        assert "gone away" in button.problem
        fake.is_down = False
        fake.plug()
        await clock.advance(60)
        fake.press()
        await clock.advance(0.1)
        fake.release()
        await clock.advance(0)
        fake.unplug()

    assert heard.gestures == [Gesture.SHORT]
    assert heard.held == [Gesture.LONG, None]


async def test_a_button_when_idle_wakes_nobody(fake: FakeButton, clock: VirtualClock) -> None:
    with fake:
        async with listening(fake, clock):
            assert clock.sleeping == 0


async def test_a_reader_when_it_stops_leaves_nothing_open(
    fake: FakeButton, clock: VirtualClock
) -> None:
    with fake:
        async with listening(fake, clock):
            fake.press()
            await clock.advance(0.1)
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        async with listening(fake, clock):
            await clock.advance(0.1)

        assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
        assert clock.sleeping == 0
