"""Changes of a service as a delta file: what a download brought, for keeping and for copies.

Written from what is staged for a merge; applied block by block to a geodatabase of the same replica
that is at the generation at which they begin. Each block is one transaction with its number in the
journal, and the generation moves with the last one: an import that was killed goes on from there.
"""

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from engine import atomic, faults
from engine.errors import DeltaError, DeltaMismatchError
from engine.geodatabase import fetch_queue, journal, replica
from engine.geodatabase.difference import Cell
from engine.geodatabase.fetch_queue import Fetch
from engine.geodatabase.half_merged import last_keys, note_begun, note_ended
from engine.geodatabase.journal import Batch, BatchKind, BatchState
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.log_schema import value_names
from engine.geodatabase.replica import Replica
from engine.geodatabase.sql import quote
from engine.geodatabase.staging import order_table, stage_table
from engine.model import SyncModel
from engine.sync.context import LocalContext
from engine.sync.delta_file import BlockSection, DeltaFile
from engine.sync.delta_parts import (
    DeltaContent,
    Part,
    Role,
    TableParts,
    table_cells,
    table_row,
    whole_row,
)
from engine.sync.delta_writing import delta_header, write
from engine.sync.read_back import merge_rows
from native.delta import DeltaWriter
from native.operation import Operation

CHUNK = 500
CHANNEL = "delta"
ATTACHMENT_PARTS = (Role.THERE, Role.ROWS, Role.SOURCE)
ROW_PARTS = (Role.THERE, Role.ROWS)


@dataclass(frozen=True, slots=True)
class Moved:
    """Up to which generation changes go: the replica's, or those of some layers."""

    server: int | None
    layers: Mapping[int, int]

    def __bool__(self) -> bool:
        return self.server is not None or bool(self.layers)


def write_changes(
    connection: sqlite3.Connection,
    path: Path,
    record: Replica,
    parts: Sequence[TableParts],
    moved: Moved,
    now: str,
) -> bool:
    """Write what is staged and arranged for these tables to ``path``; False if that is nothing."""
    some = [p for p in parts if _count(connection, p.table)]
    if not some or not moved:
        return False
    layers = tuple(
        part.part(role)
        for part in some
        for role in (ATTACHMENT_PARTS if part.table.is_attachment else ROW_PARTS)
    )
    about: dict[str, object] = {
        "to": {"server_generation": moved.server, "generations": _texts(moved.layers)},
        "downloaded_at": now,
    }
    header = delta_header(record, DeltaContent.CHANGES, layers, about)
    with atomic.new_file(path) as stream:
        writer = DeltaWriter(header)
        for part in some:
            for pieces in _pieces(connection, writer, part):
                write(stream, pieces)
        write(stream, writer.finish())
    faults.point("changes.kept")
    return True


def _texts(generations: Mapping[int, int]) -> dict[str, int]:
    return {str(layer_id): number for layer_id, number in generations.items()}


def _count(connection: sqlite3.Connection, table: LayerTable) -> int:
    found = connection.execute(f"SELECT count(*) FROM {order_table(table)}").fetchone()
    return int(found[0])


def _pieces(
    connection: sqlite3.Connection, writer: DeltaWriter, parts: TableParts
) -> Iterator[Iterator[bytes]]:
    table = parts.table
    there, rows = parts.part(Role.THERE), parts.part(Role.ROWS)
    values = "".join(f",s.{quote(name)}" for name in value_names(table))
    after = 0
    while True:
        found = connection.execute(
            f"SELECT o.position,o.gid,o.sid{values} FROM {order_table(table)} o"
            f" LEFT JOIN {stage_table(table)} s ON s.id=o.sid WHERE o.position>?"
            " ORDER BY o.position LIMIT ?",
            (after, CHUNK),
        ).fetchall()
        if not found:
            return
        after = found[-1][0]
        whole = [
            whole_row(there, gid, table_cells(table, (gid, *cells)))
            for _, gid, sid, *cells in found
            if sid is not None
        ]
        if whole:
            yield writer.adds(there.id, whole)
        deleted = [gid for _, gid, sid, *_ in found if sid is None]
        if deleted:
            yield writer.deletes(rows.id, deleted)
        if table.is_attachment:
            sources = _sources(connection, table, [gid for _, gid, sid, *_ in found if sid])
            if sources:
                yield writer.adds(parts.part(Role.SOURCE).id, sources)


def _sources(
    connection: sqlite3.Connection, table: LayerTable, gids: Sequence[str]
) -> list[tuple[object, ...]]:
    """Where the data of attachments is to be had, and its size if that tells it from older data;
    what came with the rows is not told of."""
    statement = (
        "SELECT gid,url,CASE WHEN NOT is_changed THEN size_bytes END"
        " FROM temp.fieldsync_stage_fetch WHERE number=? AND gid=? AND url IS NOT NULL"
    )
    found = (connection.execute(statement, (table.number, gid)).fetchone() for gid in gids)
    return [row for row in found if row is not None]


# --- into a geodatabase -------------------------------------------------------------------------


async def import_changes(context: LocalContext, delta: DeltaFile) -> None:
    """Merge the changes, unless they are in already; the counts go into the context's result.

    :exc:`DeltaMismatchError` if they begin at another generation than the geodatabase has.
    """
    moved = _moved(delta)
    record = context.replica
    if _is_in(record, moved):
        context.narrator.info(f"{delta.path} holds nothing new")
        return
    _check_start(delta, record, moved)
    batch = await context.write(_batch, context, delta)
    blocks = _blocks(delta, batch.merge_offset or 0)
    while (block := await asyncio.to_thread(next, blocks, None)) is not None:
        await context.write(_apply, context, batch.id, *block)
        faults.point("block.applied")
    await context.write(_finish, context, batch.id, moved)
    faults.point("changes.applied")


