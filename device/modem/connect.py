"""What pppd runs to dial: it has put the modem's port on our standard input and output.

Ends with 0 when the line carries data. How far it came is in the report for the daemon.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from device.config import Config
from device.modem.port import Line, PortLost
from device.modem.report import RESTART_NAME, Phase, Report
from device.modem.secrets import ModemSecrets, TriedPins
from device.modem.steps import Cause, DialSettings, ModemError, dial
from engine import Clock, EngineError, SystemClock

FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Dial; 0 or :data:`FAILED`."""
    parser = argparse.ArgumentParser(prog="device.modem.connect", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, metavar="F")
    options = parser.parse_args(arguments)
    try:
        config = Config.read(options.config)
        return asyncio.run(connect(config, SystemClock(), sys.stdin.fileno(), sys.stdout.fileno()))
    except (EngineError, OSError, ValueError) as error:  # notes of PINs unwritable, a wrong APN
        print(error, file=sys.stderr)
        return FAILED


async def connect(config: Config, clock: Clock, reading: int, writing: int) -> int:
    """Dial over these descriptors, and write the report."""
    folder = config.socket.path.parent
    modem = config.modem
    settings = DialSettings(
        apn=modem.apn,
        may_roam=modem.roaming,
        pin=ModemSecrets.read(modem.secrets).pin,
        notes=TriedPins(config.device.state),
        begins_anew=_taken_away(folder / RESTART_NAME),
    )
    try:
        async with Line(reading, writing, clock, name=str(modem.port)) as line:
            status = await line.run(dial(settings))
    except PortLost as error:
        report = Report(phase=Phase.WAITING, cause=Cause.SILENT, message=str(error))
    except ModemError as error:
        phase = Phase.STOPPED if error.cause.needs_person else Phase.WAITING
        report = Report(phase=phase, status=error.status, cause=error.cause, message=error.message)
    else:
        Report(phase=Phase.DIALLED, status=status).write(folder)
        return 0
    report.write(folder)
    print(report.message, file=sys.stderr)
    return FAILED


def _taken_away(path: Path) -> bool:
    """Whether the file was there; it is not any more."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
