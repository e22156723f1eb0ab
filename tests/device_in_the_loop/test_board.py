"""Lamps and button on a real kernel: ``leds-gpio``, ``gpio-keys`` and evdev, seen from outside."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio

from device.lamps.rhythm import COUNTS, Rhythm, pattern
from tests.device_in_the_loop.board import SHARP_S, Edge
from tests.device_in_the_loop.image import LEDS, Image
from tests.device_in_the_loop.machine import Machine, booted
from tests.fakes.led_contract import answers
from tests.fakes.leds import FakeLeds

pytestmark = pytest.mark.asyncio(loop_scope="module")

LINK, SYNC, ATTENTION = range(3)
NAMES = [f"fieldsync:{name}" for name in LEDS]
SYSFS = "/sys/class/leds"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine(
    image: Image, product: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Machine]:
    async with booted(image, product, tmp_path_factory.mktemp("board")) as machine:
        print(f"\nbooted in {machine.boot_s:.1f} s")
        yield machine


async def test_a_kernels_led_when_written_answers_as_the_fake_does(
    machine: Machine, tmp_path: Path
) -> None:
    fake = FakeLeds(tmp_path)
    fake.add(NAMES[LINK])

    real = await machine.output(f"python3 -m tests.fakes.led_contract {SYSFS}/{NAMES[LINK]}")

    assert json.loads(real) == answers(tmp_path / NAMES[LINK], fake)


async def test_a_count_when_the_kernel_plays_it_can_be_counted(machine: Machine) -> None:
    await _play(machine, ATTENTION, COUNTS[2])

    counted = []
    for _ in range(3):  # a watcher that was kept from the processor for long miscounts
        counted.append(_flashes(await machine.board.watch(7), ATTENTION))
        if set(counted[-1]) == {3}:
            return
    pytest.fail(f"flashes were counted as {counted}")


async def test_a_button_when_pressed_is_heard_and_answered(machine: Machine) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    machine.on_acknowledged = heard.put_nowait
    words = " ".join(NAMES)
    await machine.output(
        f"cd /opt/fieldsync && python3 -m tests.device_in_the_loop.guest.panel {words} "
        ">/run/panel.log 2>&1 & echo $! >/run/panel.pid"
    )
    async with asyncio.timeout(120):
        assert await heard.get() == "ready {}"
        await asyncio.sleep(4)  # past the test of the lamps
        pressed_s = []
        for seconds, gesture in ((0.1, "short"), (2.6, "long"), (1.3, None)):
            assert not (await machine.board.lamps())[SYNC]
            press = asyncio.create_task(machine.board.press(seconds), name="press")
            lit = machine.board.until(SYNC, is_lit=True, timeout_s=20, every_s=SHARP_S)
            pressed_s.append(await lit)
            await press
            assert (await heard.get()).endswith(" {}")
            if gesture is not None:
                assert await heard.get() == f"gesture {gesture}"
            await machine.board.until(SYNC, is_lit=False, timeout_s=20)
            await asyncio.sleep(1)
    await machine.output("kill $(cat /run/panel.pid)")
    print(f"\nfrom the press to the lit lamp: {', '.join(f'{s * 1000:.0f} ms' for s in pressed_s)}")


async def test_lamps_when_the_daemon_has_ended_say_so(machine: Machine) -> None:
    await machine.output(f"python3 -m device.lamps.dead {' '.join(NAMES)}")

    assert await machine.board.lamps() == (False, False, True)
    told = json.loads(await machine.output("python3 -m device leds explain --json"))
    assert {lamp["meaning"] for lamp in told["lamps"]} == {"fieldsync does not run."}


async def _play(machine: Machine, lamp: int, rhythm: Rhythm) -> None:
    folder = f"{SYSFS}/{NAMES[lamp]}"
    await machine.output(
        f"echo pattern >{folder}/trigger && echo {pattern(rhythm, 1)} >{folder}/pattern"
    )


def _flashes(edges: list[Edge], lamp: int) -> list[int]:
    """How many flashes came between two pauses of more than 0.8 s; the first and the last group
    may be cut."""
    groups, count, changed_at = [], 0, 0.0
    for before, after in pairwise(edges):
        if before.levels[lamp] == after.levels[lamp]:
            continue
        if after.levels[lamp]:
            if after.at - changed_at > 0.8:
                groups.append(count)
                count = 0
            count += 1
        changed_at = after.at
    return groups[1:]
