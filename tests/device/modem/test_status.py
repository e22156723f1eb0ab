"""What modems answer is read as the standard says, and nothing else is believed."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings, strategies as st

from device.modem import status
from device.modem.status import Registration, SimState


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("1,1", Registration.HOME),
        ("2,5", Registration.ROAMING),
        ('1,5,"2B67","01A2D003",7', Registration.ROAMING),
        ("0,2", Registration.SEARCHING),
        ("0,3", Registration.DENIED),
        ("0,0", Registration.IDLE),
        ("0,4", Registration.UNKNOWN),
        ('2,1,"00C3","0145"', Registration.HOME),
        ('1,"00C3","0145",7', Registration.HOME),  # by itself
        ("5", Registration.ROAMING),
        ("", Registration.UNKNOWN),
        ("x,y", Registration.UNKNOWN),
    ],
)
def test_registration(value: str, found: Registration) -> None:
    assert status.registration(value) is found


@pytest.mark.parametrize(
    ("value", "dbm"),
    [("0,0", -113), ("21,99", -71), ("31,0", -51), ("99,99", None), ("32,0", None), ("", None)],
)
def test_signal(value: str, dbm: int | None) -> None:
    assert status.signal_dbm(value) == dbm


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ('"26/06/01,09:14:40+08"', datetime(2026, 6, 1, 7, 14, 40, tzinfo=UTC)),
        ('"26/06/01,09:14:40-20"', datetime(2026, 6, 1, 14, 14, 40, tzinfo=UTC)),
        ('"26/06/01,09:14:40"', datetime(2026, 6, 1, 9, 14, 40, tzinfo=UTC)),
        ('"80/01/06,00:00:12+00"', None),
        ('"70/01/01,00:00:12+00"', None),
        ('"04/01/01,00:00:05+00"', None),
        ('"26/02/30,00:00:05+00"', None),
        ("", None),
    ],
)
def test_clock(value: str, told: datetime | None) -> None:
    assert status.network_time(value) == told


@pytest.mark.parametrize(
    ("value", "state"),
    [
        ("READY", SimState.READY),
        ("SIM PIN", SimState.PIN),
        ("SIM PUK", SimState.PUK),
        ("SIM PIN2", SimState.READY),
        ("PH-SIM PIN", SimState.LOCKED),
    ],
)
def test_sim(value: str, state: SimState) -> None:
    assert status.sim_state(value) is state


@pytest.mark.parametrize(
    ("detail", "state"),
    [
        ("10", SimState.MISSING),
        ("SIM not inserted", SimState.MISSING),
        ("SIM PIN required", SimState.PIN),
        ("13", SimState.LOCKED),
        ("14", SimState.UNKNOWN),  # SIM busy: it is asked again
        ("", SimState.UNKNOWN),
    ],
)
def test_sim_errors(detail: str, state: SimState) -> None:
    assert status.sim_error(detail) is state


@settings(max_examples=40)
@given(st.text(max_size=60))
def test_nothing_that_a_modem_says_raises(value: str) -> None:
    status.registration(value)
    status.signal_dbm(value)
    status.network_time(value)
    status.operator(value)
    status.sim_state(value)
    status.sim_error(value)
