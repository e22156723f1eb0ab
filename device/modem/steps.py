"""What is asked of a modem, in which order, until its line carries data. No I/O, no waiting.

The steps are a generator: it yields a :class:`Command`, to be sent, and gets its :class:`Answer`;
or it yields a :class:`Pause`, to be waited, and gets None. It returns what is known of the modem,
or raises why it cannot go on.

    AT … ATE0 ─▶ SIM ready? ─▶ registered? ─▶ signal, operator ─▶ context, attached ─▶ clock ─▶ dial
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from device.modem.at import Answer, Command, Result
from device.modem.status import (
    ModemStatus,
    Registration,
    SimState,
    network_time,
    operator,
    registration,
    signal_dbm,
    sim_error,
    sim_state,
)

ATTEMPTS = 5
"""How often a silent modem is called: it may still find out our speed."""
INTERRUPT_AFTER = 2
"""After so many calls it is taken to carry data, and asked to listen: the escape sequence."""
GUARD_S = 1.2
"""Silence before the escape sequence and after it: a second, and a little (V.250, 6.2.9)."""
HANG_UP_S = 20.0
LATE_S = 0.5
"""How late the answers to earlier calls may come: they must not be taken for those to later ones.
"""
SEARCH_S = 120.0
"""How long a modem may look for its network."""
SEARCH_PAUSE_S = 3.0
RESTART_S = 20.0
"""How long a modem needs until it listens again."""
ALL_ATTEMPTS = 3
"""How often a PIN may be wrong before the SIM is locked (3GPP TS 11.11, 9.3)."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so long before the next step."""

    seconds: float


class Cause(Enum):
    """Why a modem does not get us a link."""

    SILENT = "silent"
    SIM = "sim"
    PIN = "pin"
    DENIED = "denied"
    ROAMING = "roaming"
    NO_NETWORK = "no_network"
    REFUSED = "refused"
    """The modem refused a command."""
    NO_ANSWER = "no_answer"
    """The network did not take the call."""

    @property
    def needs_person(self) -> bool:
        """Whether trying again changes nothing."""
        return self in (Cause.SIM, Cause.PIN, Cause.DENIED, Cause.ROAMING)


class ModemError(Exception):
    """A modem that does not get us a link: ``cause``, and one plain sentence with what to do."""

    def __init__(self, cause: Cause, message: str, status: ModemStatus) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.status = status


