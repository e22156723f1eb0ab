"""``fieldsync check``: whether a map has something to send or to fetch, and how much."""

from argparse import Namespace
from collections.abc import Iterator

from device.cli_credentials import credentials
from device.cli_parser_take import UPDATE_MODES
from device.cli_run import run_async
from device.console import Console, Report
from device.tables import size, table
from engine import (
    ExitCode,
    OfflineMap,
    OfflineMapGeodatabaseUpdates,
    OfflineMapSyncTask,
    OfflineMapUpdatesInfo,
    OfflineUpdateAvailability,
)

HEADINGS = ("geodatabase", "kept current by", "to fetch", "bytes", "to send")
LAYER_HEADINGS = ("geodatabase", "layer", "rows, about", "photos", "bytes, about")
WHEN_STOPPED = "Nothing was changed"

_WORDS = {mode: word for word, mode in UPDATE_MODES.items()}
_ANSWERS = {
    OfflineUpdateAvailability.AVAILABLE: "yes",
    OfflineUpdateAvailability.NONE: "no",
    OfflineUpdateAvailability.INDETERMINATE: "perhaps",
}


def run(options: Namespace, _console: Console) -> Report:
    """Ask what a sync would do now."""
    return run_async(lambda: _check(options), when_stopped=WHEN_STOPPED)


async def _check(options: Namespace) -> Report:
    async with OfflineMap.open(options.map) as map_:
        info = await OfflineMapSyncTask(map_, credential=credentials(options)).check_for_updates()
        broken = dict(map_.errors)
    found = [one.error for one in info.geodatabases if one.error is not None]
    error = next(iter([*found, *broken.values()]), None)
    return Report(
        data={
            "map": str(options.map),
            "download": _json(info.download_availability),
            "upload": _json(info.upload_availability),
            "scheduled_updates_download_size": info.scheduled_updates_download_size,
            "is_mobile_map_package_reopen_required": info.is_mobile_map_package_reopen_required,
            "geodatabases": [_geodatabase_json(one) for one in info.geodatabases],
            "layers": [
                {
                    "geodatabase": file,
                    "table": name,
                    "estimated_rows": one.estimated_rows,
                    "estimated_attachments": one.estimated_attachments,
                    "estimated_bytes": one.estimated_bytes,
                }
                for (file, name), one in info.layers.items()
            ],
            "broken": {name: found.to_json() for name, found in broken.items()},
        },
        lines=list(_lines(info)),
        error=error,
        exit_code=ExitCode.OK if error is None else error.exit_code,
    )


def _lines(info: OfflineMapUpdatesInfo) -> Iterator[str]:
    yield from table(HEADINGS, [_row(one) for one in info.geodatabases])
    if info.layers:
        yield ""
        rows = [
            (file, name, o.estimated_rows, o.estimated_attachments, size(o.estimated_bytes))
            for (file, name), o in info.layers.items()
        ]
        yield from table(LAYER_HEADINGS, rows)
    for one in info.geodatabases:
        if one.whole_package_reason:
            yield f"{one.path.name}: all of its package comes, because {one.whole_package_reason}."
    if info.scheduled_updates_download_size:
        yield f"Updates of {size(info.scheduled_updates_download_size)} to download."


def _row(one: OfflineMapGeodatabaseUpdates) -> tuple[object, ...]:
    return (
        one.path.name,
        _WORDS[one.update_mode],
        _ANSWERS[one.download_availability],
        one.scheduled_updates_download_size or None,
        _ANSWERS[one.upload_availability],
    )


def _json(availability: OfflineUpdateAvailability) -> str:
    return availability.name.lower()


def _geodatabase_json(one: OfflineMapGeodatabaseUpdates) -> dict[str, object]:
    return {
        "path": str(one.path),
        "update_mode": _WORDS[one.update_mode],
        "download": _json(one.download_availability),
        "upload": _json(one.upload_availability),
        "scheduled_updates_download_size": one.scheduled_updates_download_size,
        "whole_package_reason": one.whole_package_reason,
        "error": None if one.error is None else one.error.to_json(),
    }
