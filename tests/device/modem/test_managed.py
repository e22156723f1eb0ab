"""A modem that ModemManager has: what its command prints, and what is made of it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from device.config import Config, ModemConfig, ModemMode
from device.doctor import board
from device.modem.managed import ManagedModem, ManagedModemError, ask, read
from device.modem.status import Registration, SimState
from tests.device.conftest import Command

SIM = "/org/freedesktop/ModemManager1/SIM/0"


def told(network: dict[str, Any] | None = None, **generic: Any) -> bytes:
    """As mmcli prints it, shortened; its words for what it does not know are two dashes."""
    values = {
        "access-technologies": ["lte"],
        "manufacturer": "QUALCOMM INCORPORATED",
        "model": "QUECTEL Mobile Broadband Module",
        "signal-quality": {"recent": "yes", "value": "78"},
        "sim": SIM,
        "state": "connected",
        "state-failed-reason": "--",
        "unlock-required": "sim-pin2",
        "unlock-retries": ["sim-pin (3)", "sim-puk (10)"],
    }
    plmn = {"operator-code": "26201", "operator-name": "Telekom.de", "registration-state": "home"}
    modem = {"3gpp": plmn | (network or {}), "generic": values | generic}
    return json.dumps({"modem": modem}).encode()


def test_a_modem_that_is_connected() -> None:
    assert read(told()) == ManagedModem(
        model="QUALCOMM INCORPORATED QUECTEL Mobile Broadband Module",
        state="connected",
        sim=SimState.READY,
        registration=Registration.HOME,
        operator="Telekom.de",
        technology="lte",
        signal_percent=78,
    )


@pytest.mark.parametrize(
    ("lock", "failed", "sim", "expected"),
    [
        ("--", "--", SIM, SimState.READY),
        ("sim-puk2", "--", SIM, SimState.READY),
        ("sim-pin", "--", SIM, SimState.PIN),
        ("sim-puk", "--", SIM, SimState.PUK),
        ("ph-net-pin", "--", SIM, SimState.LOCKED),
        ("--", "sim-missing", "--", SimState.MISSING),
        ("--", "--", "--", SimState.UNKNOWN),
    ],
)
def test_the_sim(lock: str, failed: str, sim: str, expected: SimState) -> None:
    state = "failed" if failed != "--" else "locked"
    words: dict[str, Any] = {"unlock-required": lock, "state-failed-reason": failed}

    assert read(told(**words, sim=sim, state=state)).sim is expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("roaming", Registration.ROAMING),
        ("roaming-csfb-not-preferred", Registration.ROAMING),
        ("home-sms-only", Registration.HOME),
        ("denied", Registration.DENIED),
        ("emergency-only", Registration.DENIED),
        ("--", Registration.UNKNOWN),
    ],
)
def test_the_network(word: str, expected: Registration) -> None:
    assert read(told({"registration-state": word})).registration is expected


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b"\xff", b'{"modem": 7}', b'{"modem": {}}', b"[" * 100_000]
)
def test_what_is_not_understood_is_told(text: bytes) -> None:
    with pytest.raises(ManagedModemError, match="not understood"):
        read(text)


@pytest.mark.parametrize("generic", [None, 7, [], {"signal-quality": 7, "state": 9, "model": None}])
def test_members_of_another_kind_are_unknown(generic: object) -> None:
    found = read(json.dumps({"modem": {"generic": generic, "3gpp": generic}}).encode())

    assert found == ManagedModem()


def command(tmp_path: Path, code: str) -> list[str]:
    script = tmp_path / "mmcli"
    script.write_text(code)
    return [sys.executable, str(script)]


def test_modem_manager_is_asked(tmp_path: Path) -> None:
    works = command(tmp_path, f"print({told().decode()!r})")

    assert ask(works).operator == "Telekom.de"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ('import sys; sys.exit("error: couldn\'t find modem")', "couldn't find modem"),
        ("import time; time.sleep(60)", "cannot be asked"),
    ],
)
def test_what_keeps_modem_manager_from_answering_is_told(
    tmp_path: Path, code: str, says: str
) -> None:
    with pytest.raises(ManagedModemError, match=says):
        ask(command(tmp_path, code), patience_s=0.5 if "sleep" in code else 20)


def test_without_modem_manager_the_package_is_named() -> None:
    with pytest.raises(ManagedModemError) as caught:
        ask(["/no/such/mmcli"])

    assert "modemmanager" in caught.value.remedy


def test_doctor_tells_what_modem_manager_says() -> None:
    config = Config(modem=ModemConfig(mode=ModemMode.MANAGED))

    def fails() -> ManagedModem:
        raise ManagedModemError("ModemManager: couldn't find modem")

    good = list(board.modem(config, None, lambda: read(told())))
    denied = list(board.modem(config, None, lambda: read(told({"registration-state": "denied"}))))
    (gone,) = board.modem(config, None, fails)

    assert [(one.name, one.is_ok) for one in good] == [("modem", None), ("SIM", True)]
    assert "Telekom.de, home, signal 78 %" in good[0].detail
    assert denied[0].is_ok is False
    assert gone.is_ok is False
    assert "mmcli" in gone.remedy


def test_probe_of_a_managed_modem(
    fieldsync: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, script = tmp_path / "answer.json", tmp_path / "mmcli"
    answer.write_bytes(told())
    script.write_text(f"#!/bin/sh\nexec /bin/cat '{answer}'\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    ended = fieldsync("modem", "probe", "--managed", "--json")

    assert ended.code == 0
    assert (ended.json["registration"], ended.json["signal_percent"]) == ("home", 78)
