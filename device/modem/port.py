"""The line to a modem: a serial port that pyserial opens, or the terminal that pppd hands over.

The event loop reads and writes; pyserial's own reading blocks or polls. A port that is pulled out
shows as end of file or as an error of input or output; its reader is taken away first, since the
loop would call it for ever.
"""

import asyncio
import math
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from device.modem.at import Answer, Command, Dialogue, Result, Unsolicited
from device.modem.status import ModemStatus
from device.modem.steps import Pause
from device.waiting import until_set
from engine import Clock

READ_BYTES = 4096
UNSOLICITED = 32
"""How many unsolicited lines are kept until somebody looks."""
RESYNC_AFTER = 3
"""Time-outs in a row until half a command line, if the modem has one, is given up."""


class PortLost(Exception):
    """The port is gone, or it cannot be opened; the message says which and why."""


@contextmanager
def opened(path: Path, baud: int, *, locks: Path = Path("/var/lock")) -> Iterator[int]:
    """The port's descriptor, ours alone while it is open. :exc:`PortLost` if it cannot be had."""
    import serial  # what pppd runs has its port already, and is to start fast

    with _locked(path, locks):
        try:
            port = serial.Serial(str(path), baud, timeout=0, exclusive=True)
        except (serial.SerialException, OSError, ValueError) as error:
            raise PortLost(f"{path} cannot be opened: {_reason(error)}") from error
        try:
            yield port.fileno()
        finally:
            with suppress(OSError, serial.SerialException):
                port.close()


@contextmanager
def _locked(path: Path, folder: Path) -> Iterator[None]:
    """Programs that dial lock a port by a file with their number in it (FHS 3.0, 5.9): root opens
    what another program has for itself. Where no such file can be made, it goes on without."""
    lock = folder / f"LCK..{path.resolve().name}"
    holder = _holder(lock)
    if holder is not None:
        raise PortLost(f"{path} cannot be opened: process {holder} has locked it")
    is_made = False
    with suppress(OSError):
        lock.unlink(missing_ok=True)  # of a program that is gone
        with open(lock, "x", encoding="ascii") as stream:
            is_made = True
            stream.write(f"{os.getpid():10}\n")
    try:
        yield
    finally:
        if is_made:
            lock.unlink(missing_ok=True)


def _holder(lock: Path) -> int | None:
    """The process that has the lock, if it lives."""
    try:
        number = int(lock.read_text(encoding="ascii"))
        os.kill(max(number, 1), 0)
    except PermissionError:
        return number
    except (OSError, ValueError, OverflowError):
        return None
    return number if number > 0 else None


class Line:
    """One command at a time, over open descriptors. An async context manager; closes nothing."""

    def __init__(self, reading: int, writing: int, clock: Clock, *, name: str) -> None:
        self._reading = reading
        self._writing = writing
        self._clock = clock
        self._name = name
        self._dialogue = Dialogue()
        self._answer: Answer | None = None
        self._is_over = asyncio.Event()
        """The command in flight has its answer, or the port is gone."""
        self._timeouts = 0
        self._lost = ""
        self._was_blocking: dict[int, bool] = {}
        self.unsolicited: list[str] = []

    async def __aenter__(self) -> Self:
        self._was_blocking = {n: os.get_blocking(n) for n in (self._reading, self._writing)}
        for number in self._was_blocking:
            os.set_blocking(number, False)
        asyncio.get_running_loop().add_reader(self._reading, self._readable)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lose("it was closed")
        for number, was_blocking in self._was_blocking.items():
            with suppress(OSError):  # pulled out
                os.set_blocking(number, was_blocking)  # pppd has the same open file

    async def run(
        self, steps: Generator[Command | Pause, Answer | None, ModemStatus]
    ) -> ModemStatus:
        """Go through the steps; what they return or raise. :exc:`PortLost` if the port is gone."""
        answer: Answer | None = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                found: ModemStatus = end.value
                return found
            if isinstance(step, Pause):
                await self._clock.sleep(step.seconds)
                answer = None
            else:
                answer = await self.ask(step)

    async def ask(self, command: Command) -> Answer:
        """One command and its answer. A modem that is silent three times gets an escape first."""
        if self._timeouts >= RESYNC_AFTER:
            self._timeouts = 0
            await self._write(b"\x1b\r")
        self._answer = None
        self._is_over.clear()
        data = self._dialogue.send(command, self._clock.monotonic())
        try:
            await self._write(data)
            answer = await self._end()
        except BaseException:
            self._dialogue.abandon()
            raise
        self._timeouts = self._timeouts + 1 if answer.result is Result.TIMED_OUT else 0
        return answer

    async def _end(self) -> Answer:
        await until_set(self._is_over, self._clock, self._dialogue.deadline)
        if self._answer is not None:
            return self._answer
        if self._lost:
            raise PortLost(self._lost)
        late = self._dialogue.tick(math.inf)  # a clock may wake a little early
        assert late is not None
        return late

    async def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            if self._lost:
                raise PortLost(self._lost)
            try:
                left = left[os.write(self._writing, left) :]
            except BlockingIOError:
                await self._writable()
            except OSError as error:
                self._lose(_reason(error))

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(self._writing, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self._writing)

    def _readable(self) -> None:
        try:
            # What comes after a CONNECT is for pppd: it is left in the port.
            size = 1 if self._dialogue.may_begin_data else READ_BYTES
            data = os.read(self._reading, size)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(_reason(error))
            return
        if not data:
            self._lose("it was pulled out")
            return
        for event in self._dialogue.receive(data):
            if isinstance(event, Unsolicited):
                self.unsolicited = [*self.unsolicited[1 - UNSOLICITED :], event.text]
                continue
            if event.result is Result.CONNECT:
                asyncio.get_running_loop().remove_reader(self._reading)
            self._answer = event
            self._is_over.set()

    def _lose(self, why: str) -> None:
        if self._lost:
            return
        self._lost = f"{self._name} is gone: {why}"
        asyncio.get_running_loop().remove_reader(self._reading)
        self._is_over.set()


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error)
