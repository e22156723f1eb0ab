"""What pppd says while it runs: it goes into the log, and some of it tells more than the exit code.

pppd's code for a refused password is lost when the line goes down right after, as it mostly does:
then it ends with 16, "the modem hung up". The words are those of its sources.
"""

import asyncio
import os
import re
from types import TracebackType
from typing import Self

from device.log import event

MAX_LINE = 1024
READ_BYTES = 4096
_REFUSED = re.compile(r"\b(PAP|CHAP|EAP) authentication failed\b")


class PppdOutput:
    """A pipe whose other end, :attr:`writing`, is pppd's standard output. A context manager, which
    does not wait for programs that pppd leaves behind and that have it open, too."""

    def __init__(self) -> None:
        self.was_refused = False
        """Whether the network took user and password for wrong ones."""
        self._reading, self.writing = os.pipe()
        self._line = bytearray()

    def __enter__(self) -> Self:
        os.set_blocking(self._reading, False)
        asyncio.get_running_loop().add_reader(self._reading, self._readable)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._reading)
        self.handed_over()
        while self._read():  # until there is nothing, or nothing now
            pass
        self._say()
        os.close(self._reading)

    def handed_over(self) -> None:
        """pppd has its end: ours is closed."""
        if self.writing >= 0:
            os.close(self.writing)
            self.writing = -1

    def _readable(self) -> None:
        if self._read() is False:
            asyncio.get_running_loop().remove_reader(self._reading)

    def _read(self) -> bool | None:
        """False at its end, None if there is nothing now."""
        try:
            data = os.read(self._reading, READ_BYTES)
        except BlockingIOError:
            return None
        for byte in data:
            if byte == 10:
                self._say()
            elif len(self._line) < MAX_LINE:
                self._line.append(byte)
        return bool(data)

    def _say(self) -> None:
        text = self._line.decode("utf-8", "replace").strip()
        self._line.clear()
        if text:
            self.was_refused |= _REFUSED.search(text) is not None
            event("modem.pppd", message=text)
