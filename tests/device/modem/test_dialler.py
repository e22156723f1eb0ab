"""The dialler keeps a link while one is wanted, waits ever longer, and stops for a person."""

import asyncio
import os
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from device.modem.dialler import RESTART_AFTER, Dialler, main, until_unwanted
from device.modem.report import REPORT_NAME, REQUEST_NAME, RESTART_NAME, Phase, Report
from device.modem.status import ModemStatus, SimState
from device.modem.steps import Cause
from tests.fakes.clock import VirtualClock


class Pppd:
    """Ends with one code after the other, each after some time; then holds the link."""

    def __init__(self, clock: VirtualClock, *codes: int, lasts_s: float = 1.0) -> None:
        self.codes = list(codes)
        self.began: list[float] = []
        self.on_start: Callable[[], None] = lambda: None
        self._clock = clock
        self._lasts_s = lasts_s

    async def __call__(self, stop: asyncio.Event) -> int:
        self.began.append(self._clock.monotonic())
        self.on_start()
        if not self.codes:
            stop.set()
            return 5
        await self._clock.sleep(self._lasts_s)
        return self.codes.pop(0)


async def played(folder: Path, pppd: Pppd, clock: VirtualClock, seed: int = 1) -> int:
    port = folder / "port"
    port.touch()
    stop, rng = asyncio.Event(), random.Random(seed)
    return await Dialler(folder, stop, clock, rng, pppd, port=port).run()


async def test_a_link_that_breaks_is_dialled_again_after_a_wait_that_grows(tmp_path: Path) -> None:
    clock = VirtualClock(autojump=True)
    pppd = Pppd(clock, *[16] * 12)
    assert await played(tmp_path, pppd, clock) == 0
    waits = [b - a - 1.0 for a, b in pairwise(pppd.began)]
    assert len(waits) == 12
    assert all(0 <= wait <= min(300, 5 * 2**n) for n, wait in enumerate(waits))
    assert max(waits[-5:]) > max(waits[:3])


async def test_a_link_that_stood_long_begins_the_waits_anew(tmp_path: Path) -> None:
    clock = VirtualClock(autojump=True)
    pppd = Pppd(clock, *[16] * 12, lasts_s=200)
    await played(tmp_path, pppd, clock)
    waits = [b - a - 200 for a, b in pairwise(pppd.began)]
    assert max(waits) <= 5


@pytest.mark.parametrize("code", [2, 3, 4, 11, 19])
async def test_what_only_a_person_can_change_ends_it(tmp_path: Path, code: int) -> None:
    clock = VirtualClock(autojump=True)
    pppd = Pppd(clock, code, 16)
    assert await played(tmp_path, pppd, clock) == 1
    told = Report.read(tmp_path)
    assert told is not None
    assert told.phase is Phase.STOPPED
    assert told.message


async def test_what_the_modem_itself_said_is_told(tmp_path: Path) -> None:
    clock = VirtualClock(autojump=True)
    pppd = Pppd(clock, 8)
    locked = ModemStatus(model="SIM7600", sim=SimState.PUK)
    pppd.on_start = lambda: Report(
        phase=Phase.STOPPED, status=locked, cause=Cause.SIM, message="the SIM wants its PUK"
    ).write(tmp_path)
    assert await played(tmp_path, pppd, clock) == 1
    told = Report.read(tmp_path)
    assert told is not None
    assert (told.message, told.status) == ("the SIM wants its PUK", locked)


async def test_a_busy_port_is_tried_again_after_half_a_minute(tmp_path: Path) -> None:
    clock = VirtualClock(autojump=True)
    pppd = Pppd(clock, 6, 7)
    await played(tmp_path, pppd, clock)
    assert pppd.began == [0, 31, 62]


async def test_a_modem_that_is_plugged_in_is_dialled_at_once(tmp_path: Path) -> None:
    clock = VirtualClock()
    pppd, port, stop = Pppd(clock), tmp_path / "modem", asyncio.Event()
    dialler = Dialler(tmp_path, stop, clock, random.Random(1), pppd, port=port)
    running = asyncio.create_task(dialler.run())
    await clock.advance(600)
    told = Report.read(tmp_path)
    assert told is not None
    assert (told.phase, str(port) in told.message) == (Phase.WAITING, True)
    assert not pppd.began
    port.touch()
    await clock.advance(1)
    assert len(pppd.began) == 1
    assert await running == 0


