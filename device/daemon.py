"""``fieldsyncd``: keeps the offline maps of a device in step, shows how it is, answers on a socket.

One process, one event loop, no root. Its parts are kept alive one by one; the end, asked for by
SIGTERM, SIGINT or SIGHUP, comes in good order from wherever they are.
"""

from device import light_imports  # noqa: F401, I001 (before all that loads much)

import asyncio
import gc
import logging
import os
import random
import signal
import sys
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from device.api.access import Access
from device.api.server import ApiServer
from device.config import Config, credentials
from device.edit_watch import EditWatch
from device.governor import Governor
from device.kept_credentials import KeptCredentials
from device.kept_map import KeptMap
from device.links.bound_loop import BoundLoop
from device.listening import group_id, listening, refuse_waiting
from device.log import event, set_up
from device.memory import forget_annotations, share_one_heap, trim
from device.notify import Pulse, ServiceManager
from device.parts import Parts
from device.policy.budgets import Budgets
from device.policy.policy import Policy
from device.runs import Runner
from device.socket_appliance import SocketAppliance
from device.state import State, StateInUseError
from device.wiring import Hardware, hardware, rules
from engine import ArcGISCredentialStore, Clock, EngineError, SystemClock

STOP_LIMIT_S = 18.0
"""The service manager gives up after 20 s. Nothing is lost by an earlier end; it is unclean."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Wire = Callable[[Config, Clock], Hardware]


def main(arguments: Sequence[str] | None = None, *, wire: Wire | None = None) -> int:
    """Run until a signal says otherwise; the exit code. ``wire`` gives what it is wired to."""
    path, is_check = _options(sys.argv[1:] if arguments is None else arguments)
    try:
        config = Config.read(path)
        if is_check:
            credentials(config.device)
            return 0
        wire = wire or partial(hardware, configuration=path.absolute())
        return run(config, SystemClock(), os.environ, wire=wire)
    except EngineError as error:
        print(f"<3>{error}" if "JOURNAL_STREAM" in os.environ else str(error), file=sys.stderr)
        refuse_waiting(os.environ, error)
        return int(error.exit_code)


def _options(words: Sequence[str]) -> tuple[Path, bool]:
    """The configuration, and whether it is only to be checked."""
    if len(words) == 2 and words[0] == "--config" and not words[1].startswith("-"):
        return Path(words[1]), False
    import argparse  # 0.4 MB, which a daemon that its unit starts does not need

    parser = argparse.ArgumentParser(prog="fieldsyncd", description=__doc__)
    parser.add_argument(
        "--config", type=Path, required=True, metavar="F", help="the configuration (docs/device.md)"
    )
    parser.add_argument("--check", action="store_true", help="only check the configuration")
    options = parser.parse_args(words)
    return options.config, options.check


def run(
    config: Config, clock: Clock, environment: MutableMapping[str, str], *, wire: Wire = hardware
) -> int:
    """Run the daemon in this process until it is told to end. :exc:`EngineError` if it cannot
    begin."""
    share_one_heap()
    manager = ServiceManager.from_environment(environment)
    sign_in = KeptCredentials(config.device, environment)
    set_up(clock, config.device.log_level.value, sign_in.secrets)

    async def supervised() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        heard = {*STOP_SIGNALS}
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup(1) wants that
            heard.remove(signal.SIGHUP)
        for number in heard:
            loop.add_signal_handler(number, _stop, task, manager, loop)
        daemon = Daemon(
            config,
            clock,
            manager,
            wire(config, clock),
            sign_in.store,
            sign_in_mark=lambda: sign_in.mark,
        )
        try:
            await daemon.run(environment)
        finally:
            for number in heard:
                loop.remove_signal_handler(number)

    try:
        with asyncio.Runner(loop_factory=BoundLoop) as runner:
            runner.run(supervised())
    except asyncio.CancelledError:
        return 0
    finally:
        manager.close()
    return 0


def _stop(
    task: "asyncio.Task[None]", manager: ServiceManager, loop: asyncio.AbstractEventLoop
) -> None:
    """The first signal ends everything in good order; if that takes too long, without."""
    if not task.cancelling():
        event("daemon.stopping")
        manager.stopping()
        loop.call_later(STOP_LIMIT_S, _give_up)
    task.cancel()


def _give_up() -> None:
    event("daemon.abandoned", logging.ERROR, seconds=STOP_LIMIT_S)
    logging.shutdown()
    os._exit(1)


class Daemon:
    """All parts of the device, put together."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        manager: ServiceManager,
        wired: Hardware,
        sign_in: Callable[[], ArcGISCredentialStore],
        *,
        sign_in_mark: Callable[[], str | None] = lambda: None,
        rng: random.Random | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._manager = manager
        self._wired = wired
        self.state = State(config.device.state, clock)
        self.state.load()
        self._maps = [KeptMap(one) for one in config.maps]
        by_rules = rules(config, may_bind=wired.bind is not None)
        budgets = Budgets(by_rules, self.state, clock=clock)
        self._links = wired.links()
        self._policy = Policy(
            by_rules,
            budgets,
            clock=clock,
            rng=rng or random.Random(),
            read_conditions=wired.read_conditions,
            sign_in_mark=sign_in_mark,
        )
        self.governor = Governor(
            config,
            clock=clock,
            policy=self._policy,
            budgets=budgets,
            stored=self.state,
            lamps=wired.lamps,
            links=self._links,
            manager=manager,
            maps=self._maps,
            modem=wired.modem,
            clock_watch=wired.clock_watch,
            runner=lambda governor: Runner(
                clock=clock,
                sign_in=sign_in,
                events=governor.events,
                counters=wired.counters,
                spend=budgets.spend,
                is_clock_trusted=lambda: self._policy.is_clock_trusted,
                witness=wired.clock_watch.witnessed,
                bind=wired.bind or (lambda interface: None),
                moved=governor.moved,
                must_stop=governor.must_stop,
            ),
        )
        self.parts = self._make_parts()
        modem = wired.modem
        self.appliance = SocketAppliance(
            self.governor,
            self.parts,
            modem=lambda: None if modem is None else modem.status(),
            clock_watch=wired.clock_watch,
            traffic=wired.counters.totals,
        )

    def _make_parts(self) -> Parts:
        parts, wired = Parts(self._clock, self._manager), self._wired
        parts.add("state", self._keep_state)
        parts.add("lamps", wired.lamps.run)
        parts.add("links", self._watch_links)
        parts.add("maps", self.governor.look_at_all)
        self.governor.pulse = parts.add("sync", self.governor.govern)
        if self._config.sync.watch_edits and self._maps:
            watch = EditWatch(self._maps, self.governor.look, self._clock)
            pulse = parts.add("edits", lambda: watch.run(pulse))
        if wired.button is not None:
            button = parts.add("button", lambda: self._hear_button(button))
        if wired.modem is not None:
            wired.modem.on_change = self.governor.modem_changed
            parts.add("modem", wired.modem.run)
        return parts

    async def run(self, environment: MutableMapping[str, str]) -> None:
        """Until cancelled."""
        config = self._config
        async with AsyncExitStack() as stack:
            self._begin(stack)
            handed = stack.enter_context(listening(config.socket, environment))
            access = Access(group=group_id(config.socket.group))
            await stack.enter_async_context(
                ApiServer(self.appliance, handed, clock=self._clock, access=access)
            )
            forget_annotations()
            trim()
            gc.freeze()
            self._manager.ready()
            event("daemon.ready", maps=len(self._maps), socket=config.socket.path)
            try:
                await self.parts.run()
            finally:
                self.governor.is_stopping = True

    def _begin(self, stack: AsyncExitStack) -> None:
        """Note that we run. A state that cannot be written stops nothing, and is shown."""
        try:
            self.state.begin()
        except StateInUseError:
            raise
        except EngineError as error:
            event("state.unwritable", logging.ERROR, error=error.message)
        if not self.state.was_clean:
            event("stop.unclean", logging.WARNING)
        self.governor.restore()
        stack.callback(self._end)

    def _end(self) -> None:
        self.governor.pause.stop()
        try:
            self.state.end()
        except EngineError as error:
            event("state.unwritable", logging.ERROR, error=error.message)
        event("daemon.stopped")

    async def _keep_state(self) -> None:
        try:
            await self.state.run()
        except EngineError:
            self.governor.wake()  # the lamps tell it
            raise

    async def _watch_links(self) -> None:
        async with self._links as links:
            async for found in links.changes():
                self.governor.links_changed(found)

    async def _hear_button(self, pulse: Pulse) -> None:
        assert self._wired.button is not None
        lamps = self._wired.lamps
        button = self._wired.button(lamps.acknowledge_press, lamps.show_held)
        button.on_problem = pulse.degraded
        async for gesture in button.gestures():
            self.governor.pressed(gesture)


if __name__ == "__main__":
    sys.exit(main())
