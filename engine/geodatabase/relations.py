"""Relationships and attachments, declared for other programs: the related-tables extension.

The extension (OGC 18-000) relates rows by their integer keys, through a mapping table. A service
relates them by the values of two key fields, so each mapping table is a view over these: it is
always true and nobody has to keep it. Nothing is enforced, as in the service.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sql import quote
from engine.layer_schema import LayerSchema

_DEFINITION = "http://www.geopackage.org/18-000.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A relationship between two tables of the geodatabase.

    A row of ``origin`` and one of ``destination`` belong together if their key columns are equal,
    or, where there is a table ``through``, if one of its rows holds both keys.
    """

    id: int
    name: str
    origin: LayerTable
    origin_key: str
    destination: LayerTable
    destination_key: str
    cardinality: str
    is_composite: bool = False
    through: LayerTable | None = None
    through_origin_key: str = ""
    through_destination_key: str = ""

    @property
    def view(self) -> str:
        """The mapping view's name."""
        return f"fieldsync_relation_{self.origin.layer_id}_{self.id}"

    def condition(self) -> str:
        """SQL that is true for an origin row ``o`` and a destination row ``d`` of the relation."""
        origin, destination = quote(self.origin_key), quote(self.destination_key)
        if self.through is None:
            return f"d.{destination} = o.{origin}"
        return (
            f"EXISTS (SELECT 1 FROM {quote(self.through.name)} t WHERE "
            f"t.{quote(self.through_origin_key)} = o.{origin} AND "
            f"t.{quote(self.through_destination_key)} = d.{destination})"
        )


def relations(layers: Sequence[tuple[LayerSchema, LayerTable]]) -> tuple[Relation, ...]:
    """The relationships whose two ends (and table between them) are all among ``layers``.

    An end whose key field is missing, or that the other layer does not list, is left out: nothing
    is known of its key then.
    """
    return tuple(_relations({layer.id: (layer, table) for layer, table in layers}))


def _relations(layers: dict[int, tuple[LayerSchema, LayerTable]]) -> Iterator[Relation]:
    for layer, table in layers.values():
        for end in layer.relationships:
            if not end.is_origin or end.related_table_id not in layers:
                continue
            other, other_table = layers[end.related_table_id]
            far = next((r for r in other.relationships if r.id == end.id and not r.is_origin), None)
            if far is None:
                continue
            keys = _column(table, end.key_field), _column(other_table, far.key_field)
            between = _between(layer, other, end.id)
            if keys[0] is None or keys[1] is None:
                continue
            relation = Relation(
                id=end.id,
                name=end.name or f"relationship {end.id}",
                origin=table,
                origin_key=keys[0],
                destination=other_table,
                destination_key=keys[1],
                cardinality=end.cardinality,
                is_composite=end.is_composite,
            )
            if between is None:
                yield relation
            elif between[0] in layers:
                yield from _through(relation, layers[between[0]][1], between[1], between[2])


def _through(
    relation: Relation, table: LayerTable, origin_key: str, destination_key: str
) -> Iterator[Relation]:
    near, far = _column(table, origin_key), _column(table, destination_key)
    if near is not None and far is not None:
        yield replace(
            relation,
            through=table,
            through_origin_key=near,
            through_destination_key=far,
        )


def _between(
    origin: LayerSchema, destination: LayerSchema, id_: int
) -> tuple[int, str, str] | None:
    """The id of the table between the two, and its key fields for each; None if there is none."""
    near, far = _resource(origin, id_), _resource(destination, id_)
    table = near.get("relationshipTableId")
    if not isinstance(table, int) or table < 0:
        return None
    key = "keyFieldInRelationshipTable"
    return table, str(near.get(key) or ""), str(far.get(key) or "")


def _resource(layer: LayerSchema, id_: int) -> dict[str, object]:
    listed = layer.resource.get("relationships")
    for item in listed if isinstance(listed, list) else ():
        if isinstance(item, dict) and item.get("id") == id_:
            return item
    return {}


