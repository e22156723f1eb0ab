"""Key events as the kernel writes them to ``/dev/input/event*`` (Linux, input/event-codes.rst).

Reading them needs no library and no more rights than opening the file.
"""

import errno
import fcntl
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from time import CLOCK_MONOTONIC

EVENT_64 = struct.Struct("<qqHHi")
EVENT_32 = struct.Struct("<LLHHi")
EVENT = EVENT_64 if struct.calcsize("l") == 8 else EVENT_32
"""``struct input_event``: two longs of time, type, code, value. A long is the program's own."""

EV_SYN, EV_KEY = 0, 1
SYN_REPORT, SYN_DROPPED = 0, 3
RELEASED, PRESSED, REPEATED = 0, 1, 2
KEY_PROG1 = 148
"""A key to which neither the kernel nor systemd-logind has an answer of its own."""

_EVIOCSCLOCKID = 0x400445A0
_KEY_BYTES = 96  # KEY_MAX is 0x2ff
_EVIOCGKEY = 0x80000000 | _KEY_BYTES << 16 | 0x4518


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEvent:
    """A key went down or up, at that second of the monotonic clock."""

    at: float
    is_down: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsLost:
    """The kernel's queue was full: how the key stands must be asked."""

    at: float


class EventReader:
    """Bytes in, the events of one key out; the bytes may be split anywhere.

    Repeats of a key that is held say nothing new. After a loss everything up to the next report
    belongs to it (Linux, input/event-codes.rst, "SYN_DROPPED").
    """

    def __init__(self, code: int, form: struct.Struct = EVENT) -> None:
        self._code = code
        self._form = form
        self._rest = b""
        self._is_losing = False

    def feed(self, data: bytes) -> Iterator[KeyEvent | EventsLost]:
        data = self._rest + data
        whole = len(data) - len(data) % self._form.size
        self._rest = data[whole:]
        for seconds, micros, kind, code, value in self._form.iter_unpack(data[:whole]):
            at = seconds + micros / 1e6
            if kind == EV_SYN and code == SYN_DROPPED:
                self._is_losing = True
            elif self._is_losing:
                if kind == EV_SYN and code == SYN_REPORT:
                    self._is_losing = False
                    yield EventsLost(at=at)
            elif kind == EV_KEY and code == self._code and value in (PRESSED, RELEASED):
                yield KeyEvent(at=at, is_down=value == PRESSED)


def use_monotonic_clock(descriptor: int) -> None:
    """Let the events tell monotonic time, so that no setting of the clock makes a short press a
    long one. A pipe, as in tests, tells what was written into it."""
    try:
        fcntl.ioctl(descriptor, _EVIOCSCLOCKID, struct.pack("i", CLOCK_MONOTONIC))
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EINVAL):
            raise


def is_key_down(descriptor: int, code: int) -> bool:
    """How the key stands now; up, where nobody can tell."""
    state = bytearray(_KEY_BYTES)
    try:
        fcntl.ioctl(descriptor, _EVIOCGKEY, state)
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EINVAL):
            raise
        return False
    return bool(state[code // 8] >> code % 8 & 1)
