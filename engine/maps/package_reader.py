"""Readers of the packages of map areas: how a package becomes a geodatabase.

An item of the type *SQLite Geodatabase* says nothing of what is in its file, so that is found out
by the file's first bytes. There are two readers:

- :class:`ReplicaFileReader` downloads a package that is a JSON replica file, as ``createReplica``
  writes it, and loads it. Its update files are of the same kind, so a geodatabase made of it can be
  kept current by packages.
- :class:`DefinitionReader` takes of any other package only what its item tells of it, the service,
  layers, queries and extent, and has the service make a replica of that. It cannot read update
  files. So ArcGIS's own packages, which are mobile geodatabases, are taken.

A reader of mobile geodatabases would be a third class here, and an entry in :func:`reader_for`.
Sources: ArcGIS REST API, "Setup Map Area", "Create Replica"; SQLite, "Database file format".
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from engine.errors import LinkError, MapError, ProtocolError
from engine.geodatabase.layer_table import is_stored
from engine.geodatabase.package_record import PackageGenerations, PackageRecord
from engine.layer_schema import LayerSchema
from engine.maps.package_item import PackageItem
from engine.model import (
    AttachmentSyncDirection,
    PreplannedUpdateMode,
    QueryOption,
    SyncModel,
)
from engine.service.download import discard
from engine.service.portal import Portal
from engine.service.replica_file import first_attributes, generations, read_header
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.parameters import GenerateGeodatabaseParameters, GenerateLayerOption
from engine.sync.registration import register_like
from engine.sync.replica_request import replica_id_in
from engine.sync.row_source import FirstRows, RowSource, Wanted

BY_PACKAGES = frozenset(
    {
        PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES,
        PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES_AND_UPLOAD_NEW_FEATURES,
    }
)
"""The update modes in which packages keep a map current."""

_MAKE_ANEW = (
    "Have the packages of the map area made anew, or take the web map itself for that extent"
)


ATTEMPTS = 3  # in one run, when the package is refreshed while it is downloaded


class PackageFormat(Enum):
    """What is in a package's file."""

    REPLICA_FILE = "JSON replica file"
    MOBILE_GEODATABASE = "mobile geodatabase"
    GEOPACKAGE = "GeoPackage"
    UNKNOWN = "unknown"

    @property
    def has_updates_we_read(self) -> bool:
        """Whether a map can be kept current by packages of this format."""
        return self is PackageFormat.REPLICA_FILE


async def package_format(portal: Portal, package: PackageItem) -> PackageFormat:
    """Look at the first bytes of a package's file."""
    start = await portal.peek_item_data(package.item_id)
    if start.startswith(b"SQLite format 3\0"):
        is_geopackage = start[68:72] in (b"GPKG", b"GP10", b"GP11")
        return PackageFormat.GEOPACKAGE if is_geopackage else PackageFormat.MOBILE_GEODATABASE
    if start.lstrip()[:1] == b"{":
        return PackageFormat.REPLICA_FILE
    return PackageFormat.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSource:
    """A package, and for what it is read. ``folder`` is where its file is kept while it is needed,
    also for a later run if the link breaks."""

    portal: str
    area_item_id: str
    package: PackageItem
    update_mode: PreplannedUpdateMode
    folder: Path


class PackageLinkError(LinkError):
    """The link broke while a package was fetched. What has come is kept, and gone on with."""


class PackageReader(ABC):
    """Makes the geodatabase of one package."""

    def __init__(self, source: PackageSource) -> None:
        self.source = source

    @abstractmethod
    def rows(self) -> RowSource | None:
        """Where the rows come from; None: from the service, by the package's definition."""

    @abstractmethod
    async def coming_bytes(
        self, task: GeodatabaseSyncTask, parameters: GenerateGeodatabaseParameters
    ) -> int:
        """How much will come, to find out beforehand whether there is room."""


