"""AT commands and their answers, as a state machine without I/O.

Bytes come in as they arrive, in pieces of any size; answers, unsolicited result codes and time-outs
come out. One command is in flight at a time (ITU-T V.250, 5.7; 3GPP TS 27.007, 4.1).

A line is, in this order: the echo of the command; one of the information that it asked for, known
by its prefix; the final result code; otherwise it is unsolicited.
"""

import re
from dataclasses import dataclass, field
from enum import Enum

MAX_LINE = 1024
"""Longer lines are cut: no answer that we ask for is, so it is noise."""
MAX_LINES = 64
"""Lines kept of one answer."""

_CODED = re.compile(r"\+CM[ES] ERROR: ?(.*)", re.IGNORECASE)
_CONNECT = re.compile(r"CONNECT(?: .*)?")


class Result(Enum):
    """How a command ended."""

    OK = "ok"
    ERROR = "error"
    CONNECT = "connect"
    """The line carries data from here on."""
    NO_CARRIER = "no_carrier"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    NO_DIALTONE = "no_dialtone"
    TIMED_OUT = "timed_out"
    """Nothing that ends the command was heard before its deadline."""


_FINAL = {
    "OK": Result.OK,
    "ERROR": Result.ERROR,
    "NO CARRIER": Result.NO_CARRIER,
    "BUSY": Result.BUSY,
    "NO ANSWER": Result.NO_ANSWER,
    "NO DIALTONE": Result.NO_DIALTONE,
    "NO DIAL TONE": Result.NO_DIALTONE,
    "COMMAND NOT SUPPORT": Result.ERROR,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command line. ``prefix``: how the lines of information begin that answer it.

    ``has_information``: it is answered by plain lines without a prefix, as ``AT+CGMM`` is.
    ``ending``: what ends it on the line; the escape sequence has none. ``begins_data``: the line
    may carry data when it ends.
    """

    text: str
    prefix: str = ""
    has_information: bool = False
    ending: str = "\r"
    begins_data: bool = False
    timeout_s: float = 5.0
    shown: str = ""
    """What a log may say of it, if it holds a secret."""

    def __str__(self) -> str:
        return self.shown or self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The end of a command. ``detail``: what stands behind a ``+CME ERROR:``."""

    command: Command
    result: Result
    lines: tuple[str, ...] = ()
    detail: str = ""

    @property
    def value(self) -> str:
        """What the first line of information says behind its prefix; empty if there is none."""
        if not self.lines:
            return ""
        first, prefix = self.lines[0], self.command.prefix
        return first[len(prefix) :].strip() if prefix else first.strip()


@dataclass(frozen=True, slots=True)
class Unsolicited:
    """A line that nobody asked for."""

    text: str


Event = Answer | Unsolicited


@dataclass(slots=True)
class Dialogue:
    """The line to one modem. Times are seconds of the monotonic clock."""

    _buffer: bytearray = field(default_factory=bytearray)
    _is_skipping: bool = False
    _command: Command | None = None
    _deadline: float = 0.0
    _lines: list[str] = field(default_factory=list)

    @property
    def deadline(self) -> float | None:
        """When the command in flight has waited long enough."""
        return self._deadline if self._command else None

    @property
    def may_begin_data(self) -> bool:
        """Whether what comes next may be data, and no answer any more."""
        return self._command is not None and self._command.begins_data

    def send(self, command: Command, now: float) -> bytes:
        """Begin a command; the bytes to write. What came before it answers nothing any more."""
        if self._command is not None:
            raise RuntimeError(f"{self._command} is in flight")
        self._command, self._deadline = command, now + command.timeout_s
        self._lines = []
        return (command.text + command.ending).encode("ascii")

    def abandon(self) -> None:
        """Forget the command in flight, and half a line: what comes belongs to no command."""
        self._command = None
        self._buffer.clear()
        self._is_skipping = False

    def tick(self, now: float) -> Answer | None:
        """The end of a command whose time is over."""
        if self._command is None or now < self._deadline:
            return None
        return self._end(Result.TIMED_OUT)

    def receive(self, data: bytes) -> list[Event]:
        """What the modem said with these bytes. A CONNECT is the last of it: what follows in
        ``data`` is not for us."""
        events: list[Event] = []
        for byte in data:
            if byte not in b"\r\n":
                self._take(byte)
                continue
            event = self._line()
            if event is None:
                continue
            if isinstance(event, Answer) and event.result is Result.CONNECT:
                return [*events, event]
            events.append(event)
        return events

    def _take(self, byte: int) -> None:
        if byte == 0 or self._is_skipping:
            return
        if len(self._buffer) >= MAX_LINE:
            self._buffer.clear()
            self._is_skipping = True
            return
        self._buffer.append(byte)

    def _line(self) -> Event | None:
        """The line that has just ended, if it says anything to us."""
        text = self._buffer.decode("ascii", "replace").strip()
        is_noise, self._is_skipping = self._is_skipping, False
        self._buffer.clear()
        if not text or is_noise:
            return None
        command = self._command
        if command is None:
            return None if text in _FINAL else Unsolicited(text)  # a late answer answers nothing
        if text == command.text:
            return None
        if command.prefix and text.upper().startswith(command.prefix.upper()):
            self._keep(text)
            return None
        if text in _FINAL:
            return self._end(_FINAL[text])
        if coded := _CODED.fullmatch(text):
            return self._end(Result.ERROR, coded[1])
        if _CONNECT.fullmatch(text):
            return self._end(Result.CONNECT, text)
        if command.has_information and not text.startswith(("+", "*", "^", "$")):
            self._keep(text)
            return None
        return Unsolicited(text)

    def _keep(self, text: str) -> None:
        if len(self._lines) < MAX_LINES:
            self._lines.append(text)

    def _end(self, result: Result, detail: str = "") -> Answer:
        assert self._command is not None
        answer = Answer(
            command=self._command, result=result, lines=tuple(self._lines), detail=detail
        )
        self._command = None
        return answer
