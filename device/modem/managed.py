"""A modem that ModemManager has: asked on demand, with ModemManager's own command.

Source: mmcli(1), ``--modem=any --output-json``; the words are those of ModemManager's D-Bus API
(MMModemState, MMModemLock, MMModem3gppRegistrationState), "--" where it knows none.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from device.modem.status import Registration, SimState
from engine import EngineError

COMMAND = ("mmcli", "--modem=any", "--output-json")
PATIENCE_S = 20.0
LARGEST_BYTES = 1 << 20
_UNKNOWN = "--"
_LOCKS = {"sim-pin": SimState.PIN, "sim-puk": SimState.PUK}
_NO_LOCK = ("", "none", "unknown", "sim-pin2", "sim-puk2")
"""The last two only lock functions that we do not use."""


class ManagedModemError(EngineError):
    """ModemManager does not tell how the modem is."""

    code = "system"
    default_remedy = "Look whether it runs, and sees the modem: mmcli --list-modems"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedModem:
    """What ModemManager says of the first modem that it has."""

    model: str = ""
    state: str = ""
    """In its words: disabled, searching, registered, connected; with the reason if it failed."""
    sim: SimState = SimState.UNKNOWN
    registration: Registration = Registration.UNKNOWN
    operator: str = ""
    technology: str = ""
    signal_percent: int | None = None


def ask(command: Sequence[str] = COMMAND, patience_s: float = PATIENCE_S) -> ManagedModem:
    """Ask ModemManager. It changes nothing and sends nothing. :exc:`ManagedModemError`."""
    try:
        done = subprocess.run(
            [*command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=patience_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise ManagedModemError(
            f"{command[0]} is not there", remedy="Install the package modemmanager"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ManagedModemError(f"ModemManager cannot be asked: {error}") from error
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip().removeprefix("error: ")
        raise ManagedModemError(f"ModemManager: {told or f'{command[0]} failed'}")
    return read(done.stdout[:LARGEST_BYTES])


def read(text: bytes) -> ManagedModem:
    """What :data:`COMMAND` printed. :exc:`ManagedModemError` if that is not understood."""
    try:
        modem = json.loads(text)["modem"]
        generic, network = modem["generic"], modem.get("3gpp")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ManagedModemError("what mmcli told of the modem is not understood") from error
    state, failed = _text(generic, "state"), _text(generic, "state-failed-reason")
    return ManagedModem(
        model=" ".join(filter(None, (_text(generic, "manufacturer"), _text(generic, "model")))),
        state=f"{state}: {failed}" if state == "failed" and failed else state,
        sim=_sim(generic, failed),
        registration=_registration(_text(network, "registration-state")),
        operator=_text(network, "operator-name"),
        technology=_technology(generic),
        signal_percent=_percent(generic),
    )


def _text(value: object, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) and found != _UNKNOWN else ""


def _sim(generic: object, failed: str) -> SimState:
    lock = _text(generic, "unlock-required")
    if failed == "sim-missing":
        return SimState.MISSING
    if lock in _LOCKS:
        return _LOCKS[lock]
    if lock not in _NO_LOCK:
        return SimState.LOCKED
    return SimState.READY if _text(generic, "sim") else SimState.UNKNOWN


def _registration(word: str) -> Registration:
    """Its finer words, such as ``roaming-sms-only``, count as what they begin with."""
    first = word.partition("-")[0]
    if first in ("home", "roaming", "searching", "denied", "idle"):
        return Registration(first)
    return Registration.DENIED if first == "emergency" else Registration.UNKNOWN


def _technology(generic: object) -> str:
    found = generic.get("access-technologies") if isinstance(generic, dict) else None
    return ", ".join(str(one) for one in found) if isinstance(found, list) else ""


def _percent(generic: object) -> int | None:
    quality = generic.get("signal-quality") if isinstance(generic, dict) else None
    text = _text(quality, "value")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else None
