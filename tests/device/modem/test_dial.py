"""The way to a dialled line, spoken with modems of three families over a terminal."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from device.modem.port import Line, PortLost, opened
from device.modem.status import ModemStatus, Registration, SimState
from device.modem.steps import Cause, DialSettings, ModemError, Steps, dial, probe
from engine.clock import SystemClock
from tests.fakes.clock import VirtualClock
from tests.fakes.modem import DIALECTS, EC25, SIM800, SIM7600, Dialect, FakeModem

SETTINGS = DialSettings(apn="internet", may_roam=True)


@asynccontextmanager
async def spoken(modem: FakeModem) -> AsyncIterator[Line]:
    clock = VirtualClock(autojump=True)
    async with modem, Line(modem.line, modem.line, clock, name="the modem") as line:
        yield line


async def run(modem: FakeModem, steps: Steps) -> ModemStatus:
    async with spoken(modem) as line:
        return await line.run(steps)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
async def test_every_family_is_dialled(dialect: Dialect) -> None:
    modem = FakeModem(dialect=dialect)
    status = await run(modem, dial(SETTINGS))
    assert modem.heard[-1] == "ATD*99***1#"
    assert 'AT+CGDCONT=1,"IP","internet"' in modem.heard
    assert status.sim is SimState.READY
    assert status.registration.is_registered
    assert status.operator
    assert modem.is_online


async def test_what_a_modem_tells_is_known_afterwards() -> None:
    status = await run(FakeModem(dialect=SIM7600), dial(SETTINGS))
    assert (status.model, status.operator) == ("SIMCOM_SIM7600E-H", "Telekom.de")
    assert status.signal_dbm == -71
    assert status.clock is not None
    assert status.clock.isoformat() == "2026-06-01T07:14:40+00:00"
    assert (await run(FakeModem(dialect=EC25), dial(SETTINGS))).clock is None  # never set


async def test_a_modem_that_is_not_attached_is_attached_first() -> None:
    modem = FakeModem(dialect=SIM800)
    await run(modem, dial(SETTINGS))
    assert modem.heard.index("AT+CGATT=1") < modem.heard.index("ATD*99***1#")


async def test_the_time_is_asked_last_so_that_it_is_not_old_when_it_is_used() -> None:
    """Each of the steps before may take more than a minute."""
    modem = FakeModem(dialect=SIM800)
    await run(modem, dial(SETTINGS))
    assert modem.heard[-3:] == ["AT+CGATT=1", "AT+CCLK?", "ATD*99***1#"]


async def test_a_modem_that_was_left_in_a_call_is_called_back_and_hung_up() -> None:
    modem = FakeModem(is_online=True)
    await run(modem, dial(SETTINGS))
    assert modem.heard.index("ATH") < modem.heard.index("ATD*99***1#")
    assert modem.is_online


async def test_a_call_that_was_kept_while_the_modem_takes_commands_is_hung_up() -> None:
    modem = FakeModem(has_call=True)
    await run(modem, dial(SETTINGS))
    assert modem.is_online


async def test_a_probe_leaves_a_call_alone() -> None:
    modem = FakeModem(is_online=True)
    with pytest.raises(ModemError, match="does not answer"):
        await run(modem, probe())
    assert modem.is_online


async def test_what_comes_right_after_the_connect_is_left_for_pppd() -> None:
    modem = FakeModem(says={"ATD*99***1#": ()})
    modem.on_command = lambda command: (
        modem.send(b"\r\nCONNECT 115200\r\n~frame~") if command.startswith("ATD") else None
    )
    async with spoken(modem) as line:
        await line.run(dial(SETTINGS))
        assert os.read(modem.line, 100).strip() == b"~frame~"


async def test_chatter_between_the_answers_changes_nothing() -> None:
    modem = FakeModem(dialect=SIM7600)
    modem.on_command = lambda _: modem.say("+CEREG: 2", "RING", "+CPIN: READY", "*PSUTTZ: 1")
    status = await run(modem, probe())
    assert status.operator == "Telekom.de"


async def test_a_probe_changes_nothing_and_tries_no_pin() -> None:
    modem = FakeModem(pin="1234")
    status = await run(modem, probe())
    assert status.sim is SimState.PIN
    assert not [c for c in modem.heard if c.startswith(("AT+CPIN=", "ATD", "AT+CGDCONT"))]


async def test_a_sim_that_wants_a_pin_that_nobody_told_stops() -> None:
    modem = FakeModem(pin="1234")
    with pytest.raises(ModemError) as caught:
        await run(modem, dial(SETTINGS))
    assert caught.value.cause is Cause.PIN
    assert caught.value.cause.needs_person
    assert not [c for c in modem.heard if c.startswith("AT+CPIN=")]


async def test_a_pin_is_told_once() -> None:
    modem = FakeModem(pin="1234")
    await run(modem, dial(DialSettings(apn="internet", may_roam=True, pin="1234")))
    assert modem.heard.count('AT+CPIN="1234"') == 1
    wrong = FakeModem(pin="1234")
    with pytest.raises(ModemError) as caught:
        await run(wrong, dial(DialSettings(apn="internet", may_roam=True, pin="9999")))
    assert caught.value.cause is Cause.PIN
    assert wrong.heard.count('AT+CPIN="9999"') == 1
    assert "9999" not in str(caught.value)


async def test_a_pin_with_few_attempts_left_is_not_tried() -> None:
    modem = FakeModem(pin="1234", says={"AT+SPIC": ("+SPIC: 2,10,0,10", "OK")})
    with pytest.raises(ModemError, match="2 attempts"):
        await run(modem, dial(DialSettings(apn="internet", pin="1234")))
    assert not [c for c in modem.heard if c.startswith("AT+CPIN=")]


def states(number: int) -> dict[str, tuple[str, ...]]:
    return {f"AT+{k}?": (f"+{k}: 1,{number}", "OK") for k in ("CEREG", "CGREG", "CREG")}


@pytest.mark.parametrize(
    ("says", "cause"),
    [
        ({"AT+CPIN?": ("+CME ERROR: SIM not inserted",)}, Cause.SIM),
        ({"AT+CPIN?": ("+CPIN: SIM PUK", "OK")}, Cause.SIM),
        ({"AT+CPIN?": ("+CME ERROR: 14",)}, Cause.REFUSED),
        (states(3), Cause.DENIED),
        (states(2), Cause.NO_NETWORK),
        (states(5), Cause.ROAMING),
        ({"ATD*99***1#": ("NO CARRIER",)}, Cause.NO_ANSWER),
        ({"ATD*99***1#": ("BUSY",)}, Cause.NO_ANSWER),
        ({'AT+CGDCONT=1,"IP","internet"': ("ERROR",)}, Cause.REFUSED),
    ],
)
async def test_what_stands_in_the_way_is_named(
    says: dict[str, tuple[str, ...]], cause: Cause
) -> None:
    with pytest.raises(ModemError) as caught:
        await run(FakeModem(says=says), dial(DialSettings(apn="internet", may_roam=False)))
    assert caught.value.cause is cause


async def test_a_silent_modem_is_called_five_times() -> None:
    modem = FakeModem(is_silent=True)
    with pytest.raises(ModemError) as caught:
        await run(modem, dial(SETTINGS))
    assert caught.value.cause is Cause.SILENT
    assert [c for c in modem.heard if c != "+++"] == ["AT"] * 5


async def test_roaming_is_told_where_it_is_allowed() -> None:
    status = await run(FakeModem(dialect=EC25), dial(SETTINGS))
    assert status.registration is Registration.ROAMING


async def test_a_modem_that_is_pulled_out_is_lost_and_not_read_again() -> None:
    modem = FakeModem()
    modem.on_command = lambda command: modem.unplug() if command == "AT+CSQ" else None
    with pytest.raises(PortLost):
        await run(modem, dial(SETTINGS))


def test_a_port_that_is_not_there_is_named() -> None:
    missing = opened(Path("/dev/fieldsync-none"), 115200)
    with pytest.raises(PortLost, match="fieldsync-none cannot be opened: No such file"), missing:
        pass


async def test_a_port_has_one_owner() -> None:
    async with FakeModem(is_terminal=True) as modem:
        with opened(modem.path, 115200):
            again = opened(modem.path, 115200)
            with pytest.raises(PortLost, match="cannot be opened"), again:
                pass


async def test_a_terminal_is_dialled_like_a_serial_port() -> None:
    async with FakeModem(is_terminal=True) as modem:
        with opened(modem.path, 115200) as number:
            async with Line(number, number, SystemClock(), name=str(modem.path)) as line:
                status = await line.run(dial(SETTINGS))
    assert status.operator == "Telekom.de"
    assert modem.is_online


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
@pytest.mark.parametrize("seed", range(12))
async def test_what_a_bad_line_adds_and_how_it_cuts_changes_nothing(
    dialect: Dialect, seed: int
) -> None:
    print(f"seed {seed}")
    draw = random.Random(seed)
    modem = FakeModem(dialect=dialect, echoes=draw.random() < 0.5)
    modem.cut = lambda data: _cut(draw, data)
    modem.on_command = lambda _: modem.say(*draw.choices(dialect.chatter, k=draw.randrange(3)))
    status = await run(modem, dial(SETTINGS))
    assert modem.heard[-1] == "ATD*99***1#"
    assert status.signal_dbm is not None
    assert status.operator


def _cut(draw: random.Random, data: bytes) -> Iterator[bytes]:
    """The same bytes in pieces, with NULs in between as noise on the line makes them."""
    while data:
        size = draw.randint(1, 7)
        yield data[:size] + b"\x00" * draw.randrange(2)
        data = data[size:]


async def test_answers_that_come_late_are_not_taken_for_those_of_the_next_commands() -> None:
    clock, heard = VirtualClock(autojump=True), asyncio.Queue[str]()
    modem = FakeModem(is_silent=True, on_command=heard.put_nowait)

    async def wakes_late() -> None:
        await clock.sleep(2.05)
        while True:
            command = await heard.get()
            await clock.sleep(0.1)
            modem.say(*SIM7600.answers.get(command, ()), "OK")

    async with modem, Line(modem.line, modem.line, clock, name="the modem") as line:
        waking = asyncio.create_task(wakes_late())
        status = await line.run(probe())
        waking.cancel()
    assert modem.heard[:4] == ["AT", "AT", "AT", "ATE0"]
    assert (status.model, status.sim) == ("SIMCOM_SIM7600E-H", SimState.READY)


async def test_the_port_is_given_back_as_it_was_found() -> None:
    async with FakeModem() as modem:
        os.set_blocking(modem.line, True)
        async with Line(modem.line, modem.line, VirtualClock(), name="the modem"):
            assert not os.get_blocking(modem.line)
        assert os.get_blocking(modem.line)


async def test_a_port_that_another_program_has_locked_is_left_to_it(tmp_path: Path) -> None:
    async with FakeModem(is_terminal=True) as modem:
        lock = tmp_path / f"LCK..{modem.path.name}"
        lock.write_text(f"{os.getppid():10}\n")
        with (
            pytest.raises(PortLost, match=f"process {os.getppid()} has locked it"),
            opened(modem.path, 115_200, locks=tmp_path),
        ):
            pass
        assert lock.exists()


@pytest.mark.parametrize("left", [None, "999999999\n", "noise"])
async def test_a_port_is_locked_while_it_is_open(tmp_path: Path, left: str | None) -> None:
    async with FakeModem(is_terminal=True) as modem:
        lock = tmp_path / f"LCK..{modem.path.name}"
        if left is not None:
            lock.write_text(left)
        with opened(modem.path, 115_200, locks=tmp_path):
            assert int(lock.read_text()) == os.getpid()
        assert not lock.exists()
    with suppress(PortLost), opened(Path("/dev/none"), 9600, locks=tmp_path / "none"):
        pass  # no folder for locks: only the port is missed
