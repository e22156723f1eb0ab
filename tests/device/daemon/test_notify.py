"""What the service manager is told, and when the watchdog is fed."""

import asyncio
import os
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from device.notify import Pulse, ServiceManager
from device.parts import LONGEST_RESTART_S, Parts
from engine import EngineError
from tests.fakes.clock import VirtualClock


@pytest.fixture
def manager_socket(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.setblocking(False)
        yield made


def told(manager_socket: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(manager_socket.recv(4096).decode())
        except BlockingIOError:
            return found


def manager_at(tmp_path: Path, **more: str) -> ServiceManager:
    return ServiceManager.from_environment({"NOTIFY_SOCKET": str(tmp_path / "notify"), **more})


def test_each_thing_is_a_datagram_and_the_same_status_is_told_once(
    tmp_path: Path, manager_socket: socket.socket
) -> None:
    manager = manager_at(tmp_path)
    manager.ready()
    manager.status("There is nothing\nto sync.")
    manager.status("There is nothing to sync.")
    manager.extend_timeout(2.5)
    manager.stopping()
    manager.close()
    manager.alive()

    assert told(manager_socket) == [
        "READY=1",
        "STATUS=There is nothing to sync.",
        "EXTEND_TIMEOUT_USEC=2500000",
        "STOPPING=1",
    ]


def test_what_is_for_us_alone_leaves_the_environment() -> None:
    environment = {
        "NOTIFY_SOCKET": "@none",
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }

    manager = ServiceManager.from_environment(environment)
    manager.close()

    assert environment == {"HOME": "/"}
    assert manager.watchdog_s == 30


@pytest.mark.parametrize("period", ["", "0", "-5", "soon"])
def test_a_watchdog_without_a_period_is_none(period: str) -> None:
    assert ServiceManager.from_environment({"WATCHDOG_USEC": period}).watchdog_s is None


def test_the_watchdog_of_another_process_is_not_ours() -> None:
    environment = {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}

    assert ServiceManager.from_environment(environment).watchdog_s is None


def test_a_manager_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    manager = manager_at(tmp_path)
    manager.ready()
    manager.close()


async def test_the_watchdog_is_fed_until_a_part_hangs(
    tmp_path: Path, manager_socket: socket.socket, clock: VirtualClock
) -> None:
    manager = manager_at(tmp_path, WATCHDOG_USEC="60000000")
    parts = Parts(clock, manager)
    pulse: Pulse

    async def hangs() -> None:
        await clock.sleep(100)
        pulse.begin(25)
        await asyncio.Event().wait()

    async def waits() -> None:
        await asyncio.Event().wait()

    pulse = parts.add("hangs", hangs)
    parts.add("waits", waits)
    running = asyncio.create_task(parts.run())
    await clock.sleep(1000)
    is_alive = parts.is_alive
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    manager.close()
    assert told(manager_socket) == ["WATCHDOG=1"] * 7  # at 0, 20 … 120
    assert not is_alive


async def test_work_that_is_done_in_time_feeds_the_watchdog_on(clock: VirtualClock) -> None:
    pulse = Pulse("sync", clock)
    pulse.begin(10)
    await clock.sleep(9)
    assert not pulse.is_overdue
    pulse.rest()
    await clock.sleep(9)

    assert not pulse.is_overdue


async def test_a_part_that_fails_is_started_again_ever_more_rarely_and_the_others_go_on(
    clock: VirtualClock,
) -> None:
    parts = Parts(clock, ServiceManager())
    begun: list[float] = []
    beats = 0

    async def fails() -> None:
        begun.append(clock.monotonic())
        raise EngineError("the lamp fell off")

    async def beat() -> None:
        nonlocal beats
        while True:
            await clock.sleep(60)
            beats += 1

    pulse = parts.add("lamps", fails)
    parts.add("sync", beat)
    running = asyncio.create_task(parts.run())
    await clock.sleep(3601)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    pauses = [after - before for before, after in pairwise(begun)]
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == LONGEST_RESTART_S
    assert pulse.detail == "the lamp fell off"
    assert parts.is_alive
    assert beats == 60
