"""Batches move along the allowed ways only, and every step is a durable fact."""

import sqlite3
from collections.abc import Iterator

import pytest

from engine import faults
from engine.errors import FeatureNotFoundError
from engine.geodatabase import bookkeeping
from engine.geodatabase.journal import (
    MOVES,
    BatchKind,
    BatchState,
    add_batch,
    discard,
    get_batch,
    move,
    note,
    remove_finished,
    unfinished,
)

S = BatchState
NOW, LATER = "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:01.000Z"


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(
        "CREATE TABLE gpkg_extensions (table_name, column_name, extension_name, definition, scope)"
    )
    bookkeeping.create_bookkeeping(connection)
    yield connection
    connection.close()


def test_a_new_batch_is_prepared_and_has_its_facts(connection: sqlite3.Connection) -> None:
    batch_id = add_batch(
        connection,
        BatchKind.PUSH,
        "applyEdits",
        NOW,
        spool_name="7.edits",
        spool_sha256="ab",
        generations_before={"replica": 2**60},
        counts={"adds": 3},
    )

    batch = get_batch(connection, batch_id)
    assert (batch.kind, batch.channel, batch.state) == (BatchKind.PUSH, "applyEdits", S.PREPARED)
    assert (batch.spool_name, batch.spool_sha256) == ("7.edits", "ab")
    assert batch.generations_before == {"replica": 2**60}
    assert batch.generations_after == {}
    assert batch.counts == {"adds": 3}
    assert (batch.upload_parts, batch.merge_offset, batch.error) == ((), None, None)
    assert (batch.created_at, batch.updated_at) == (NOW, NOW)


def test_a_batch_walks_the_whole_way_and_keeps_its_facts(connection: sqlite3.Connection) -> None:
    batch_id = add_batch(connection, BatchKind.PUSH, "synchronizeReplica", NOW)
    move(connection, batch_id, S.SENDING, LATER, upload_item="i1")
    note(connection, batch_id, LATER, upload_parts=[1, 2])
    move(connection, batch_id, S.SUBMITTED, LATER, status_url="https://x/jobs/1")
    move(connection, batch_id, S.FETCHED, LATER, result_url="https://x/1.json")
    move(connection, batch_id, S.ACKNOWLEDGED, LATER, generations_after={"0": 5})
    note(connection, batch_id, LATER, merge_offset=5000)
    assert [b.id for b in unfinished(connection)] == [batch_id]
    move(connection, batch_id, S.MERGED, LATER, merge_offset=None)

    batch = get_batch(connection, batch_id)
    assert (batch.upload_item, batch.upload_parts) == ("i1", (1, 2))
    assert (batch.status_url, batch.result_url) == ("https://x/jobs/1", "https://x/1.json")
    assert batch.generations_after == {"0": 5}
    assert batch.merge_offset is None
    assert batch.updated_at == LATER
    assert unfinished(connection) == []


@pytest.mark.parametrize("start", list(S))
@pytest.mark.parametrize("end", list(S))
def test_only_the_allowed_moves_are_made(
    connection: sqlite3.Connection, start: BatchState, end: BatchState
) -> None:
    batch_id = add_batch(connection, BatchKind.PULL, "synchronizeReplica", NOW)
    connection.execute("UPDATE fieldsync_batch SET state = ?", (start.value,))

    if end in MOVES[start]:
        move(connection, batch_id, end, LATER)
    else:
        with pytest.raises(ValueError, match=f"from {start.value} to {end.value}"):
            move(connection, batch_id, end, LATER)
    assert get_batch(connection, batch_id).state is (end if end in MOVES[start] else start)


def test_every_state_can_be_reached_and_all_but_the_last_left() -> None:
    reached = {S.PREPARED}
    while (more := reached.union(*(MOVES[s] for s in reached))) != reached:
        reached = more

    assert reached == set(S)
    assert [s for s in S if not MOVES[s]] == [S.MERGED]


def test_every_move_is_a_fault_point(connection: sqlite3.Connection) -> None:
    names: list[str] = []
    with faults.armed(names.append):
        batch_id = add_batch(connection, BatchKind.PUSH, "applyEdits", NOW)
        move(connection, batch_id, S.SENDING, NOW)
        note(connection, batch_id, NOW, upload_parts=[1])
        move(connection, batch_id, S.RECONCILING, NOW)
        discard(connection, batch_id)

    assert names == [
        "batch.prepared",
        "batch.sending",
        "batch.noted",
        "batch.reconciling",
        "batch.discarded",
    ]


@pytest.mark.parametrize("state", [S.ACKNOWLEDGED, S.MERGED])
def test_what_was_applied_cannot_be_discarded(
    connection: sqlite3.Connection, state: BatchState
) -> None:
    batch_id = add_batch(connection, BatchKind.PUSH, "applyEdits", NOW)
    connection.execute("UPDATE fieldsync_batch SET state = ?", (state.value,))

    with pytest.raises(ValueError, match="cannot be discarded"):
        discard(connection, batch_id)


def test_unknown_batches_and_facts_are_refused(connection: sqlite3.Connection) -> None:
    batch_id = add_batch(connection, BatchKind.PUSH, "applyEdits", NOW)

    with pytest.raises(FeatureNotFoundError, match="no batch 99"):
        move(connection, 99, S.SENDING, NOW)
    with pytest.raises(ValueError, match="keeps no colour"):
        note(connection, batch_id, NOW, colour="red")  # type: ignore[call-arg]  # on purpose


def test_ids_are_never_used_again_and_old_batches_can_go(connection: sqlite3.Connection) -> None:
    ids = [add_batch(connection, BatchKind.PULL, "extractChanges", NOW) for _ in range(4)]
    connection.execute("UPDATE fieldsync_batch SET state = 'merged' WHERE id < ?", (ids[3],))

    remove_finished(connection, keep=1)
    assert [i for (i,) in connection.execute("SELECT id FROM fieldsync_batch")] == ids[2:]
    discard(connection, ids[3])
    assert add_batch(connection, BatchKind.PULL, "extractChanges", NOW) == ids[3] + 1
