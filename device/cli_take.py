"""``fieldsync take``: a web map, a map area, or a map of a feature service, onto this device."""

from argparse import Namespace
from collections.abc import Iterable
from dataclasses import asdict

from device.cli_credentials import credentials
from device.cli_errors import UsageError
from device.cli_map import describe
from device.cli_parser_take import UPDATE_MODES
from device.cli_run import follow, run_async
from device.cli_traffic import traffic
from device.console import Console, Report
from device.ownership import made_for_the_owner
from engine import (
    AttachmentSyncDirection,
    DownloadPreplannedOfflineMapJob,
    GenerateGeodatabaseParameters,
    GenerateOfflineMapJob,
    GenerateOfflineMapUpdateMode,
    OfflineMap,
    OfflineMapTask,
    PortalItem,
    PreplannedMapArea,
    ReturnLayerAttachmentOption,
    SyncModel,
)

WHEN_STOPPED = "The map was not taken, and nothing is left behind"


def run(options: Namespace, console: Console) -> Report:
    """Take the map, or leave nothing behind."""
    with made_for_the_owner(options.map):
        return run_async(lambda: _take(options, console), when_stopped=WHEN_STOPPED)


async def _take(options: Namespace, console: Console) -> Report:
    item = web_map_item(options)
    async with OfflineMapTask(item or options.url, credential=credentials(options)) as task:
        area, label = await task.find_map_area(), f"taking {options.map.name}"
        if area is None:
            job = await _map_job(task, options)
            await follow(job, label, console)
            totals = job.totals
        else:
            area_job = await _area_job(task, area, options)
            await follow(area_job, label, console)
            totals = area_job.totals
    async with OfflineMap.open(options.map) as map_:
        facts = await describe(map_)
    return Report(
        data={**facts.to_json(), "totals": asdict(totals)},
        lines=[*facts.lines(), "", traffic(totals)],
    )


async def _area_job(
    task: OfflineMapTask, area: PreplannedMapArea, options: Namespace
) -> DownloadPreplannedOfflineMapJob:
    for name in ("area", "attachments", "sync_model"):
        if getattr(options, name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} is not for a map area",
                remedy="What a map area holds was chosen when it was prepared",
            )
    mode = None if options.update_mode is None else UPDATE_MODES[options.update_mode]
    await area.load()
    if mode is not None and not area.supports(mode):
        offered = [word for word, one in UPDATE_MODES.items() if area.supports(one)]
        raise UsageError(
            f"the map area {area.title} cannot be taken with --update-mode {options.update_mode}",
            remedy=f"It offers {', '.join(offered) or 'none'}; `fieldsync areas` lists them",
        )
    parameters = await task.create_default_download_preplanned_offline_map_parameters(area, mode)
    parameters.continue_on_errors = not options.all_or_nothing
    return task.create_download_preplanned_offline_map_job(parameters, options.map)


async def _map_job(task: OfflineMapTask, options: Namespace) -> GenerateOfflineMapJob:
    parameters = await task.create_default_generate_offline_map_parameters(options.area)
    if options.update_mode is not None:
        parameters.update_mode = _update_mode(options.update_mode)
    if options.attachments is not None:
        parameters.attachment_sync_direction = AttachmentSyncDirection(options.attachments)
    upload = AttachmentSyncDirection.UPLOAD.value
    if task.portal_item is None and options.attachments == upload:
        parameters.return_layer_attachment_option = ReturnLayerAttachmentOption.NONE
    if options.all_or_nothing:
        parameters.continue_on_errors = False
    overrides = await task.create_generate_offline_map_parameter_overrides(parameters)
    for generate in overrides.generate_geodatabase_parameters.values():
        choose(generate, options)
    return task.create_generate_offline_map_job(parameters, options.map, overrides)


def _update_mode(word: str) -> GenerateOfflineMapUpdateMode:
    """The mode of a map that is taken on demand; :exc:`UsageError` for one with packages."""
    try:
        return GenerateOfflineMapUpdateMode[UPDATE_MODES[word].name]
    except KeyError:
        raise UsageError(
            f"only a map area that was prepared ahead of time is kept current by {word}",
            remedy="Give the item of a map area; `fieldsync areas` lists those of a web map",
        ) from None


def web_map_item(options: Namespace) -> PortalItem | None:
    """The item of the web map that is meant; None if the URL is that of a feature service."""
    if options.portal is None:
        item = PortalItem.find(options.url)
    else:
        item = PortalItem.parse(options.url, options.portal)
    if item is not None and (options.layers or options.where):
        raise UsageError(
            "--layers and --where are for the layers of one feature service",
            remedy="Choose layers and filters in the web map; it is taken as it was saved",
        )
    return item


def choose(generate: GenerateGeodatabaseParameters, options: Namespace) -> None:
    """Narrow what is taken of one service to what the options ask for.

    :exc:`UsageError` names layers that the service does not have.
    """
    offered = {option.layer_id: option for option in generate.layer_options}
    wanted = options.layers or tuple(offered)
    clauses = dict(options.where)
    if len(clauses) < len(options.where):
        raise UsageError("there are two --where for one layer", remedy="Join them with AND")
    if unknown := sorted(set(wanted) - set(offered)):
        raise UsageError(
            f"the service has no layer {_ids(unknown)}",
            remedy=f"It has {_ids(offered)}",
        )
    if outside := sorted(set(clauses) - set(wanted)):
        raise UsageError(
            f"--where is given for layer {_ids(outside)}, which is not taken",
            remedy=f"Taken are {_ids(wanted)}",
        )
    for layer_id, clause in clauses.items():
        offered[layer_id].where_clause = clause
    generate.layer_options = [offered[layer_id] for layer_id in wanted]
    if options.sync_model is not None:
        generate.sync_model = SyncModel(options.sync_model)


def _ids(layers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(layers)))
