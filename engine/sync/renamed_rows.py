"""Added rows that a service took under GlobalIDs of its own, without telling.

Where a call's results are missing, an add that is not found by its GlobalID did not arrive, or it
did under another one; sending it again would double it. Rows that are newer than what was known
when the batch was made, and carry just what was sent, are it.
"""

import json
from collections.abc import Collection, Iterator, Sequence

from engine.geodatabase.change_log import Edit
from engine.geodatabase.difference import Cell, Row
from engine.geodatabase.layer_table import LayerTable
from engine.layer_schema import FieldType
from engine.model import normalise_guid
from engine.service.feature_set import query_newer_than
from engine.sync.batches import object_id_column
from engine.sync.context import SyncContext
from engine.sync.read_back import find
from engine.sync.rows import table_rows
from engine.values import same_value
from native.geometry import gpkg_to_esri_json

_IDENTITIES = (FieldType.GLOBAL_ID, FieldType.OID)
TOLERANCE = 1e-4  # a service's storage grid moves coordinates by less


async def find_renamed(
    context: SyncContext,
    table: LayerTable,
    edits: Sequence[Edit],
    newest: int,
    *,
    explained: Collection[str],
) -> dict[str, Row]:
    """GlobalID as sent → the row that the service made of it; for those adds that are found.

    ``explained`` are GlobalIDs that stand for other edits. A row that a download has brought since
    as somebody else's is looked at too: it may be ours that came back.
    """
    matched: dict[str, Row] = {}
    if not edits or object_id_column(table) is None:
        return matched
    layer, codec = context.layers[table.layer_id], context.codec_layer(table)
    rows = await query_newer_than(context.service, layer, codec, newest, context.spatial_reference)
    candidates = [row for row in table_rows(table, rows) if row[0] not in explained]
    replaced = {edit.global_id for edit in edits}
    emptied = await _gone_parents(context, table, edits) if candidates else set()
    for edit in edits:
        for number, row in enumerate(candidates):
            if _carries(edit, row, replaced, emptied):
                matched[edit.global_id] = row
                del candidates[number]
                break
    return matched


async def _gone_parents(context: SyncContext, table: LayerTable, edits: Sequence[Edit]) -> set[str]:
    """The rows that the added ones belong to and that the service does not have, any more perhaps:
    their deletes empty the keys that lead to them."""
    tables = {t.number: t for t in context.tables}
    gone: set[str] = set()
    for number, column in context.parents().get(table.number, ()):
        at = table.row_names.index(column)
        keys = {normalise_guid(e.row[at]) for e in edits if e.row is not None} - {None}
        if keys and number in tables:
            wanted = sorted(str(key) for key in keys)
            gone |= set(wanted) - (await find(context, tables[number], wanted)).keys()
    return gone


def _carries(edit: Edit, row: Row, replaced: Collection[str], emptied: Collection[str]) -> bool:
    """Whether ``row`` has all that was sent: values, and the geometry but for the storage grid.

    A GUID that points at one of the ``replaced`` rows may have been replaced together with it; one
    that points at one of the ``emptied`` may be missing.
    """
    assert edit.row is not None
    table = edit.table
    first = len(row) - len(table.columns)
    for column, sent, there in zip(table.columns, edit.row[first:], row[first:], strict=True):
        if sent is None or not column.is_editable or column.type in _IDENTITIES:
            continue
        if column.type is FieldType.GUID:
            key = normalise_guid(sent)
            if key in replaced or (there is None and key in emptied):
                continue
        if not same_value(column.type, sent, there) and not _close(sent, there):
            return False
    return table.geometry is None or same_place(edit.row[1], row[1])


def same_place(one: Cell, other: Cell) -> bool:
    """Whether two geometries are the same but for a storage grid."""
    if not isinstance(one, bytes) or not isinstance(other, bytes):
        return one is other
    mine, theirs = (list(_numbers(json.loads(gpkg_to_esri_json(blob)))) for blob in (one, other))
    return len(mine) == len(theirs) and all(map(_close, mine, theirs))


def _numbers(value: object) -> Iterator[Cell]:
    if isinstance(value, dict):
        for member in value.values():
            yield from _numbers(member)
    elif isinstance(value, list):
        for member in value:
            yield from _numbers(member)
    elif value is None or isinstance(value, int | float):
        yield value


def _close(one: Cell, other: Cell) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= TOLERANCE
    return one == other
