"""What pppd runs to dial speaks with the modem on its standard input and output, and reports."""

from pathlib import Path

import pytest

from device.config import Config
from device.modem.connect import connect
from device.modem.report import RESTART_NAME, Phase, Report
from device.modem.secrets import ModemSecrets, ModemSecretsError, TriedPins
from device.modem.status import Registration, SimState
from device.modem.steps import Cause
from tests.fakes.clock import VirtualClock
from tests.fakes.modem import EC25, SIM7600, FakeModem

NO_COUNT = {"AT+SPIC": ("ERROR",)}
"""A modem that does not tell how many attempts are left."""


def config(folder: Path, *, pin: str = "", more: str = "") -> Config:
    (folder / "state").mkdir(exist_ok=True)
    secrets = folder / "modem.toml"
    secrets.write_text(f'pin = "{pin}"\n')
    secrets.chmod(0o600)
    path = folder / "config.toml"
    path.write_text(
        '[device]\nstate = "state"\n[socket]\npath = "api.sock"\n'
        f'[modem]\nmode = "direct"\napn = "internet"\nsecrets = "modem.toml"\n{more}'
    )
    return Config.read(path)


async def dialled(modem: FakeModem, told: Config) -> tuple[int, Report]:
    clock = VirtualClock(autojump=True)
    async with modem:
        code = await connect(told, clock, modem.line, modem.line)
    report = Report.read(told.socket.path.parent)
    assert report is not None
    return code, report


async def test_a_dialled_modem_is_reported(tmp_path: Path) -> None:
    code, report = await dialled(FakeModem(dialect=SIM7600), config(tmp_path))
    assert (code, report.phase) == (0, Phase.DIALLED)
    assert report.status.operator == "Telekom.de"
    assert report.status.signal_dbm == -71


async def test_a_foreign_network_is_used_only_where_that_is_allowed(tmp_path: Path) -> None:
    code, report = await dialled(FakeModem(dialect=EC25), config(tmp_path))
    assert (code, report.cause) == (1, Cause.ROAMING)
    assert report.status.operator == "A1 Telekom Austria"
    code, report = await dialled(FakeModem(dialect=EC25), config(tmp_path, more="roaming = true"))
    assert (code, report.status.registration) == (0, Registration.ROAMING)


async def test_a_modem_that_is_pulled_out_is_reported(tmp_path: Path) -> None:
    modem = FakeModem()
    modem.on_command = lambda command: modem.unplug() if command == "AT+CSQ" else None
    code, report = await dialled(modem, config(tmp_path))
    assert (code, report.phase, report.cause) == (1, Phase.WAITING, Cause.SILENT)
    assert "pulled out" in report.message


async def test_a_right_pin_is_told_at_every_start(tmp_path: Path) -> None:
    told = config(tmp_path, pin="1234")
    for _ in range(2):
        code, report = await dialled(FakeModem(pin="1234", says=NO_COUNT), told)
        assert (code, report.status.sim) == (0, SimState.READY)


async def test_a_pin_that_was_not_taken_is_never_told_again(tmp_path: Path) -> None:
    told = config(tmp_path, pin="9999")
    first = FakeModem(pin="1234", says=NO_COUNT)
    code, report = await dialled(first, told)
    assert (code, report.phase) == (1, Phase.STOPPED)
    assert 'AT+CPIN="9999"' in first.heard
    again = FakeModem(pin="1234", says=NO_COUNT)
    code, report = await dialled(again, told)
    assert (code, report.phase) == (1, Phase.STOPPED)
    assert not [c for c in again.heard if c.startswith("AT+CPIN=")]
    assert "9999" not in report.message
    corrected = FakeModem(pin="1234", says=NO_COUNT)
    assert (await dialled(corrected, config(tmp_path, pin="1234")))[0] == 0


async def test_a_pin_whose_answer_was_lost_counts_as_tried(tmp_path: Path) -> None:
    told = config(tmp_path, pin="1234")
    modem = FakeModem(pin="1234", says=NO_COUNT)
    modem.on_command = lambda c: modem.unplug() if c.startswith("AT+CPIN=") else None
    assert (await dialled(modem, told))[0] == 1
    again = FakeModem(pin="1234", says=NO_COUNT)
    assert (await dialled(again, told))[1].phase is Phase.STOPPED
    assert not [c for c in again.heard if c.startswith("AT+CPIN=")]


async def test_the_sim_itself_may_say_that_all_attempts_are_left(tmp_path: Path) -> None:
    told = config(tmp_path, pin="1234")
    TriedPins(tmp_path / "state").trying("", "1234")
    code, _ = await dialled(FakeModem(dialect=SIM7600, pin="1234"), told)
    assert code == 0


async def test_a_restart_that_was_asked_for_is_done_once(tmp_path: Path) -> None:
    told = config(tmp_path)
    (tmp_path / RESTART_NAME).touch()
    for expected in (1, 0):
        modem = FakeModem()
        assert (await dialled(modem, told))[0] == 0
        assert modem.heard.count("AT+CFUN=1,1") == expected


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ('pin = "1234"', 0o644, "other users"),
        ("pin = 1234", 0o600, "texts pin and password"),
        ('pin = "12"', 0o600, "4 to 8 digits"),
        ('pin = "12;4"', 0o600, "4 to 8 digits"),
        ('puk = "12345678"', 0o600, "nothing else"),
        ("pin", 0o600, "cannot be read"),
    ],
)
def test_a_file_of_secrets_that_cannot_be_used_is_named_without_its_secrets(
    tmp_path: Path, text: str, mode: int, why: str
) -> None:
    path = tmp_path / "modem.toml"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(ModemSecretsError, match=why) as caught:
        ModemSecrets.read(path)
    assert "1234" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_notes_of_tried_pins_that_cannot_be_read_say_that_it_was_tried(tmp_path: Path) -> None:
    (tmp_path / "sim-pins.json").write_text("{")
    assert TriedPins(tmp_path).was_tried("8949", "1234")


async def test_a_pin_that_leaves_the_sim_locked_is_not_taken_for_right(tmp_path: Path) -> None:
    told = config(tmp_path, pin="9999")
    deceitful = NO_COUNT | {'AT+CPIN="9999"': ("OK",)}
    assert (await dialled(FakeModem(pin="1234", says=deceitful), told))[0] == 1
    again = FakeModem(pin="1234", says=deceitful)
    assert (await dialled(again, told))[1].phase is Phase.STOPPED
    assert not [c for c in again.heard if c.startswith("AT+CPIN=")]
