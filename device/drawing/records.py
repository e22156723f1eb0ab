"""What a person should see of the rows of a map: edits, conflicts and refusals, row by row."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from device.drawing.marks import OF_OPERATION, Mark
from engine import (
    Conflict,
    EditOperation,
    EngineError,
    FeatureTable,
    Geodatabase,
    Quarantined,
    Shape,
)

Version = dict[str, object]


@dataclass(slots=True, kw_only=True)
class Marked:
    """A row and its marks, each with a sentence. ``shape`` is where it is, or was if it was
    deleted; ``before`` where it was before it was moved. ``edit`` is the mark of its edit."""

    marks: list[tuple[Mark, str]]
    shape: Shape | None = None
    before: Shape | None = None
    edit: Mark | None = None


@dataclass(slots=True, kw_only=True)
class _Record:
    """What the conflicts and the quarantine hold of one row."""

    marks: list[tuple[Mark, str]] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)


async def marked_rows(geodatabase: Geodatabase, table: FeatureTable) -> AsyncIterator[Marked]:
    """The marked rows of a table: those that were edited in the order in which they were first
    touched, then what is in the stores alone."""
    records = await _records(geodatabase, table)
    if table.error is None:
        async for edit in table.get_local_edits():
            mark = OF_OPERATION[edit.operation]
            told = ", ".join([*edit.fields[:8], *(["place"] if edit.geometry_changed else [])])
            title = f"{table.name} {edit.global_id}: {mark.label}"
            if edit.operation is EditOperation.UPDATE:
                title += f" ({told})"
            record = records.pop(edit.global_id, _Record())
            now, base = edit.feature, edit.base
            place = now or base
            has_moved = edit.operation is EditOperation.UPDATE and edit.geometry_changed
            yield Marked(
                marks=[(mark, title), *record.marks],
                shape=Shape.from_json(None if place is None else place.geometry),
                before=Shape.from_json(base.geometry) if base is not None and has_moved else None,
                edit=mark,
            )
    for global_id, record in records.items():
        yield Marked(marks=record.marks, shape=await _place(table, global_id, record.versions))


async def _records(geodatabase: Geodatabase, table: FeatureTable) -> dict[str, _Record]:
    """By the GlobalID of the feature; what befell an attachment is told of its feature."""
    found: dict[str, _Record] = {}
    for conflict in await geodatabase.conflicts():
        if conflict.layer // 2 == table.layer_id:
            versions = [conflict.mine, conflict.base, conflict.theirs]
            title = _of_conflict(table, conflict)
            _note(found, conflict.layer, conflict.global_id, versions, (Mark.CONFLICT, title))
    for item in await geodatabase.quarantine():
        if item.layer // 2 == table.layer_id:
            listed = [item.payload.get("row"), item.payload.get("base")]
            versions = [one if isinstance(one, dict) else None for one in listed]
            title = _of_refusal(table, item)
            _note(found, item.layer, item.global_id, versions, (Mark.QUARANTINED, title))
    return found


def _note(
    found: dict[str, _Record],
    layer: int,
    global_id: str,
    listed: list[Version | None],
    mark: tuple[Mark, str],
) -> None:
    versions = [one for one in listed if one is not None]
    if layer % 2:  # the table of the attachments
        parents = (one.get("REL_GLOBALID") for one in versions)
        global_id = next((p for p in parents if isinstance(p, str)), global_id)
        versions = []
    record = found.setdefault(global_id, _Record())
    record.marks.append(mark)
    record.versions += versions


async def _place(table: FeatureTable, global_id: str, versions: list[Version]) -> Shape | None:
    """Where the row is; or, if it is gone, where one of its versions was."""
    try:
        found = Shape.from_json((await table.feature(global_id)).geometry)
    except EngineError as error:
        if error.code != "not-found":
            raise
        found = None
    shapes = (table.shape_in(version) for version in versions)
    return found or next((shape for shape in shapes if shape is not None), None)


def _of_conflict(table: FeatureTable, one: Conflict) -> str:
    what = one.kind.value.replace("_", " ")
    columns = f" ({', '.join(one.columns[:8])})" if one.columns else ""
    return f"{table.name} {one.global_id}: conflict {one.id}, {what}{columns}"


def _of_refusal(table: FeatureTable, one: Quarantined) -> str:
    return f"{table.name} {one.global_id}: refused ({one.id}): {one.reason[:200]}"
