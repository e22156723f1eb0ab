"""What the service manager is told: ready, stopping, one line of status, and that we are alive.

The protocol is a datagram of ``NAME=value`` lines (systemd, sd_notify(3)); without a service
manager nothing is sent.
"""

import contextlib
import os
import socket
from collections.abc import MutableMapping

from device.log import event
from engine import Clock

WATCHDOG_SHARE = 3
"""The watchdog is fed so many times in its period."""


class ServiceManager:
    """The way to the service manager. Telling it something never waits and never fails."""

    def __init__(self, address: str = "", *, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        """How long it waits for a sign of life; None: for ever."""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._status = ""
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> "ServiceManager":
        """What ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC`` say. They are taken away: what we start is
        not the service."""
        address = environment.pop("NOTIFY_SOCKET", "")
        period, process = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        is_ours = not process or process == str(os.getpid())
        watchdog_s = int(period) / 1e6 if period.isdecimal() and int(period) and is_ours else None
        return cls(address if address[:1] in ("/", "@") else "", watchdog_s=watchdog_s)

    def ready(self) -> None:
        self._send("READY=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``; what it knows already is not sent again."""
        line = " ".join(text.split())
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def extend_timeout(self, seconds: float) -> None:
        """The start or the stop takes longer: do not give us up for so long."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, line: str) -> None:
        if self._socket is None:
            return
        with contextlib.suppress(OSError):  # busy or gone: the watchdog's next feeding tells it
            self._socket.sendto(line.encode(), self._address)


class Pulse:
    """Whether a part lives: it says how long what it has begun may take, and when it is done.

    A part that waits for something to happen is alive however long that takes.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.detail = ""
        """Why it is degraded, for a person; empty while it is not."""
        self.is_running = True
        self.is_done = False
        """It has ended for good, because there is nothing for it to do."""
        self.heard_at = clock.monotonic()
        self._clock = clock
        self._due: float | None = None

    def begin(self, limit_s: float) -> None:
        """Work has begun that must end, or begin anew, within ``limit_s``."""
        self.heard_at = self._clock.monotonic()
        self._due = self.heard_at + limit_s

    def rest(self) -> None:
        """The work is done; now it waits for something to happen."""
        self.heard_at = self._clock.monotonic()
        self._due = None

    def degraded(self, detail: str) -> None:
        """The part goes on with less: ``detail`` says why; empty: all is well again."""
        if detail != self.detail:
            self.detail = detail
            event("part.degraded" if detail else "part.well", part=self.name, detail=detail)

    @property
    def is_overdue(self) -> bool:
        """The work has not ended in its time: it hangs."""
        return self._due is not None and self._clock.monotonic() > self._due
