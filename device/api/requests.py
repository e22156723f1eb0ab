"""What the bodies of requests hold."""

from dataclasses import dataclass
from typing import Annotated

from device.api.json_form import Bounds

LARGEST_ID = 2**53 - 1
"""What every JSON reader keeps exactly (RFC 8259, section 6)."""
LONGEST_PAUSE_S = 30 * 24 * 3600

Ids = Annotated[tuple[Annotated[int, Bounds(1, LARGEST_ID)], ...], Bounds(0, 200)]
Name = Annotated[str, Bounds(1, 255)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    """A sync that somebody asks for. It counts as a press of the button: it does not wait for the
    back-off, and it obeys every refusal that protects data or hardware."""

    maps: Annotated[
        tuple[Name, ...],
        "The names of the maps; empty: all.",
        Bounds(0, 64),
    ] = ()
    is_expensive_allowed: Annotated[
        bool, "Links that cost much may be used, too, as with a long press."
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRequest:
    """A pause that somebody asks for."""

    seconds: Annotated[
        float | None,
        "How long; null or left out: until somebody resumes.",
        Bounds(1, LONGEST_PAUSE_S),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveRequest:
    """Conflicts to decide. One that was decided can be decided again: `mine` restores the device's
    row or values, also of a row that was deleted on the service."""

    mine: Annotated[Ids, "Take the device's values of these."] = ()
    theirs: Annotated[Ids, "Take the service's values of these."] = ()
    geodatabase: Annotated[Name | None, "The file; needed if the map has several."] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineRequest:
    """Rows in the quarantine to decide."""

    ids: Annotated[Ids, "Their numbers."]
    geodatabase: Annotated[Name | None, "The file; needed if the map has several."] = None
