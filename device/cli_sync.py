"""``fieldsync sync``: this device's edits up, everybody else's down."""

from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from device.cli_credentials import credentials
from device.cli_run import follow, run_async
from device.cli_traffic import traffic
from device.console import Console, Report
from device.ownership import made_for_the_owner
from device.sync_exit_code import exit_code
from device.tables import number, table
from engine import (
    ConflictPolicy,
    EngineError,
    OfflineMap,
    OfflineMapSyncTask,
    PreplannedScheduledUpdatesOption,
    SyncDirection,
    SyncGeodatabaseResult,
    SyncLayerResult,
    SyncTotals,
)

WHEN_STOPPED = "Nothing is lost: what was not sent stays on this device and goes up next time"
HEADINGS = (
    "layer",
    "sent",
    "added",
    "changed",
    "deleted",
    "photos up",
    "photos down",
    "conflicts",
    "refused",
    "waiting",
)


def run(options: Namespace, console: Console) -> Report:
    """Sync every geodatabase of the map."""
    with made_for_the_owner(options.map):
        return run_async(lambda: _sync(options, console), when_stopped=WHEN_STOPPED)


async def _sync(options: Namespace, console: Console) -> Report:
    async with OfflineMap.open(options.map) as map_:
        task = OfflineMapSyncTask(map_, credential=credentials(options))
        parameters = await task.create_default_offline_map_sync_parameters()
        parameters.sync_direction = SyncDirection[options.direction.upper()]
        parameters.conflict_policy = ConflictPolicy(options.conflicts.replace("-", "_"))
        parameters.rollback_on_failure = options.all_or_nothing
        parameters.keep_geodatabase_deltas = options.keep_deltas
        parameters.allow_full_download = options.allow_full_download
        if not options.scheduled_updates:
            no_updates = PreplannedScheduledUpdatesOption.NO_UPDATES
            parameters.preplanned_scheduled_updates_option = no_updates
        job = task.create_offline_map_sync_job(parameters)
        result = await follow(job, f"syncing {options.map.name}", console)
        broken = dict(map_.errors)
    return make_report(str(options.map), result.geodatabase_results, broken)


def make_report(
    map_name: str, results: list[SyncGeodatabaseResult], broken: Mapping[str, EngineError]
) -> Report:
    """What the results say, and the exit code they call for.

    ``broken``: file name → error of each geodatabase that could not be opened, so not synced.
    """
    layers = [layer for result in results for layer in result.layer_results]
    error = next(_errors(results), None) or next(iter(broken.values()), None)
    totals = SyncTotals(
        sent_bytes=sum(r.totals.sent_bytes for r in results),
        received_bytes=sum(r.totals.received_bytes for r in results),
        seconds=sum(r.totals.seconds for r in results),
    )
    return Report(
        data={
            "map": map_name,
            "has_errors": bool(broken) or any(result.has_errors for result in results),
            "geodatabases": [_geodatabase_json(result) for result in results],
            "broken": {name: found.to_json() for name, found in broken.items()},
            "totals": asdict(totals),
        },
        lines=[
            *table(HEADINGS, [_row(layer) for layer in layers]),
            *(line for layer in layers for line in _remarks(layer)),
            traffic(totals),
        ],
        exit_code=exit_code(layers) if error is None else error.exit_code,
        error=error,
    )


def _errors(results: Iterable[SyncGeodatabaseResult]) -> Iterator[EngineError]:
    """What kept a geodatabase, or else a layer, from being synced."""
    for result in results:
        found = (result.error, *(layer.error for layer in result.layer_results))
        yield from (error for error in found if error is not None)


def _row(layer: SyncLayerResult) -> tuple[object, ...]:
    up, down = layer.uploaded, layer.downloaded
    photos_up, photos_down = layer.attachments_uploaded, layer.attachments_downloaded
    return (
        layer.table_name,
        up.applied,
        down.added,
        down.updated,
        down.deleted,
        photos_up.applied,
        photos_down.added + photos_down.updated,
        up.conflict + photos_up.conflict + down.conflicts,
        up.quarantined + photos_up.quarantined,
        up.held + up.pending + photos_up.held + photos_up.pending,
    )


def _remarks(layer: SyncLayerResult) -> Iterator[str]:
    """What numbers do not tell: why edits were refused, and rows that left the map's filter."""
    if layer.downloaded.out_of_area:
        rows = number(layer.downloaded.out_of_area, "row")
        yield f"{layer.table_name}: {rows} no longer in the map's area or filter, kept here."
    for result in layer.edit_results:
        if result.error is None:
            continue
        code = "" if result.error.code is None else f" (error {result.error.code})"
        yield (
            f"{layer.table_name} {result.global_id}, {result.edit_operation.value} not applied: "
            f"{result.error.description}{code} {result.error.remedy}".rstrip()
        )


def _geodatabase_json(result: SyncGeodatabaseResult) -> dict[str, object]:
    info = result.delta_info
    return {
        "upload_delta": _path(None if info is None else info.upload_delta_path),
        "download_delta": _path(None if info is None else info.download_delta_path),
        "path": str(result.geodatabase_path),
        "error": None if result.error is None else result.error.to_json(),
        "layers": [_layer_json(layer) for layer in result.layer_results],
        "totals": asdict(result.totals),
    }


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _layer_json(layer: SyncLayerResult) -> dict[str, object]:
    return {
        "layer_id": layer.layer_id,
        "table": layer.table_name,
        "uploaded": asdict(layer.uploaded),
        "downloaded": asdict(layer.downloaded),
        "attachments_uploaded": asdict(layer.attachments_uploaded),
        "attachments_downloaded": asdict(layer.attachments_downloaded),
        "edit_results": [result.to_json() for result in layer.edit_results],
        "error": None if layer.error is None else layer.error.to_json(),
    }
