"""Edits into a delta file, in the order in which they pack best."""

import uuid
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from engine.geodatabase.replica import Replica
from engine.model import EditOperation
from engine.sync.delta_parts import (
    FIRST,
    LAST,
    OLDER,
    SIZE,
    CarriedEdit,
    Cells,
    DeltaContent,
    Part,
    Role,
    masked_row,
    whole_row,
)
from native.delta import DeltaHeader, DeltaWriter
from native.layer import Layer


def new_delta_id() -> bytes:
    """16 bytes that no other delta has."""
    return uuid.uuid4().bytes


def delta_header(
    record: Replica,
    content: DeltaContent,
    layers: Sequence[Layer],
    about: dict[str, object],
) -> DeltaHeader:
    """The header of a new delta of that replica."""
    generations = {str(g.layer_id): g.generation for g in record.layers if g.generation is not None}
    known = [number for number in (record.server_generation, *generations.values()) if number]
    return DeltaHeader(
        id=new_delta_id(),
        service=record.service_url,
        replica=record.replica_id,
        generation=max(known, default=0),
        layers=tuple(layers),
        about={
            "content": content.value,
            "sync_model": record.sync_model.value,
            "server_generation": record.server_generation,
            "generations": generations,
            **about,
        },
    )


def write(stream: BinaryIO, pieces: Iterable[bytes]) -> None:
    """Write what a :class:`DeltaWriter` has ready."""
    for piece in pieces:
        stream.write(piece)


def write_edits(stream: BinaryIO, writer: DeltaWriter, edits: Sequence[CarriedEdit]) -> None:
    """Write edits of one table, which must be few enough for the memory.

    Of each operation first the marks and what was, then what is to be: both in the order of the
    GlobalIDs, so that the second time they pack to next to nothing.
    """
    for operation in EditOperation:
        some = [edit for edit in edits if edit.operation is operation]
        some.sort(key=lambda edit: edit.global_id)
        if some:
            _write_base(stream, writer, some)
            _write_rows(stream, writer, operation, some)


def layer_of(writer: DeltaWriter, number: int, role: Role) -> Layer:
    """That part of a table as the writer's header has it."""
    part_id = Part(number, role).id
    return next(layer for layer in writer.header.layers if layer.id == part_id)


def _write_base(stream: BinaryIO, writer: DeltaWriter, edits: Sequence[CarriedEdit]) -> None:
    layer = layer_of(writer, edits[0].number, Role.BASE)
    rows = [masked_row(layer, {**edit.base, **_marks(edit)}) for edit in edits]
    write(stream, writer.updates(layer.id, [edit.global_id for edit in edits], rows))


def _marks(edit: CarriedEdit) -> Cells:
    marks: dict[str, int | None] = {FIRST: edit.first, LAST: edit.last}
    if edit.is_attachment:
        marks[SIZE] = edit.size_bytes
    if edit.is_older_there:
        marks[OLDER] = 1
    return marks


def _write_rows(
    stream: BinaryIO, writer: DeltaWriter, operation: EditOperation, edits: Sequence[CarriedEdit]
) -> None:
    layer = layer_of(writer, edits[0].number, Role.ROWS)
    keys = [edit.global_id for edit in edits]
    match operation:
        case EditOperation.ADD:
            rows = [whole_row(layer, edit.global_id, edit.cells) for edit in edits]
            write(stream, writer.adds(layer.id, rows))
        case EditOperation.UPDATE:
            masked = [masked_row(layer, edit.cells) for edit in edits]
            write(stream, writer.updates(layer.id, keys, masked))
        case EditOperation.DELETE:
            write(stream, writer.deletes(layer.id, keys))
