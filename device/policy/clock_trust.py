"""Whether the time of day is known. Nothing is timed with it; it ends the day of a budget, and it
tells whether a certificate that is out of date is the service's fault or the clock's.

The rule: somebody who knows has set or confirmed it since the device started, and it has not been
set otherwise since. A clock on the board that keeps time while the power is off is only believed
once somebody has confirmed it.

Nobody here sets the clock. A time that was heard is compared with it: if they agree, the clock is
trusted; if not, by how much it is wrong is told. An answer of a service counts only if its
certificate held: what anybody on the way can write is no witness.
"""

import ctypes
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from device.log import event
from device.model import ClockError, ClockTrust
from engine import Clock, ServiceTime

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


def built_at() -> datetime:
    """When this software was put on the device, at the latest: it cannot be earlier now."""
    return datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)


class ClockWatch:
    """Watches who vouches for the wall clock.

    ``sync_file`` is there when a time server has set it, for where the kernel may not be asked.
    ``earliest``: it cannot be earlier than that now.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        sync_file: Path = SYNC_FILE,
        kernel: Callable[[], bool | None] = kernel_is_synchronised,
        earliest: datetime | None = None,
    ) -> None:
        self._clock = clock
        self._sync_file = sync_file
        self._kernel = kernel
        self._earliest = earliest
        self._trust = ClockTrust.NONE
        self._heard: dict[ClockTrust, tuple[datetime, float]] = {}
        self._seen = (clock.monotonic(), clock.now())

    def look(self) -> ClockTrust:
        """Who vouches for it now. Costs next to nothing; to be asked at each decision."""
        was_set = self._was_set()
        if self._is_disciplined():
            self._trust = ClockTrust.NTP
        elif was_set or self._trust is not ClockTrust.NTP:
            witness, error_s = self._witness()
            agrees = error_s is not None and abs(error_s) <= self._tolerance_s(witness)
            self._trust = witness if agrees else ClockTrust.NONE
        return self._trust

    def told(self, moment: datetime) -> ClockTrust:
        """The mobile network says that it is ``moment``."""
        return self._hear(ClockTrust.MODEM, moment, self._clock.monotonic())

    def witnessed(self, told: ServiceTime) -> ClockTrust:
        """A service said what time it is, over TLS that was verified."""
        return self._hear(ClockTrust.SERVICE, told.moment, told.at)

    def cannot_be_before(self, moment: datetime) -> None:
        """It was so late already when the clock was last trusted."""
        self._earliest = max(moment, self._earliest or moment)

    @property
    def error(self) -> ClockError | None:
        """By how much the clock is wrong, if that is known. None while it is trusted."""
        if self.look() is not ClockTrust.NONE:
            return None
        witness, error_s = self._witness()
        if error_s is not None:
            return ClockError(seconds=error_s, is_at_least=False, told_by=witness)
        if self._earliest is None:
            return None
        behind_s = (self._earliest - self._clock.now()).total_seconds()
        if behind_s <= AGREEMENT_S:
            return None
        return ClockError(seconds=-behind_s, is_at_least=True, told_by=ClockTrust.NONE)

    def _hear(self, witness: ClockTrust, moment: datetime, at: float) -> ClockTrust:
        is_first = witness not in self._heard
        self._heard[witness] = (moment, at)
        trust, error = self.look(), self.error
        if is_first and error is not None:
            event("clock.wrong", 30, told_by=witness.value, seconds=error.seconds)
        return trust

    def _witness(self) -> tuple[ClockTrust, float | None]:
        """(the best witness, by how much the clock differs from what it said)."""
        for witness in (ClockTrust.SERVICE, ClockTrust.MODEM):
            if witness in self._heard:
                moment, at = self._heard[witness]
                passed = timedelta(seconds=self._clock.monotonic() - at)
                return witness, (self._clock.now() - moment - passed).total_seconds()
        return ClockTrust.NONE, None

    def _tolerance_s(self, witness: ClockTrust) -> float:
        _, at = self._heard[witness]
        return AGREEMENT_S + (self._clock.monotonic() - at) * STEP_PER_S

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