async def test_a_modem_that_fails_again_and_again_starts_anew_but_seldom(tmp_path: Path) -> None:
    clock = VirtualClock(autojump=True)
    restarts: list[float] = []

    def look() -> None:
        if (tmp_path / RESTART_NAME).exists():
            (tmp_path / RESTART_NAME).unlink()
            restarts.append(clock.monotonic())

    pppd = Pppd(clock, *[8] * 60)
    pppd.on_start = look
    await played(tmp_path, pppd, clock)
    assert pppd.began.index(restarts[0]) == RESTART_AFTER
    assert len(restarts) > 1
    assert min(b - a for a, b in pairwise(restarts)) >= 300


async def test_a_pppd_that_is_not_there_is_told(tmp_path: Path) -> None:
    async def missing(_: asyncio.Event) -> int:
        raise FileNotFoundError(2, "No such file or directory")

    stop, rng = asyncio.Event(), random.Random(1)
    dialler = Dialler(tmp_path, stop, VirtualClock(), rng, missing, port=tmp_path)
    assert await dialler.run() == 1
    told = Report.read(tmp_path)
    assert told is not None
    assert "pppd cannot be started" in told.message


@pytest.mark.parametrize("text", ["", "{", "[]", '{"phase": "dialled"}', "\x00" * 20_000])
def test_a_report_that_is_no_report_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "modem.json").write_text(text)
    assert Report.read(tmp_path) is None


async def test_what_stopped_it_is_not_dialled_again_before_the_daemon_knows(tmp_path: Path) -> None:
    (tmp_path / REQUEST_NAME).touch()
    clock = VirtualClock(autojump=True)
    assert await played(tmp_path, Pppd(clock, 19), clock) == 1
    assert not (tmp_path / REQUEST_NAME).exists()


def test_secrets_that_cannot_be_used_are_told_to_the_daemon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / REQUEST_NAME).touch()
    (tmp_path / "modem.toml").write_text('pin = "1"')
    (tmp_path / "modem.toml").chmod(0o600)
    config = tmp_path / "config.toml"
    config.write_text(
        '[socket]\npath = "api.sock"\n'
        '[modem]\nmode = "direct"\napn = "internet"\nsecrets = "modem.toml"\n'
    )
    assert main(["--config", str(config)]) == 1
    told = Report.read(tmp_path)
    assert told is not None
    assert (told.phase, "4 to 8 digits" in told.message) == (Phase.STOPPED, True)
    assert not (tmp_path / REQUEST_NAME).exists()
    assert "4 to 8 digits" in capsys.readouterr().err


async def test_the_request_of_a_daemon_that_was_started_anew_is_another(tmp_path: Path) -> None:
    request, stop, clock = tmp_path / REQUEST_NAME, asyncio.Event(), VirtualClock()
    request.touch()
    watch = asyncio.create_task(until_unwanted(request, stop, clock))
    await clock.advance(10)
    assert not stop.is_set()
    (tmp_path / "kept").touch()
    request.unlink()
    (tmp_path / "kept").rename(request)
    await clock.advance(1)
    assert stop.is_set()
    await watch


async def test_a_dialler_whose_daemon_was_killed_hangs_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, stop, clock = tmp_path / REQUEST_NAME, asyncio.Event(), VirtualClock()
    request.touch()
    watch = asyncio.create_task(until_unwanted(request, stop, clock))
    await clock.advance(10)
    assert not stop.is_set()
    monkeypatch.setattr("os.getppid", lambda: 1)
    await clock.advance(1)
    assert stop.is_set()
    await watch


def test_a_report_is_for_the_daemon_and_follows_no_link(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        Report(phase=Phase.DIALLING).write(tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / REPORT_NAME).stat().st_mode & 0o777 == 0o644
    (tmp_path / "target").write_text("precious")
    (tmp_path / "modem.new").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic"):
        Report(phase=Phase.DIALLING).write(tmp_path)
    assert (tmp_path / "target").read_text() == "precious"


def test_a_configuration_that_cannot_be_used_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.toml").write_text("[modme]\n")

    assert main(["--config", str(tmp_path / "config.toml")]) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert "modme" in line
