"""Which rows belong to a row: its attachments and the rows related to it, and theirs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.relations import Relation


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependent:
    """Rows that belong to another row: ``key_column`` of ``table`` holds the parent's value of
    ``parent_column`` (None: its GlobalID). Attachments go wherever the parent goes, of other
    tables only rows that the service has never seen. ``is_composite``: to delete the parent deletes
    them."""

    table: LayerTable
    key_column: str
    parent_column: str | None = None
    is_composite: bool = False
    dependents: "tuple[Dependent, ...]" = ()


def dependents_of(
    parent: LayerTable,
    tables: Iterable[LayerTable],
    relations: Sequence[Relation],
    seen: frozenset[int] = frozenset(),
) -> tuple[Dependent, ...]:
    """What belongs to the rows of ``parent``, among ``tables``.

    A ring of relationships is followed once around.
    """
    if parent.is_attachment or parent.layer_id in seen:
        return ()
    seen |= {parent.layer_id}
    known = list(tables)
    found = [
        Dependent(table=table, key_column="REL_GLOBALID", is_composite=True)
        for table in known
        if table.is_attachment and table.layer_id == parent.layer_id
    ]
    for relation in relations:
        if relation.origin.layer_id == parent.layer_id and relation.through is None:
            is_by_global_id = relation.origin_key == parent.global_id
            found.append(
                Dependent(
                    table=relation.destination,
                    key_column=relation.destination_key,
                    is_composite=relation.is_composite,
                    parent_column=None if is_by_global_id else relation.origin_key,
                    dependents=dependents_of(relation.destination, known, relations, seen),
                )
            )
    return tuple(found)
