"""The PIN of the SIM and the password of the mobile network: in a file that nobody else can read.

A wrong PIN costs one of three attempts, and the third locks the SIM. So it is noted that a PIN is
tried before it is, and one that was not taken is never tried again.
"""

import hashlib
import json
import os
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from device.durable_file import replace_file
from engine import EngineError

MAX_BYTES = 64 * 1024
TRIED_NAME = "sim-pins.json"


class ModemSecretsError(EngineError):
    """The file of the modem's secrets cannot be used."""

    code = "modem-secrets"
    default_remedy = "docs/device.md, Modem, shows such a file"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModemSecrets:
    """``pin`` and ``password``; empty where there is none."""

    pin: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def read(cls, path: Path | None) -> "ModemSecrets":
        """Those of the file. :exc:`ModemSecretsError` if it cannot be used."""
        if path is None:
            return cls()
        try:
            with open(path, "rb") as stream:
                if stat.S_IMODE(os.fstat(stream.fileno()).st_mode) & 0o077:
                    raise ModemSecretsError(
                        f"other users of this device can read {path}",
                        remedy=f"chmod 600 {path}",
                    )
                value = tomllib.loads(stream.read(MAX_BYTES).decode())
        except (OSError, ValueError) as error:
            why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "form"
            raise ModemSecretsError(f"{path} cannot be read: {why}") from None
        pin, password = value.pop("pin", ""), value.pop("password", "")
        if value or not isinstance(pin, str) or not isinstance(password, str):
            raise ModemSecretsError(f"{path} may have the texts pin and password, and nothing else")
        if pin and not (pin.isascii() and pin.isdigit() and 4 <= len(pin) <= 8):
            raise ModemSecretsError(f"the pin in {path} must be 4 to 8 digits")
        return cls(pin=pin, password=password)


class TriedPins:
    """Which PINs were tried with which SIM and not taken; in the daemon's folder of state."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / TRIED_NAME

    def was_tried(self, sim: str, pin: str) -> bool:
        """Whether it was tried, and is not known to be right. An unreadable note says that it
        was."""
        try:
            with open(self._path, "rb") as stream:
                value = json.loads(stream.read(MAX_BYTES))
        except FileNotFoundError:
            return False
        except (OSError, ValueError):
            return True
        return not isinstance(value, list) or _digest(sim, pin) in value

    def trying(self, sim: str, pin: str) -> None:
        """It is tried next; on the disk when this returns. :exc:`OSError` if that cannot be."""
        self._write([*self._known(), _digest(sim, pin)])

    def taken(self, sim: str, pin: str) -> None:
        """It was right."""
        self._write([one for one in self._known() if one != _digest(sim, pin)])

    def _known(self) -> list[object]:
        try:
            with open(self._path, "rb") as stream:
                value = json.loads(stream.read(MAX_BYTES))
        except (OSError, ValueError):
            return []
        return value[-100:] if isinstance(value, list) else []

    def _write(self, digests: list[object]) -> None:
        replace_file(self._path, json.dumps(digests).encode())


def _digest(sim: str, pin: str) -> str:
    """Slow to undo: there are only ten thousand PINs of four digits."""
    return hashlib.scrypt(pin.encode(), salt=sim.encode(), n=2**12, r=8, p=1, dklen=16).hex()