class PinNotes(Protocol):
    """Remembers which PINs were tried; :class:`device.modem.secrets.TriedPins`."""

    def was_tried(self, sim: str, pin: str) -> bool: ...

    def trying(self, sim: str, pin: str) -> None: ...

    def taken(self, sim: str, pin: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DialSettings:
    """What must be known to dial. ``pin``: tried once if the SIM wants one; empty: it is not."""

    apn: str
    may_roam: bool = False
    pin: str = ""
    notes: PinNotes | None = None
    begins_anew: bool = False
    """Have the modem start from the beginning first: it failed again and again."""


Steps = Generator[Command | Pause, Answer | None, ModemStatus]


def dial(settings: DialSettings) -> Steps:
    """All the way from a modem of which nothing is known to a line that carries PPP."""
    status = yield from wake(may_interrupt=True)
    yield from _ask(Command(text="ATH", timeout_s=HANG_UP_S))
    if settings.begins_anew:
        yield from _ask(Command(text="AT+CFUN=1,1", timeout_s=15))
        yield Pause(RESTART_S)
        status = yield from wake()
    status = yield from unlock(status, settings)
    status = yield from register(status, may_roam=settings.may_roam)
    status = yield from look(status)
    yield from _must(status, Command(text=f'AT+CGDCONT=1,"IP","{_plain(settings.apn)}"'))
    attached = yield from _ask(Command(text="AT+CGATT?", prefix="+CGATT:", timeout_s=10))
    if attached.value == "0":
        yield from _must(status, Command(text="AT+CGATT=1", timeout_s=75))
    status = yield from ask_time(status)  # last: the daemon takes it for the time of now
    answer = yield from _ask(Command(text="ATD*99***1#", timeout_s=60, begins_data=True))
    if answer.result is not Result.CONNECT:
        raise ModemError(
            Cause.NO_ANSWER,
            f"the network did not take the call ({_words(answer)}); check the APN "
            f"{settings.apn!r} and that the SIM has data",
            status,
        )
    return status


def probe() -> Steps:
    """All that can be learned of a modem without dialling. Nothing is changed, no PIN is tried."""
    status = yield from wake()
    answer = yield from _ask(Command(text="AT+CPIN?", prefix="+CPIN:"))
    status = replace(status, sim=_sim(answer))
    status = replace(status, registration=(yield from _registration()))
    status = yield from look(status)
    return (yield from ask_time(status))


def wake(*, may_interrupt: bool = False) -> Steps:
    """Find the modem's ear, and have it say what its errors mean. ``may_interrupt``: it may be in a
    call that nobody ended, as when the device lost its power and the modem did not."""
    for attempt in range(ATTEMPTS):
        if may_interrupt and attempt == INTERRUPT_AFTER:
            yield Pause(GUARD_S)
            yield from _ask(Command(text="+++", ending="", timeout_s=GUARD_S))
        answer = yield from _ask(Command(text="AT", timeout_s=1))
        if answer.result is Result.OK:
            if attempt:
                yield Pause(LATE_S)
            break
    else:
        raise ModemError(
            Cause.SILENT,
            "the modem does not answer; check its power, its cable and modem.port",
            ModemStatus(),
        )
    yield from _ask(Command(text="ATE0"))
    yield from _ask(Command(text="AT+CMEE=2"))
    model = yield from _ask(Command(text="AT+CGMM", has_information=True))
    return ModemStatus(model=model.value)


def unlock(status: ModemStatus, settings: DialSettings) -> Steps:
    """The SIM, ready."""
    answer = yield from _ask(Command(text="AT+CPIN?", prefix="+CPIN:"))
    status = replace(status, sim=_sim(answer))
    if status.sim is SimState.PIN and settings.pin:
        sim = yield from _tell_pin(status, settings.pin, settings.notes)
        for _ in range(10):
            answer = yield from _ask(Command(text="AT+CPIN?", prefix="+CPIN:"))
            status = replace(status, sim=_sim(answer))
            if status.sim is SimState.READY:
                if settings.notes is not None:  # only now it is known to be right
                    settings.notes.taken(sim, settings.pin)
                break
            yield Pause(1.0)
    if status.sim is not SimState.READY:
        raise ModemError(*_SIM_TROUBLE[status.sim], status)
    return status


def _tell_pin(
    status: ModemStatus, pin: str, notes: PinNotes | None
) -> Generator[Command | Pause, Answer | None, str]:
    """Try the PIN, once ever, unless the SIM itself says that all attempts are left. The number of
    the SIM."""
    left = yield from _attempts_left()
    if left is not None and left < ALL_ATTEMPTS:
        raise ModemError(
            Cause.PIN,
            f"the SIM has {left} attempts left for its PIN, so it is not tried; enter it in a "
            "telephone",
            status,
        )
    sim = yield from _sim_number()
    if left is None and notes is not None and notes.was_tried(sim, pin):
        raise ModemError(
            Cause.PIN,
            "the PIN was tried with this SIM before and not taken, so it is not tried again; "
            "correct it, or switch the SIM's PIN off in a telephone",
            status,
        )
    if notes is not None:
        notes.trying(sim, pin)
    command = Command(text=f'AT+CPIN="{_plain(pin)}"', shown="AT+CPIN=…", timeout_s=20)
    yield from _must(status, command, Cause.PIN, "the SIM did not take its PIN")
    return sim


_SIM_TROUBLE = {
    SimState.PIN: (
        Cause.PIN,
        "the SIM wants its PIN; switch that off in a telephone, or put it into the credentials",
    ),
    SimState.PUK: (Cause.SIM, "the SIM wants its PUK; unlock it in a telephone"),
    SimState.LOCKED: (Cause.SIM, "the SIM cannot be used in this modem; ask who sold them"),
    SimState.MISSING: (Cause.SIM, "there is no SIM in the modem, or it sits loosely"),
    SimState.UNKNOWN: (Cause.REFUSED, "the modem does not say how its SIM is; it is tried again"),
}


def register(status: ModemStatus, *, may_roam: bool) -> Steps:
    """The modem in a network that may be used."""
    for kind in ("CEREG", "CGREG", "CREG"):
        yield from _ask(Command(text=f"AT+{kind}=1"))
    waited = 0.0
    while True:
        status = replace(status, registration=(yield from _registration()))
        if status.registration.is_registered:
            break
        if status.registration is Registration.DENIED:
            raise ModemError(
                Cause.DENIED,
                "the network refuses this SIM; ask its provider whether it is active",
                status,
            )
        if waited >= SEARCH_S:
            raise ModemError(
                Cause.NO_NETWORK, "no network is found here; check the antenna", status
            )
        yield Pause(SEARCH_PAUSE_S)
        waited += SEARCH_PAUSE_S
    if status.registration is Registration.ROAMING and not may_roam:
        raise ModemError(
            Cause.ROAMING,
            "only a foreign network is here, and modem.roaming is false",
            replace(status, operator=(yield from _operator())),
        )
    return status


def look(status: ModemStatus) -> Steps:
    """Who the network is, and how well it is heard. The modem is told to take the network's time,
    which comes when it is attached."""
    yield from _ask(Command(text="AT+CTZU=1"))
    name = yield from _operator()
    heard = yield from _ask(Command(text="AT+CSQ", prefix="+CSQ:"))
    return replace(status, operator=name, signal_dbm=signal_dbm(heard.value))


def ask_time(status: ModemStatus) -> Steps:
    """What time the network has."""
    clock = yield from _ask(Command(text="AT+CCLK?", prefix="+CCLK:"))
    return replace(status, clock=network_time(clock.value))


def _registration() -> Generator[Command | Pause, Answer | None, Registration]:
    """What the modem says of each kind of network it knows; being in one of them is enough."""
    found = []
    for kind in ("CEREG", "CGREG", "CREG"):
        answer = yield from _ask(Command(text=f"AT+{kind}?", prefix=f"+{kind}:"))
        if answer.lines:
            found.append(registration(answer.value))
    for wanted in (Registration.HOME, Registration.ROAMING, Registration.SEARCHING):
        if wanted in found:
            return wanted
    return Registration.DENIED if Registration.DENIED in found else Registration.IDLE


def _operator() -> Generator[Command | Pause, Answer | None, str]:
    answer = yield from _ask(Command(text="AT+COPS?", prefix="+COPS:", timeout_s=10))
    return operator(answer.value)


def _attempts_left() -> Generator[Command | Pause, Answer | None, int | None]:
    """How often the PIN may still be tried, where SIMCom's or Quectel's modems tell."""
    for command in (
        Command(text="AT+SPIC", prefix="+SPIC:"),
        Command(text='AT+QPINC="SC"', prefix="+QPINC:"),
    ):
        answer = yield from _ask(command)
        numbers = [p for p in answer.value.split(",") if p.strip().isdecimal()]
        if answer.result is Result.OK and numbers:
            return int(numbers[0])
    return None


def _sim_number() -> Generator[Command | Pause, Answer | None, str]:
    """The number of the SIM (ICCID), which most modems tell before the PIN; empty if not."""
    for text in ("AT+CCID", "AT+CICCID", "AT+QCCID"):
        answer = yield from _ask(Command(text=text, has_information=True, prefix="+"))
        digits = "".join(c for c in "".join(answer.lines[:1]) if c.isdecimal())
        if answer.result is Result.OK and 18 <= len(digits) <= 22:
            return digits
    return ""


def _ask(command: Command) -> Generator[Command | Pause, Answer | None, Answer]:
    answer = yield command
    assert answer is not None
    return answer


def _must(
    status: ModemStatus, command: Command, cause: Cause = Cause.REFUSED, what: str = ""
) -> Generator[Command | Pause, Answer | None, None]:
    answer = yield from _ask(command)
    if answer.result is not Result.OK:
        said = what or f"the modem refused {command}"
        raise ModemError(cause, f"{said} ({_words(answer)})", status)


def _sim(answer: Answer) -> SimState:
    if answer.result is Result.OK and answer.lines:
        return sim_state(answer.value)
    return sim_error(answer.detail)


def _words(answer: Answer) -> str:
    return answer.detail or answer.result.value.replace("_", " ")


def _plain(text: str) -> str:
    """Text as it may stand between quotes in a command line."""
    if not text.isascii() or not text.isprintable() or '"' in text:
        raise ValueError(f"{text!r} cannot be told to a modem")
    return text
