"""The edits that were on their way when a geodatabase was damaged: the next sync finds out.

Without them an edit that had arrived would be sent once more: over what somebody has written since,
or as a second row where the service gives new rows GlobalIDs of its own.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, fields

from engine.geodatabase.journal import BatchState
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.log_schema import sent_table, value_names
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.sql import quote, quoted
from engine.model import EditOperation

_OPEN = (
    BatchState.SENDING,
    BatchState.SUBMITTED,
    BatchState.FETCHED,
    BatchState.RECONCILING,
)
_BATCH = ("id", "kind", "channel", "state", "status_url", "counts", "created_at", "updated_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    id: int
    batch: int
    number: int
    operation: str
    columns: str
    geometry: int
    data: int
    key: int | None
    last: int
    overtaken: str


_SENT = tuple(field.name for field in fields(_Sent))


class OnTheWay:
    """What the damaged file, read into ``old``, says of batches without an answer."""

    def __init__(self, connection: sqlite3.Connection, old: sqlite3.Connection) -> None:
        self._connection = connection
        self._old = old
        self._sent: dict[tuple[int, str], _Sent] = {}
        marks = ",".join("?" * len(_OPEN))
        for layer, gid, *cells in old.execute(
            f"SELECT layer,gid,{quoted(_SENT)} FROM fieldsync_sent WHERE batch IN"
            f"(SELECT id FROM fieldsync_batch WHERE state IN({marks}))",
            [state.value for state in _OPEN],
        ):
            self._sent[(layer, gid)] = _Sent(**dict(zip(_SENT, cells, strict=True)))

    def has(self, number: int, gid: str) -> bool:
        """Whether that row of the table ``number`` was on its way."""
        return (number, gid) in self._sent

    def keep(
        self,
        logged: LoggedTable,
        before: LayerTable,
        counterparts: Mapping[str, str | None],
        gid: str,
        last: int,
    ) -> None:
        """Keep it so, in a row that has its entry. ``before``: the table in the damaged file, where
        the row was last touched under the number ``last``; ``counterparts``: column now → then."""
        sent, entry = self._sent.get((before.number, gid)), logged.entry(gid)
        if sent is None or entry is None:
            return
        values = self._values(logged.table, before, counterparts, sent)
        if values is None and sent.operation != EditOperation.DELETE.value:
            return  # its values could not be read
        stored = logged.stored(gid)
        names = {then: now for now, then in counterparts.items()}
        self._keep_batch(sent.batch)
        # It was touched again since it was sent, if it was so in the damaged file.
        seen = entry.seq if last <= sent.last else entry.seq - 1
        cursor = self._connection.execute(
            "INSERT INTO fieldsync_sent(batch,number,layer,gid,operation,columns,geometry,data,key,"
            "first,last,overtaken) VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                sent.batch,
                sent.number,
                logged.table.number,
                gid,
                sent.operation,
                json.dumps([names[n] for n in json.loads(sent.columns) if n in names]),
                sent.geometry,
                sent.data,
                sent.key if stored is None else stored.key,
                entry.id,
                seen,
                json.dumps([names[n] for n in json.loads(sent.overtaken) if n in names]),
            ),
        )
        if values is not None:
            marks = ",?" * len(values)
            self._connection.execute(
                f"INSERT INTO {quote(sent_table(logged.table))} VALUES(?{marks})",
                (cursor.lastrowid, *values),
            )

    def _values(
        self,
        table: LayerTable,
        before: LayerTable,
        counterparts: Mapping[str, str | None],
        sent: _Sent,
    ) -> tuple[object, ...] | None:
        kept = dict(zip(before.row_names[1:], value_names(before), strict=True))
        there = [counterparts.get(name) for name in table.row_names[1:]]
        cells = ",".join("NULL" if name is None else quote(kept[name]) for name in there)
        found = self._old.execute(
            f"SELECT {cells} FROM {quote(sent_table(before))} WHERE id=?", (sent.id,)
        ).fetchone()
        return None if found is None else tuple(found)

    def _keep_batch(self, number: int) -> None:
        row = self._old.execute(
            f"SELECT {quoted(_BATCH)} FROM fieldsync_batch WHERE id=?", (number,)
        ).fetchone()
        self._connection.execute(
            f"INSERT OR IGNORE INTO fieldsync_batch({quoted(_BATCH)})"
            f" VALUES({','.join('?' * len(_BATCH))})",
            row,
        )
