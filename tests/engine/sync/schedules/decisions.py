"""A person decides about what is held and refused: with the engine at rest, or beside its sync."""

import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from engine.errors import EngineError
from engine.geodatabase import catalog, conflicts, quarantine
from engine.geodatabase.conflicts import Conflict, ConflictKind, Side
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.quarantine import Direction, Quarantined
from tests.engine.sync.schedules.ledger import Delete, Ledger, Write
from tests.engine.sync.schedules.world import COLUMNS, LAYERS, plain

_NOW = "2024-05-01T12:00:00.000Z"


async def decide(
    who: str,
    geodatabase: Geodatabase,
    draw: random.Random,
    ledger: Ledger,
    *,
    everything: bool = False,
) -> bool:
    """What a person does; False if there was nothing to do."""
    has_acted = False
    for item in await geodatabase.quarantine():
        if not _is_open(item):
            continue
        has_acted = True
        with suppress(EngineError):  # decided together with another
            if everything or draw.random() < 0.5:
                await geodatabase.discard_quarantined(item.id)
            else:
                await geodatabase.retry_quarantined(item.id)
    for conflict in await geodatabase.conflicts():
        if not _is_looked_at(conflict, draw, everything=everything):
            continue
        has_acted = True
        side = draw.choice([Side.MINE, Side.THEIRS])
        _note(who, geodatabase._tables(), conflict, side, ledger)
        await geodatabase.resolve_conflict(conflict.id, side)
    return has_acted


def decide_beside(who: str, path: Path, draw: random.Random, ledger: Ledger) -> bool:
    """The same from another program; False if nothing was to be done, and :exc:`OperationalError`
    if the file is busy."""
    noted, has_acted = Ledger(), False
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("BEGIN IMMEDIATE")
        tables = [entry.table for entry in catalog.entries(connection)]
        for item in filter(_is_open, quarantine.list_quarantined(connection)):
            has_acted = True
            with suppress(EngineError):
                if draw.random() < 0.5:
                    quarantine.discard(connection, item.id, tables, now=_NOW)
                else:
                    quarantine.retry(connection, item.id, now=_NOW)
        for conflict in conflicts.list_conflicts(connection):
            if _is_looked_at(conflict, draw, everything=False):
                has_acted = True
                side = draw.choice([Side.MINE, Side.THEIRS])
                _note(who, tables, conflict, side, noted)
                conflicts.resolve(connection, conflict.id, tables, side, now=_NOW)
        connection.execute("COMMIT")
    ledger.note(*noted.entries)
    return has_acted


def _is_open(item: Quarantined) -> bool:
    return item.direction is Direction.OUTBOUND and item.is_effective


def _is_looked_at(conflict: Conflict, draw: random.Random, *, everything: bool) -> bool:
    """Whether a person must decide this one now, or happens to."""
    is_stored = conflict.kind is ConflictKind.DELETED_THERE
    return conflict.is_held or (is_stored and draw.random() < 0.3 and not everything)


def _note(
    who: str, tables: Sequence[LayerTable], conflict: Conflict, side: Side, ledger: Ledger
) -> None:
    numbers = {t.number: t.layer_id for t in tables if not t.is_attachment}
    layer = numbers.get(conflict.layer)
    if layer not in LAYERS:
        return
    is_whole = conflict.kind is not ConflictKind.UPDATED
    for version in (conflict.mine, conflict.theirs):
        if version is not None:
            names = {n if n else "geom": (n, k) for n, k in COLUMNS[layer].items()}
            chosen = names if is_whole else [c for c in conflict.columns if c in names]
            cells = {names[c][0]: plain(names[c][1], version.get(c)) for c in chosen}
            ledger.note(Write(who, layer, conflict.global_id, cells, is_decision=True))
    if conflict.kind is ConflictKind.DELETED_HERE and side is Side.MINE:
        ledger.note(Delete(who, layer, conflict.global_id))
