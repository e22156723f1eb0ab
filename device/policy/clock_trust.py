"""Whether the time of day is known. Nothing is timed with it; it ends the day of a budget, and it
tells whether a certificate that is out of date is the service's fault or the clock's.

The rule: somebody who knows has set or confirmed it since the device started, and it has not been
set otherwise since. A clock on the board that keeps time while the power is off is only believed
once a time server has confirmed it.
"""

import ctypes
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from device.model import ClockTrust
from engine import Clock

SYNC_FILE = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd makes it when it has set the clock (systemd-timesyncd.service(8), FILES)."""
PROCESS_STATUS = Path("/proc/self/status")
AGREEMENT_S = 120.0
"""So close counts as the same time: the network of a modem tells it to the second, and late."""
STEP_S = 60.0
STEP_PER_S = 0.001
"""A clock that nobody disciplines loses or gains less than that."""

_TIME_ERROR = 5
_TIMEX_BYTES = 256  # struct timex has 208 at most; all zeros only ask


def kernel_is_synchronised() -> bool | None:
    """Whether a time server disciplines the clock, as the kernel sees it: it forgets some hours
    after the last correction (adjtimex(2), ``STA_UNSYNC``).

    None if it may not be asked. Behind a filter of system calls nobody knows that without trying,
    and trying may end the process (seccomp(2)), so there it is not asked.
    """
    try:
        if not re.search(r"^Seccomp:\s*0$", PROCESS_STATUS.read_text(), re.MULTILINE):
            return None
    except OSError:
        return None
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(
            ctypes.create_string_buffer(_TIMEX_BYTES)
        )
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


class ClockWatch:
    """Watches who vouches for the wall clock.

    ``sync_file`` is there when a time server has set it, for where the kernel may not be asked.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        sync_file: Path = SYNC_FILE,
        kernel: Callable[[], bool | None] = kernel_is_synchronised,
    ) -> None:
        self._clock = clock
        self._sync_file = sync_file
        self._kernel = kernel
        self._trust = ClockTrust.NONE
        self._seen = (clock.monotonic(), clock.now())

    def look(self) -> ClockTrust:
        """Who vouches for it now. Costs next to nothing; to be asked at each decision."""
        was_set = self._was_set()
        if self._is_disciplined():
            self._trust = ClockTrust.NTP
        elif was_set:
            self._trust = ClockTrust.NONE
        return self._trust

    def told(self, moment: datetime) -> ClockTrust:
        """The mobile network says that it is ``moment``. This sets nothing: if the wall clock says
        the same, it is trusted, and if it says otherwise and nobody better vouches for it, not."""
        self.look()
        if self._trust is not ClockTrust.NTP:
            is_so = abs((self._clock.now() - moment).total_seconds()) <= AGREEMENT_S
            self._trust = ClockTrust.MODEM if is_so else ClockTrust.NONE
        return self._trust

    def _is_disciplined(self) -> bool:
        return self._sync_file.exists() or self._kernel() is True

    def _was_set(self) -> bool:
        """True if it was set since the last look: it went otherwise than the monotonic clock."""
        before, told = self._seen
        now, moment = self._clock.monotonic(), self._clock.now()
        self._seen = (now, moment)
        passed = now - before
        step = abs((moment - told).total_seconds() - passed)
        return step > STEP_S + passed * STEP_PER_S
