"""What all steps of one sync of one geodatabase share, and what those share that need no link."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar
from uuid import uuid4

from engine.clock import Clock, timestamp
from engine.errors import ChangeLogBrokenError, GeodatabaseBusyError, SchemaChangedError
from engine.geodatabase.connection import Database
from engine.geodatabase.dependents import Dependent, dependents_of
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.merge import MergeCounts
from engine.geodatabase.relations import Relation
from engine.geodatabase.replica import Replica
from engine.layer_schema import LayerSchema, ServiceSchema
from engine.model import SpatialReference, SyncDirection
from engine.service.feature_service import FeatureService
from engine.sync.job import Narrator
from engine.sync.parameters import SyncGeodatabaseParameters
from engine.sync.results import SyncGeodatabaseResult, SyncLayerResult
from engine.sync.rows import codec_layer
from native.layer import Layer

BUSY_PAUSE_S = 1.0

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class LocalContext:
    """What can be known and done without a service. ``tables`` are the synchronised tables,
    attachment tables included; ``folder`` is for spool files and downloads of this geodatabase."""

    database: Database
    replica: Replica
    tables: Sequence[LayerTable]
    srs_ids: dict[int, int]
    layers: dict[int, LayerSchema]
    relations: Sequence[Relation]
    spatial_reference: SpatialReference
    parameters: SyncGeodatabaseParameters
    folder: Path
    clock: Clock
    narrator: Narrator
    result: SyncGeodatabaseResult

    def now(self) -> str:
        """The time for records, as GeoPackage DATETIME text."""
        return timestamp(self.clock.now())

    def direction(self, layer_id: int) -> SyncDirection:
        """Which ways that layer's edits go in this sync: what was asked for, and is possible."""
        return SyncDirection(
            self.asked_direction(layer_id) & self.replica.layer(layer_id).sync_direction
        )

    def asked_direction(self, layer_id: int) -> SyncDirection:
        """The direction that the caller wants; layers that the options leave out take no part."""
        if not self.parameters.layer_options:
            return self.parameters.geodatabase_sync_direction
        asked = {o.layer_id: o.sync_direction for o in self.parameters.layer_options}
        return asked.get(layer_id, SyncDirection.NONE)

    @property
    def downloads(self) -> bool:
        return any(self.direction(t.layer_id).downloads for t in self.tables)

    @property
    def uploads(self) -> bool:
        return any(self.direction(t.layer_id).uploads for t in self.tables)

    async def write(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **options: P.kwargs,
    ) -> T:
        """A transaction in which ``function`` runs; waits as long as others keep the file busy."""
        return await self._when_free(function, False, args, options)

    async def apply(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **options: P.kwargs,
    ) -> T:
        """As :meth:`write`, for what the service has: it is not logged as an edit."""
        return await self._when_free(function, True, args, options)

    async def _when_free(
        self,
        function: Callable[..., T],
        applying: bool,
        args: tuple[object, ...],
        options: dict[str, object],
    ) -> T:
        has_said = False
        while True:
            try:
                return await self.database.write(
                    partial(function, **options), *args, applying=applying
                )
            except GeodatabaseBusyError as error:
                if not has_said:
                    self.narrator.info(f"waiting: {error.message}")
                    has_said = True
                await self.clock.sleep(BUSY_PAUSE_S)

    def layer_result(self, table: LayerTable) -> SyncLayerResult:
        return self.result.layer(table.layer_id)

    def count_downloaded(self, table: LayerTable, merged: MergeCounts) -> None:
        """Add what was merged into ``table`` to its layer's result."""
        result = self.layer_result(table)
        counts = result.attachments_downloaded if table.is_attachment else result.downloaded
        counts.added += merged.added
        counts.updated += merged.updated
        counts.deleted += merged.deleted
        counts.unchanged += merged.unchanged
        counts.conflicts += merged.conflicts

    def feature_table(self, layer_id: int) -> LayerTable | None:
        return next(
            (t for t in self.tables if t.layer_id == layer_id and not t.is_attachment), None
        )

    def attachment_table(self, layer_id: int) -> LayerTable | None:
        return next((t for t in self.tables if t.layer_id == layer_id and t.is_attachment), None)

    def codec_layer(self, table: LayerTable) -> Layer:
        """The feature table as the native codecs want to be told of it."""
        return codec_layer(self.layers[table.layer_id], table, self.srs_ids[table.number])

    def dependents(self, parent: LayerTable) -> tuple[Dependent, ...]:
        """What belongs to the rows of ``parent``: attachments, related rows, and theirs."""
        return dependents_of(parent, self.tables, self.relations)

    def parents(self) -> dict[int, tuple[tuple[int, str], ...]]:
        """Table number → the tables its rows belong to by GlobalID, and the column with the key."""
        found: dict[int, tuple[tuple[int, str], ...]] = {}
        for relation in self.relations:
            if relation.through is None and relation.origin_key == relation.origin.global_id:
                child = relation.destination.number
                parent = (relation.origin.number, relation.destination_key)
                found[child] = (*found.get(child, ()), parent)
        return found

    def parents_first(self) -> list[int]:
        """Layer ids so that the origin of a relationship comes before its destination."""
        parents: dict[int, set[int]] = {t.layer_id: set() for t in self.tables}
        for relation in self.relations:
            origin, destination = relation.origin.layer_id, relation.destination.layer_id
            if origin in parents and destination in parents and origin != destination:
                parents[destination].add(origin)
        ordered: list[int] = []
        while len(ordered) < len(parents):
            left = [layer_id for layer_id in parents if layer_id not in ordered]
            free = [layer_id for layer_id in left if parents[layer_id] <= set(ordered)]
            ordered += free or left[:1]  # a ring of relationships is cut somewhere
        return ordered


