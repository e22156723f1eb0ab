"""What changed in a layer of the service since its table was made, as far as a table can follow.

A table follows a field that is new, gone, wider or closed to edits, a new domain, alias or default,
new abilities, and attachments that were switched on. Anything else makes it another layer:
:exc:`SchemaChangedError` says what, and the table stays as it is with its edits.
"""

from dataclasses import dataclass, replace

from engine.errors import SchemaChangedError
from engine.geodatabase.catalog import StoredLayer
from engine.geodatabase.layer_table import Column, LayerTable, is_stored
from engine.geodatabase.permissions import Permissions, layer_permissions
from engine.geodatabase.replica import Replica, with_direction
from engine.layer_schema import Field, FieldType, JsonObject, LayerSchema
from engine.model import SyncDirection

_WIDER = {
    FieldType.SMALL_INTEGER: {
        FieldType.INTEGER,
        FieldType.BIG_INTEGER,
        FieldType.SINGLE,
        FieldType.DOUBLE,
    },
    FieldType.INTEGER: {FieldType.BIG_INTEGER, FieldType.DOUBLE},
    FieldType.SINGLE: {FieldType.DOUBLE},
}
"""Field type → the types that hold each of its values exactly."""

_VOLATILE = frozenset(
    {"editingInfo", "extent", "changeTrackingInfo", "serverGens", "currentVersion"}
)
"""Members of a layer resource that change without the schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerChange:
    """How the table of a layer must change to be the table of ``now``.

    ``added`` are fields without a column, ``removed`` columns without a field, ``closed`` columns
    that may only be read from now on, ``declared`` fields whose column has another type or length.
    """

    now: LayerSchema
    table: LayerTable
    permissions: Permissions
    added: tuple[Field, ...] = ()
    removed: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    declared: tuple[Field, ...] = ()
    gains_attachments: bool = False
    opens: bool = False
    """It could only be read, and takes edits now."""
    sentences: tuple[str, ...] = ()
    """What a person is told, one clause for each change."""


def compare(stored: StoredLayer, now: LayerSchema, replica: Replica) -> LayerChange | None:
    """The change from the stored layer to ``now``; None if there is none.

    :exc:`SchemaChangedError` if it is not the same layer any more.
    """
    known, table = stored.schema, stored.features.table
    _require_same_layer(known, now)
    opens = _opens(known, now, replica)
    if opens:
        replica = with_direction(replica, now.id, SyncDirection.BIDIRECTIONAL)
    fields = {f.name.casefold(): f for f in now.fields if is_stored(f)}
    before = {c.name.casefold(): c for c in table.columns}
    ids = {table.global_id.casefold()}
    added = tuple(f for name, f in fields.items() if name not in before.keys() | ids)
    removed = tuple(c.name for name, c in before.items() if name not in fields)
    kept = {c.name: fields[name] for name, c in before.items() if name in fields}
    closed = tuple(n for n, f in kept.items() if _column(n, before).is_editable and not _open(f))
    columns = [Column(name=n, type=f.type, is_editable=_open(f)) for n, f in kept.items()]
    columns += [Column(name=f.name, type=f.type, is_editable=_open(f)) for f in added]
    permissions = _permissions(stored, now, replica)
    gains = now.has_attachments and stored.attachments is None
    change = LayerChange(
        now=now,
        table=replace(table, columns=tuple(columns)),
        permissions=permissions,
        added=added,
        removed=removed,
        closed=closed,
        declared=tuple(
            replace(f, name=n) for n, f in kept.items() if _is_declared_anew(known.field(n), f)
        ),
        gains_attachments=gains,
        opens=opens,
        sentences=tuple(_sentences(stored, now, added, removed, closed, permissions)),
    )
    is_same = (
        change.table == table
        and permissions == stored.features.permissions
        and not change.declared
        and not gains
        and _stable(known.resource) == _stable(now.resource)
    )
    return None if is_same else change


def _column(name: str, columns: dict[str, Column]) -> Column:
    return columns[name.casefold()]


def _open(field: Field) -> bool:
    return field.editable and field.type is not FieldType.OID


def _is_declared_anew(known: Field | None, now: Field) -> bool:
    return known is not None and (known.type, known.length) != (now.type, now.length)


def _stable(resource: JsonObject) -> dict[str, object]:
    return {name: value for name, value in resource.items() if name not in _VOLATILE}


def _opens(known: LayerSchema, now: LayerSchema, replica: Replica) -> bool:
    """True if nothing but the layer itself kept its edits from being sent."""
    is_closed = not replica.layer(now.id).sync_direction.uploads
    return (
        is_closed and not known.is_editable and now.is_editable and replica.sync_direction.uploads
    )


def _permissions(stored: StoredLayer, now: LayerSchema, replica: Replica) -> Permissions:
    """What the layer allows now, within what the map was taken for."""
    present = stored.features.permissions
    allowed = layer_permissions(now, replica)
    if present == layer_permissions(stored.schema, replica):  # nothing else narrows them
        return allowed
    return Permissions(
        can_create=present.can_create and allowed.can_create,
        can_update=present.can_update and allowed.can_update,
        can_delete=present.can_delete and allowed.can_delete,
        allows_geometry_updates=present.allows_geometry_updates and allowed.allows_geometry_updates,
        because=present.because or allowed.because,
    )


# --- what no table can follow --------------------------------------------------------------------


def _require_same_layer(known: LayerSchema, now: LayerSchema) -> None:
    before = {f.name.casefold(): f for f in known.fields if is_stored(f)}
    after = {f.name.casefold(): f for f in now.fields if is_stored(f)}
    reasons = []
    if not now.global_id_field:
        reasons.append("it has no GlobalID field any more")
    elif now.global_id_field.casefold() != known.global_id_field.casefold():
        reasons.append(f"its GlobalID field is {now.global_id_field} now")
    if now.object_id_field.casefold() != known.object_id_field.casefold():
        reasons.append(f"its object id field is {now.object_id_field or 'missing'} now")
    if now.geometry_type != known.geometry_type:
        reasons.append(f"its geometry is {now.geometry_type or 'gone'} now")
    elif (now.has_z, now.has_m) != (known.has_z, known.has_m):
        reasons.append("its geometries have other dimensions (z, m) now")
    for name in before.keys() & after.keys():
        one, other = before[name].type, after[name].type
        if one is not other and other not in _WIDER.get(one, ()):
            reasons.append(f"{before[name].name} is of the type {other.value} now")
    same = before.keys() & after.keys()
    if now.name != known.name and len(same) * 2 < len(before):
        reasons.append(f"its number belongs to the layer {now.name!r} now")
    if reasons:
        raise SchemaChangedError(
            f"the layer {known.name!r} is not on the service what it was: {'; '.join(reasons)}"
        )


# --- for a person --------------------------------------------------------------------------------


def _sentences(
    stored: StoredLayer,
    now: LayerSchema,
    added: tuple[Field, ...],
    removed: tuple[str, ...],
    closed: tuple[str, ...],
    permissions: Permissions,
) -> list[str]:
    known = stored.schema
    found = [f"the field {f.name} is new" for f in added]
    found += [f"the field {name} was removed" for name in removed]
    found += [f"the field {name} can only be read now" for name in closed]
    for field in now.fields:
        before = known.field(field.name)
        if before is None or not is_stored(field):
            continue
        if (before.type, before.length) != (field.type, field.length):
            found.append(f"the field {field.name} has another type or length")
        if before.domain != field.domain:
            found.append(f"the field {field.name} has other allowed values")
        if (before.alias, before.nullable, before.default) != (
            field.alias,
            field.nullable,
            field.default,
        ):
            found.append(f"the field {field.name} is described differently")
    if now.has_attachments and stored.attachments is None:
        found.append("it takes attachments now")
    if known.has_attachments and not now.has_attachments:
        found.append("it takes no attachments any more")
    if permissions != stored.features.permissions:
        found.append(f"it now allows {permissions.allowed}")
    if now.name != known.name:
        found.append(f"it is called {now.name} now")
    return found