def _column(table: LayerTable, name: str) -> str | None:
    """The column for a field name, which services spell in any case."""
    names = (table.global_id, *(c.name for c in table.columns))
    return next((n for n in names if n.casefold() == name.casefold()), None)


def create_relations(
    connection: sqlite3.Connection,
    found: Sequence[Relation],
    attachments: Sequence[tuple[LayerTable, LayerTable]],
) -> None:
    """Make the mapping views and declare them; ``attachments`` pairs features with theirs."""
    declared = [(r.view, r.origin, r.destination, _mapping(r)) for r in found]
    for table, attached in attachments:
        view = f"fieldsync_relation_{table.layer_id}_attachments"
        match = f"d.{quote('REL_GLOBALID')} = o.{quote(table.global_id)}"
        declared.append((view, table, attached, _select(table, attached, match)))
    if not declared:
        return
    if not _is_declared(connection):
        connection.execute(
            "CREATE TABLE gpkgext_relations (id INTEGER PRIMARY KEY AUTOINCREMENT, "
            "base_table_name TEXT NOT NULL, base_primary_column TEXT NOT NULL DEFAULT 'id', "
            "related_table_name TEXT NOT NULL, related_primary_column TEXT NOT NULL DEFAULT 'id', "
            "relation_name TEXT NOT NULL, mapping_table_name TEXT NOT NULL UNIQUE)"
        )
        _declare(connection, "gpkgext_relations")
    for view, base, related, mapping in declared:
        connection.execute(f"CREATE VIEW {quote(view)} AS {mapping}")
        _declare(connection, view)
        connection.execute(
            "INSERT INTO gpkgext_relations (base_table_name, base_primary_column, "
            "related_table_name, related_primary_column, relation_name, mapping_table_name) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                base.name,
                base.key,
                related.name,
                related.key,
                "attributes" if related.geometry is None else "features",
                view,
            ),
        )


def replace_relations(
    connection: sqlite3.Connection,
    found: Sequence[Relation],
    attachments: Sequence[tuple[LayerTable, LayerTable]],
) -> None:
    """Make the mapping views anew; relations that another program declared stay."""
    views = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'view' AND name GLOB 'fieldsync_relation_*'"
    ).fetchall()
    for (view,) in views:
        connection.execute(f"DROP VIEW {quote(view)}")
        connection.execute("DELETE FROM gpkg_extensions WHERE table_name = ?", (view,))
        if _is_declared(connection):
            connection.execute(
                "DELETE FROM gpkgext_relations WHERE mapping_table_name = ?", (view,)
            )
    create_relations(connection, found, attachments)


def _is_declared(connection: sqlite3.Connection) -> bool:
    found = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'gpkgext_relations'")
    return found.fetchone() is not None


def _mapping(relation: Relation) -> str:
    if relation.through is None:
        return _select(relation.origin, relation.destination, relation.condition())
    return (
        f"SELECT o.{quote(relation.origin.key)} AS base_id, "
        f"d.{quote(relation.destination.key)} AS related_id "
        f"FROM {quote(relation.through.name)} t "
        f"JOIN {quote(relation.origin.name)} o "
        f"ON o.{quote(relation.origin_key)} = t.{quote(relation.through_origin_key)} "
        f"JOIN {quote(relation.destination.name)} d "
        f"ON d.{quote(relation.destination_key)} = t.{quote(relation.through_destination_key)}"
    )


def _select(base: LayerTable, related: LayerTable, match: str) -> str:
    return (
        f"SELECT o.{quote(base.key)} AS base_id, d.{quote(related.key)} AS related_id "
        f"FROM {quote(base.name)} o JOIN {quote(related.name)} d ON {match}"
    )


def _declare(connection: sqlite3.Connection, name: str) -> None:
    connection.execute(
        "INSERT INTO gpkg_extensions VALUES (?, NULL, 'gpkg_related_tables', ?, 'read-write')",
        (name, _DEFINITION),
    )
