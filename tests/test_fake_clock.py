"""The virtual clock keeps the contract of the real one, and jumps only when every task waits."""

import asyncio
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from engine.clock import Clock, SystemClock
from tests.fakes.clock import SETTLE_WITH_CHILDREN_S, START, VirtualClock, VirtualLoop


@pytest.fixture
def told() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def child() -> Iterator[None]:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE):  # its input ends with this block
        yield


@pytest.mark.parametrize("make", [SystemClock, lambda: VirtualClock(autojump=True)])
async def test_a_clock_measures_its_own_sleep(make: Callable[[], Clock]) -> None:
    clock = make()
    began, wall = clock.monotonic(), clock.now()

    await clock.sleep(0.01)

    assert clock.monotonic() - began >= 0.01
    assert clock.now() - wall >= timedelta(seconds=0.009)
    assert clock.now().tzinfo is UTC


@pytest.mark.parametrize("make", [SystemClock, lambda: VirtualClock(autojump=True)])
async def test_cancelling_ends_a_sleep(make: Callable[[], Clock]) -> None:
    clock = make()
    task = asyncio.create_task(clock.sleep(3600))
    await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_time_stands_still_until_told(told: VirtualClock) -> None:
    woken: list[float] = []

    async def sleeper(seconds: float) -> None:
        await told.sleep(seconds)
        woken.append(told.monotonic())

    async with asyncio.TaskGroup() as group:
        for seconds in (30, 10, 20):
            group.create_task(sleeper(seconds))
        await told.advance(9.5)
        assert (woken, told.sleeping) == ([], 3)
        await told.advance(15)
        assert woken == [10, 20]
        assert told.monotonic() == 24.5
        await told.advance(100)

    assert woken == [10, 20, 30]
    assert told.now() == START + timedelta(seconds=124.5)


async def test_advance_wakes_a_sleeper_that_sleeps_again(told: VirtualClock) -> None:
    woken: list[float] = []

    async def ticker() -> None:
        for _ in range(5):
            await told.sleep(2)
            woken.append(told.monotonic())

    async with asyncio.TaskGroup() as group:
        group.create_task(ticker())
        await told.advance(10)

    assert woken == [2, 4, 6, 8, 10]


async def test_autojump_runs_sleepers_in_order(clock: VirtualClock) -> None:
    woken: list[tuple[str, float]] = []

    async def ticker(name: str, period_s: float, times: int) -> None:
        for _ in range(times):
            await clock.sleep(period_s)
            woken.append((name, clock.monotonic()))

    real = time.monotonic()
    await asyncio.gather(ticker("hour", 3600, 2), ticker("half", 1800, 3))

    assert woken == [
        ("half", 1800),
        ("hour", 3600),
        ("half", 3600),
        ("half", 5400),
        ("hour", 7200),
    ]
    assert time.monotonic() - real < 60


async def test_autojump_waits_for_a_thread_at_work(clock: VirtualClock) -> None:
    """A stall timer does not fire while SQLite, say, computes in its thread."""

    def work() -> float:
        until = time.thread_time() + 0.1
        while time.thread_time() < until:
            sum(range(1000))
        return clock.monotonic()

    stall = asyncio.create_task(clock.sleep(60))

    assert await asyncio.to_thread(work) == 0
    await stall
    assert clock.monotonic() == 60


async def test_autojump_waits_for_bytes_on_the_way(clock: VirtualClock) -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    loop = asyncio.get_running_loop()
    stall = asyncio.create_task(clock.sleep(60))

    for _ in range(20):
        await loop.sock_sendall(near, b"x")
        assert await loop.sock_recv(far, 1) == b"x"

    assert clock.monotonic() == 0
    await stall
    near.close()
    far.close()


async def test_autojump_sees_what_a_thread_did_last(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It rings when the loop has just looked, and then it rests."""
    loop, rung = asyncio.get_running_loop(), asyncio.Event()

    def ring_and_rest() -> bool:
        loop.call_soon_threadsafe(rung.set)
        return True

    stall = asyncio.create_task(clock.sleep(60))
    with monkeypatch.context() as patched:
        patched.setattr("tests.fakes.clock._threads_rest", ring_and_rest)
        await rung.wait()
        assert clock.monotonic() == 0
    await stall


@pytest.mark.usefixtures("child")
async def test_autojump_gives_a_child_more_time(clock: VirtualClock) -> None:
    real = time.monotonic()

    await clock.sleep(60)

    assert time.monotonic() - real >= SETTLE_WITH_CHILDREN_S


async def test_a_cancelled_sleeper_moves_no_time(clock: VirtualClock) -> None:
    task = asyncio.create_task(clock.sleep(1000))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    await clock.sleep(5)

    assert clock.monotonic() == 5


async def test_the_wall_clock_may_jump_alone(told: VirtualClock) -> None:
    await told.advance(7)

    told.set_now(datetime(1970, 1, 1, tzinfo=UTC))

    assert told.monotonic() == 7
    assert told.now() == datetime(1970, 1, 1, tzinfo=UTC)


async def test_a_jumping_clock_cannot_be_told(clock: VirtualClock) -> None:
    with pytest.raises(RuntimeError, match="jumps by itself"):
        await clock.advance(1)


def test_a_virtual_clock_needs_its_loop() -> None:
    with (
        asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner,
        pytest.raises(RuntimeError, match="VirtualLoop"),
    ):
        runner.run(VirtualClock().sleep(1))


async def test_asynchronous_tests_run_on_the_virtual_loop() -> None:
    assert isinstance(asyncio.get_running_loop(), VirtualLoop)
