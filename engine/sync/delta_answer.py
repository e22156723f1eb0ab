"""The acknowledgement of a delta of edits: what became of each, and the rows as they are now.

It is read off the carrier from which the edits were pushed, so it can be written at any time. An
edit of which nothing is known yet is left out: it stays pending on its device.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from engine import atomic, faults
from engine.geodatabase import catalog, change_log
from engine.geodatabase.change_log import EditState
from engine.geodatabase.difference import Cell
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable
from engine.model import EditOperation
from engine.sync.batches import object_id_column
from engine.sync.delta_carrier import is_undecided, renamed_to
from engine.sync.delta_export import refuse_other_file
from engine.sync.delta_file import DeltaFile
from engine.sync.delta_parts import (
    CarriedEdit,
    DeltaContent,
    Part,
    Role,
    TableParts,
    plain_part,
    stored_parts,
    table_cells,
    whole_row,
)
from engine.sync.delta_verdict import Answer, EditVerdict
from engine.sync.delta_writing import layer_of, new_delta_id, write, write_edits
from native.delta import DeltaHeader, DeltaWriter

CHUNK = 500


@dataclass(slots=True, kw_only=True)
class AnswerCounts:
    """How many edits of one table came to what; ``refusals`` are told one by one."""

    layer_id: int
    table_name: str
    is_attachment: bool
    verdicts: Counter[EditVerdict] = field(default_factory=Counter)
    unknown: int = 0
    refusals: list[Answer] = field(default_factory=list)


def write_acknowledgement(
    connection: sqlite3.Connection, delta: DeltaFile, path: Path, now: str
) -> list[AnswerCounts]:
    """Write the acknowledgement of ``delta``, whole or not at all, from its carrier."""
    refuse_other_file(path)
    parts = {p.number: p for p in stored_parts(catalog.stored_layers(connection))}
    counts = {
        number: AnswerCounts(
            layer_id=number >> 1,
            table_name=part.table.name,
            is_attachment=part.table.is_attachment,
        )
        for number, part in parts.items()
    }
    with atomic.new_file(path) as stream:
        writer = DeltaWriter(_header(delta, now))
        for number, edits in delta.edits_by_table(CHUNK):
            answers = []
            for edit in edits:
                answer = _answer(connection, parts[number], edit)
                if answer is None:
                    counts[number].unknown += 1
                    continue
                answers.append(answer)
                counts[number].verdicts[answer.verdict] += 1
                if answer.verdict is EditVerdict.REFUSED:
                    counts[number].refusals.append(answer)
            _write(stream, writer, answers)
        write(stream, writer.finish())
    faults.point("acknowledgement.written")
    return [c for c in counts.values() if c.unknown or c.verdicts]


def _header(delta: DeltaFile, now: str) -> DeltaHeader:
    header = delta.header
    layers = []
    for number in delta.numbers:
        rows = delta.layer(number, Role.ROWS)
        base = delta.layer(number, Role.BASE)
        if rows is None or base is None:
            continue
        layers += [base, rows, plain_part(number, Role.RESULT)]
        if not number & 1:
            layers.append(replace(rows, id=Part(number, Role.THERE).id))
    about = {
        **header.about,
        "content": DeltaContent.ACKNOWLEDGEMENT.value,
        "answers": delta.id,
        "answers_seal": delta.seal,
        "acknowledged_at": now,
    }
    return replace(header, id=new_delta_id(), layers=tuple(layers), about=about)


def _answer(connection: sqlite3.Connection, parts: TableParts, edit: CarriedEdit) -> Answer | None:
    """What the carrier knows of the edit; None if it is not decided."""
    table, gid = parts.table, edit.global_id
    if is_undecided(connection, table, gid):
        return None
    is_add = edit.operation is EditOperation.ADD
    now_gid = (renamed_to(connection, table, gid) if is_add else gid) or gid
    logged = LoggedTable(connection, table)
    stored, entry = logged.stored(now_gid), logged.entry(now_gid)
    left = change_log.edit_of(connection, table, now_gid)
    if left is not None:
        there = (
            None if entry is None else logged.base(entry, None if stored is None else stored.row)
        )
        if left.state is EditState.QUARANTINED:
            code, reason = _refusal(connection, table, now_gid)
            verdict = EditVerdict.REFUSED
        elif left.state is EditState.HELD and there is not None:
            code, reason, verdict = None, "", EditVerdict.CONFLICT
        else:
            return None
        row = None if there is None else table_cells(table, there)
        return Answer(
            edit=edit, verdict=verdict, code=code, description=reason, global_id=gid, there=row
        )
    row = None if stored is None else table_cells(table, stored.row)
    return Answer(
        edit=edit,
        verdict=_verdict(connection, table, edit, is_there=stored is not None),
        object_id=_object_id(table, row),
        global_id=now_gid,
        there=None if table.is_attachment else row,
    )


def _verdict(
    connection: sqlite3.Connection, table: LayerTable, edit: CarriedEdit, *, is_there: bool
) -> EditVerdict:
    """Of an edit that the carrier does not have to send any more."""
    has_lost = connection.execute(
        "SELECT EXISTS(SELECT 1 FROM fieldsync_conflict WHERE layer=? AND gid=?)",
        (table.number, edit.global_id),
    ).fetchone()[0]
    if edit.operation is EditOperation.DELETE:
        return EditVerdict.CONFLICT if is_there else EditVerdict.APPLIED
    if not is_there:
        return EditVerdict.GONE
    return EditVerdict.CONFLICT if has_lost else EditVerdict.APPLIED


def _object_id(table: LayerTable, row: dict[str, Cell] | None) -> int | None:
    column = object_id_column(table)
    value = None if row is None or column is None else row.get(column)
    return value if isinstance(value, int) else None


def _refusal(connection: sqlite3.Connection, table: LayerTable, gid: str) -> tuple[str, str]:
    code, reason = connection.execute(
        "SELECT code,reason FROM fieldsync_quarantine WHERE layer=? AND gid=?"
        " AND direction='outbound' AND resolved_at IS NULL",
        (table.number, gid),
    ).fetchone()
    return str(code), str(reason)


def _write(stream: BinaryIO, writer: DeltaWriter, answers: Sequence[Answer]) -> None:
    """Results and rows first, so that all is known of an edit when it is read."""
    if not answers:
        return
    number = answers[0].edit.number
    results = [
        (
            a.edit.global_id,
            a.verdict.value,
            a.code,
            a.description,
            a.object_id,
            a.global_id,
        )
        for a in answers
    ]
    write(stream, writer.adds(layer_of(writer, number, Role.RESULT).id, results))
    there = [a for a in answers if a.there is not None]
    if there and not number & 1:
        layer = layer_of(writer, number, Role.THERE)
        rows = []
        for answer in there:
            folded = {n.casefold(): cell for n, cell in (answer.there or {}).items()}
            cells = {c.name: folded.get(c.name.casefold()) for c in layer.columns}
            rows.append(whole_row(layer, answer.edit.global_id, {**cells, "": folded.get("")}))
        write(stream, writer.adds(layer.id, rows))
    write_edits(stream, writer, [a.edit for a in answers])
