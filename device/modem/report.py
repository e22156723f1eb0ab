"""What the dialler tells the daemon: a small file in the runtime folder, replaced as a whole."""

import json
import os
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path

from device.modem.status import ModemStatus, Registration, SimState
from device.modem.steps import Cause

REPORT_NAME, REQUEST_NAME, RESTART_NAME = "modem.json", "dial", "restart-modem"
"""The report; the file whose being there asks for a link; and the one whose being there asks the
next dialling to have the modem start anew. All are in the runtime folder."""
MAX_BYTES = 16 * 1024


class Phase(Enum):
    """How far the dialler is."""

    DIALLING = "dialling"
    DIALLED = "dialled"
    WAITING = "waiting"
    """It failed, and tries again by itself."""
    STOPPED = "stopped"
    """It failed, and a person must do something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """``message``: one plain sentence of what failed, and what to do."""

    phase: Phase
    status: ModemStatus = field(default_factory=ModemStatus)
    cause: Cause | None = None
    message: str = ""

    def write(self, folder: Path) -> None:
        """Replace the file. It need not outlive a power cut."""
        status = self.status
        value = {
            "phase": self.phase.value,
            "cause": None if self.cause is None else self.cause.value,
            "message": self.message,
            "model": status.model,
            "sim": status.sim.value,
            "registration": status.registration.value,
            "operator": status.operator,
            "signal_dbm": status.signal_dbm,
            "clock": None if status.clock is None else status.clock.isoformat(),
        }
        path = folder / REPORT_NAME
        partial = path.with_suffix(".new")
        # Written by root into a folder of the daemon's user: no link is followed.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(partial, flags, 0o644), "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), 0o644)  # whatever the umask: the daemon reads it
            json.dump(value, stream)
        os.replace(partial, path)

    @classmethod
    def read(cls, folder: Path) -> "Report | None":
        """The report, None if there is none that can be understood."""
        try:
            with open(folder / REPORT_NAME, "rb") as stream:
                value = json.loads(stream.read(MAX_BYTES))
            signal, clock = value["signal_dbm"], value["clock"]
            return cls(
                phase=Phase(value["phase"]),
                cause=None if value["cause"] is None else Cause(value["cause"]),
                message=str(value["message"]),
                status=ModemStatus(
                    model=str(value["model"]),
                    sim=SimState(value["sim"]),
                    registration=Registration(value["registration"]),
                    operator=str(value["operator"]),
                    signal_dbm=None if signal is None else int(signal),
                    clock=None if clock is None else datetime.fromisoformat(clock),
                ),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
