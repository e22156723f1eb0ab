"""Keeps a link through the modem for as long as one is wanted. Runs pppd, so it runs as root.

It is started when the daemon asks, and ends when the daemon does not want a link any more: then
the file ``dial`` in the runtime folder is gone, or it gets a SIGTERM.
"""

import argparse
import asyncio
import logging
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from device.config import Config
from device.log import event, set_up
from device.modem import pppd
from device.modem.pppd import Ending
from device.modem.report import REQUEST_NAME, RESTART_NAME, Phase, Report
from device.modem.secrets import ModemSecrets, ModemSecretsError
from device.modem.steps import Cause
from device.waiting import until_set
from engine import Clock, EngineError, SystemClock

LOOK_S = 1.0
"""How often it is looked whether the link is still wanted; at rest nobody looks."""
BUSY_S = 30.0
BACKOFF_S, LONGEST_BACKOFF_S = 5.0, 300.0
STEADY_S = 120.0
"""A link that stood for so long shows that the network takes us: waits begin anew."""
RESTART_AFTER = 5
"""After so many failures in a row the modem is told to start anew,"""
RESTART_EVERY_S = 600.0
"""but at most so often: each time it has to find its network again."""

RunPppd = Callable[[asyncio.Event], Awaitable[int]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Dial until it is not wanted any more: 0; 1 if a person must do something first.

    Whoever started us starts us again while the daemon's wish stands, and pauses before it does.
    """
    parser = argparse.ArgumentParser(prog="device.modem.dialler", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, metavar="F")
    options = parser.parse_args(arguments)
    clock = SystemClock()
    try:
        config = Config.read(options.config)
        secrets = _secrets(config)
        hidden = [secret for secret in (secrets.pin, secrets.password) if secret]
        set_up(clock, config.device.log_level.value, hidden)
        return asyncio.run(_supervised(config, options.config, secrets, clock))
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1


def _secrets(config: Config) -> ModemSecrets:
    """:exc:`ModemSecretsError` if they cannot be used; the daemon is told, too."""
    try:
        return ModemSecrets.read(config.modem.secrets)
    except ModemSecretsError as error:
        folder = config.socket.path.parent
        Report(phase=Phase.STOPPED, cause=Cause.REFUSED, message=error.message).write(folder)
        (folder / REQUEST_NAME).unlink(missing_ok=True)
        raise


async def _supervised(
    config: Config, configuration: Path, secrets: ModemSecrets, clock: Clock
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    folder = config.socket.path.parent
    watch = asyncio.create_task(until_unwanted(folder / REQUEST_NAME, stop, clock))
    if await pppd.end_stray(clock):
        event("modem.stray", logging.WARNING, message="ended a pppd that nobody watched")
    if pppd.restore_resolver():
        event("modem.resolver", message="gave back resolv.conf, which a lost link had replaced")
    try:
        return await Dialler(
            folder,
            stop,
            clock,
            random.Random(),
            lambda stop: pppd.run(config.modem, configuration, secrets.password, stop, clock),
            port=config.modem.port,
        ).run()
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch


async def until_unwanted(request: Path, stop: asyncio.Event, clock: Clock) -> None:
    """It is unwanted when the request is gone or another: one of a daemon that was started anew.
    Where the daemon started us itself, also when that has died without a word."""
    parent, first = os.getppid(), _identity(request)
    while first is not None and _identity(request) == first and os.getppid() == parent:
        await clock.sleep(LOOK_S)
    stop.set()


def _identity(path: Path) -> tuple[int, int] | None:
    """What another file in its place does not have; None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


class Dialler:
    """Dials, and dials again. ``run_pppd`` runs pppd until it ends or the event is set."""

    def __init__(
        self,
        folder: Path,
        stop: asyncio.Event,
        clock: Clock,
        rng: random.Random,
        run_pppd: RunPppd,
        *,
        port: Path,
    ) -> None:
        self._folder = folder
        self._stop = stop
        self._clock = clock
        self._random = rng
        self._run_pppd = run_pppd
        self._port = port
        self._failures = 0
        self._restarted_at = clock.monotonic() - RESTART_EVERY_S

    async def run(self) -> int:
        """0 when it is not wanted any more; 1 if a person must do something first."""
        needs_person = await self._keep_dialled()
        if needs_person:  # nobody starts us again before the daemon has read why
            (self._folder / REQUEST_NAME).unlink(missing_ok=True)
        return int(needs_person)

    async def _keep_dialled(self) -> bool:
        """Whether it ended because a person must do something."""
        while not self._stop.is_set():
            if not self._port.exists():
                await self._until_plugged_in()
                continue
            Report(phase=Phase.DIALLING).write(self._folder)
            began = self._clock.monotonic()
            try:
                code = await self._run_pppd(self._stop)
            except OSError as error:
                self._tell(Phase.STOPPED, f"pppd cannot be started: {error.strerror or error}")
                return True
            found, message = pppd.ending(code)
            event("modem.ended", logging.INFO, code=code, message=message)
            if self._stop.is_set():
                break
            if self._tells_person(found, message):
                return True
            if self._clock.monotonic() - began >= STEADY_S:
                self._failures = 0
            await self._rest(BUSY_S if found is Ending.PORT_BUSY else self._backoff_s())
        return False

    async def _until_plugged_in(self) -> None:
        message = f"{self._port} is not there; check the modem's power and its cable"
        event("modem.missing", logging.WARNING, message=message)
        Report(phase=Phase.WAITING, cause=Cause.SILENT, message=message).write(self._folder)
        while not (self._port.exists() or self._stop.is_set()):
            await self._rest(LOOK_S)

    def _tells_person(self, found: Ending, message: str) -> bool:
        """Write what was in the way; True if only a person can change it."""
        told = Report.read(self._folder)
        if found is Ending.RADIO and told is not None and told.cause is not None:
            return told.cause.needs_person  # the modem itself said it better
        self._tell(Phase.STOPPED if found.needs_person else Phase.WAITING, message)
        return found.needs_person

    def _tell(self, phase: Phase, message: str) -> None:
        told = Report.read(self._folder) or Report(phase=phase)
        replace(told, phase=phase, cause=told.cause or Cause.NO_ANSWER, message=message).write(
            self._folder
        )

    def _backoff_s(self) -> float:
        limit = min(LONGEST_BACKOFF_S, BACKOFF_S * 2 ** min(self._failures, 16))
        self._failures += 1
        now = self._clock.monotonic()
        is_hopeless = self._failures % RESTART_AFTER == 0
        if is_hopeless and now - self._restarted_at >= RESTART_EVERY_S:
            self._restarted_at = now
            (self._folder / RESTART_NAME).touch()
        return self._random.uniform(0, limit)

    async def _rest(self, seconds: float) -> None:
        await until_set(self._stop, self._clock, self._clock.monotonic() + seconds)


if __name__ == "__main__":
    sys.exit(main())
