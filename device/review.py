"""What of a map a person may want to look at or decide: edits to send, conflicts, what was refused.

The command line and the socket tell them in the same form, which is defined here, and page by page:
a map may have more of them than fit into memory.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

from device.cli_errors import UsageError
from engine import (
    Conflict,
    ConflictKind,
    EditOperation,
    FeatureTable,
    Geodatabase,
    OfflineMap,
    Quarantined,
    Side,
)


class UnknownGeodatabaseError(UsageError, LookupError):
    """The map has no file of that name."""

    code = "unknown-geodatabase"


CHUNK = 100
"""How many conflicts or refused rows are read at once; each may hold three versions of a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EditFacts:
    """One edit of a feature or row, or of an attachment, which has a name and the feature that it
    belongs to."""

    geodatabase: Annotated[str, "Its file name."]
    layer_id: int
    layer: str
    operation: EditOperation
    global_id: str
    columns: Annotated[tuple[str, ...], "The fields that were changed."] = ()
    geometry_changed: bool = False
    attachment: Annotated[str | None, "The name of a photo; null for rows."] = None
    parent_global_id: Annotated[str | None, "Whose photo it is."] = None
    state: Annotated[str, "pending, in_flight, quarantined or held"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictFacts:
    """A row that was edited on both sides, with both values."""

    geodatabase: Annotated[str, "Its file name; the number is one of that file."]
    id: int
    layer_id: int
    layer: str
    global_id: str
    kind: ConflictKind
    columns: tuple[str, ...]
    base: Annotated[dict[str, object] | None, "Column → value before; null: there was no row."]
    mine: Annotated[dict[str, object] | None, "As it is or was on the device."]
    theirs: Annotated[dict[str, object] | None, "As it is on the service."]
    is_held: Annotated[bool, "The edit is not sent before the conflict is decided."]
    parts: Annotated[int, "Rows that are kept with it."]
    recorded_at: str
    resolved_at: str | None
    resolution: str | None

    @classmethod
    def of(cls, geodatabase: Geodatabase, one: Conflict) -> Self:
        return cls(
            geodatabase=geodatabase.path.name,
            id=one.id,
            layer_id=one.layer // 2,
            layer=layer_name(geodatabase, one.layer),
            global_id=one.global_id,
            kind=one.kind,
            columns=one.columns,
            base=one.base,
            mine=one.mine,
            theirs=one.theirs,
            is_held=one.is_held,
            parts=one.parts,
            recorded_at=one.recorded_at,
            resolved_at=one.resolved_at,
            resolution=one.resolution,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineFacts:
    """An edit that the service has refused, or a row of the service that cannot be stored."""

    geodatabase: Annotated[str, "Its file name; the number is one of that file."]
    id: int
    layer_id: int
    layer: str
    global_id: str
    direction: Annotated[str, "outbound: an edit; inbound: a row of the service"]
    operation: EditOperation
    code: str
    reason: str
    remedy: str
    is_effective: Annotated[bool, "False once the row was edited again: it will be sent."]
    held_global_id: Annotated[str | None, "The refused row that it waits for."]
    recorded_at: str
    resolved_at: str | None
    resolution: str | None

    @classmethod
    def of(cls, geodatabase: Geodatabase, one: Quarantined) -> Self:
        return cls(
            geodatabase=geodatabase.path.name,
            id=one.id,
            layer_id=one.layer // 2,
            layer=layer_name(geodatabase, one.layer),
            global_id=one.global_id,
            direction=one.direction.value,
            operation=one.operation,
            code=one.code,
            reason=one.reason,
            remedy=one.remedy,
            is_effective=one.is_effective,
            held_global_id=one.held_global_id,
            recorded_at=one.recorded_at,
            resolved_at=one.resolved_at,
            resolution=one.resolution,
        )


@dataclass(frozen=True, slots=True, order=True)
class EditPlace:
    """Where an edit stands among those of its map."""

    file: int
    layer: int
    is_photo: bool
    sequence: int


START = EditPlace(-1, -1, False, 0)


async def edits(
    map_: OfflineMap, after: EditPlace = START
) -> AsyncIterator[tuple[EditPlace, EditFacts]]:
    """The edits that the services do not have, in an order that stays while there are more.

    Layers whose edits nobody can tell are left out; their ``error`` says why.
    """
    for file, geodatabase in enumerate(map_.geodatabases):
        for layer, feature_table in enumerate(geodatabase.feature_tables):
            if feature_table.error is not None:
                continue
            for is_photo in (False, True):
                start = EditPlace(file, layer, is_photo, 0)
                if (file, layer, is_photo) == (after.file, after.layer, after.is_photo):
                    start = after
                elif start < after:
                    continue
                async for sequence, facts in _edits(feature_table, geodatabase, start):
                    yield EditPlace(file, layer, is_photo, sequence), facts


async def _edits(
    feature_table: FeatureTable, geodatabase: Geodatabase, start: EditPlace
) -> AsyncIterator[tuple[int, EditFacts]]:
    file, layer_id, layer = geodatabase.path.name, feature_table.layer_id, feature_table.name
    if start.is_photo:
        async for photo in feature_table.get_local_attachment_edits(start.sequence):
            yield (
                photo.first_sequence,
                EditFacts(
                    geodatabase=file,
                    layer_id=layer_id,
                    layer=layer,
                    operation=photo.operation,
                    global_id=photo.global_id,
                    attachment=photo.name,
                    parent_global_id=photo.parent_global_id,
                    state=photo.state.value,
                ),
            )
        return
    async for edit in feature_table.get_local_edits(start.sequence):
        yield (
            edit.first_sequence,
            EditFacts(
                geodatabase=file,
                layer_id=layer_id,
                layer=layer,
                operation=edit.operation,
                global_id=edit.global_id,
                columns=edit.fields,
                geometry_changed=edit.geometry_changed,
                state=edit.state.value,
            ),
        )


async def conflicts(
    geodatabases: Iterable[Geodatabase], *, resolved: bool = False, after: int = 0
) -> AsyncIterator[ConflictFacts]:
    """The conflicts of those geodatabases, of the first only those with greater numbers than
    ``after``."""
    for geodatabase in geodatabases:
        while found := await geodatabase.conflicts(resolved=resolved, after=after, limit=CHUNK):
            for one in found:
                yield ConflictFacts.of(geodatabase, one)
            after = found[-1].id
        after = 0


async def quarantine(
    geodatabases: Iterable[Geodatabase], *, resolved: bool = False, after: int = 0
) -> AsyncIterator[QuarantineFacts]:
    """What is set aside in those geodatabases, as :func:`conflicts` gives it."""
    for geodatabase in geodatabases:
        while found := await geodatabase.quarantine(resolved=resolved, after=after, limit=CHUNK):
            for one in found:
                yield QuarantineFacts.of(geodatabase, one)
            after = found[-1].id
        after = 0


async def resolve(map_: OfflineMap, file: str | None, ids: Iterable[int], side: Side) -> None:
    """Take that side of each conflict. :exc:`UsageError` if ``file`` is needed and not given."""
    (geodatabase,) = geodatabases_meant(map_, file, is_decision=True)
    for number in ids:
        await geodatabase.resolve_conflict(number, side)


async def retry(map_: OfflineMap, file: str | None, ids: Iterable[int]) -> None:
    """Let each refused edit be sent again, and each unstored row be fetched again."""
    (geodatabase,) = geodatabases_meant(map_, file, is_decision=True)
    for number in ids:
        await geodatabase.retry_quarantined(number)


async def discard(map_: OfflineMap, file: str | None, ids: Iterable[int]) -> None:
    """Give each refused edit up: the row becomes as the service has it."""
    (geodatabase,) = geodatabases_meant(map_, file, is_decision=True)
    for number in ids:
        await geodatabase.discard_quarantined(number)


def geodatabases_meant(
    map_: OfflineMap, file: str | None, *, is_decision: bool = False
) -> Sequence[Geodatabase]:
    """The geodatabase of that name, or all. Numbers are those of one file, so that a decision needs
    it named if there are several: :exc:`UsageError`."""
    found = [g for g in map_.geodatabases if file in (None, g.path.name, g.path.stem)]
    names = ", ".join(g.path.name for g in map_.geodatabases)
    if not found:
        raise UnknownGeodatabaseError(
            f"the map has no geodatabase {file}", remedy=f"It has {names}"
        )
    if is_decision and len(found) > 1:
        raise UsageError(
            "the map has several geodatabases, and each has numbers of its own",
            remedy=f"Name one of them (--file on the command line): {names}",
        )
    return found


def layer_name(geodatabase: Geodatabase, number: int) -> str:
    """The layer of a table's number; attachments are said to be photos of it."""
    name = geodatabase.table(number // 2).name
    return f"{name} (photo)" if number % 2 else name