def reader_for(
    source: PackageSource, kind: PackageFormat, task: GeodatabaseSyncTask
) -> PackageReader:
    """The reader for a package. :exc:`MapError` if no reader serves the update mode."""
    if source.update_mode in BY_PACKAGES and not kind.has_updates_we_read:
        raise MapError(
            f"the package {source.package.title} is a file of the format {kind.value}, whose "
            f"update packages cannot be read",
            remedy="Take the map area with the update mode syncWithFeatureServices or noUpdates",
        )
    if kind is not PackageFormat.REPLICA_FILE:
        return DefinitionReader(source)
    is_synced = source.update_mode is PreplannedUpdateMode.SYNC_WITH_FEATURE_SERVICES
    if is_synced and not task.schema.supports_registering:
        return DefinitionReader(source)  # the rows of a package would all be fetched once more
    return ReplicaFileReader(source)


class DefinitionReader(PackageReader):
    """Only the definition comes from the package; the service makes the replica."""

    def rows(self) -> RowSource | None:
        return None

    async def coming_bytes(
        self, task: GeodatabaseSyncTask, parameters: GenerateGeodatabaseParameters
    ) -> int:
        return await task.estimated_bytes(parameters)


class ReplicaFileReader(PackageReader):
    """The package is a JSON replica file, in the service's own spatial reference."""

    def rows(self) -> RowSource | None:
        return _PackageRows(self.source)

    async def coming_bytes(
        self, task: GeodatabaseSyncTask, parameters: GenerateGeodatabaseParameters
    ) -> int:
        return max(self.source.package.size_bytes, 0)


class _PackageRows:
    """The rows of a package's file, and a replica of this geodatabase's own if edits go up.

    The package's own replica belongs to everybody who takes the area: it is only named, as the one
    that ours is to be like. What has come of the file is kept by itself.
    """

    goes_on = False

    def __init__(self, source: PackageSource) -> None:
        self._source = source

    async def prepare(self, wanted: Wanted) -> None:
        """The room for all packages was asked for together."""
        size = self._source.package.size_bytes
        told = f"{size / 1e6:.1f} MB" if size >= 0 else "of unknown size"
        wanted.narrator.info(f"{self._source.package.title}: a package {told}")

    def _sends(self, wanted: Wanted) -> bool:
        """Whether the geodatabase is to have a replica of its own."""
        if self._source.update_mode is PreplannedUpdateMode.SYNC_WITH_FEATURE_SERVICES:
            return True
        takes_new = any(layer.can_create for layer in wanted.layers)
        return (
            self._source.update_mode
            is PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES_AND_UPLOAD_NEW_FEATURES
            and wanted.schema.is_editable
            and takes_new
        )

    async def fetch_kept(self, wanted: Wanted) -> FirstRows | None:
        return None

    async def fetch(self, wanted: Wanted) -> FirstRows:
        source, package = self._source, self._source.package
        portal = Portal(source.portal, wanted.service.session)
        package, path, size = await _download(portal, package, source.folder)
        wanted.narrator.report(30)
        try:
            header = await asyncio.to_thread(read_header, path)
        except ProtocolError as error:
            await asyncio.to_thread(discard, path)
            raise ProtocolError(
                f"the package {package.title} cannot be read: {error.message}", remedy=_MAKE_ANEW
            ) from error
        server, layers = generations(header.members)
        if server is None and not layers:  # of the item as it was before its file was fetched
            server, layers = package.generations.server, dict(package.generations.layers)
        _require_layers(package, wanted.layers, header.replaced)
        _require_fields(package, wanted.layers, await asyncio.to_thread(first_attributes, path))
        record = PackageRecord(
            portal=portal.url,
            area_item_id=source.area_item_id,
            item_id=package.item_id,
            generations=PackageGenerations(server=server, layers=layers if server is None else {}),
            size_bytes=size,
            modified=package.modified,
        )
        first = FirstRows(
            path=path,
            header=header,
            server_generation=server,
            layer_generations=layers,
            package=record if source.update_mode in BY_PACKAGES else None,
        )
        if not self._sends(wanted):
            return first
        like = replica_id_in(header.members) or package.replica_id
        return await register_like(wanted, first, like)


