"""The daemon asks for a link when one is wanted, hangs up when it is not, and tells how it is."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from device.config import ModemConfig, ModemMode
from device.links.classes import Classifier
from device.links.netlink import Interface
from device.model import LinkClass
from device.modem.part import AGAIN_S, ModemPart
from device.modem.report import REQUEST_NAME, Phase, Report
from device.modem.status import ModemStatus, Registration, SimState
from device.modem.steps import Cause
from tests.fakes.clock import VirtualClock

PPP = Interface(index=7, name="ppp7", hardware=512, flags=0)
HOME = ModemStatus(
    sim=SimState.READY, registration=Registration.HOME, operator="A1", signal_dbm=-71
)


@asynccontextmanager
async def running(
    folder: Path,
    clock: VirtualClock,
    mode: ModemMode = ModemMode.DIRECT,
    classifier: Classifier | None = None,
    on_clock: Callable[[datetime], object] = lambda _: None,
) -> AsyncIterator[ModemPart]:
    part = ModemPart(
        ModemConfig(mode=mode, idle_s=60),
        clock=clock,
        folder=folder,
        configuration=folder / "config.toml",
        classifier=classifier or Classifier(),
        on_clock=on_clock,
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
    clock, changes, classifier = VirtualClock(), list[int](), Classifier(root=tmp_path)
    async with running(tmp_path, clock, classifier=classifier) as part:
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
        assert classifier.class_of(PPP) is LinkClass.ROAMING  # the link may be up at once
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
        await clock.advance(AGAIN_S - 10)
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


async def stopped(part: ModemPart, clock: VirtualClock, folder: Path) -> None:
    part.want(True)
    await clock.advance(0)
    abroad = ModemStatus(registration=Registration.ROAMING)
    Report(phase=Phase.STOPPED, cause=Cause.ROAMING, status=abroad).write(folder)
    await clock.advance(2)


async def test_a_device_that_travels_tries_again_by_itself(tmp_path: Path) -> None:
    clock, request = VirtualClock(), tmp_path / REQUEST_NAME
    async with running(tmp_path, clock) as part:
        await stopped(part, clock, tmp_path)
        assert (part.needs_person, part.link_class) == (True, LinkClass.ROAMING)
        await clock.advance(AGAIN_S)
        assert request.exists()
        assert (part.needs_person, part.link_class) == (False, LinkClass.CELLULAR)


async def test_what_needs_a_person_is_told_also_while_no_link_is_wanted(tmp_path: Path) -> None:
    clock, request = VirtualClock(), tmp_path / REQUEST_NAME
    async with running(tmp_path, clock) as part:
        await stopped(part, clock, tmp_path)
        part.want(False)
        await clock.advance(100)
        assert part.needs_person
        part.want(True)
        await clock.advance(0)
        assert not request.exists()


async def test_what_stopped_at_once_is_not_asked_for_again(tmp_path: Path) -> None:
    clock, request = VirtualClock(), tmp_path / REQUEST_NAME
    async with running(tmp_path, clock) as part:
        part.want(True)
        await clock.advance(0)
        request.unlink()  # as the dialler does
        Report(phase=Phase.STOPPED, cause=Cause.PIN).write(tmp_path)
        await clock.advance(2)
        assert not request.exists()


async def test_a_link_in_a_foreign_network_stays_one_for_as_long_as_it_is_up(
    tmp_path: Path,
) -> None:
    clock = VirtualClock()
    async with running(tmp_path, clock) as part:
        part.want(True)
        await clock.advance(0)
        abroad = ModemStatus(registration=Registration.ROAMING)
        Report(phase=Phase.DIALLED, status=abroad).write(tmp_path)
        await clock.advance(2)
        await clock.advance(AGAIN_S)
        seen = [part.link_class]
        part.want(False)
        await clock.advance(60)
        seen.append(part.link_class)
        await clock.advance(AGAIN_S)
        seen.append(part.link_class)
    assert seen == [LinkClass.ROAMING, LinkClass.ROAMING, LinkClass.CELLULAR]


async def test_the_report_of_the_last_link_says_nothing_of_the_next(tmp_path: Path) -> None:
    clock = VirtualClock()
    async with running(tmp_path, clock) as part:
        part.want(True)
        await clock.advance(0)
        Report(phase=Phase.DIALLED, status=HOME).write(tmp_path)
        await clock.advance(2)
        part.want(False)
        await clock.advance(60)
        part.want(True)
        await clock.advance(0)
        assert part.is_searching


async def test_the_time_of_the_network_is_told_once_it_is_dialled(tmp_path: Path) -> None:
    clock, told = VirtualClock(), list[datetime]()
    moment = datetime(2026, 6, 1, 7, 14, 40, tzinfo=UTC)
    async with running(tmp_path, clock, on_clock=told.append) as part:
        part.want(True)
        await clock.advance(0)
        known = ModemStatus(registration=Registration.HOME, clock=moment)
        Report(phase=Phase.DIALLED, status=known).write(tmp_path)
        await clock.advance(10)
        Report(phase=Phase.WAITING, status=known).write(tmp_path)
        await clock.advance(10)
    assert told == [moment]
