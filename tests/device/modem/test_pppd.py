"""pppd is called so that no secret shows, ended so that it ends, and its end is understood."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from device.config import FlowControl, ModemConfig
from device.modem import pppd
from device.modem.pppd import Ending
from engine import SystemClock
from tests.fakes.clock import VirtualClock

CONFIG = ModemConfig(port=Path("/dev/ttyUSB2"), apn="internet", user="web")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the fake pppd writes what it was called with."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/pppd").symlink_to(Path(__file__).parents[2] / "fakes/pppd")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_PPPD_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


async def until(is_so: Callable[[], bool]) -> None:
    """What another process does."""
    for _ in range(1000):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen within ten seconds")


def test_the_command_line_has_what_the_link_needs() -> None:
    given = pppd.arguments(CONFIG, Path("/etc/field sync.toml"), password=3)
    assert given[:3] == ["pppd", "/dev/ttyUSB2", "115200"]
    assert {"nodetach", "noauth", "lock", "defaultroute", "usepeerdns"} <= set(given)
    assert given[given.index("defaultroute-metric") + 1] == "700"
    assert given[given.index("unit") + 1] == pppd.INTERFACE.removeprefix("ppp")
    assert "'/etc/field sync.toml'" in given[given.index("connect") + 1]
    assert given[given.index("passwordfd") + 1] == "3"


def test_a_user_is_told_also_where_none_is_needed() -> None:
    given = pppd.arguments(replace(CONFIG, user=""), Path("c"), password=3)
    assert given[given.index("user") + 1] == pppd.ANYBODY


async def test_the_password_goes_through_a_pipe_and_never_over_the_command_line(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_PPPD", "0")
    code = await pppd.run(CONFIG, Path("c"), "s3cret", asyncio.Event(), SystemClock())
    assert code == 0
    assert "s3cret" not in log.read_text()
    assert log.with_name("log.password").read_text() == "s3cret"


async def test_a_refused_password_is_told_also_when_the_line_goes_down_right_after(
    log: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FAKE_PPPD", "16")
    monkeypatch.setenv("FAKE_PPPD_SAYS", "CHAP authentication failed: Access denied\nModem hangup")
    with caplog.at_level("INFO"):
        code = await pppd.run(CONFIG, Path("c"), "", asyncio.Event(), SystemClock())
    assert pppd.ending(code)[0] is Ending.SIGN_IN
    assert "Access denied" in caplog.text
    assert "Modem hangup" in caplog.text


async def test_a_program_that_pppd_leaves_behind_is_not_waited_for(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_PPPD", "leaves")
    async with asyncio.timeout(30):
        assert await pppd.run(CONFIG, Path("c"), "", asyncio.Event(), SystemClock()) == 16
    os.kill(int(log.with_name("log.left").read_text()), signal.SIGKILL)


async def test_it_ends_when_the_link_is_not_wanted(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_PPPD", "hold")
    stop = asyncio.Event()
    running = asyncio.create_task(pppd.run(CONFIG, Path("c"), "", stop, SystemClock()))
    await until(log.exists)
    stop.set()
    assert await running == -15


async def test_it_is_killed_when_it_does_not_end(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_PPPD", "deaf")
    stop, clock = asyncio.Event(), VirtualClock()
    running = asyncio.create_task(pppd.run(CONFIG, Path("c"), "", stop, clock))
    await until(log.with_name("log.deaf").exists)
    stop.set()
    await until(lambda: clock.sleeping > 0)
    await clock.advance(pppd.STOP_S)
    assert await running == -9


async def test_cancelling_leaves_no_pppd(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_PPPD", "hold")
    running = asyncio.create_task(pppd.run(CONFIG, Path("c"), "", asyncio.Event(), SystemClock()))
    await until(log.exists)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_the_port_is_called_as_other_programs_call_it(tmp_path: Path) -> None:
    port = tmp_path / "fieldsync-modem"
    port.symlink_to("ttyUSB2")
    assert pppd.arguments(replace(CONFIG, port=port), Path("c"), password=3)[1].endswith("/ttyUSB2")


def test_nothing_is_left_to_the_options_of_the_system() -> None:
    """Debian's file says crtscts: without those wires not a byte would ever leave the port."""
    given = pppd.arguments(CONFIG, Path("c"), password=3)
    assert {"nocrtscts", "modem", "nopersist"} <= set(given)
    wired = replace(CONFIG, flow_control=FlowControl.HARDWARE)
    assert "crtscts" in pppd.arguments(wired, Path("c"), password=3)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("nameserver 10.0.0.1\nsearch here\n", "nameserver 192.168.1.1\nsearch here\n"),
        ("nameserver 192.168.7.7\n", "nameserver 192.168.7.7\n"),
    ],
    ids=["a lost link's", "somebody else's"],
)
def test_the_name_servers_are_given_back_after_a_power_cut(
    tmp_path: Path, now: str, expected: str
) -> None:
    (tmp_path / "real").write_text(now)
    (tmp_path / "resolv.conf").symlink_to("real")
    (tmp_path / "ours").write_text("nameserver 10.0.0.1\n")
    (tmp_path / "real.pppd-backup.ppp7").write_text("nameserver 192.168.1.1\nsearch here\n")
    for _ in range(2):  # the second time there is nothing to do
        pppd.restore_resolver(tmp_path / "resolv.conf", tmp_path / "ours")
    assert (tmp_path / "real").read_text() == expected


@pytest.mark.parametrize(
    ("codes", "found"),
    [
        ((0, 5, 12, 13), Ending.DONE),
        ((2, 3, 4), Ending.CONFIGURATION),
        ((6, 7), Ending.PORT_BUSY),
        ((8, 10, 15, 16, 77, -9), Ending.RADIO),
        ((11, 19), Ending.SIGN_IN),
    ],
)
def test_every_exit_code_has_a_meaning(codes: tuple[int, ...], found: Ending) -> None:
    for code in codes:
        assert pppd.ending(code)[0] is found
        assert pppd.ending(code)[1]


async def test_a_pppd_that_outlived_its_dialler_is_ended(tmp_path: Path) -> None:
    stray = await asyncio.create_subprocess_exec("sleep", "600")
    (tmp_path / "pid").write_text(f"{stray.pid}\nppp7\n")
    known = tmp_path / "proc" / str(stray.pid)
    known.mkdir(parents=True)
    (known / "comm").write_text("pppd\n")
    places = {"pid_file": tmp_path / "pid", "proc": tmp_path / "proc"}

    ending = asyncio.create_task(pppd.end_stray(VirtualClock(autojump=True), **places))

    assert await stray.wait() == -15
    assert await ending


async def test_another_program_with_the_number_of_a_pppd_is_left_alone(tmp_path: Path) -> None:
    other = await asyncio.create_subprocess_exec("sleep", "600")
    (tmp_path / "pid").write_text(f"{other.pid}\n")

    assert not await pppd.end_stray(VirtualClock(), pid_file=tmp_path / "pid")
    assert not await pppd.end_stray(VirtualClock(), pid_file=tmp_path / "none")

    assert other.returncode is None
    other.kill()
    await other.wait()