async def _download(
    portal: Portal, package: PackageItem, folder: Path
) -> tuple[PackageItem, Path, int]:
    """The package's file, whole; and the item that tells of it, which a refresh may have changed
    since. :exc:`PackageLinkError` if the link breaks."""
    folder.mkdir(exist_ok=True)
    for _ in range(ATTEMPTS - 1):
        path = await asyncio.to_thread(_target, folder, package)
        try:
            return package, path, await _fetch(portal, package, path)
        except ProtocolError:
            await asyncio.to_thread(discard, path)
            now = PackageItem.from_item(await portal.item(package.item_id))
            if now.version == package.version:
                raise
            package = now
    path = await asyncio.to_thread(_target, folder, package)
    return package, path, await _fetch(portal, package, path)


def _target(folder: Path, package: PackageItem) -> Path:
    """Where its file goes. What came of it before a refresh is of no use."""
    target = folder / f"{package.item_id}.{package.version}.json"
    for path in folder.glob(f"{package.item_id}.*"):
        if not path.name.startswith(target.name):
            path.unlink(missing_ok=True)
    return target


async def _fetch(portal: Portal, package: PackageItem, path: Path) -> int:
    told = package.size_bytes
    limit = None if told < 0 else told
    try:
        size = await portal.download_item_data(package.item_id, path, limit_bytes=limit)
    except LinkError as error:
        raise PackageLinkError(error.message) from error
    if limit is not None and size != limit:
        raise ProtocolError(
            f"{size} bytes came of the package {package.title}, which has {limit}",
            remedy=_MAKE_ANEW,
        )
    return size


def _require_layers(
    package: PackageItem, layers: Sequence[LayerSchema], found: frozenset[int]
) -> None:
    missing = [layer.name for layer in layers if layer.id not in found]
    if missing:
        raise ProtocolError(
            f"the package {package.title} has no rows of {', '.join(missing)}", remedy=_MAKE_ANEW
        )


def _require_fields(
    package: PackageItem, layers: Sequence[LayerSchema], found: Mapping[int, frozenset[str]]
) -> None:
    """Values that a package does not have would be taken for empty ones."""
    for layer in layers:
        names = {field.name.lower() for field in layer.fields if is_stored(field)}
        missing = sorted(names - found.get(layer.id, names))
        if missing:
            raise ProtocolError(
                f"the package {package.title} has the features of {layer.name} without their "
                f"{', '.join(missing)}: the layer has changed, or it is another one",
                remedy=_MAKE_ANEW,
            )


# --- what a package is made of --------------------------------------------------------------------


def package_parameters(
    package: PackageItem, task: GeodatabaseSyncTask
) -> GenerateGeodatabaseParameters:
    """The definition of a package, to be asked of its service. Layers that the service has not, or
    that cannot sync, are left out.

    Rows that are not told of are those that the packaging takes by default: of a table those that
    are related to the layers', of a layer those in the area.
    """
    wanted = package.layer_ids or tuple(layer.id for layer in task.layers)
    layers = [one for one in task.layers if one.id in wanted and one.global_id_field]
    made = GenerateGeodatabaseParameters(
        extent=package.extent,
        layer_options=[_option(package, layer, wanted) for layer in layers],
        sync_model=_model(package, task),
    )
    directions = AttachmentSyncDirection
    told = package.attachment_sync_direction
    made.return_attachments = package.return_attachments
    if package.return_attachments:
        made.attachment_sync_direction = (
            directions.UPLOAD if told is directions.UPLOAD else directions.BIDIRECTIONAL
        )
    else:
        made.attachment_sync_direction = (
            directions.NONE if told is directions.NONE else directions.UPLOAD
        )
    return made


def _option(
    package: PackageItem, layer: LayerSchema, taken: tuple[int, ...]
) -> GenerateLayerOption:
    query = package.layer_queries.get(layer.id, {})
    option = GenerateLayerOption.from_json(layer.id, query)
    if layer.geometry_type is None and "queryOption" not in query:
        is_related = any(
            not r.is_origin and r.related_table_id in taken for r in layer.relationships
        )
        option.query_option = (
            QueryOption.NONE if is_related and not option.where_clause else QueryOption.USE_FILTER
        )
    return option


def _model(package: PackageItem, task: GeodatabaseSyncTask) -> SyncModel:
    """The package's, whose generations are of that model."""
    if package.sync_model is not None:
        return package.sync_model
    if package.generations.layers or SyncModel.PER_REPLICA not in task.schema.sync_models:
        return SyncModel.PER_LAYER
    return SyncModel.PER_REPLICA
