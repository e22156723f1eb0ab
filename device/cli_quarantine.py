"""``fieldsync quarantine``: edits that were refused, and rows that could not be stored."""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass

from device.cli_decide import chosen, layer_name
from device.cli_run import run_async
from device.console import Console, Report
from device.tables import number, table
from engine import ExitCode, OfflineMap, Quarantined

HEADINGS = ("number", "layer", "GlobalID", "edit", "code", "reason", "state")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineFacts:
    """A row that was set aside, and whose it is."""

    geodatabase: str
    layer: str
    item: Quarantined

    @property
    def state(self) -> str:
        """How it was decided; else whether it is really kept back."""
        if self.item.resolution is not None:
            return self.item.resolution
        return "set aside" if self.item.is_effective else "edited since, will be sent"

    def to_json(self) -> dict[str, object]:
        one = self.item
        return {
            "geodatabase": self.geodatabase,
            "id": one.id,
            "layer_id": one.layer // 2,
            "layer": self.layer,
            "global_id": one.global_id,
            "direction": one.direction.value,
            "operation": one.operation.value,
            "code": one.code,
            "reason": one.reason,
            "remedy": one.remedy,
            "is_effective": one.is_effective,
            "held_global_id": one.held_global_id,
            "recorded_at": one.recorded_at,
            "resolved_at": one.resolved_at,
            "resolution": one.resolution,
        }

    @property
    def row(self) -> tuple[object, ...]:
        one = self.item
        what = one.operation.value if one.direction.value == "outbound" else "from the service"
        return (one.id, self.layer, one.global_id, what, one.code, one.reason, self.state)


def run(options: Namespace, _console: Console) -> Report:
    """Decide what the options ask for, then list what there is."""
    return run_async(lambda: _quarantine(options), when_stopped="")


async def _quarantine(options: Namespace) -> Report:
    retried, discarded = options.retry, options.discard
    found: list[QuarantineFacts] = []
    async with OfflineMap.open(options.map) as map_:
        for geodatabase in chosen(options, map_, is_decision=bool(retried or discarded)):
            for item_id in retried:
                await geodatabase.retry_quarantined(item_id)
            for item_id in discarded:
                await geodatabase.discard_quarantined(item_id)
            for item in await geodatabase.quarantine(resolved=options.all):
                layer = layer_name(geodatabase, item.layer)
                found.append(
                    QuarantineFacts(geodatabase=geodatabase.path.name, layer=layer, item=item)
                )
    is_open = any(one.item.is_effective for one in found)
    return Report(
        data={
            "map": str(options.map),
            "retried": list(retried),
            "discarded": list(discarded),
            "quarantine": [one.to_json() for one in found],
        },
        lines=list(_lines(found, len(retried), len(discarded))),
        exit_code=ExitCode.QUARANTINE if is_open else ExitCode.OK,
    )


def _lines(found: list[QuarantineFacts], retried: int, discarded: int) -> Iterator[str]:
    if retried:
        yield f"{number(retried, 'row')} will be tried again by the next sync."
    if discarded:
        yield f"{number(discarded, 'edit')} given up."
    if found:
        yield from table(HEADINGS, [one.row for one in found])
    elif not retried and not discarded:
        yield "Nothing is set aside."
