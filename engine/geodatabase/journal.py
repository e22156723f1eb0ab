"""The journal: one row per batch of a sync, so that a sync can go on after any interruption.

A batch moves along :data:`MOVES` and nowhere else. Every move is written in the transaction of
what it stands for, before the next step begins. Functions that write need an open transaction;
``now`` is ISO 8601 text in UTC.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypedDict, Unpack

from engine import faults
from engine.errors import FeatureNotFoundError

Generations = Mapping[str, int]
"""``{"replica": n}``, or layer id → generation where the model keeps one per layer."""


class BatchKind(Enum):
    """What a batch carries."""

    PUSH = "push"
    PULL = "pull"
    PHOTO = "photo"


class BatchState(Enum):
    """Where a batch is; each value names a durable fact."""

    PREPARED = "prepared"
    SENDING = "sending"
    SUBMITTED = "submitted"
    FETCHED = "fetched"
    ACKNOWLEDGED = "acknowledged"
    MERGED = "merged"
    RECONCILING = "reconciling"


MOVES: dict[BatchState, frozenset[BatchState]] = {
    BatchState.PREPARED: frozenset({BatchState.SENDING}),
    BatchState.SENDING: frozenset(
        {
            BatchState.SUBMITTED,
            BatchState.FETCHED,  # answered at once, without a job
            BatchState.RECONCILING,
        }
    ),
    BatchState.SUBMITTED: frozenset({BatchState.FETCHED, BatchState.RECONCILING}),
    BatchState.FETCHED: frozenset({BatchState.ACKNOWLEDGED, BatchState.MERGED}),
    BatchState.ACKNOWLEDGED: frozenset({BatchState.MERGED}),
    BatchState.MERGED: frozenset(),
    BatchState.RECONCILING: frozenset(
        {
            BatchState.SENDING,  # proven: nothing of it was applied
            BatchState.SUBMITTED,  # the job is still there
            BatchState.FETCHED,
            BatchState.ACKNOWLEDGED,  # a read-back shows it
        }
    ),
}
"""State → the states that may follow it."""

_DISCARDABLE = frozenset(
    {
        BatchState.PREPARED,
        BatchState.SENDING,
        BatchState.SUBMITTED,
        BatchState.FETCHED,
        BatchState.RECONCILING,
    }
)


class Facts(TypedDict, total=False):
    """What a move may record beside the state; what is left out stays as it is."""

    spool_name: str | None
    spool_sha256: str | None
    status_url: str | None
    result_url: str | None
    upload_item: str | None
    upload_parts: list[int]
    generations_before: Generations
    generations_after: Generations
    counts: Mapping[str, int]
    merge_offset: int | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One batch. ``upload_parts``: the sizes of the parts of the upload item that the service has,
    in order.

    ``merge_offset`` is how far a merge in slices has come.
    """

    id: int
    kind: BatchKind
    channel: str
    state: BatchState
    spool_name: str | None
    spool_sha256: str | None
    status_url: str | None
    result_url: str | None
    upload_item: str | None
    upload_parts: tuple[int, ...]
    generations_before: Generations
    generations_after: Generations
    counts: Mapping[str, int]
    merge_offset: int | None
    error: str | None
    created_at: str
    updated_at: str


_IN_JSON = frozenset({"upload_parts", "generations_before", "generations_after", "counts"})


def add_batch(
    connection: sqlite3.Connection,
    kind: BatchKind,
    channel: str,
    now: str,
    **facts: Unpack[Facts],
) -> int:
    """Journal a new batch as PREPARED; its id. ``channel`` names the operation it goes by."""
    done = connection.execute(
        "INSERT INTO fieldsync_batch (kind, channel, state, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, ?)",
        (kind.value, channel, BatchState.PREPARED.value, now, now),
    )
    assert done.lastrowid is not None
    _record(connection, done.lastrowid, facts)
    faults.point(f"batch.{BatchState.PREPARED.value}")
    return done.lastrowid


def copy_batch(connection: sqlite3.Connection, batch_id: int, now: str) -> int:
    """A batch for some of the edits of another, of which as little is known; its id."""
    names = "kind, channel, state, status_url, counts, created_at"
    done = connection.execute(
        f"INSERT INTO fieldsync_batch ({names}, updated_at) SELECT {names}, ? FROM fieldsync_batch"
        " WHERE id = ?",
        (now, batch_id),
    )
    assert done.lastrowid is not None
    faults.point("batch.copied")
    return done.lastrowid


