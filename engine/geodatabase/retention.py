"""How long decided conflicts and quarantine records are kept.

No record is old by its own time, which may be that of a wrong clock: its age counts from the first
pruning after it was decided that knew what time it is.
"""

import hashlib
import json
import sqlite3
from datetime import datetime, timedelta

from engine.clock import timestamp
from engine.geodatabase.bookkeeping import make_table

KEPT_DAYS = 90
KEPT_BYTES = 50 * 1024 * 1024

_SEEN = "fieldsync_decided"
_PIECE_BYTES = 64 * 1024
_SIZES = {
    "fieldsync_conflict": "coalesce(length(base),0)+coalesce(length(mine),0)"
    "+coalesce(length(theirs),0)+coalesce((SELECT sum(length(row))"
    " FROM fieldsync_conflict_part p WHERE p.conflict=r.id),0)",
    "fieldsync_quarantine": "length(payload)+length(reason)+length(remedy)",
}


def has_resolved(connection: sqlite3.Connection) -> bool:
    """Whether there is anything that could be pruned."""
    return any(
        connection.execute(
            f"SELECT EXISTS(SELECT 1 FROM {store} WHERE resolved_at IS NOT NULL)"
        ).fetchone()[0]
        for store in _SIZES
    )


def prune_resolved(
    connection: sqlite3.Connection,
    now: datetime | None,
    *,
    days: int = KEPT_DAYS,
    size_bytes: int = KEPT_BYTES,
) -> int:
    """Remove records that were decided more than ``days`` ago, then the oldest decided ones until
    the rest takes at most ``size_bytes`` per store; returns how many. Open ones are never removed.

    ``now`` None: nobody knows what time it is, so nothing grows older. Of what conflicts keep of
    attachments the data is bounded by itself, and goes alone: name, size and SHA-256 stay. The
    newest record, and the newest data, stay whatever their size is. Needs an open transaction.
    """
    make_table(
        connection,
        _SEEN,
        "(store TEXT NOT NULL, id INTEGER NOT NULL, resolved_at TEXT NOT NULL, seen_at TEXT,"
        " PRIMARY KEY(store,id)) WITHOUT ROWID",
    )
    removed = sum(_prune_old(connection, store, now, days) for store in _SIZES)
    _give_up_data(connection, size_bytes)
    for store, size in _SIZES.items():
        removed += connection.execute(
            f"DELETE FROM {store} WHERE id IN(SELECT id FROM (SELECT r.id,{_sum_behind(size)}"
            f" FROM {store} r {_joined(store)} WHERE r.resolved_at IS NOT NULL) WHERE total>?)",
            (size_bytes,),
        ).rowcount
    connection.execute(
        "DELETE FROM fieldsync_conflict_part"
        " WHERE conflict NOT IN(SELECT id FROM fieldsync_conflict)"
    )
    return removed


def _prune_old(connection: sqlite3.Connection, store: str, now: datetime | None, days: int) -> int:
    """Remove what has been seen to be decided for ``days``, and note what is seen so now."""
    connection.execute(
        f"DELETE FROM {_SEEN} WHERE store=?1 AND NOT EXISTS(SELECT 1 FROM {store} r"
        f" WHERE r.id={_SEEN}.id AND r.resolved_at={_SEEN}.resolved_at)",
        (store,),
    )
    if now is None:
        return 0
    moment, limit = timestamp(now), timestamp(now - timedelta(days=days))
    connection.execute(  # what was seen in the future was seen by a wrong clock
        f"INSERT OR REPLACE INTO {_SEEN} SELECT ?1,r.id,r.resolved_at,?2 FROM {store} r"
        f" {_joined(store)} WHERE r.resolved_at IS NOT NULL AND (s.id IS NULL OR s.seen_at>?2)",
        (store, moment),
    )
    return connection.execute(
        f"DELETE FROM {store} WHERE id IN(SELECT id FROM {_SEEN} WHERE store=? AND seen_at<?)",
        (store, limit),
    ).rowcount


def _joined(store: str) -> str:
    return f"LEFT JOIN {_SEEN} s ON s.store='{store}' AND s.id=r.id"


def _sum_behind(size: str, last: str = "r.id") -> str:
    """What the newer ones take, and this one, without the newest of all: ``total``. What was not
    seen yet is newest."""
    order = f"(ORDER BY coalesce(s.seen_at,'~') DESC,r.id DESC,{last} DESC)"
    return f"sum({size}) OVER {order}-first_value({size}) OVER {order} AS total"


def _give_up_data(connection: sqlite3.Connection, size_bytes: int) -> None:
    parts = connection.execute(
        "SELECT id,row FROM (SELECT p.id,p.row,"
        f"{_sum_behind('length(p.data)', 'p.id')}"
        " FROM fieldsync_conflict_part p JOIN fieldsync_conflict r ON r.id=p.conflict"
        f" {_joined('fieldsync_conflict')}"
        " WHERE r.resolved_at IS NOT NULL AND p.data IS NOT NULL) WHERE total>?",
        (size_bytes,),
    ).fetchall()
    for part, text in parts:
        row = json.loads(text)
        row["sha256"] = _sha256(connection, part)
        connection.execute(
            "UPDATE fieldsync_conflict_part SET row=?,data=NULL WHERE id=?", (json.dumps(row), part)
        )


def _sha256(connection: sqlite3.Connection, part: int) -> str:
    digest = hashlib.sha256()
    with connection.blobopen("fieldsync_conflict_part", "data", part, readonly=True) as blob:
        while piece := blob.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
