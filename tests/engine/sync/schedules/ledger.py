"""Who wrote what: every edit that was saved, by device or office, in the order of saving."""

from dataclasses import dataclass, field

from tests.engine.sync.schedules.world import Row

OFFICE = "office"


@dataclass(frozen=True, slots=True)
class Write:
    """Cells of one row that somebody set. ``is_decision``: a person's word on a conflict, which
    brings back values that were written before."""

    who: str
    layer: int
    gid: str
    values: Row
    is_add: bool = False
    is_decision: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """One row that somebody deleted."""

    who: str
    layer: int
    gid: str


@dataclass(frozen=True, slots=True)
class Photo:
    """An attachment that somebody added, replaced (``data`` given) or deleted (None)."""

    who: str
    gid: str
    parent: str
    name: str
    data: bytes | None


Entry = Write | Delete | Photo


@dataclass(slots=True)
class Ledger:
    """The saved edits of a schedule, oldest first."""

    entries: list[Entry] = field(default_factory=list)

    def note(self, *entries: Entry) -> None:
        self.entries += entries

    @property
    def writes(self) -> list[Write]:
        return [e for e in self.entries if isinstance(e, Write)]

    @property
    def deletes(self) -> list[Delete]:
        return [e for e in self.entries if isinstance(e, Delete)]

    @property
    def photos(self) -> list[Photo]:
        return [e for e in self.entries if isinstance(e, Photo)]
