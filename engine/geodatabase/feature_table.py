"""A layer or table of a geodatabase: its features, their attachments, and what was edited.

The names are those of the ArcGIS Maps SDK's ``ArcGISFeatureTable``. What is many comes as an
asynchronous iterator that reads about a megabyte at a time, each piece in a state of its own:
another program may write between two pieces.
"""

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from engine.errors import EditRefusedError, EngineError
from engine.geodatabase import attachments as attached, change_log, related_rows, rows
from engine.geodatabase.attachments import Attachment, Source, content_type_of
from engine.geodatabase.catalog import StoredLayer
from engine.geodatabase.change_log import Edit, EditCounts
from engine.geodatabase.connection import Database
from engine.geodatabase.feature import Feature, FeatureForm, Geometry, Keep
from engine.geodatabase.layer_table import LayerTable, is_stored
from engine.geodatabase.local_edit import AttachmentEdit, LocalEdit, RelatedFeature
from engine.geodatabase.relations import Relation
from engine.geodatabase.shape import Shape, ShapedRow
from engine.geodatabase.spatial_reference import reference_of
from engine.geodatabase.table_access import TableAccess
from engine.geodatabase.triggers import Permissions
from engine.layer_schema import Field, LayerSchema
from engine.model import EditOperation, SpatialReference
from engine.values import ColumnValue

__all__ = [
    "Attachment",
    "AttachmentEdit",
    "Feature",
    "FeatureTable",
    "LocalEdit",
    "RelatedFeature",
]