@dataclass(slots=True, kw_only=True)
class SyncContext(LocalContext):
    """What all steps of a sync share. ``needs_snapshot``: the service cannot tell what has changed,
    so all rows must be fetched. ``edits_first``: they do not wait for what has changed there;
    ``has_pushed``: they have been up. ``run`` is unlike that of any other sync."""

    schema: ServiceSchema
    service: FeatureService
    needs_snapshot: bool = False
    edits_first: bool = False
    has_pushed: bool = False
    run: str = field(default_factory=lambda: uuid4().hex)

    def stopped_layers(self) -> set[int]:
        """Those that are left out because they are not what they were, on the service or here: the
        others do not wait for them. What was merely not to be had now is not among them."""
        lasting = SchemaChangedError | ChangeLogBrokenError
        results = self.result.layer_results
        return {result.layer_id for result in results if isinstance(result.error, lasting)}

    def wire_layers(self) -> dict[int, Layer]:
        """All feature tables for the encoder, by layer id.

        Geometries name their spatial reference only where the service would assume another one, its
        own ("Feature object").
        """
        is_same = self.spatial_reference.same_as(self.schema.spatial_reference)
        reference = "" if is_same else json.dumps(self.spatial_reference.to_json())
        return {
            t.layer_id: codec_layer(self.layers[t.layer_id], t, self.srs_ids[t.number], reference)
            for t in self.tables
            if not t.is_attachment
        }


def spool_folder(geodatabase: Path) -> Path:
    """Where a geodatabase's spool files and downloads are: a folder beside it."""
    return geodatabase.with_name(f"{geodatabase.name}-spool")


def remove_geodatabase(path: Path) -> None:
    """Remove a geodatabase that nobody has open, with what SQLite and its syncs keep beside it."""
    remove_spool(path)
    remove_file(path)


def remove_file(path: Path) -> None:
    """Remove the file of a geodatabase, and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)


def remove_spool(path: Path) -> None:
    """Remove the spool folder of a geodatabase."""
    folder = spool_folder(path)
    if folder.is_dir():
        for entry in folder.iterdir():
            entry.unlink(missing_ok=True)
        folder.rmdir()


def lock_path(geodatabase: Path) -> Path:
    """The file whose lock says that a geodatabase is being taken or synced."""
    return geodatabase.with_name(f"{geodatabase.name}.lock")
