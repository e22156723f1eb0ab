"""``fieldsync edits``: what was changed on this device and the service does not have."""

from argparse import Namespace
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass

from device.cli_run import run_async
from device.console import Console, Report
from device.tables import number, table
from engine import EngineError, ExitCode, FeatureTable, OfflineMap

HEADINGS = ("layer", "edit", "GlobalID", "changed", "state")


@dataclass(frozen=True, slots=True, kw_only=True)
class EditFacts:
    """One edit of a feature or row, or of an attachment, which has a name and the feature that it
    belongs to. The members are those of the JSON object."""

    geodatabase: str
    layer_id: int
    layer: str
    operation: str
    global_id: str
    columns: tuple[str, ...] = ()
    geometry_changed: bool = False
    attachment: str | None = None
    parent_global_id: str | None = None
    state: str

    @property
    def row(self) -> tuple[object, ...]:
        """The edit as a line of the table."""
        changed = [] if self.operation == "add" else list(self.columns)
        if self.geometry_changed and self.operation == "update":
            changed.append("geometry")
        if self.attachment is not None:
            changed.append(f"photo {self.attachment}")
        state = self.state.replace("_", " ")
        return (self.layer, self.operation, self.global_id, ", ".join(changed), state)


def run(options: Namespace, _console: Console) -> Report:
    """List the edits; nothing is changed, and no network is needed."""
    return run_async(lambda: _list(options), when_stopped="")


async def _list(options: Namespace) -> Report:
    edits: list[EditFacts] = []
    errors: list[EngineError] = []
    async with OfflineMap.open(options.map) as map_:
        for geodatabase in map_.geodatabases:
            for feature_table in geodatabase.feature_tables:
                if feature_table.error is not None:  # nobody knows this layer's edits
                    errors.append(feature_table.error)
                    continue
                edits += [e async for e in _edits(feature_table, geodatabase.path.name)]
        errors += map_.errors.values()
    lines = table(HEADINGS, [edit.row for edit in edits]) if edits else []
    return Report(
        data={"map": str(options.map), "edits": [asdict(edit) for edit in edits]},
        lines=[*lines, f"{number(len(edits), 'edit')} to send."],
        exit_code=errors[0].exit_code if errors else ExitCode.OK,
        error=errors[0] if errors else None,
    )


async def _edits(feature_table: FeatureTable, file: str) -> AsyncIterator[EditFacts]:
    async for edit in feature_table.get_local_edits():
        yield EditFacts(
            geodatabase=file,
            layer_id=feature_table.layer_id,
            layer=feature_table.name,
            operation=edit.operation.value,
            global_id=edit.global_id,
            columns=edit.fields,
            geometry_changed=edit.geometry_changed,
            state=edit.state.value,
        )
    async for photo in feature_table.get_local_attachment_edits():
        yield EditFacts(
            geodatabase=file,
            layer_id=feature_table.layer_id,
            layer=feature_table.name,
            operation=photo.operation.value,
            global_id=photo.global_id,
            attachment=photo.name,
            parent_global_id=photo.parent_global_id,
            state=photo.state.value,
        )
