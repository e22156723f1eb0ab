"""The parts of the daemon, each kept alive: one that fails is started again, and the others go on.

A lamp that cannot be lit must not stop a sync. What fails again and again is tried ever more
rarely, and its reason is shown meanwhile.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from device.log import event
from device.notify import WATCHDOG_SHARE, Pulse, ServiceManager
from engine import Clock, EngineError

RESTART_S, LONGEST_RESTART_S = 1.0, 300.0
STEADY_S = 60.0
"""What ran for so long is started again as if it had not failed before."""

Work = Callable[[], Awaitable[None]]


class Parts:
    """The parts and their pulses. :meth:`run` keeps them until it is cancelled."""

    def __init__(self, clock: Clock, manager: ServiceManager) -> None:
        self._clock = clock
        self._manager = manager
        self._work: list[tuple[Pulse, Work]] = []
        self._is_told_overdue = False

    def add(self, name: str, work: Work) -> Pulse:
        """Another part: ``work`` runs for as long as the daemon does."""
        pulse = Pulse(name, self._clock)
        self._work.append((pulse, work))
        return pulse

    @property
    def pulses(self) -> list[Pulse]:
        """Those of the parts that run, or shall; what had nothing to do on this device is none."""
        return [pulse for pulse, _ in self._work if not pulse.is_done]

    @property
    def is_alive(self) -> bool:
        """True unless a part hangs. A part that is being started again does not: it is known."""
        return not any(pulse.is_overdue for pulse in self.pulses)

    async def run(self) -> None:
        """Run all of them; the watchdog is fed as long as none hangs."""
        async with asyncio.TaskGroup() as group:
            for pulse, work in self._work:
                group.create_task(self._keep(pulse, work), name=pulse.name)
            if self._manager.watchdog_s is not None:
                group.create_task(self._feed(self._manager.watchdog_s), name="watchdog")

    async def _keep(self, pulse: Pulse, work: Work) -> None:
        pause_s = RESTART_S
        while True:
            began = self._clock.monotonic()
            pulse.is_running, pulse.detail = True, ""
            try:
                await work()
                pulse.is_done = True  # it has nothing to do on this device
                return
            except Exception as error:
                known = isinstance(error, EngineError | OSError)
                pulse.detail = str(error) or type(error).__name__
                event(
                    "part.failed",
                    logging.WARNING if known else logging.ERROR,
                    part=pulse.name,
                    error=pulse.detail,
                )
                if not known:
                    logging.getLogger(__name__).exception("%s failed", pulse.name)
            finally:
                pulse.is_running = False
                pulse.rest()
            if self._clock.monotonic() - began >= STEADY_S:
                pause_s = RESTART_S
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_RESTART_S)

    async def _feed(self, watchdog_s: float) -> None:
        while True:
            overdue = [pulse.name for pulse in self.pulses if pulse.is_overdue]
            if not overdue:
                self._manager.alive()
            elif not self._is_told_overdue:
                self._is_told_overdue = True
                event("watchdog.starved", logging.ERROR, parts=",".join(overdue))
            await self._clock.sleep(watchdog_s / WATCHDOG_SHARE)
