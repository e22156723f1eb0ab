"""The versions of a row that lost, or were refused, as the stores keep them."""

import sqlite3
from dataclasses import dataclass
from enum import Enum

from engine.geodatabase import conflicts, quarantine
from engine.geodatabase.layer_table import LayerTable


class VersionSource(Enum):
    """Whose version of a row it is."""

    BASE = "base"
    """What both sides had before."""
    MINE = "mine"
    THEIRS = "theirs"
    REFUSED = "refused"
    """What the service did not take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowVersion:
    """A version of a row. ``attributes`` is a column → value object fit for JSON (a blob is
    ``{"hex": …}``); ``at`` when it was put aside; ``resolution`` how that was decided, None if it
    is open. ``conflict_id`` or ``quarantine_id`` names the record it is from."""

    at: str
    source: VersionSource
    attributes: dict[str, object]
    conflict_id: int | None = None
    quarantine_id: int | None = None
    resolution: str | None = None


def history(connection: sqlite3.Connection, table: LayerTable, global_id: str) -> list[RowVersion]:
    """The kept versions of that row, oldest first; the row itself is not among them.

    Records that are decided are kept for 90 days, or as many as take 50 MB and the newest; open
    ones for ever.
    """
    versions: list[RowVersion] = []
    for one in conflicts.list_conflicts(connection, layer=table.number, resolved=True):
        if one.global_id != global_id:
            continue
        sides = (
            (VersionSource.BASE, one.base),
            (VersionSource.MINE, one.mine),
            (VersionSource.THEIRS, one.theirs),
        )
        versions += [
            RowVersion(
                at=one.recorded_at,
                source=source,
                attributes=attributes,
                conflict_id=one.id,
                resolution=one.resolution,
            )
            for source, attributes in sides
            if attributes is not None
        ]
    outbound = quarantine.Direction.OUTBOUND
    refused = quarantine.list_quarantined(
        connection, direction=outbound, layer=table.number, resolved=True
    )
    for item in refused:
        row = item.payload.get("row")
        if item.global_id == global_id and isinstance(row, dict):
            versions.append(
                RowVersion(
                    at=item.recorded_at,
                    source=VersionSource.REFUSED,
                    attributes=row,
                    quarantine_id=item.id,
                    resolution=item.resolution,
                )
            )
    return sorted(versions, key=lambda version: version.at)
