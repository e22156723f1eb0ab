"""Which operations a layer allows, and the SQL that refuses the others at the edit itself.

A person learns at once that an edit cannot be synchronised, not days later. A row that was added
on the device and was not sent yet may be changed and deleted whatever the layer allows: what will
be sent is still an add.
"""

from dataclasses import dataclass

from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.replica import Replica
from engine.geodatabase.sql import literal, quote
from engine.layer_schema import LayerSchema
from engine.model import AttachmentSyncDirection, PreplannedUpdateMode

_BECAUSE = {
    PreplannedUpdateMode.NO_UPDATES: "this map was taken without updates",
    PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES: "this map is kept current by packages",
    PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES_AND_UPLOAD_NEW_FEATURES: (
        "this map is kept current by packages and takes new features only"
    ),
}
"""Update modes in which not everything is permitted that the service allows ("PreplannedUpdateMode"
of the ArcGIS Maps SDK), and what a person is told. What would never be sent is refused, too."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What may be done with the rows of a layer on this device.

    ``needs_new_parent``: attachments are added to features that were added here and not yet sent,
    and to no others. ``because``: why it is less than the service allows, for a person.
    """

    can_create: bool = True
    can_update: bool = True
    can_delete: bool = True
    allows_geometry_updates: bool = True
    needs_new_parent: bool = False
    because: str = ""

    @property
    def allowed(self) -> str:
        """The allowed operations in words."""
        words = []
        if self.can_create:
            words.append("adding rows")
        if self.can_update:
            words.append("changing rows" if self.allows_geometry_updates else "changing attributes")
        if self.can_delete:
            words.append("deleting rows")
        return ", ".join(words) or "reading only"


def layer_permissions(layer: LayerSchema, replica: Replica) -> Permissions:
    """What the layer and the map's update mode allow, if edits travel to the service at all."""
    mode = replica.update_mode
    is_synced = mode is PreplannedUpdateMode.SYNC_WITH_FEATURE_SERVICES
    uploads = replica.layer(layer.id).sync_direction.uploads
    return Permissions(
        can_create=uploads and mode.uploads and layer.can_create,
        can_update=uploads and is_synced and layer.can_update,
        can_delete=uploads and is_synced and layer.can_delete,
        allows_geometry_updates=layer.allows_geometry_updates,
        because=_BECAUSE.get(mode, "") if layer.is_editable else "",
    )


def attachment_permissions(features: Permissions, replica: Replica) -> Permissions:
    """What may be done with attachments: they belong to their feature, so changing that counts."""
    uploads = replica.attachment_direction is not AttachmentSyncDirection.NONE
    return Permissions(
        can_create=uploads and (features.can_update or features.can_create),
        can_update=uploads and features.can_update,
        can_delete=uploads and (features.can_update or features.can_delete),
        needs_new_parent=replica.update_mode
        is PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES_AND_UPLOAD_NEW_FEATURES,
        because=features.because,
    )


