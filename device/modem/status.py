"""What a modem says of itself, of its SIM and of its network; and how its answers are read.

Source: 3GPP TS 27.007: +CPIN, +CREG/+CGREG/+CEREG, +COPS, +CSQ, +CESQ, +CCLK.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum


class SimState(Enum):
    """Whether the SIM lets the modem into a network."""

    UNKNOWN = "unknown"
    READY = "ready"
    PIN = "pin"
    PUK = "puk"
    LOCKED = "locked"
    """The modem takes another SIM only, or wants a code of its network."""
    MISSING = "missing"


class Registration(Enum):
    """Where the modem is with a network."""

    UNKNOWN = "unknown"
    IDLE = "idle"
    HOME = "home"
    SEARCHING = "searching"
    DENIED = "denied"
    ROAMING = "roaming"

    @property
    def is_registered(self) -> bool:
        return self in (Registration.HOME, Registration.ROAMING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModemStatus:
    """What is known of the modem now. ``clock``: the network's time, as it was told."""

    model: str = ""
    sim: SimState = SimState.UNKNOWN
    registration: Registration = Registration.UNKNOWN
    operator: str = ""
    signal_dbm: int | None = None
    clock: datetime | None = None


_SIM = {
    "READY": SimState.READY,
    "SIM PIN": SimState.PIN,
    "SIM PIN2": SimState.READY,  # which only locks functions that we do not use
    "SIM PUK2": SimState.READY,
    "SIM PUK": SimState.PUK,
}
_SIM_ERRORS: Mapping[str, SimState] = {
    "10": SimState.MISSING,
    "SIM NOT INSERTED": SimState.MISSING,
    "11": SimState.PIN,
    "SIM PIN REQUIRED": SimState.PIN,
    "12": SimState.PUK,
    "SIM PUK REQUIRED": SimState.PUK,
    "13": SimState.LOCKED,
    "SIM FAILURE": SimState.LOCKED,
    "15": SimState.LOCKED,
    "SIM WRONG": SimState.LOCKED,
}
_REGISTRATION = {
    0: Registration.IDLE,
    1: Registration.HOME,
    2: Registration.SEARCHING,
    3: Registration.DENIED,
    4: Registration.UNKNOWN,
    5: Registration.ROAMING,
    6: Registration.UNKNOWN,  # for short messages only
    7: Registration.UNKNOWN,
    8: Registration.DENIED,  # for emergency calls only
    9: Registration.HOME,  # without circuit-switched fallback
    10: Registration.ROAMING,
}
_CLOCK = re.compile(r'"?(\d\d)/(\d\d)/(\d\d),(\d\d):(\d\d):(\d\d)(?:([+-])(\d\d))?"?')


def sim_state(value: str) -> SimState:
    """What ``+CPIN: <value>`` says."""
    return _SIM.get(value.strip().upper(), SimState.LOCKED)


def sim_error(detail: str) -> SimState:
    """What a ``+CME ERROR: <detail>`` to ``AT+CPIN?`` says."""
    return _SIM_ERRORS.get(detail.strip().upper(), SimState.UNKNOWN)


def registration(value: str) -> Registration:
    """What ``+CEREG: <value>`` says: ``<n>,<stat>[,…]`` as an answer, ``<stat>[,…]`` by itself."""
    numbers = [part.strip() for part in value.split(",")]
    asked = len(numbers) > 1 and numbers[1].isascii() and numbers[1].isdigit()
    text = numbers[1] if asked and len(numbers[1]) <= 2 else numbers[0]
    if not (text.isascii() and text.isdigit()):
        return Registration.UNKNOWN
    return _REGISTRATION.get(int(text), Registration.UNKNOWN)


def signal_dbm(value: str) -> int | None:
    """What ``+CSQ: <rssi>,<ber>`` says: 0…31 is -113…-51 dBm, 99 is unknown."""
    first = value.split(",")[0].strip()
    if not (first.isascii() and first.isdigit()) or int(first) > 31:
        return None
    return 2 * int(first) - 113


def operator(value: str) -> str:
    """What ``+COPS: <mode>,<format>,"<name>",…`` says; empty if there is none."""
    named = re.search(r'"([^"]*)"', value)
    return named[1].strip() if named else ""


def network_time(value: str) -> datetime | None:
    """What ``+CCLK: "yy/MM/dd,hh:mm:ss±zz"`` says, the zone in quarters of an hour.

    None if the clock was never set: modems begin in 1970, 1980 or 2004.
    """
    found = _CLOCK.search(value)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    if not 24 <= year < 70:
        return None
    quarters = int(found[8] or 0) * (-1 if found[7] == "-" else 1)
    try:
        zone = timezone(timedelta(minutes=15 * quarters))
        told = datetime(2000 + year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError:
        return None
    return told.astimezone(UTC)
