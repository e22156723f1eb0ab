"""``fieldsync take``: a web map, or a map of a feature service, onto this device."""

from argparse import Namespace
from collections.abc import Iterable
from dataclasses import asdict

from device.cli_credentials import credentials
from device.cli_errors import UsageError
from device.cli_map import describe
from device.cli_run import follow, run_async
from device.cli_traffic import traffic
from device.console import Console, Report
from engine import (
    AttachmentSyncDirection,
    GenerateGeodatabaseParameters,
    OfflineMap,
    OfflineMapTask,
    PortalItem,
    ReturnLayerAttachmentOption,
    SyncModel,
)

WHEN_STOPPED = "The map was not taken, and nothing is left behind"


def run(options: Namespace, console: Console) -> Report:
    """Take the map, or leave nothing behind."""
    return run_async(lambda: _take(options, console), when_stopped=WHEN_STOPPED)


async def _take(options: Namespace, console: Console) -> Report:
    item = web_map_item(options)
    async with OfflineMapTask(item or options.url, credential=credentials(options)) as task:
        parameters = await task.create_default_generate_offline_map_parameters(options.area)
        if options.attachments is not None:
            parameters.attachment_sync_direction = AttachmentSyncDirection(options.attachments)
        if item is None and options.attachments == AttachmentSyncDirection.UPLOAD.value:
            parameters.return_layer_attachment_option = ReturnLayerAttachmentOption.NONE
        if options.all_or_nothing:
            parameters.continue_on_errors = False
        overrides = await task.create_generate_offline_map_parameter_overrides(parameters)
        for generate in overrides.generate_geodatabase_parameters.values():
            choose(generate, options)
        job = task.create_generate_offline_map_job(parameters, options.map, overrides)
        await follow(job, f"taking {options.map.name}", console)
    async with OfflineMap.open(options.map) as map_:
        facts = await describe(map_)
    totals = job.totals
    return Report(
        data={**facts.to_json(), "totals": asdict(totals)},
        lines=[*facts.lines(), "", traffic(totals)],
    )


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