class Refusals:
    """The statements, each with its semicolon, that go into a layer's triggers; '' = none.

    They run before the trigger writes its log entry, so an entry without base is an own add.
    """

    def __init__(self, table: LayerTable, permissions: Permissions) -> None:
        self._table = table
        self._permissions = permissions
        self._number = table.number
        self._name = quote(table.name)
        self._gid = quote(table.global_id)
        self._key = quote(table.key)

    def on_insert(self) -> str:
        """For AFTER INSERT, when the row has its GlobalID."""
        new = f"(SELECT {self._gid} FROM {self._name} WHERE {self._key}=NEW.{self._key})"
        known = (
            f"EXISTS(SELECT 1 FROM fieldsync_change c WHERE c.layer={self._number}"
            f" AND c.gid={new} AND c.had_base=1)"
        )
        text = ""
        if not self._permissions.can_create:
            text += self._refuse("new rows", f"NOT {known}")
        if not self._permissions.can_update:
            text += self._refuse("changed rows", known)
        if self._permissions.needs_new_parent and self._table.is_attachment:
            parent = f"'{{'||upper(trim(NEW.{quote('REL_GLOBALID')},'{{}} '))||'}}'"
            is_new = self._own_add(parent, self._number - 1)
            text += self._refuse("attachments of features that are not new", f"NOT {is_new}")
        return text + self._replaced_row("1")

    def on_update(self, changed: str) -> str:
        """For AFTER UPDATE; ``changed`` is true if an editable column differs."""
        gid, key = self._gid, self._key
        old, new = (f"upper(trim({row}.{gid},'{{}} '))" for row in ("OLD", "NEW"))
        renamed = f"({new}<>{old} AND length(NEW.{gid})>0)"
        foreign = f"NOT {self._own_add(f'OLD.{gid}')}"
        permissions = self._permissions
        text = ""
        if not permissions.can_update:
            text += self._refuse("changed rows", f"({changed} OR {renamed}) AND {foreign}")
            # A new row that takes the place of one of the service's would be an update of that.
            taken = (
                f"EXISTS(SELECT 1 FROM fieldsync_change c WHERE c.layer={self._number}"
                f" AND c.gid='{{'||{new}||'}}' AND c.had_base=1)"
            )
            text += self._refuse("changed rows", f"{renamed} AND {taken}")
        elif not (permissions.can_create and permissions.can_delete):
            text += self._refuse("changed GlobalIDs", f"{renamed} AND {foreign}")
        if (
            permissions.can_update
            and not permissions.allows_geometry_updates
            and self._table.geometry is not None
        ):
            geometry = quote(self._table.geometry)
            differs = f"{_coordinates(f'NEW.{geometry}')} IS NOT {_coordinates(f'OLD.{geometry}')}"
            text += self._refuse("changed geometries", f"{differs} AND {foreign}")
        moved = f"NEW.{key} IS NOT OLD.{key}"
        text += self._replaced_row(moved)
        if self.guards_rows:  # by its key it is found when a REPLACE has removed it
            text += self._refuse("changed row numbers", f"{moved} AND {foreign}")
        return text

    def on_delete(self) -> str:
        """For AFTER DELETE."""
        if not self.guards_rows:
            return ""
        return self._refuse("deleted rows", f"NOT {self._own_add(f'OLD.{self._gid}')}")

    @property
    def guards_rows(self) -> bool:
        """True if no row of the service may vanish, by a REPLACE either."""
        return not self._permissions.can_delete

    def index_sql(self) -> str | None:
        """The index that :meth:`_replaced_row` needs to stay cheap; None if it is not used."""
        if not self.guards_rows:
            return None
        return (
            f"CREATE INDEX IF NOT EXISTS {quote(self._table.base_table + '_key')}"
            f" ON {quote(self._table.base_table)}(key)"
        )

    def _replaced_row(self, condition: str) -> str:
        """Refuses a REPLACE that removed another row: no DELETE trigger fires for it."""
        if not self.guards_rows:
            return ""
        return self._refuse(
            "deleted rows",
            f"{condition} AND EXISTS(SELECT 1 FROM {quote(self._table.base_table)} b"
            f" CROSS JOIN fieldsync_change c ON c.id=b.id WHERE b.key=NEW.{self._key}"
            f" AND NOT EXISTS(SELECT 1 FROM {self._name} y WHERE y.{self._gid}=c.gid))",
        )

    def _own_add(self, gid: str, number: int | None = None) -> str:
        number = self._number if number is None else number
        return (
            f"EXISTS(SELECT 1 FROM fieldsync_change c WHERE c.layer={number} AND c.gid={gid}"
            f" AND c.had_base=0 AND NOT EXISTS(SELECT 1 FROM fieldsync_sent z"
            f" WHERE z.layer={number} AND z.gid=c.gid))"
        )

    def _refuse(self, what: str, condition: str) -> str:
        allowed, because = self._permissions.allowed, self._permissions.because
        reason = f", because {because}" if because else ""
        message = f"{self._table.name} allows no {what}{reason}; it allows {allowed}."
        return f"SELECT RAISE(ABORT,{literal(message)}) WHERE {condition};"


def _coordinates(blob: str) -> str:
    """The WKB behind a GeoPackage geometry's header (OGC 12-128r18 §2.1.3.1): a writer may add or
    drop the envelope without changing the geometry. Bits 1-3 of the flags tell its length."""
    flags = f"substr(hex(substr({blob},4,1)),2)"
    return (
        f"substr({blob},9+CASE WHEN {flags} IN('0','1') THEN 0 WHEN {flags} IN('2','3') THEN 32"
        f" WHEN {flags} IN('8','9') THEN 64 ELSE 48 END)"
    )
