"""``pppd``: how it is called, and what its end means (pppd(8), "OPTIONS", "EXIT STATUS")."""

import asyncio
import os
import shlex
import signal
import sys
from contextlib import suppress
from enum import Enum
from pathlib import Path

from device.config import FlowControl, ModemConfig
from device.modem.child import end_child
from device.modem.pppd_output import PppdOutput
from engine import Clock

LOOK_S = 0.5
STOP_S = 10.0
"""How long pppd may take to hang up before it is killed."""
ECHO_INTERVAL_S, ECHO_FAILURES = 10, 4
"""A port without a wire for the carrier tells by nothing else that the call is lost. It costs no
bytes of the network: mostly the modem itself is the other end of PPP (3GPP TS 27.060, 9)."""
LINK_NAME = "fieldsync"
PID_FILE = Path(f"/run/ppp-{LINK_NAME}.pid")
"""Where pppd writes its process, because of ``linkname``."""
SIGN_IN_REFUSED = 19
ANYBODY = "guest"
UNIT = 7
INTERFACE = f"ppp{UNIT}"
"""A number of its own, so that another ppp link of the device is not taken for ours."""
METRIC = 700
"""Above the metrics that wired links and Wi-Fi get, so that the modem is the last resort."""


class Ending(Enum):
    """Why pppd ended, as far as it says what to do."""

    DONE = "done"
    """It was told to, or it was idle."""
    CONFIGURATION = "configuration"
    PORT_BUSY = "port_busy"
    RADIO = "radio"
    SIGN_IN = "sign_in"

    @property
    def needs_person(self) -> bool:
        return self in (Ending.CONFIGURATION, Ending.SIGN_IN)


_ENDINGS = {
    0: (Ending.DONE, "pppd was told to end"),
    1: (Ending.RADIO, "pppd met an error of the system"),
    2: (Ending.CONFIGURATION, "pppd does not take its options; look into the log"),
    3: (Ending.CONFIGURATION, "pppd may not open the link; it needs the privileges of root"),
    4: (Ending.CONFIGURATION, "the kernel has no PPP; load the module ppp_async"),
    5: (Ending.DONE, "pppd was told to end"),
    6: (Ending.PORT_BUSY, "another program has locked the port of the modem"),
    7: (Ending.PORT_BUSY, "the port of the modem cannot be opened"),
    8: (Ending.RADIO, "the modem could not be dialled"),
    9: (Ending.CONFIGURATION, "pppd could not run its helper"),
    10: (Ending.RADIO, "the network did not agree on a link; check the APN"),
    11: (Ending.SIGN_IN, "the network did not prove who it is; check modem.user"),
    12: (Ending.DONE, "the link was idle"),
    13: (Ending.DONE, "the time of the link was over"),
    14: (Ending.CONFIGURATION, "pppd waits to be called back, which we do not do"),
    15: (Ending.RADIO, "the network did not answer any more"),
    16: (Ending.RADIO, "the modem hung up"),
    17: (Ending.RADIO, "the line only echoes; the modem may be in command mode"),
    18: (Ending.CONFIGURATION, "pppd's init script failed"),
    19: (Ending.SIGN_IN, "the network refused user and password; check them and the APN"),
}


def ending(code: int) -> tuple[Ending, str]:
    """What an exit code of pppd means, and a sentence for a person. Negative: a signal."""
    if code < 0:
        return Ending.RADIO, f"pppd was ended by signal {-code}"
    return _ENDINGS.get(code, (Ending.RADIO, f"pppd ended with {code}"))


def arguments(config: ModemConfig, configuration: Path, *, password: int) -> list[str]:
    """The command line. ``password``: the descriptor from which pppd reads it. ``configuration``:
    the file that our program on its other side reads."""
    connect = [sys.executable, "-m", "device.modem.connect", "--config", str(configuration)]
    return [
        "pppd",
        str(config.port.resolve()),  # its lock has the name by which other programs know the port
        str(config.baud),
        # All that matters is said here: /etc/ppp/options may say otherwise, and Debian's does.
        "nodetach",
        "nopersist",
        "noauth",
        "lock",
        "modem",
        "crtscts" if config.flow_control is FlowControl.HARDWARE else "nocrtscts",
        "noipdefault",
        "defaultroute",
        "defaultroute-metric",
        str(METRIC),
        "usepeerdns",
        "lcp-echo-interval",
        str(ECHO_INTERVAL_S),
        "lcp-echo-failure",
        str(ECHO_FAILURES),
        "lcp-echo-adaptive",
        "unit",
        str(UNIT),
        "linkname",
        LINK_NAME,
        "ipparam",
        "fieldsync",
        "hide-password",
        "connect",
        shlex.join(connect),
        # A user in any case: many modems ask for one, take whatever they are told, and hang up if
        # they are told nothing.
        "user",
        config.user or ANYBODY,
        "plugin",
        "passwordfd.so",
        "passwordfd",
        str(password),
    ]


async def run(
    config: ModemConfig, configuration: Path, password: str, stop: asyncio.Event, clock: Clock
) -> int:
    """Run pppd until it ends, or ``stop`` is set; its exit code, as it should be. :exc:`OSError` if
    it cannot be started."""
    with PppdOutput() as output:
        reading = _readable(password)
        try:
            process = await asyncio.create_subprocess_exec(
                *arguments(config, configuration, password=reading),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output.writing,
                stderr=output.writing,
                pass_fds=(reading,),
            )
        finally:
            os.close(reading)
            output.handed_over()
        code = await _ended(process, stop, clock)
    return SIGN_IN_REFUSED if output.was_refused else code


async def _ended(process: asyncio.subprocess.Process, stop: asyncio.Event, clock: Clock) -> int:
    ended = asyncio.create_task(process.wait())
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        await end_child(process, clock, STOP_S)  # some do not hang up after a lost line
    return await ended


async def end_stray(clock: Clock, *, pid_file: Path = PID_FILE, proc: Path = Path("/proc")) -> bool:
    """End a pppd of ours that outlived who started it, and holds the port; True if there was one.

    Who is killed himself cannot end his child.
    """
    try:
        number = int(pid_file.read_text(encoding="ascii").split()[0])
        name = (proc / str(number) / "comm").read_text(encoding="ascii").strip()
    except (OSError, ValueError, IndexError):
        return False
    if name != "pppd" or number <= 1:
        return False  # it is gone, and another has its number
    waited = 0.0
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGTERM)
        while waited < STOP_S and (proc / str(number)).exists():
            await clock.sleep(LOOK_S)
            waited += LOOK_S
        if (proc / str(number)).exists():
            os.kill(number, signal.SIGKILL)
    return True


def restore_resolver(
    resolver: Path = Path("/etc/resolv.conf"), ours: Path = Path("/etc/ppp/resolv.conf")
) -> bool:
    """Give back the file that names the name servers, if it is still the one of a link of ours that
    ended with the power; True if it was.

    Debian's ``/etc/ppp/ip-up.d/0000usepeerdns`` puts it aside, and would put aside its own the next
    time. One that something else has written since stays.
    """
    real = resolver.resolve()
    kept = real.with_name(f"{real.name}.pppd-backup.{INTERFACE}")
    try:
        if not real.read_bytes().startswith(ours.read_bytes()):
            return False
        kept.replace(real)
    except FileNotFoundError:
        return False
    return True


def _readable(secret: str) -> int:
    reading, writing = os.pipe()
    try:
        os.write(writing, secret.encode())  # far less than a pipe holds
    finally:
        os.close(writing)
    return reading
