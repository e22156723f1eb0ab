"""The fieldsync engine: an ArcGIS offline map on the device, kept in step with its services.

The names are those of the ArcGIS Maps SDK (Kotlin 200.x) with members in snake_case. They are
loaded on first use (PEP 562), so that a program which only asks for help or for the state of a map
does not pay for the HTTP client.
"""

from importlib import import_module
from typing import TYPE_CHECKING

_HOMES = {
    "engine.atomic": ("new_file",),
    "engine.clock": ("Clock", "SystemClock"),
    "engine.errors": (
        "DeltaError",
        "DeltaMismatchError",
        "EngineError",
        "ExitCode",
        "SyncInProgress",
        "TransientError",
        "UploadRequired",
    ),
    "engine.model": (
        "AttachmentSyncDirection",
        "ConflictPolicy",
        "EditOperation",
        "Envelope",
        "GenerateOfflineMapUpdateMode",
        "JobStatus",
        "LoadStatus",
        "OfflineUpdateAvailability",
        "PreplannedPackagingStatus",
        "PreplannedScheduledUpdatesOption",
        "PreplannedUpdateMode",
        "QueryOption",
        "ReturnLayerAttachmentOption",
        "SpatialReference",
        "SyncDirection",
        "SyncModel",
    ),
    "engine.geodatabase.conflicts": ("Conflict", "ConflictKind", "Side"),
    "engine.geodatabase.geodatabase": ("Geodatabase",),
    "engine.geodatabase.history": ("RowVersion", "VersionSource"),
    "engine.geodatabase.quarantine": ("Quarantined",),
    "engine.geodatabase.shape": ("Shape", "ShapedRow", "ShapeKind"),
    "engine.geodatabase.feature_table": ("Feature", "FeatureTable"),
    "engine.service.credential_store": ("ArcGISCredentialStore",),
    "engine.service.credentials": (
        "ApiKey",
        "ArcGISCredential",
        "OAuthApplicationCredential",
        "PregeneratedTokenCredential",
        "TokenCredential",
        "TokenInfo",
    ),
    "engine.service.portal": ("PortalItem",),
    "engine.sync.delta_answer": ("AnswerCounts",),
    "engine.sync.delta_file": ("DeltaFile",),
    "engine.sync.delta_parts": ("DeltaContent",),
    "engine.sync.delta_push": ("PushDeltaJob", "PushDeltaResult"),
    "engine.sync.delta_verdict": ("EditVerdict",),
    "engine.sync.job": ("Job", "JobEvent", "JobMessage", "MessageSeverity"),
    "engine.sync.parameters": (
        "GenerateGeodatabaseParameters",
        "GenerateLayerOption",
        "OfflineMapSyncParameters",
        "PushChannel",
        "SyncGeodatabaseParameters",
        "SyncLayerOption",
    ),
    "engine.sync.results": (
        "EditCounts",
        "FeatureEditResult",
        "GeodatabaseDeltaInfo",
        "SyncGeodatabaseResult",
        "SyncLayerResult",
        "SyncTotals",
    ),
    "engine.service.service_time": ("ServiceTime",),
    "engine.sync.geodatabase_jobs": ("GenerateGeodatabaseJob", "SyncGeodatabaseJob"),
    "engine.sync.geodatabase_sync_task": ("GeodatabaseSyncTask",),
    "engine.maps.map_updates": (
        "OfflineMapGeodatabaseUpdates",
        "OfflineMapLayerUpdates",
        "OfflineMapUpdatesInfo",
    ),
    "engine.maps.offline_map": ("OfflineMap",),
    "engine.maps.operational_layers": ("OperationalLayer",),
    "engine.maps.relocation": ("relocate_service",),
    "engine.maps.repair": (
        "RepairOfflineMapJob",
        "RepairOfflineMapResult",
        "RepairedGeodatabase",
    ),
    "engine.geodatabase.salvaged_edits": ("Salvaged", "SalvagedEdit"),
    "engine.maps.offline_map_parameters": (
        "GenerateOfflineMapParameterOverrides",
        "GenerateOfflineMapParameters",
        "OfflineCapability",
        "OfflineMapCapabilities",
        "OfflineMapParametersKey",
    ),
    "engine.maps.offline_map_task": (
        "GenerateOfflineMapJob",
        "OfflineMapTask",
    ),
    "engine.maps.offline_map_sync_task": (
        "OfflineMapSyncJob",
        "OfflineMapSyncLayerResult",
        "OfflineMapSyncResult",
        "OfflineMapSyncTask",
    ),
    "engine.maps.package_item": ("PackageItem",),
    "engine.maps.preplanned_download": (
        "DownloadPreplannedOfflineMapJob",
        "DownloadPreplannedOfflineMapParameters",
        "DownloadPreplannedOfflineMapResult",
    ),
    "engine.maps.preplanned_map_area": ("PreplannedMapArea",),
    "engine.maps.update_capabilities": ("OfflineMapUpdateCapabilities",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> object:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if TYPE_CHECKING:  # what type checkers read; a test compares it with the table above
    from engine.atomic import (
        new_file as new_file,
    )
    from engine.clock import (
        Clock as Clock,
        SystemClock as SystemClock,
    )
    from engine.errors import (
        DeltaError as DeltaError,
        DeltaMismatchError as DeltaMismatchError,
        EngineError as EngineError,
        ExitCode as ExitCode,
        SyncInProgress as SyncInProgress,
        TransientError as TransientError,
        UploadRequired as UploadRequired,
    )
    from engine.geodatabase.conflicts import (
        Conflict as Conflict,
        ConflictKind as ConflictKind,
        Side as Side,
    )
    from engine.geodatabase.feature_table import (
        Feature as Feature,
        FeatureTable as FeatureTable,
    )
    from engine.geodatabase.geodatabase import (
        Geodatabase as Geodatabase,
    )
    from engine.geodatabase.history import (
        RowVersion as RowVersion,
        VersionSource as VersionSource,
    )
    from engine.geodatabase.quarantine import (
        Quarantined as Quarantined,
    )
    from engine.geodatabase.salvaged_edits import (
        Salvaged as Salvaged,
        SalvagedEdit as SalvagedEdit,
    )
    from engine.geodatabase.shape import (
        Shape as Shape,
        ShapedRow as ShapedRow,
        ShapeKind as ShapeKind,
    )
    from engine.maps.map_updates import (
        OfflineMapGeodatabaseUpdates as OfflineMapGeodatabaseUpdates,
        OfflineMapLayerUpdates as OfflineMapLayerUpdates,
        OfflineMapUpdatesInfo as OfflineMapUpdatesInfo,
    )
    from engine.maps.offline_map import (
        OfflineMap as OfflineMap,
    )
    from engine.maps.offline_map_parameters import (
        GenerateOfflineMapParameterOverrides as GenerateOfflineMapParameterOverrides,
        GenerateOfflineMapParameters as GenerateOfflineMapParameters,
        OfflineCapability as OfflineCapability,
        OfflineMapCapabilities as OfflineMapCapabilities,
        OfflineMapParametersKey as OfflineMapParametersKey,
    )
    from engine.maps.offline_map_sync_task import (
        OfflineMapSyncJob as OfflineMapSyncJob,
        OfflineMapSyncLayerResult as OfflineMapSyncLayerResult,
        OfflineMapSyncResult as OfflineMapSyncResult,
        OfflineMapSyncTask as OfflineMapSyncTask,
    )
    from engine.maps.offline_map_task import (
        GenerateOfflineMapJob as GenerateOfflineMapJob,
        OfflineMapTask as OfflineMapTask,
    )
    from engine.maps.operational_layers import (
        OperationalLayer as OperationalLayer,
    )
    from engine.maps.package_item import (
        PackageItem as PackageItem,
    )
    from engine.maps.preplanned_download import (
        DownloadPreplannedOfflineMapJob as DownloadPreplannedOfflineMapJob,
        DownloadPreplannedOfflineMapParameters as DownloadPreplannedOfflineMapParameters,
        DownloadPreplannedOfflineMapResult as DownloadPreplannedOfflineMapResult,
    )
    from engine.maps.preplanned_map_area import (
        PreplannedMapArea as PreplannedMapArea,
    )
    from engine.maps.relocation import (
        relocate_service as relocate_service,
    )
    from engine.maps.repair import (
        RepairedGeodatabase as RepairedGeodatabase,
        RepairOfflineMapJob as RepairOfflineMapJob,
        RepairOfflineMapResult as RepairOfflineMapResult,
    )
    from engine.maps.update_capabilities import (
        OfflineMapUpdateCapabilities as OfflineMapUpdateCapabilities,
    )
    from engine.model import (
        AttachmentSyncDirection as AttachmentSyncDirection,
        ConflictPolicy as ConflictPolicy,
        EditOperation as EditOperation,
        Envelope as Envelope,
        GenerateOfflineMapUpdateMode as GenerateOfflineMapUpdateMode,
        JobStatus as JobStatus,
        LoadStatus as LoadStatus,
        OfflineUpdateAvailability as OfflineUpdateAvailability,
        PreplannedPackagingStatus as PreplannedPackagingStatus,
        PreplannedScheduledUpdatesOption as PreplannedScheduledUpdatesOption,
        PreplannedUpdateMode as PreplannedUpdateMode,
        QueryOption as QueryOption,
        ReturnLayerAttachmentOption as ReturnLayerAttachmentOption,
        SpatialReference as SpatialReference,
        SyncDirection as SyncDirection,
        SyncModel as SyncModel,
    )
    from engine.service.credential_store import (
        ArcGISCredentialStore as ArcGISCredentialStore,
    )
    from engine.service.credentials import (
        ApiKey as ApiKey,
        ArcGISCredential as ArcGISCredential,
        OAuthApplicationCredential as OAuthApplicationCredential,
        PregeneratedTokenCredential as PregeneratedTokenCredential,
        TokenCredential as TokenCredential,
        TokenInfo as TokenInfo,
    )
    from engine.service.portal import (
        PortalItem as PortalItem,
    )
    from engine.service.service_time import ServiceTime as ServiceTime
    from engine.sync.delta_answer import (
        AnswerCounts as AnswerCounts,
    )
    from engine.sync.delta_file import (
        DeltaFile as DeltaFile,
    )
    from engine.sync.delta_parts import (
        DeltaContent as DeltaContent,
    )
    from engine.sync.delta_push import (
        PushDeltaJob as PushDeltaJob,
        PushDeltaResult as PushDeltaResult,
    )
    from engine.sync.delta_verdict import (
        EditVerdict as EditVerdict,
    )
    from engine.sync.geodatabase_jobs import (
        GenerateGeodatabaseJob as GenerateGeodatabaseJob,
        SyncGeodatabaseJob as SyncGeodatabaseJob,
    )
    from engine.sync.geodatabase_sync_task import (
        GeodatabaseSyncTask as GeodatabaseSyncTask,
    )
    from engine.sync.job import (
        Job as Job,
        JobEvent as JobEvent,
        JobMessage as JobMessage,
        MessageSeverity as MessageSeverity,
    )
    from engine.sync.parameters import (
        GenerateGeodatabaseParameters as GenerateGeodatabaseParameters,
        GenerateLayerOption as GenerateLayerOption,
        OfflineMapSyncParameters as OfflineMapSyncParameters,
        PushChannel as PushChannel,
        SyncGeodatabaseParameters as SyncGeodatabaseParameters,
        SyncLayerOption as SyncLayerOption,
    )
    from engine.sync.results import (
        EditCounts as EditCounts,
        FeatureEditResult as FeatureEditResult,
        GeodatabaseDeltaInfo as GeodatabaseDeltaInfo,
        SyncGeodatabaseResult as SyncGeodatabaseResult,
        SyncLayerResult as SyncLayerResult,
        SyncTotals as SyncTotals,
    )