def _moved(delta: DeltaFile) -> Moved:
    to = delta.header.about.get("to")
    try:
        assert isinstance(to, dict)
        server, layers = to["server_generation"], to["generations"]
        moved = Moved(
            None if server is None else int(server), {int(i): int(n) for i, n in layers.items()}
        )
    except (AssertionError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise DeltaError(f"{delta.path} does not say up to which generation it goes") from error
    if not moved:
        raise DeltaError(f"{delta.path} does not say up to which generation it goes")
    return moved


def _is_in(record: Replica, moved: Moved) -> bool:
    if moved.server is not None:
        return (record.server_generation or 0) >= moved.server
    return all((record.layer(i).generation or 0) >= n for i, n in moved.layers.items())


def _check_start(delta: DeltaFile, record: Replica, moved: Moved) -> None:
    if record.sync_model is SyncModel.PER_LAYER:
        begins = {i: delta.generations.get(str(i)) for i in moved.layers}
        have = {i: record.layer(i).generation for i in moved.layers}
    else:
        begins = {-1: delta.generations["replica"]}
        have = {-1: record.server_generation}
    if begins != have:
        raise DeltaMismatchError(
            f"{delta.path} begins at generation {_list(begins)}; the geodatabase is at "
            f"{_list(have)}",
            remedy="Import the files in the order in which they were made, or sync",
        )


def _list(generations: Mapping[int, int | None]) -> str:
    return ", ".join(str(number) for number in generations.values())


def _batch(connection: sqlite3.Connection, context: LocalContext, delta: DeltaFile) -> Batch:
    """The journal's note of this import: a new one, or that of a run that was killed."""
    for batch in journal.unfinished(connection):
        if batch.kind is BatchKind.PULL and batch.channel == CHANNEL:
            if (batch.spool_name, batch.spool_sha256) == (delta.id, delta.seal):
                return batch
            journal.discard(connection, batch.id)
    note_begun(connection, last_keys(connection, context.tables))
    number = journal.add_batch(
        connection,
        BatchKind.PULL,
        CHANNEL,
        context.now(),
        spool_name=delta.id,
        spool_sha256=delta.seal,
        merge_offset=0,
    )
    return journal.get_batch(connection, number)


def _blocks(delta: DeltaFile, applied: int) -> Iterator[tuple[int, list[BlockSection]]]:
    for number, sections in groupby(delta.sections(applied=applied), key=lambda one: one.block):
        yield number, list(sections)


def _apply(
    connection: sqlite3.Connection,
    context: LocalContext,
    batch_id: int,
    number: int,
    sections: Sequence[BlockSection],
) -> None:
    """One block, with its number, in one transaction."""
    for part, rows, deleted in _by_table(sections):
        table = next(t for t in context.tables if t.number == part.number)
        found = [table_row(table, gid, cells) for gid, cells in rows]
        merged = merge_rows(connection, context, table, found, deleted)
        context.count_downloaded(table, merged)
    for one in sections:
        if one.part.role is Role.SOURCE:
            _ask_for(connection, context, one)
    journal.note(connection, batch_id, context.now(), merge_offset=number)


def _by_table(
    sections: Sequence[BlockSection],
) -> Iterator[tuple[Part, list[tuple[str, dict[str, Cell]]], list[str]]]:
    """Rows and deletes of a block, in the order in which the file has them."""
    for one in sections:
        match one.part.role, one.section.operation:
            case Role.THERE, Operation.ADDS:
                rows = [one.cells(row) for row in one.section.rows]
                yield one.part, rows, []
            case Role.ROWS, Operation.DELETES:
                yield one.part, [], [str(key) for key in one.section.keys]
            case Role.SOURCE, Operation.ADDS:
                pass
            case _:
                raise DeltaError("a delta of changes holds what is none")


def _ask_for(connection: sqlite3.Connection, context: LocalContext, one: BlockSection) -> None:
    """Attachments whose data is not here in that size are fetched by the next sync."""
    table = next(t for t in context.tables if t.number == one.part.number)
    (data,) = table.noted
    statement = (
        f"SELECT {quote(data)} IS NOT NULL AND length({quote(data)}) IS ?"
        f" FROM {quote(table.name)} WHERE {quote(table.global_id)}=?"
    )
    fetches = []
    for gid, url, size in one.section.rows:
        found = connection.execute(statement, (size, gid)).fetchone()
        if found is not None and not found[0]:
            source = url if size is not None else None  # its feature is asked, also for its size
            fetches.append(
                Fetch(number=table.number, gid=gid, url=source, spool_name=None, size_bytes=size)
            )
    fetch_queue.enqueue(connection, fetches)


def _finish(
    connection: sqlite3.Connection, context: LocalContext, batch_id: int, moved: Moved
) -> None:
    now = context.now()
    replica.set_generations(connection, server=moved.server, layers=moved.layers)
    for state in (BatchState.SENDING, BatchState.FETCHED, BatchState.MERGED):
        journal.move(connection, batch_id, state, now)
    journal.remove_finished(connection, keep=100)
    is_all = moved.server is not None
    note_ended(connection, [t for t in context.tables if is_all or t.layer_id in moved.layers])
    for table in context.tables:
        if table.is_attachment:
            fetch_queue.forget_missing(connection, table)