def move(
    connection: sqlite3.Connection,
    batch_id: int,
    state: BatchState,
    now: str,
    **facts: Unpack[Facts],
) -> None:
    """Move a batch to ``state``; a move that :data:`MOVES` has not is a bug and raises."""
    present = get_batch(connection, batch_id).state
    if state not in MOVES[present]:
        raise ValueError(f"batch {batch_id} cannot go from {present.value} to {state.value}")
    connection.execute(
        "UPDATE fieldsync_batch SET state = ?, updated_at = ? WHERE id = ?",
        (state.value, now, batch_id),
    )
    _record(connection, batch_id, facts)
    faults.point(f"batch.{state.value}")


def note(connection: sqlite3.Connection, batch_id: int, now: str, **facts: Unpack[Facts]) -> None:
    """Record facts without a move: a part that was committed, how far a merge has come."""
    get_batch(connection, batch_id)
    connection.execute("UPDATE fieldsync_batch SET updated_at = ? WHERE id = ?", (now, batch_id))
    _record(connection, batch_id, facts)
    faults.point("batch.noted")


def discard(connection: sqlite3.Connection, batch_id: int) -> None:
    """Forget a batch of which nothing was applied, so that its edits can go in another one."""
    present = get_batch(connection, batch_id).state
    if present not in _DISCARDABLE:
        raise ValueError(f"batch {batch_id} is {present.value} and cannot be discarded")
    connection.execute("DELETE FROM fieldsync_batch WHERE id = ?", (batch_id,))
    faults.point("batch.discarded")


def get_batch(connection: sqlite3.Connection, batch_id: int) -> Batch:
    """The batch of that id; :exc:`FeatureNotFoundError` if there is none."""
    for batch in _batches(connection, "id = ?", batch_id):
        return batch
    raise FeatureNotFoundError(f"the journal has no batch {batch_id}")


def newest_id(connection: sqlite3.Connection) -> int:
    """The id of the newest batch there ever was; 0 without any."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'fieldsync_batch'")
    row = found.fetchone()
    return 0 if row is None else int(row[0])


def skip_id(connection: sqlite3.Connection) -> None:
    """Use up an id, for what is sent without a batch."""
    newest = newest_id(connection)
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'fieldsync_batch'")
    connection.execute("INSERT INTO sqlite_sequence VALUES ('fieldsync_batch', ?)", (newest + 1,))


def unfinished(connection: sqlite3.Connection) -> list[Batch]:
    """The batches that are not merged, oldest first: where a sync goes on."""
    return list(_batches(connection, "state <> ?", BatchState.MERGED.value))


def remove_finished(connection: sqlite3.Connection, keep: int) -> None:
    """Forget all merged batches but the newest ``keep``."""
    connection.execute(
        "DELETE FROM fieldsync_batch WHERE state = ?1 AND id NOT IN (SELECT id FROM "
        "fieldsync_batch WHERE state = ?1 ORDER BY id DESC LIMIT ?2)",
        (BatchState.MERGED.value, keep),
    )


def _record(connection: sqlite3.Connection, batch_id: int, facts: Facts) -> None:
    for name, value in facts.items():
        if name not in Facts.__annotations__:
            raise ValueError(f"the journal keeps no {name}")
        stored = json.dumps(value) if name in _IN_JSON else value
        connection.execute(
            f"UPDATE fieldsync_batch SET {name} = ? WHERE id = ?", (stored, batch_id)
        )


def _batches(connection: sqlite3.Connection, condition: str, value: int | str) -> Iterator[Batch]:
    rows = connection.cursor()
    rows.row_factory = sqlite3.Row
    rows.execute(f"SELECT * FROM fieldsync_batch WHERE {condition} ORDER BY id", (value,))
    for row in rows:
        yield Batch(
            id=row["id"],
            kind=BatchKind(row["kind"]),
            channel=row["channel"],
            state=BatchState(row["state"]),
            spool_name=row["spool_name"],
            spool_sha256=row["spool_sha256"],
            status_url=row["status_url"],
            result_url=row["result_url"],
            upload_item=row["upload_item"],
            upload_parts=tuple(json.loads(row["upload_parts"] or "[]")),
            generations_before=json.loads(row["generations_before"] or "{}"),
            generations_after=json.loads(row["generations_after"] or "{}"),
            counts=json.loads(row["counts"] or "{}"),
            merge_offset=row["merge_offset"],
            error=row["error"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )
