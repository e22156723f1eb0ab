"""How the daemon is installed with the service manager, where it is."""

import os
from collections.abc import Iterator
from pathlib import Path

from device import bytecode
from device.config import Config, ModemHelper, ModemMode
from device.doctor.check import Check, ill, unknown

UNIT = Path("etc/systemd/system/fieldsync.service")
DIALLER = "fieldsync-ppp.path"
WANTED = Path("etc/systemd/system/paths.target.wants") / DIALLER
"""The link that ``systemctl enable`` makes."""
COMPILE = "Write it: docs/device.md, Installing, has the command"


def dialler(config: Config, root: Path) -> Iterator[Check]:
    """Whether one program dials, and one alone: two of them would take the port from each other."""
    if config.modem.mode is not ModemMode.DIRECT:
        return
    is_enabled = os.path.lexists(root / WANTED)
    is_child = config.modem.helper is ModemHelper.CHILD
    if is_child and is_enabled:
        yield ill(
            "modem",
            f'two programs would dial: modem.helper is "child", and {DIALLER} is enabled',
            f'Under systemd: modem.helper = "service". Without: systemctl disable --now {DIALLER}',
        )
    elif not is_child and not is_enabled and (root / UNIT).exists():
        yield ill(
            "modem",
            f"nobody dials: {DIALLER} is not enabled",
            f"systemctl enable --now {DIALLER}",
        )


def compiled(root: Path) -> Iterator[Check]:
    """Whether the daemon has to compile itself at its next start; nothing if it has not."""
    folder = root / bytecode.PREFIX.relative_to("/")
    if not (root / UNIT).exists() or (folder.exists() and not os.access(folder, os.R_OK | os.X_OK)):
        return
    if not bytecode.is_there(folder):
        told = f"{folder} has none of this version, so a start takes three times as long"
        yield unknown("bytecode", told, COMPILE)
