"""The daemon's side of the modem: asks for a link when one is wanted, and tells how it is.

It never opens the port itself. In direct mode the dialler (:mod:`device.modem.dialler`) does, which
the service manager starts because of the file ``dial``, or which runs as our child. In managed mode
ModemManager has the modem, and the link shows among the others by itself.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from device.api.status import ModemStatus
from device.config import ModemConfig, ModemHelper, ModemMode
from device.links.classes import Classifier
from device.log import event
from device.model import LinkClass
from device.modem.child import end_child
from device.modem.pppd import INTERFACE, STOP_S
from device.modem.report import REPORT_NAME, REQUEST_NAME, Phase, Report
from device.modem.status import Registration
from device.waiting import until_set
from engine import Clock

LOOK_S = 2.0
"""How often the report is looked at while a link is wanted; at rest nobody looks."""
AGAIN_S = 3600.0
"""What needs a person, and that the network is foreign, may be otherwise after so long: devices
travel, and not everybody who mends something presses the button."""
CHILD_EVERY_S = 10.0
"""A dialler that dies at once is started at most so often."""
CHILD_STOP_S = STOP_S + 5.0


class ModemPart:
    """Asks for a link through the modem: :meth:`want`, :meth:`run` for as long as the daemon."""

    def __init__(
        self,
        config: ModemConfig,
        *,
        clock: Clock,
        folder: Path,
        configuration: Path,
        classifier: Classifier,
        child: Sequence[str] | None = None,
        on_clock: Callable[[datetime], object] = lambda _: None,
    ) -> None:
        """``on_clock`` is told what time it is by the network, soon after it said so."""
        self._config = config
        self._clock = clock
        self._folder = folder
        classifier.is_roaming = self._is_link_roaming
        self._on_clock = on_clock
        self._command = child or (
            sys.executable,
            "-m",
            "device.modem.dialler",
            "--config",
            str(configuration),
        )
        self._child: asyncio.subprocess.Process | None = None
        self._child_at = float("-inf")
        self._is_wanted = False
        self._unwanted_at: float | None = None
        self._changed = asyncio.Event()
        self._report: Report | None = None
        self._is_abroad = False
        self._believed_until: float | None = None
        self.on_change: Callable[[], None] = lambda: None
        """Called when what is told of the modem is another."""

    interfaces = frozenset({INTERFACE})
    """Those of its links."""

    # --- what the daemon asks ---------------------------------------------------------------------

    def want(self, is_wanted: bool) -> None:
        """Whether there is something to be done over it. It hangs up when there was nothing for
        ``modem.idle_s``."""
        if self._config.mode is not ModemMode.DIRECT or is_wanted == self._is_wanted:
            return
        self._is_wanted = is_wanted
        self._unwanted_at = None if is_wanted else self._clock.monotonic()
        self._changed.set()

    def pressed(self) -> None:
        """A person asks: what stopped the dialler may be mended, so it is started again."""
        if self.needs_person:
            self._try_anew()
            self._changed.set()

    @property
    def link_class(self) -> LinkClass:
        """What its link costs, or will as far as is known."""
        return LinkClass.ROAMING if self._is_abroad else LinkClass.CELLULAR

    @property
    def is_searching(self) -> bool:
        """Whether it dials, or looks for its network."""
        report = self._report
        is_dialled = report is not None and report.phase in (Phase.DIALLED, Phase.STOPPED)
        return self._is_wanted and not is_dialled

    @property
    def needs_person(self) -> bool:
        return self._report is not None and self._report.phase is Phase.STOPPED

    def status(self) -> ModemStatus | None:
        """What is known of the modem; None if the device has none."""
        mode = self._config.mode
        if mode is ModemMode.NONE:
            return None
        if mode is ModemMode.MANAGED:
            return ModemStatus(mode=mode.value, state="ModemManager has it")
        report = self._report
        if report is None:
            state = "dialling" if self._is_wanted else "not needed"
            return ModemStatus(mode=mode.value, state=state)
        known = report.status
        return ModemStatus(
            mode=mode.value,
            state=report.message or report.phase.value,
            sim=known.sim.value,
            operator=known.operator or None,
            registration=known.registration.value,
            signal_dbm=known.signal_dbm,
            is_roaming=known.registration is Registration.ROAMING,
        )

    # --- doing it ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled; then it hangs up."""
        if self._config.mode is not ModemMode.DIRECT:
            return
        self._unask()
        self._drop_report()
        try:
            while True:
                self._changed.clear()
                await self._step()
                await until_set(self._changed, self._clock, self._next_look())
        finally:
            self._unask()
            await self._stop_child()

    async def _step(self) -> None:
        now = self._clock.monotonic()
        if self._believed_until is not None and now >= self._believed_until:
            self._try_anew()
        if self._is_wanted:
            self._look()  # first: what has just stopped is not asked for again
            if not self.needs_person:
                await self._ask()
        elif self._unwanted_at is not None and now >= self._unwanted_at + self._config.idle_s:
            self._unwanted_at = None
            event("modem.hangs_up")
            self._unask()
            await self._stop_child()
            if not self.needs_person:
                self._drop_report()
                self._tell(None)
        elif self._unwanted_at is not None:
            self._look()

    def _next_look(self) -> float | None:
        moments = [self._believed_until]
        if self._is_wanted and not self.needs_person:
            moments.append(self._clock.monotonic() + LOOK_S)
        if self._unwanted_at is not None:
            moments.append(self._unwanted_at + self._config.idle_s)
        return min((moment for moment in moments if moment is not None), default=None)

    async def _ask(self) -> None:
        request = self._folder / REQUEST_NAME
        if not request.exists():
            event("modem.dials", port=self._config.port)
            request.touch()
        if self._config.helper is not ModemHelper.CHILD:
            return
        now = self._clock.monotonic()
        is_dead = self._child is None or self._child.returncode is not None
        if is_dead and now >= self._child_at + CHILD_EVERY_S:
            self._child_at = now
            self._child = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL
            )

    def _unask(self) -> None:
        (self._folder / REQUEST_NAME).unlink(missing_ok=True)

    def _drop_report(self) -> None:
        (self._folder / REPORT_NAME).unlink(missing_ok=True)

    def _try_anew(self) -> None:
        """Believe no longer what stands in the way of dialling."""
        if self._report is not None and self._report.phase is Phase.DIALLED:
            self._believed_until = self._clock.monotonic() + AGAIN_S  # it is so
            return
        self._believed_until, self._is_abroad = None, False
        if self.needs_person:
            self._report = None
            self._drop_report()
        self.on_change()

    def _is_link_roaming(self) -> bool:
        """Reads the report, since the link may be up before anybody looked at that."""
        report = Report.read(self._folder)
        return report is not None and report.status.registration is Registration.ROAMING

    async def _stop_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await end_child(child, self._clock, CHILD_STOP_S)

    def _look(self) -> None:
        self._tell(Report.read(self._folder) or self._report)

    def _tell(self, report: Report | None) -> None:
        if report == self._report:
            return
        self._report = report
        if report is not None:
            self._learn(report)
            level = logging.WARNING if report.phase is Phase.STOPPED else logging.INFO
            event("modem.reports", level, phase=report.phase.value, message=report.message)
            if report.phase is Phase.STOPPED:
                self._unask()
        self.on_change()

    def _learn(self, report: Report) -> None:
        network, moment = report.status.registration, report.status.clock
        if network.is_registered:
            self._is_abroad = network is Registration.ROAMING
        is_held_up = self._is_abroad or report.phase is Phase.STOPPED
        self._believed_until = self._clock.monotonic() + AGAIN_S if is_held_up else None
        if report.phase is Phase.DIALLED and moment is not None:
            self._on_clock(moment)
