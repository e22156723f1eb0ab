"""What a sync did to a map, as the socket tells it."""

from collections.abc import Iterable, Mapping, Sequence

from device.api.status import Failure, LayerResult, MapResult
from device.kept_map import KeptMap
from device.model import FailureClass, SyncTarget
from device.policy.failures import TargetOutcome, classify, retry_after
from device.sync_exit_code import exit_code
from engine import (
    EditCounts,
    EngineError,
    SyncGeodatabaseResult,
    SyncLayerResult,
    SyncTotals,
)

FULL_DOWNLOAD_REQUIRED = "full-download-required"
CANCELLED = "cancelled"
"""The code of an error that says that a job was stopped from here."""


def failed_map(name: str, failure: Failure) -> MapResult:
    """Of a map that could not be synced at all."""
    return MapResult(
        map=name,
        exit_code=failure.exit_code,
        edits=EditCounts(),
        layers=(),
        totals=SyncTotals(),
        error=failure,
    )


def unusable_maps(maps: Iterable[KeptMap]) -> tuple[MapResult, ...]:
    """Of those of the maps that a sync had to leave out."""
    return tuple(
        failed_map(one.name, one.counts.error)
        for one in maps
        if not one.is_usable and one.counts.error is not None
    )


def map_result(
    name: str, results: Iterable[SyncGeodatabaseResult], broken: Mapping[str, EngineError]
) -> MapResult:
    """Of a sync that ran to its end. ``broken``: the geodatabases that could not be opened."""
    results = list(results)
    layers = [layer for result in results for layer in result.layer_results]
    error = error_in(results, broken)
    edits, totals = EditCounts(), SyncTotals()
    for layer in layers:
        for counts in (layer.uploaded, layer.attachments_uploaded):
            for field in ("found", "applied", "conflict", "quarantined", "held", "pending"):
                setattr(edits, field, getattr(edits, field) + getattr(counts, field))
    for result in results:
        totals.add(result.totals)
    return MapResult(
        map=name,
        exit_code=int(exit_code(layers) if error is None else error.exit_code),
        edits=edits,
        layers=tuple(
            _layer(result.geodatabase_path.name, layer)
            for result in results
            for layer in result.layer_results
        ),
        totals=totals,
        error=None if error is None else Failure.of(error),
    )


def outcomes(
    targets: Iterable[SyncTarget],
    results: Mapping[str, Sequence[SyncGeodatabaseResult]],
    error: EngineError | None,
    *,
    is_clock_trusted: bool,
) -> list[TargetOutcome]:
    """What became of each service, for the policy. ``results``: by the URL of the service;
    ``error``: why there is none of a service."""
    found = []
    for target in targets:
        here = results.get(target.url, ())
        why = error_in(here, {}) if here else error
        is_stopped = why is not None and why.code == CANCELLED
        if is_stopped and not here:
            continue  # it was not come to
        failure = None
        # Edits were sent; all rows wait for a link over which they may come. To ask again and again
        # over this one would only cost.
        is_left = why is not None and why.code == FULL_DOWNLOAD_REQUIRED
        if why is not None and not is_stopped and not is_left:
            failure = classify(why, is_clock_trusted=is_clock_trusted)
        elif map_result(target.map, here, {}).edits.quarantined:
            failure = FailureClass.REFUSED
        seconds, asked_by = (why is not None and retry_after(why)) or (None, "")
        found.append(
            TargetOutcome(
                target=target,
                is_complete=why is None or is_left,
                acknowledged=acknowledged(here),
                failure=failure,
                retry_after_s=seconds,
                asked_by=asked_by,
            )
        )
    return found


def error_in(
    results: Iterable[SyncGeodatabaseResult], broken: Mapping[str, EngineError]
) -> EngineError | None:
    """The first thing that kept a part of the map from being synced."""
    for result in results:
        for error in (result.error, *(layer.error for layer in result.layer_results)):
            if error is not None:
                return error
    return next(iter(broken.values()), None)


def acknowledged(results: Iterable[SyncGeodatabaseResult]) -> int:
    """How much moved: edits that the service took, and rows that came."""
    count = 0
    for result in results:
        for layer in result.layer_results:
            for up in (layer.uploaded, layer.attachments_uploaded):
                count += up.applied
            for down in (layer.downloaded, layer.attachments_downloaded):
                count += down.added + down.updated + down.deleted
    return count


def _layer(file: str, layer: SyncLayerResult) -> LayerResult:
    up, photos_up = layer.uploaded, layer.attachments_uploaded
    down, photos_down = layer.downloaded, layer.attachments_downloaded
    return LayerResult(
        geodatabase=file,
        layer_id=layer.layer_id,
        table=layer.table_name,
        sent=up.applied,
        added=down.added,
        updated=down.updated,
        deleted=down.deleted,
        photos_sent=photos_up.applied,
        photos_received=photos_down.added + photos_down.updated,
        conflicts=up.conflict + photos_up.conflict + down.conflicts + photos_down.conflicts,
        refused=up.quarantined + photos_up.quarantined,
        waiting=up.held + up.pending + photos_up.held + photos_up.pending,
        error=None if layer.error is None else Failure.of(layer.error),
    )
