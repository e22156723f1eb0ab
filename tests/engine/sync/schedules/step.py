"""One thing that happens in a schedule."""

from dataclasses import dataclass

from engine.model import SyncDirection
from tests.feature_service import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something in the middle of a sync: when ``at`` fault points were passed. ``number`` makes its
    values unlike all others; 0 is the number of its step."""

    at: int
    what: str
    draw: int
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """``draw`` seeds the step's own choices, ``number`` makes its values unlike all others.

    ``then``: what happens after the event, each when so many fault points more were passed.
    ``directions``: layer and direction, for a sync in which the other layers take no part.
    """

    number: int
    draw: int
    what: str
    device: str = ""
    faults: tuple[Fault, ...] = ()
    event: Event | None = None
    then: tuple[Event, ...] = ()
    direction: SyncDirection = SyncDirection.BIDIRECTIONAL
    directions: tuple[tuple[int, SyncDirection], ...] = ()
    rollback: bool = False

    @property
    def events(self) -> tuple[Event, ...]:
        return self.then if self.event is None else (self.event, *self.then)

    def __str__(self) -> str:
        parts = [f"{self.number}: {self.what} {self.device}"]
        if self.direction is not SyncDirection.BIDIRECTIONAL:
            parts.append(self.direction.name)
        if self.directions:
            parts.append(", ".join(f"{layer} {one.name}" for layer, one in self.directions))
        if self.rollback:
            parts.append("all or nothing")
        for fault in self.faults:
            given = f"{fault.kind} {fault.operation} skip={fault.skip} times={fault.times}"
            parts.append(f"[{given} at_byte={fault.at_byte} status={fault.status}]")
        parts += [f"<{event.what} at point {event.at}>" for event in self.events]
        return " ".join(parts)
