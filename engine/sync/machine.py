"""Which machine this is: a card that was cloned into another one must be noticed."""

import hashlib
from pathlib import Path

_SYSTEM = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_BOARD = (Path("/sys/firmware/devicetree/base/serial-number"),)
"""A Raspberry Pi's own number, which a copied card does not bring along."""


def machine_id() -> str:
    """A name for this installation on this board; it tells nothing of either.

    Empty where the system has no machine id (machine-id(5)).
    """
    system, board = _first(_SYSTEM), _first(_BOARD)
    if not system:
        return ""
    text = f"fieldsync {system} {board}".rstrip()
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def is_another_machine(recorded: str) -> bool:
    """True if ``recorded`` is known to be the :func:`machine_id` of another machine."""
    present = machine_id()
    return bool(recorded and present) and recorded != present


def _first(sources: tuple[Path, ...]) -> str:
    for source in sources:
        try:
            text = source.read_text(encoding="ascii").strip().strip("\0")
        except (OSError, UnicodeDecodeError):
            continue
        if text:
            return text
    return ""
