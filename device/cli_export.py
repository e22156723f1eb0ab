"""``fieldsync export``: unsent edits into a file that is carried to a machine with a link."""

import asyncio
from argparse import Namespace
from dataclasses import asdict, dataclass
from pathlib import Path

from device.cli_run import run_async
from device.console import Console, Report
from device.tables import number, size
from engine import DeltaFile, EngineError, ExitCode, Geodatabase, GeodatabaseSyncTask, OfflineMap


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFacts:
    """A delta file that was written. The members are those of the JSON object."""

    geodatabase: str
    path: str
    id: str
    sha256: str
    size_bytes: int
    edits: int
    attachments: int


def run(options: Namespace, _console: Console) -> Report:
    """Write one file for each geodatabase that has edits; none is changed."""
    return run_async(lambda: _export(options), when_stopped="No file was written")


async def _export(options: Namespace) -> Report:
    files: list[ExportFacts] = []
    async with OfflineMap.open(options.map) as map_:
        geodatabases = map_.geodatabases
        errors: list[EngineError] = [*map_.errors.values()]
        for geodatabase in geodatabases:
            path = _path(options.file, geodatabase, is_alone=len(geodatabases) == 1)
            if await GeodatabaseSyncTask.export_delta(geodatabase, path):
                files.append(await asyncio.to_thread(_read_back, geodatabase.path.name, path))
            errors += [t.error for t in geodatabase.feature_tables if t.error is not None]
    lines = [
        f"{one.path}: {number(one.edits, 'edit')} and {number(one.attachments, 'photo')} "
        f"({size(one.size_bytes)}), sealed {one.sha256[:16]}."
        for one in files
    ]
    return Report(
        data={"map": str(options.map), "files": [asdict(one) for one in files]},
        lines=lines or ["There are no edits to export."],
        exit_code=errors[0].exit_code if errors else ExitCode.OK,
        error=errors[0] if errors else None,
    )


def _path(file: Path, geodatabase: Geodatabase, *, is_alone: bool) -> Path:
    """Of several geodatabases each has a file of its own."""
    return file if is_alone else file.with_stem(f"{file.stem}-{geodatabase.path.stem}")


def _read_back(geodatabase: str, path: Path) -> ExportFacts:
    """The file as it is on the medium now, read to its end."""
    delta = DeltaFile.open(path)
    edits, attachments = delta.counts()
    return ExportFacts(
        geodatabase=geodatabase,
        path=str(path),
        id=delta.id,
        sha256=delta.seal,
        size_bytes=path.stat().st_size,
        edits=edits,
        attachments=attachments,
    )
