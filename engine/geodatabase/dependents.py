"""Which rows belong to a row: its attachments and the rows related to it, and theirs."""

from collections.abc import Iterable, Sequence

from engine.geodatabase.conflicts import Dependent
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.relations import Relation


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
        Dependent(table=table, key_column="REL_GLOBALID")
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
                    parent_column=None if is_by_global_id else relation.origin_key,
                    dependents=dependents_of(relation.destination, known, relations, seen),
                )
            )
    return tuple(found)
