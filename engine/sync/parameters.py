"""What may be chosen for generating and syncing; the members are the ArcGIS Maps SDK's.

Parameters come from a task's ``create_default_…`` method, are adjusted, and go into a job, which
keeps a copy of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Self

from engine.model import (
    AttachmentSyncDirection,
    ConflictPolicy,
    Envelope,
    PreplannedScheduledUpdatesOption,
    QueryOption,
    SpatialReference,
    SyncDirection,
    SyncModel,
)


@dataclass(slots=True, kw_only=True)
class GenerateLayerOption:
    """Which rows of one layer are taken (REST ``layerQueries``)."""

    layer_id: int
    where_clause: str = ""
    include_related: bool = True
    query_option: QueryOption = QueryOption.USE_FILTER
    use_geometry: bool = True

    def to_json(self) -> dict[str, object]:
        """The value of this layer's key in ``layerQueries``."""
        value: dict[str, object] = {
            "queryOption": self.query_option.value,
            "useGeometry": self.use_geometry,
            "includeRelated": self.include_related,
        }
        if self.where_clause:
            value["where"] = self.where_clause
        return value

    @classmethod
    def from_json(cls, layer_id: int, value: Mapping[str, object]) -> Self:
        """From what :meth:`to_json` gave."""
        return cls(
            layer_id=layer_id,
            where_clause=str(value.get("where") or ""),
            include_related=value.get("includeRelated") is not False,
            query_option=QueryOption(value.get("queryOption", QueryOption.USE_FILTER.value)),
            use_geometry=value.get("useGeometry") is not False,
        )


@dataclass(slots=True, kw_only=True)
class GenerateGeodatabaseParameters:
    """What of a feature service is taken into a geodatabase.

    ``extent`` None takes the layers' whole extent. ``out_spatial_reference`` None keeps the
    service's own.
    """

    extent: Envelope | None = None
    layer_options: list[GenerateLayerOption] = field(default_factory=list)
    out_spatial_reference: SpatialReference | None = None
    return_attachments: bool = True
    attachment_sync_direction: AttachmentSyncDirection = AttachmentSyncDirection.BIDIRECTIONAL
    sync_model: SyncModel = SyncModel.PER_REPLICA
    spatial_index_for_editable_layers: bool = False


class PushChannel(Enum):
    """Which operation of the service takes our edits (``AUTO``: ``applyEdits`` if it can)."""

    AUTO = "auto"
    APPLY_EDITS = "applyEdits"
    SYNCHRONIZE_REPLICA = "synchronizeReplica"


@dataclass(slots=True, kw_only=True)
class SyncLayerOption:
    """The direction for one layer; only for the sync model ``PER_LAYER``."""

    layer_id: int
    sync_direction: SyncDirection = SyncDirection.BIDIRECTIONAL


@dataclass(slots=True, kw_only=True)
class SyncGeodatabaseParameters:
    """How one geodatabase is synced. An empty ``layer_options`` means all layers.

    ``allow_full_download`` False: where the service cannot tell what has changed, edits are sent,
    but all rows are not fetched anew; the sync ends with :exc:`FullDownloadRequired`.
    ``keep_geodatabase_deltas`` keeps what was to be sent and what came as delta files beside the
    geodatabase, whether the sync succeeds or fails. ``reconcile_branch_version``: the service is to
    reconcile the replica's branch version with the default one when it has taken the edits.
    """

    geodatabase_sync_direction: SyncDirection = SyncDirection.BIDIRECTIONAL
    layer_options: list[SyncLayerOption] = field(default_factory=list)
    rollback_on_failure: bool = False
    conflict_policy: ConflictPolicy = ConflictPolicy.LAST_SYNCED
    push_channel: PushChannel = PushChannel.AUTO
    allow_full_download: bool = True
    keep_geodatabase_deltas: bool = False
    reconcile_branch_version: bool = False


@dataclass(slots=True, kw_only=True)
class OfflineMapSyncParameters:
    """How a whole offline map is synced.

    ``sync_direction`` is for geodatabases that sync with their feature services, and
    ``preplanned_scheduled_updates_option`` for those that are kept current by packages.
    """

    sync_direction: SyncDirection = SyncDirection.BIDIRECTIONAL
    preplanned_scheduled_updates_option: PreplannedScheduledUpdatesOption = (
        PreplannedScheduledUpdatesOption.DOWNLOAD_ALL_UPDATES
    )
    rollback_on_failure: bool = False
    conflict_policy: ConflictPolicy = ConflictPolicy.LAST_SYNCED
    push_channel: PushChannel = PushChannel.AUTO
    allow_full_download: bool = True
    keep_geodatabase_deltas: bool = False
    reconcile_branch_version: bool = False
