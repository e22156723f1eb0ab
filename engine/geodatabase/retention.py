"""How long decided conflicts and quarantine records are kept."""

import sqlite3
from datetime import datetime, timedelta

from engine.clock import timestamp

KEPT_DAYS = 90
KEPT_BYTES = 50 * 1024 * 1024

_SIZES = {
    "fieldsync_conflict": "coalesce(length(base),0)+coalesce(length(mine),0)"
    "+coalesce(length(theirs),0)+coalesce((SELECT sum(length(row)+coalesce(length(data),0))"
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
    now: datetime,
    *,
    days: int = KEPT_DAYS,
    size_bytes: int = KEPT_BYTES,
) -> int:
    """Remove resolved records older than ``days``, then the oldest resolved ones until the rest
    takes at most ``size_bytes`` per store; returns how many. Unresolved ones are never removed.

    Needs an open transaction.
    """
    limit = timestamp(now - timedelta(days=days))
    removed = 0
    for store, size in _SIZES.items():
        cursor = connection.execute(
            f"DELETE FROM {store} WHERE id IN(SELECT id FROM (SELECT id,resolved_at,"
            f"sum({size}) OVER (ORDER BY resolved_at DESC,id DESC) AS total"
            f" FROM {store} r WHERE resolved_at IS NOT NULL)"
            " WHERE resolved_at<? OR total>?)",
            (limit, size_bytes),
        )
        removed += cursor.rowcount
    connection.execute(
        "DELETE FROM fieldsync_conflict_part"
        " WHERE conflict NOT IN(SELECT id FROM fieldsync_conflict)"
    )
    return removed
