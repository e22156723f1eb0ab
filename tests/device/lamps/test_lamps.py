"""Lamps over time: calm, prompt where a person waits, and never in the way."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from device.lamps.lamps import Lamps, lamps_of
from device.lamps.language import ONE, THREE, LampMode
from device.lamps.rhythm import (
    ACKNOWLEDGED,
    BLINK,
    BREATH,
    COUNTS,
    OFF,
    SOLID,
    WINKS,
    Rhythm,
    recognised,
)
from device.model import Attention, Gesture, Indication, LinkSign
from tests.fakes.clock import VirtualClock
from tests.fakes.leds import FakeLeds

NAMES = ("link", "sync", "attn")


class Board:
    """The fake LEDs, and when each rhythm began on them."""

    def __init__(self, root: Path, clock: VirtualClock, names: tuple[str, ...]) -> None:
        self.clock = clock
        self.seen: list[tuple[float, str, Rhythm]] = []
        self.leds = FakeLeds(root, on_write=self._note)
        for name in names:
            self.leds.add(name)

    def _note(self, name: str) -> None:
        text = self.leds.leds[name].written[-1]
        rhythm = recognised(text) or ACKNOWLEDGED
        self.seen.append((self.clock.monotonic(), name, rhythm))

    def now(self, name: str) -> Rhythm:
        return next(rhythm for _, led, rhythm in reversed(self.seen) if led == name)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def three(tmp_path: Path, clock: VirtualClock) -> Board:
    return Board(tmp_path, clock, NAMES)


@asynccontextmanager
async def running(board: Board, *names: str, mode: LampMode = LampMode.ALL) -> AsyncIterator[Lamps]:
    """The lamps, past their test."""
    lamps = Lamps(names or NAMES, board.clock, root=board.leds.root, files=board.leds, mode=mode)
    task = asyncio.create_task(lamps.run())
    try:
        await board.clock.advance(0)
        lamps.show(Indication())
        await board.clock.advance(10)
        yield lamps
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_lamps_when_they_begin_are_tested_for_a_second(
    three: Board, clock: VirtualClock
) -> None:
    lamps = Lamps(NAMES, clock, root=three.leds.root, files=three.leds)
    task = asyncio.create_task(lamps.run())
    await clock.advance(5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert three.seen == [
        *((0.0, name, SOLID) for name in NAMES),
        *((1.0, name, BLINK) for name in NAMES),
    ]


async def test_changes_when_they_come_fast_are_half_a_second_apart(
    three: Board, clock: VirtualClock
) -> None:
    async with running(three) as lamps:
        three.seen.clear()
        for step in range(40):
            lamps.show(Indication(link=LinkSign.SERVICE, progress=step * 2))
            await clock.advance(0.1)
        await clock.advance(1)

    moments = sorted({at for at, _, _ in three.seen})
    assert all(b - a >= 0.499 for a, b in pairwise(moments))
    assert 5 < len(moments) < 10
    assert three.now("sync").steps[0][1] == 700


async def test_a_lamp_when_it_stays_as_it_is_is_not_written(
    three: Board, clock: VirtualClock
) -> None:
    async with running(three) as lamps:
        three.seen.clear()
        lamps.show(Indication(link=LinkSign.UP))
        await clock.advance(5)
        lamps.show(Indication(link=LinkSign.UP))
        await clock.advance(5)

    assert [(name, rhythm) for _, name, rhythm in three.seen] == [("link", BREATH)]


async def test_lamps_when_nothing_changes_wake_nobody(three: Board, clock: VirtualClock) -> None:
    async with running(three):
        assert clock.sleeping == 0


async def test_a_press_when_the_lamps_are_resting_is_answered_at_once(
    three: Board, clock: VirtualClock
) -> None:
    async with running(three) as lamps:
        lamps.show(Indication(link=LinkSign.UP))
        await clock.advance(0)
        three.seen.clear()
        pressed = clock.monotonic()
        lamps.acknowledge_press()
        assert three.seen == [(pressed, "sync", ACKNOWLEDGED)]
        await clock.advance(1)

    assert three.now("sync") == OFF


async def test_two_presses_when_close_together_are_both_answered(
    three: Board, clock: VirtualClock
) -> None:
    async with running(three) as lamps:
        three.seen.clear()
        lamps.acknowledge_press()
        await clock.advance(0.2)
        lamps.acknowledge_press()
        await clock.advance(2)

    assert [rhythm for _, _, rhythm in three.seen] == [ACKNOWLEDGED, ACKNOWLEDGED, OFF]


async def test_a_press_when_held_shows_what_letting_go_would_mean(
    three: Board, clock: VirtualClock
) -> None:
    async with running(three) as lamps:
        lamps.show_held(Gesture.LONG)
        assert three.now("sync") == SOLID
        await clock.advance(3)
        lamps.show_held(None)
        await clock.advance(3)
        assert three.now("sync") == OFF
        lamps.show_held(Gesture.VERY_LONG)
        assert three.now("sync") == BLINK
        lamps.show_held(None)
        await clock.advance(1)

    assert three.now("sync") == OFF


async def test_a_press_when_refused_shows_the_reason_once(
    three: Board, clock: VirtualClock
) -> None:
    async with running(three) as lamps:
        lamps.refuse_press(Attention.STORAGE)
        assert three.now("attn") == COUNTS[3]
        await clock.advance(5)

    assert three.now("attn") == OFF


async def test_an_error_when_acknowledged_is_dark_until_the_next_sync_has_ended(
    three: Board, clock: VirtualClock
) -> None:
    failed = Indication(attention=Attention.WILL_RETRY)
    async with running(three) as lamps:
        lamps.show(failed)
        await clock.advance(1)
        assert three.now("attn") == COUNTS[0]
        lamps.acknowledge_press()
        await clock.advance(1)
        assert three.now("attn") == OFF
        lamps.show(Indication(progress=10, attention=Attention.WILL_RETRY))
        await clock.advance(1)
        assert three.now("attn") == OFF
        lamps.show(failed)
        await clock.advance(1)

        assert three.now("attn") == COUNTS[0]


async def test_an_error_when_another_comes_is_shown_although_one_was_acknowledged(
    three: Board, clock: VirtualClock
) -> None:
    async with running(three) as lamps:
        lamps.show(Indication(attention=Attention.WILL_RETRY))
        lamps.acknowledge_press()
        lamps.show(Indication(attention=Attention.POWER))
        await clock.advance(1)

        assert three.now("attn") == COUNTS[4]


async def test_one_lamp_when_pressed_answers_and_refuses_by_itself(
    tmp_path: Path, clock: VirtualClock
) -> None:
    board = Board(tmp_path, clock, ("ACT",))
    async with running(board, "ACT") as lamps:
        assert board.now("ACT") == WINKS[0]
        lamps.acknowledge_press()
        assert board.now("ACT") == ACKNOWLEDGED
        lamps.refuse_press(Attention.POWER)
        assert board.now("ACT") == COUNTS[4]
        await clock.advance(10)

    assert board.now("ACT") == WINKS[0]


async def test_quiet_lamps_when_pressed_answer_and_are_dark_again(
    three: Board, clock: VirtualClock
) -> None:
    async with running(three, mode=LampMode.ERRORS_ONLY) as lamps:
        lamps.show(Indication(link=LinkSign.SERVICE, has_pending_edits=True))
        await clock.advance(1)
        lamps.acknowledge_press()
        await clock.advance(1)

    assert [(name, r) for _, name, r in three.seen if r != OFF] == [("sync", ACKNOWLEDGED)]


async def test_an_led_when_it_fails_is_a_problem_and_tried_again(
    three: Board, clock: VirtualClock
) -> None:
    async with running(three) as lamps:
        three.leds.leds["link"].refusal = errno.EIO
        lamps.show(Indication(link=LinkSign.SERVICE, has_pending_edits=True))
        await clock.advance(1)
        assert lamps.problems == {"link": "the lamp link cannot be used: Input/output error"}
        assert three.now("sync") == BREATH
        three.leds.leds["link"].refusal = 0
        await clock.advance(61)

        assert not lamps.problems
        assert three.now("link") == SOLID


async def test_an_led_when_it_goes_and_comes_back_is_played_again(
    three: Board, clock: VirtualClock
) -> None:
    async with running(three) as lamps:
        three.leds.remove("sync")
        lamps.acknowledge_press()
        assert "there is no lamp sync" in lamps.problems["sync"]
        three.leds.add("sync", max_brightness=255)
        lamps.show(Indication(has_pending_edits=True))
        await clock.advance(61)

        assert not lamps.problems
        assert three.leds.leds["sync"].written[-1] == "0 1000 255 1000"


@pytest.mark.parametrize(
    ("refusal", "words"),
    [(errno.EACCES, "may not be written"), (errno.EINVAL, "ledtrig-pattern")],
)
async def test_an_led_when_the_kernel_refuses_says_what_to_do(
    three: Board, refusal: int, words: str
) -> None:
    async with running(three) as lamps:
        three.leds.leds["sync"].refusal = refusal
        lamps.acknowledge_press()

        assert words in lamps.problems["sync"]


async def test_the_trigger_when_selected_is_not_selected_again(
    three: Board, clock: VirtualClock
) -> None:
    """Its files would be made anew, and belong to root."""
    async with running(three) as lamps:
        before = (three.leds.root / "sync" / "repeat").stat().st_ino
        lamps.show(Indication(has_pending_edits=True))
        await clock.advance(1)

        assert (three.leds.root / "sync" / "repeat").stat().st_ino == before


async def test_a_device_without_lamps_runs_all_the_same(
    tmp_path: Path, clock: VirtualClock
) -> None:
    board = Board(tmp_path, clock, ())
    lamps = Lamps((), clock, root=tmp_path, files=board.leds)
    task = asyncio.create_task(lamps.run())
    await clock.advance(2)
    lamps.acknowledge_press()
    lamps.show_held(Gesture.LONG)
    lamps.refuse_press(Attention.POWER)
    await clock.advance(2)

    assert not task.done()
    assert not lamps.problems
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_names_of_leds_decide_their_duties() -> None:
    assert lamps_of(("a", "b", "c")) == THREE
    assert lamps_of(("a",)) == ONE
    assert lamps_of(()) == ()


@pytest.mark.parametrize("names", [("a", "b"), ("a", "a", "b"), ("../x",), ("",), ("..",)])
def test_names_of_leds_when_they_make_no_board_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"board|name"):
        lamps_of(names)