class FeatureTable:
    """One layer or table. Made by :class:`engine.geodatabase.geodatabase.Geodatabase`.

    ``number`` is its number in the change log.

    What is done here happens inside the caller's transaction, if one is open.
    """

    def __init__(
        self,
        database: Database,
        layers: Mapping[int, StoredLayer],
        number: int,
        relations: Sequence[Relation],
        error: EngineError | None,
    ) -> None:
        self._database = database
        self.number = number
        self.renew(layers, relations, error)

    def renew(
        self,
        layers: Mapping[int, StoredLayer],
        relations: Sequence[Relation],
        error: EngineError | None,
    ) -> None:
        """Follow a change of the layer: who holds this table goes on with it."""
        self._layers = layers
        self._layer = layers[self.number]
        self._table = self._layer.features.table
        self._relations = relations
        self._form = FeatureForm(self._layer)
        self._access = TableAccess(self._database, self._layer.schema.name, error)

    # --- what it is -------------------------------------------------------------------------------

    @property
    def error(self) -> EngineError | None:
        """Set if the layer's edits are not known (its change log was damaged) or if it was never
        loaded: then it can be read, and everything that touches edits raises this error.
        """
        return self._access.error

    @property
    def name(self) -> str:
        """The layer's name on the service."""
        return self._layer.schema.name

    @property
    def table_name(self) -> str:
        """The table's name in the file, for other programs."""
        return self._table.name

    @property
    def layer_id(self) -> int:
        return self._layer.schema.id

    @property
    def schema(self) -> LayerSchema:
        return self._layer.schema

    @property
    def geometry_type(self) -> str | None:
        """The Esri geometry type, None for a table without geometries."""
        return self._layer.schema.geometry_type

    @property
    def spatial_reference(self) -> SpatialReference:
        """What the coordinates in the table are in."""
        return reference_of(self._layer.features.srs_id, self.schema.spatial_reference)

    @property
    def fields(self) -> tuple[Field, ...]:
        """The layer's fields as the service defines them."""
        return self._layer.schema.fields

    @property
    def permissions(self) -> Permissions:
        """What may be done with the features on this device."""
        return self._layer.features.permissions

    @property
    def omitted_fields(self) -> tuple[str, ...]:
        """Fields of the layer that are not in the table: their values have no form in JSON."""
        return tuple(f.name for f in self.schema.fields if not is_stored(f))

    @property
    def has_attachments(self) -> bool:
        return self._layer.attachments is not None

    async def count(self) -> int:
        """How many features there are."""
        return await self._access.read(rows.count_rows, self._table)

    async def attachment_count(self) -> int:
        """How many attachments all the features have together."""
        if self._layer.attachments is None:
            return 0
        return await self._access.read(rows.count_rows, self._layer.attachments.table)

    # --- features ---------------------------------------------------------------------------------

    async def query_features(
        self, where: str = "", parameters: Sequence[ColumnValue] = ()
    ) -> AsyncIterator[Feature]:
        """The features that fulfil an SQL condition over the table's columns, in file order.

        ``?`` in ``where`` stand for ``parameters``. :exc:`BadParameterError` if SQLite does not
        understand it.
        """
        after: int | None = None
        while True:
            page, after = await self._access.read(
                rows.read_page, self._table, where, tuple(parameters), after
            )
            for row in page:
                yield self._form.feature(row)
            if after is None:
                return

    async def query_shapes(
        self,
        where: str = "",
        parameters: Sequence[ColumnValue] = (),
        *,
        fields: Sequence[str] = (),
    ) -> AsyncIterator[ShapedRow]:
        """The rows that :meth:`query_features` finds, with their shapes and some ``fields`` only.

        A field that the table does not have is None in every row.
        """
        table = self._table
        columns = [table.field_column(name) for name in fields]
        geometry = [] if table.geometry is None else [table.geometry]
        names = [table.global_id, *geometry, *dict.fromkeys(c for c in columns if c is not None)]
        places = [None if c is None else names.index(c) for c in columns]
        after: int | None = None
        while True:
            page, after = await self._access.read(
                rows.read_page, table, where, tuple(parameters), after, names
            )
            for row in page:
                yield ShapedRow(
                    global_id=str(row[0]),
                    shape=Shape.from_blob(row[1]) if geometry else None,
                    values=tuple(None if at is None else row[at] for at in places),
                )
            if after is None:
                return

    def shape_in(self, version: Mapping[str, object] | None) -> Shape | None:
        """The shape in a version of a row as conflicts and the quarantine keep it."""
        cell = None if version is None else version.get(self._table.geometry or "")
        text = cell.get("hex") if isinstance(cell, Mapping) else None
        return Shape.from_blob(bytes.fromhex(text)) if isinstance(text, str) else None

    async def feature(self, global_id: str) -> Feature:
        """The feature of that GlobalID; :exc:`FeatureNotFoundError` if there is none."""
        return self._form.feature(
            await self._access.read(rows.get_row, self._table, self._access.guid(global_id))
        )

    async def add_feature(
        self, attributes: Mapping[str, object] | None = None, geometry: Geometry | None = None
    ) -> Feature:
        """Add a feature; it is returned as stored, with its GlobalID and the layer's defaults."""
        cells = self._form.added(attributes or {}, geometry)
        return self._form.feature(await self._access.edit(rows.insert_row, self._table, cells))

    async def update_feature(
        self,
        global_id: str,
        attributes: Mapping[str, object] | None = None,
        geometry: Geometry | Keep | None = Keep.GEOMETRY,
    ) -> Feature:
        """Change attributes, and the geometry if it is given (None takes it away)."""

        def change(connection: sqlite3.Connection, guid: str) -> rows.Row:
            present = rows.get_row(connection, self._table, guid)
            cells = self._form.updated(present, attributes or {}, geometry)
            return rows.update_row(connection, self._table, guid, cells)

        return self._form.feature(await self._access.edit(change, self._access.guid(global_id)))

    async def delete_feature(self, global_id: str) -> None:
        """Delete a feature with its attachments, and the rows that are composed into it."""

        await self._access.edit(
            related_rows.delete_with_parts,
            self._layers,
            self._relations,
            self._table,
            self._access.guid(global_id),
        )

    # --- what was edited --------------------------------------------------------------------------

    async def has_local_edits(self, since: int = 0) -> bool:
        """True if features or attachments have edits that the service has not acknowledged.

        Also True if nobody can tell because the change log was damaged. ``since``: only rows that
        were touched after :meth:`Geodatabase.edit_sequence` gave that number.
        """
        if self.error is not None:
            return True
        return await self._access.read(_has_edits, self._tables(), since)

    async def edit_counts(self) -> EditCounts:
        """How many features were added, updated and deleted."""
        return await self._counts(self._table)

    async def attachment_edit_counts(self) -> EditCounts:
        """How many attachments were added, updated and deleted."""
        if self._layer.attachments is None:
            return EditCounts()
        return await self._counts(self._layer.attachments.table)

    async def get_local_edits(self, after: int = 0) -> AsyncIterator[LocalEdit]:
        """All edits of features, in the order in which the rows were first touched.

        ``after``: only those that follow the edit of that :attr:`LocalEdit.first_sequence`.
        """
        while edits := await self._access.read_log(_edits_after, self._table, after):
            for edit in edits:
                yield self._local_edit(edit)
            after = edits[-1].first

    async def get_local_attachment_edits(self, after: int = 0) -> AsyncIterator[AttachmentEdit]:
        """All edits of attachments, in the order in which they were first touched.

        ``after`` as in :meth:`get_local_edits`.
        """
        if self._layer.attachments is None:
            return
        table = self._layer.attachments.table
        while edits := await self._access.read_log(_edits_after, table, after):
            for edit in edits:
                yield _attachment_edit(edit)
            after = edits[-1].first

    async def get_added_features(self) -> AsyncIterator[Feature]:
        """The features that the service does not have yet."""
        async for edit in self._edits(EditOperation.ADD):
            if edit.feature is not None:
                yield edit.feature

    async def get_updated_features(self) -> AsyncIterator[Feature]:
        """The features that differ from what the service has, as they are now."""
        async for edit in self._edits(EditOperation.UPDATE):
            if edit.feature is not None:
                yield edit.feature

    async def get_deleted_features(self) -> AsyncIterator[Feature]:
        """The features that the service still has, as it knows them."""
        async for edit in self._edits(EditOperation.DELETE):
            if edit.base is not None:
                yield edit.base

    async def _edits(self, operation: EditOperation) -> AsyncIterator[LocalEdit]:
        async for edit in self.get_local_edits():
            if edit.operation is operation:
                yield edit

    def _local_edit(self, edit: Edit) -> LocalEdit:
        return LocalEdit(
            global_id=edit.global_id,
            operation=edit.operation,
            state=edit.state,
            sequence=edit.last,
            first_sequence=edit.first,
            fields=edit.columns,
            geometry_changed=edit.geometry_changed,
            feature=None if edit.row is None else self._form.feature(edit.row),
            base=None if edit.base is None else self._form.feature(edit.base),
        )

    async def _counts(self, table: LayerTable) -> EditCounts:
        return await self._access.read_log(_all_counts, table)

    def _tables(self) -> list[LayerTable]:
        entries = (self._layer.features, self._layer.attachments)
        return [entry.table for entry in entries if entry is not None]

    # --- attachments ------------------------------------------------------------------------------

    async def attachments(self, global_id: str) -> list[Attachment]:
        """The attachments of a feature, without their data."""
        table = self._attachment_table()
        return await self._access.read(
            attached.list_attachments, table, self._access.guid(global_id)
        )

    async def add_attachment(
        self, global_id: str, name: str, content_type: str | None, data: bytes | Path
    ) -> Attachment:
        """Attach ``data``, or the contents of a file, to a feature.

        The media type None is guessed from the name.
        """
        table = self._attachment_table()

        def add(connection: sqlite3.Connection, guid: str) -> Attachment:
            rows.get_row(connection, self._table, guid)
            kind = content_type or content_type_of(name)
            return attached.add_attachment(
                connection, table, guid, self._file_name(name), kind, Source(data)
            )

        return await self._access.edit(add, self._access.guid(global_id))

    async def update_attachment(
        self, attachment_id: str, name: str, content_type: str | None, data: bytes | Path
    ) -> Attachment:
        """Replace an attachment's name, media type and data."""
        table = self._attachment_table()

        def change(connection: sqlite3.Connection, guid: str) -> Attachment:
            kind = content_type or content_type_of(name)
            return attached.replace_attachment(
                connection, table, guid, self._file_name(name), kind, Source(data)
            )

        return await self._access.edit(change, self._access.guid(attachment_id))

    async def attachment_data(self, attachment_id: str) -> AsyncIterator[bytes]:
        """The data of an attachment, in pieces of at most 256 KB."""
        table, guid = self._attachment_table(), self._access.guid(attachment_id)
        offset = 0
        while piece := await self._access.read(attached.read_piece, table, guid, offset):
            yield piece
            offset += len(piece)

    async def delete_attachment(self, attachment_id: str) -> None:
        """Delete an attachment; :exc:`FeatureNotFoundError` if there is none."""
        await self._access.edit(
            rows.delete_row, self._attachment_table(), self._access.guid(attachment_id)
        )

    def _attachment_table(self) -> LayerTable:
        if self._layer.attachments is None:
            raise EditRefusedError(f"{self.name} has no attachments")
        return self._layer.attachments.table

    def _file_name(self, name: str) -> str:
        if not name.strip() or "/" in name or "\0" in name:
            raise EditRefusedError(f"{self.name}: {name!r} cannot be the name of an attachment")
        return name

    # --- related features -------------------------------------------------------------------------

    async def related_features(self, global_id: str) -> AsyncIterator[RelatedFeature]:
        """The features that relationships tie to a feature, from either end."""
        guid = self._access.guid(global_id)
        for relation in self._relations:
            if self._table.number not in (relation.origin.number, relation.destination.number):
                continue
            after = -(2**63)
            while True:
                found, other = await self._access.read(
                    related_rows.find_related, relation, self._table, guid, after
                )
                if not found:
                    break
                form = FeatureForm(self._layers[other.number])
                after = found[-1][0]
                for _, row in found:
                    yield RelatedFeature(
                        relationship=relation.name,
                        layer_id=other.layer_id,
                        feature=form.feature(row),
                    )

    async def validate_relationship_constraints(self, global_id: str) -> list[str]:
        """What is wrong with the relationships of a feature, one sentence each.

        Nothing of it prevents an edit, here or on the service.
        """
        return await self._access.read(
            related_rows.violations, self._relations, self._table, self._access.guid(global_id)
        )


def _has_edits(connection: sqlite3.Connection, tables: Sequence[LayerTable], since: int) -> bool:
    return any(change_log.has_pending(connection, t, everything=True, since=since) for t in tables)


def _edits_after(connection: sqlite3.Connection, table: LayerTable, after: int) -> list[Edit]:
    return change_log.pending_edits(connection, table, after=after, everything=True)


def _all_counts(connection: sqlite3.Connection, table: LayerTable) -> EditCounts:
    return change_log.count_pending(connection, table, everything=True)


def _attachment_edit(edit: Edit) -> AttachmentEdit:
    row = edit.base if edit.row is None else edit.row
    assert row is not None
    cells = dict(zip(edit.table.row_names, row, strict=True))
    return AttachmentEdit(
        global_id=edit.global_id,
        parent_global_id=str(cells["REL_GLOBALID"]),
        name=str(cells["ATT_NAME"]),
        operation=edit.operation,
        state=edit.state,
        first_sequence=edit.first,
    )
