"""Rows that belong to one another by a relationship, and what is wrong with that.

As in the service nothing is enforced (ArcGIS Maps SDK: edits do not fail on relationship
constraints; they can be validated).
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence

from engine.geodatabase.attachments import delete_attachments, list_attachments
from engine.geodatabase.catalog import StoredLayer
from engine.geodatabase.deleted_parts import Whole, note_parts
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.relations import Relation
from engine.geodatabase.rows import Row, delete_row, find_row, get_row
from engine.geodatabase.sql import quote
from engine.values import ColumnValue

_ONE_TO_ONE = "esriRelCardinalityOneToOne"


def find_related(
    connection: sqlite3.Connection,
    relation: Relation,
    table: LayerTable,
    global_id: str,
    after: int,
) -> tuple[list[tuple[int, Row]], LayerTable]:
    """The rows related to row ``global_id`` of ``table`` behind the key ``after``, with their keys.

    Also the table that they are in: the relation's other end.
    """
    if relation.origin.number == table.number:
        near, far, other = "o", "d", relation.destination
    else:
        near, far, other = "d", "o", relation.origin
    names = ",".join(f"{far}.{quote(name)}" for name in other.row_names)
    rows = connection.execute(
        f"SELECT {far}.{quote(other.key)},{names} FROM {quote(relation.origin.name)} o "
        f"JOIN {quote(relation.destination.name)} d ON {relation.condition()} "
        f"WHERE {near}.{quote(table.global_id)} = ? AND {far}.{quote(other.key)} > ? "
        f"ORDER BY {far}.{quote(other.key)} LIMIT 200",
        (global_id, after),
    )
    return [(key, tuple(cells)) for key, *cells in rows], other


def delete_with_parts(
    connection: sqlite3.Connection,
    layers: Mapping[int, StoredLayer],
    relations: Sequence[Relation],
    table: LayerTable,
    global_id: str,
    within: frozenset[str] = frozenset(),
    whole: Whole | None = None,
) -> None:
    """Delete a row, its attachments, and the rows that a composite relationship ties to it.

    ``layers`` are by table number. A part whose layer allows no deletes is left to the service,
    which removes it with its whole. ``within``: GlobalIDs of the rows that it goes with, of which
    ``whole`` is the one that somebody deletes.
    """
    is_part, whole = whole is not None, whole or (table.number, global_id)
    within |= {global_id}
    get_row(connection, table, global_id)  # before its parts: there may be no such row
    for relation in relations:
        if not relation.is_composite or relation.origin.number != table.number:
            continue
        child = relation.destination
        if not layers[child.number].features.permissions.can_delete:
            continue
        after = -(2**63)
        while parts := find_related(connection, relation, table, global_id, after)[0]:
            after = parts[-1][0]
            for gid in (str(row[0]) for _, row in parts):
                # Rows may be related in a ring, and be parts of more than one.
                if gid not in within and find_row(connection, child, gid) is not None:
                    delete_with_parts(connection, layers, relations, child, gid, within, whole)
    attachments = layers[table.number].attachments
    if attachments is not None and attachments.permissions.can_delete:
        photos = [p.global_id for p in list_attachments(connection, attachments.table, global_id)]
        delete_attachments(connection, attachments.table, "REL_GLOBALID", global_id)
        if photos:
            note_parts(connection, attachments.table, photos, whole)
    delete_row(connection, table, global_id)
    if is_part:
        note_parts(connection, table, [global_id], whole)


def violations(
    connection: sqlite3.Connection,
    relations: Sequence[Relation],
    table: LayerTable,
    global_id: str,
) -> list[str]:
    """What is wrong with the relationships of a row, one sentence each."""
    row = dict(zip(table.row_names, get_row(connection, table, global_id), strict=True))
    found: list[str] = []
    for relation in relations:
        if relation.through is not None:
            continue
        if relation.destination.number == table.number:
            found += _as_destination(connection, relation, row[relation.destination_key])
        if relation.origin.number == table.number:
            found += _as_origin(connection, relation, row[relation.origin_key])
    return found


def _as_destination(
    connection: sqlite3.Connection, relation: Relation, key: ColumnValue
) -> Iterator[str]:
    if key is None:
        if relation.is_composite:
            yield f"{relation.name}: the row belongs to no row of {relation.origin.name}"
        return
    if not _count(connection, relation.origin, relation.origin_key, key):
        yield f"{relation.name}: {relation.origin.name} has no row {key!r}"
    elif relation.cardinality == _ONE_TO_ONE:
        yield from _not_alone(connection, relation, key)


def _as_origin(
    connection: sqlite3.Connection, relation: Relation, key: ColumnValue
) -> Iterator[str]:
    if key is not None and relation.cardinality == _ONE_TO_ONE:
        yield from _not_alone(connection, relation, key)


def _not_alone(
    connection: sqlite3.Connection, relation: Relation, key: ColumnValue
) -> Iterator[str]:
    number = _count(connection, relation.destination, relation.destination_key, key)
    if number > 1:
        yield f"{relation.name}: {number} rows of {relation.destination.name} where one is allowed"


def _count(connection: sqlite3.Connection, table: LayerTable, column: str, key: ColumnValue) -> int:
    (number,) = connection.execute(
        f"SELECT count(*) FROM {quote(table.name)} WHERE {quote(column)} = ?", (key,)
    ).fetchone()
    return int(number)
