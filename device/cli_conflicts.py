"""``fieldsync conflicts``: rows that were edited on both sides, and which side to take."""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass

from device.cli_decide import chosen, layer_name
from device.cli_run import run_async
from device.console import Console, Report
from device.tables import number, table
from engine import Conflict, ExitCode, OfflineMap, Side

HEADINGS = ("number", "layer", "GlobalID", "what", "here", "there", "state")
WHAT = {
    "updated": "changed on both sides",
    "deleted_here": "deleted here",
    "deleted_there": "deleted there",
    "field_closed": "field closed there",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictFacts:
    """A conflict, and whose it is."""

    geodatabase: str
    layer: str
    conflict: Conflict

    def to_json(self) -> dict[str, object]:
        one = self.conflict
        return {
            "geodatabase": self.geodatabase,
            "id": one.id,
            "layer_id": one.layer // 2,
            "layer": self.layer,
            "global_id": one.global_id,
            "kind": one.kind.value,
            "columns": list(one.columns),
            "base": one.base,
            "mine": one.mine,
            "theirs": one.theirs,
            "is_held": one.is_held,
            "parts": one.parts,
            "recorded_at": one.recorded_at,
            "resolved_at": one.resolved_at,
            "resolution": one.resolution,
        }

    @property
    def row(self) -> tuple[object, ...]:
        one = self.conflict
        state = one.resolution or ("held" if one.is_held else "open")
        return (
            one.id,
            self.layer,
            one.global_id,
            WHAT[one.kind.value],
            _values(one.mine, one.columns),
            _values(one.theirs, one.columns),
            state,
        )


def run(options: Namespace, _console: Console) -> Report:
    """Take the sides that the options ask for, then list what there is."""
    return run_async(lambda: _conflicts(options), when_stopped="")


async def _conflicts(options: Namespace) -> Report:
    decisions = {i: side for side in Side for i in getattr(options, side.value)}
    found: list[ConflictFacts] = []
    async with OfflineMap.open(options.map) as map_:
        for geodatabase in chosen(options, map_, is_decision=bool(decisions)):
            for conflict_id, side in decisions.items():
                await geodatabase.resolve_conflict(conflict_id, side)
            for one in await geodatabase.conflicts(resolved=options.all):
                layer = layer_name(geodatabase, one.layer)
                found.append(
                    ConflictFacts(geodatabase=geodatabase.path.name, layer=layer, conflict=one)
                )
    is_open = any(one.conflict.resolved_at is None for one in found)
    return Report(
        data={
            "map": str(options.map),
            "decided": [{"id": i, "side": side.value} for i, side in decisions.items()],
            "conflicts": [one.to_json() for one in found],
        },
        lines=list(_lines(found, len(decisions))),
        exit_code=ExitCode.CONFLICTS if is_open else ExitCode.OK,
    )


def _lines(found: list[ConflictFacts], decided: int) -> Iterator[str]:
    if decided:
        yield f"{number(decided, 'conflict')} decided; sync to send what was taken."
    if found:
        yield from table(HEADINGS, [one.row for one in found])
    elif not decided:
        yield "There are no conflicts."


def _values(row: dict[str, object] | None, columns: tuple[str, ...]) -> str:
    if row is None:
        return "(deleted)"
    return ", ".join(f"{name}: {_value(row.get(name))}" for name in columns)


def _value(value: object) -> str:
    return "(geometry)" if isinstance(value, dict) else str(value)
