"""A modem that answers AT commands as three real families of modems do.

It is at the other end of a socket, on which bytes arrive as soon as they are sent, so that a test
may have a virtual clock; or of a terminal, where the kernel takes its time.

What each says, and how, is from their makers' manuals of AT commands (SIM7500/SIM7600 series V1.x,
EC2x/EG9x V1.x, SIM800 series V1.x).
"""

import asyncio
import os
import pty
import socket
import termios
import tty
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one family of modems speaks. ``answers``: command → lines before its final result."""

    name: str
    connect: str
    answers: dict[str, tuple[str, ...]]
    unknown: frozenset[str] = frozenset()
    """Commands that it does not know."""
    chatter: tuple[str, ...] = ()
    """What it says without being asked."""


SIM7600 = Dialect(
    name="SIM7600",
    connect="CONNECT 115200",
    answers={
        "AT+CGMM": ("SIMCOM_SIM7600E-H",),
        "AT+CPIN?": ("+CPIN: READY",),
        "AT+CEREG?": ("+CEREG: 1,1",),
        "AT+CGREG?": ("+CGREG: 1,1",),
        "AT+CREG?": ("+CREG: 1,1",),
        "AT+COPS?": ('+COPS: 0,0,"Telekom.de",7',),
        "AT+CSQ": ("+CSQ: 21,99",),
        "AT+CCLK?": ('+CCLK: "26/06/01,09:14:40+08"',),
        "AT+CGATT?": ("+CGATT: 1",),
        "AT+SPIC": ("+SPIC: 3,10,3,10",),
    },
    unknown=frozenset({'AT+QPINC="SC"'}),
    chatter=("RDY", "+CPIN: READY", "SMS DONE", "PB DONE"),
)
EC25 = Dialect(
    name="EC25",
    connect="CONNECT 150000000",
    answers={
        "AT+CGMM": ("EC25",),
        "AT+CPIN?": ("+CPIN: READY",),
        "AT+CEREG?": ('+CEREG: 1,5,"2B67","01A2D003",7',),
        "AT+CGREG?": ("+CGREG: 1,5",),
        "AT+CREG?": ("+CREG: 1,5",),
        "AT+COPS?": ('+COPS: 0,0,"A1 Telekom Austria",7',),
        "AT+CSQ": ("+CSQ: 12,99",),
        "AT+CCLK?": ('+CCLK: "80/01/06,00:00:12+00"',),
        "AT+CGATT?": ("+CGATT: 1",),
        'AT+QPINC="SC"': ('+QPINC: "SC",3,10',),
    },
    unknown=frozenset({"AT+SPIC"}),
    chatter=("RDY", "+QIND: SMS DONE", "+QIND: PB DONE"),
)
SIM800 = Dialect(
    name="SIM800",
    connect="CONNECT",
    answers={
        "AT+CGMM": ("SIMCOM_SIM800L",),
        "AT+CPIN?": ("+CPIN: READY",),
        "AT+CGREG?": ("+CGREG: 1,1",),
        "AT+CREG?": ("+CREG: 1,1",),
        "AT+COPS?": ('+COPS: 0,0,"vodafone"',),
        "AT+CSQ": ("+CSQ: 9,0",),
        "AT+CCLK?": ('+CCLK: "04/01/01,00:00:05+00"',),
        "AT+CGATT?": ("+CGATT: 0",),
    },
    unknown=frozenset({"AT+CEREG?", "AT+CEREG=1", 'AT+QPINC="SC"', "AT+SPIC"}),
    chatter=("Call Ready", "SMS Ready", '*PSUTTZ: 2026,6,1,7,14,40,"+8",1'),
)
DIALECTS = (SIM7600, EC25, SIM800)


@dataclass(slots=True)
class FakeModem:
    """The modem behind :attr:`line`, or :attr:`path` if it is a terminal. Change its members to
    make it misbehave."""

    dialect: Dialect = SIM7600
    is_terminal: bool = False
    pin: str = ""
    """What its SIM wants; empty: nothing."""
    says: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Command → all that it answers to it, final result included; the dialect's words if it has
    none."""
    is_silent: bool = False
    echoes: bool = True
    heard: list[str] = field(default_factory=list)
    """The command lines, oldest first."""
    data: bytearray = field(default_factory=bytearray)
    """What came while the line carried data."""
    is_online: bool = False
    on_data: Callable[[bytes], None] = lambda _: None
    """Called with what comes while the line carries data."""
    send: Callable[[bytes], None] = lambda _: None
    """How what it says goes out; :meth:`plug` gives it a descriptor."""
    has_call: bool = False
    """Also while it listens to commands, after an escape."""
    on_command: Callable[[str], None] = lambda _: None
    cut: Callable[[bytes], Iterable[bytes]] = lambda data: [data]
    """How what it says is cut into pieces."""
    _master: int = -1
    _slave: int = -1
    _line: bytearray = field(default_factory=bytearray)

    async def __aenter__(self) -> Self:
        self.plug()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def line(self) -> int:
        """The descriptor of our end."""
        return self._slave

    @property
    def path(self) -> Path:
        return Path(os.ttyname(self._slave))

    def plug(self) -> None:
        if self.is_terminal:
            self._master, self._slave = pty.openpty()
            tty.setraw(self._slave, termios.TCSANOW)
        else:
            self._master, self._slave = (one.detach() for one in socket.socketpair())
        os.set_blocking(self._master, False)
        self.send = self._write
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def unplug(self) -> None:
        """Pull it out: whoever reads sees the end."""
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            self._master = -1
            self.send = lambda _: None

    def close(self) -> None:
        self.unplug()
        os.close(self._slave)

    def say(self, *lines: str) -> None:
        """What a modem sends, each line between its two line ends."""
        for line in lines:
            for piece in self.cut(f"\r\n{line}\r\n".encode()):
                self.send(piece)

    def hang_up(self) -> None:
        """The carrier is lost."""
        self.is_online = self.has_call = False
        self.say("NO CARRIER")

    def _write(self, data: bytes) -> None:
        os.write(self._master, data)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except BlockingIOError:
            return
        except OSError:  # nobody has it open
            return
        self.receive(data)

    def receive(self, data: bytes) -> None:
        """What came over the line."""
        if self.is_online:
            if data == b"+++":  # alone, with nothing right before and after it (V.250, 6.2.9)
                self.is_online = False
                self.say("OK")
                return
            self.data += data
            self.on_data(data)
            return
        if self.echoes and not self.is_silent:
            self.send(data)
        for byte in data:
            if byte == 13:
                line = self._line.decode("ascii", "replace").strip("\x1b \n")
                self._line.clear()
                if line:
                    self._answer(line)
            else:
                self._line.append(byte)

    def _answer(self, command: str) -> None:
        self.heard.append(command)
        self.on_command(command)
        if self.is_silent:
            return
        if command in self.says:
            self.say(*self.says[command])
        elif command == "ATE0":
            self.echoes = False
            self.say("OK")
        elif command == "ATH":
            self.has_call = False
            self.say("OK")
        elif command.startswith("ATD") and self.has_call:
            self.say("ERROR")
        elif command.startswith("ATD"):
            self.is_online = self.has_call = True
            self.say(self.dialect.connect)
        elif command == "AT+CPIN?" and self.pin:
            self.say("+CPIN: SIM PIN", "OK")
        elif command.startswith("AT+CPIN="):
            is_right = command == f'AT+CPIN="{self.pin}"'
            self.pin = "" if is_right else self.pin
            self.say("OK" if is_right else "+CME ERROR: incorrect password")
        elif command in self.dialect.unknown:
            self.say("ERROR")
        else:
            self.say(*self.dialect.answers.get(command, ()), "OK")
