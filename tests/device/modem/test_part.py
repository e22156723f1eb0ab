"""The daemon asks for a link when one is wanted, hangs up when it is not, and tells how it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from device.config import ModemConfig, ModemMode
from device.links.classes import Classifier
from device.model import LinkClass
from device.modem.part import ModemPart
from device.modem.report import REQUEST_NAME, Phase, Report
from device.modem.status import ModemStatus, Registration, SimState
from device.modem.steps import Cause
from tests.fakes.clock import VirtualClock

HOME = ModemStatus(
    sim=SimState.READY, registration=Registration.HOME, operator="A1", signal_dbm=-71
)


@asynccontextmanager
async def running(
    folder: Path, clock: VirtualClock, mode: ModemMode = ModemMode.DIRECT
) -> AsyncIterator[ModemPart]:
    part = ModemPart(
        ModemConfig(mode=mode, idle_s=60),
        clock=clock,
        folder=folder,
        configuration=folder / "config.toml",
        classifier=Classifier(),
    )
    task = asyncio.create_task(part.run())
    await clock.advance(0)
    try:
        yield part
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_link_is_asked_for_while_it_is_wanted(tmp_path: Path) -> None:
    clock, request = VirtualClock(), tmp_path / REQUEST_NAME
    async with running(tmp_path, clock) as part:
        assert not request.exists()
        part.want(True)
        await clock.advance(0)
        assert request.exists()
        assert part.is_searching
        part.want(False)
        await clock.advance(59)
        assert request.exists()
        await clock.advance(1)
        assert not request.exists()
        assert not part.is_searching


async def test_what_is_wanted_again_soon_stays_up(tmp_path: Path) -> None:
    clock, request = VirtualClock(), tmp_path / REQUEST_NAME
    async with running(tmp_path, clock) as part:
        for _ in range(5):
            part.want(True)
            await clock.advance(10)
            part.want(False)
            await clock.advance(50)
            assert request.exists()


async def test_the_end_of_the_daemon_hangs_up(tmp_path: Path) -> None:
    clock = VirtualClock()
    async with running(tmp_path, clock) as part:
        part.want(True)
        await clock.advance(0)
    assert not (tmp_path / REQUEST_NAME).exists()


async def test_what_a_killed_daemon_asked_for_is_not_wanted_any_more(tmp_path: Path) -> None:
    (tmp_path / REQUEST_NAME).touch()
    async with running(tmp_path, VirtualClock()):
        assert not (tmp_path / REQUEST_NAME).exists()


async def test_a_report_is_told_and_makes_a_foreign_network_roaming(tmp_path: Path) -> None:
    clock, changes = VirtualClock(), list[int]()
    async with running(tmp_path, clock) as part:
        part.on_change = lambda: changes.append(1)
        part.want(True)
        await clock.advance(0)
        Report(phase=Phase.DIALLED, status=HOME).write(tmp_path)
        await clock.advance(2)
        told = part.status()
        assert told is not None
        assert (told.operator, told.signal_dbm, told.is_roaming) == ("A1", -71, False)
        assert (part.link_class, part.is_searching) == (LinkClass.CELLULAR, False)
        abroad = ModemStatus(registration=Registration.ROAMING)
        Report(phase=Phase.DIALLED, status=abroad).write(tmp_path)
        await clock.advance(2)
        assert part.link_class is LinkClass.ROAMING
        await clock.advance(20)
    assert len(changes) == 2


async def test_what_needs_a_person_is_not_tried_again_until_the_button_is_pressed(
    tmp_path: Path,
) -> None:
    clock, request = VirtualClock(), tmp_path / REQUEST_NAME
    async with running(tmp_path, clock) as part:
        part.want(True)
        await clock.advance(0)
        stopped = Report(phase=Phase.STOPPED, cause=Cause.PIN, message="the SIM wants its PIN")
        stopped.write(tmp_path)
        await clock.advance(2)
        assert part.needs_person
        assert not request.exists()
        await clock.advance(10_000)
        assert not request.exists()
        told = part.status()
        assert told is not None
        assert told.state == "the SIM wants its PIN"
        part.pressed()
        await clock.advance(0)
        assert request.exists()
        assert not part.needs_person


async def test_a_modem_that_another_program_has_is_left_alone(tmp_path: Path) -> None:
    clock = VirtualClock()
    async with running(tmp_path, clock, ModemMode.MANAGED) as part:
        part.want(True)
        await clock.advance(100)
        assert list(tmp_path.iterdir()) == []
        told = part.status()
        assert told is not None
        assert told.mode == "managed"
