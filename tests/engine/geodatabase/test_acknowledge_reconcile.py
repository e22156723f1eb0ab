"""Answers that were lost: what the service has now tells what became of a batch."""

import sqlite3

from engine.geodatabase.acknowledge import (
    in_flight,
)
from engine.geodatabase.change_log import (
    has_pending,
)
from engine.geodatabase.conflicts import Side, list_conflicts, resolve
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.reconcile import reconcile
from engine.model import ConflictPolicy
from tests.engine.geodatabase.log_oracle import (
    snapshot,
)
from tests.engine.geodatabase.tree_rows import (
    ADD,
    DELETE,
    G1,
    G2,
    G3,
    MOVED,
    NOW,
    UPDATE,
    brief,
    cells,
    entries,
    merge,
    send,
    tree,
    two_rows,
)


def read_back(
    connection: sqlite3.Connection,
    table: LayerTable,
    *rows: tuple[int | float | str | bytes | None, ...],
    policy: ConflictPolicy = ConflictPolicy.LAST_SYNCED,
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    reconcile(connection, 1, table, rows, policy, now=NOW)
    connection.execute("COMMIT")
    assert in_flight(connection) == {}


def test_reconcile_when_the_update_arrived_then_it_is_settled(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(UPDATE)
    send(engine, table)

    read_back(engine, table, tree(table, G1, OBJECTID=1, id="mine", geom=MOVED))

    assert entries(engine) == []


def test_reconcile_when_the_update_did_not_arrive_then_it_is_pending_again(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(UPDATE)
    send(engine, table)

    read_back(engine, table, two_rows(table)[0])

    assert brief(engine, table) == [("update", G1, ("geom", "id"))]


def test_reconcile_when_one_column_was_overtaken_then_only_the_other_is_resent(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(UPDATE)
    send(engine, table)

    read_back(engine, table, tree(table, G1, OBJECTID=1, id="somebody else's"))

    assert cells(engine, G1, "id", "geom") == ("somebody else's", MOVED)
    assert brief(engine, table) == [("update", G1, ("geom",))]
    (conflict,) = list_conflicts(engine, resolved=True)
    assert conflict.mine is not None
    assert (conflict.columns, conflict.mine["id"]) == (("id",), "mine")


def test_reconcile_when_a_column_was_overtaken_twice_then_the_newest_stands(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    """A run may die between a merge and the acknowledgement; the next one merges once more."""
    engine.execute(UPDATE)
    send(engine, table)
    merge(engine, table, [tree(table, G1, OBJECTID=1, id="somebody else's", geom=MOVED)])

    merge(engine, table, [tree(table, G1, OBJECTID=1, id="the office's", geom=MOVED)])

    assert cells(engine, G1, "id", "geom") == ("the office's", MOVED)
    read_back(engine, table, tree(table, G1, OBJECTID=1, id="the office's", geom=MOVED))
    assert entries(engine) == []


def test_reconcile_when_an_overtaken_column_was_edited_again_here_then_the_newest_stands(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(UPDATE)
    send(engine, table)
    engine.execute("UPDATE trees SET id='newest' WHERE fid=1")

    read_back(engine, table, tree(table, G1, OBJECTID=1, id="somebody else's", geom=MOVED))

    assert brief(engine, table) == [("update", G1, ("id",))]
    assert cells(engine, G1, "id") == ("newest",)


def test_reconcile_when_the_add_arrived_and_was_deleted_here_then_it_is_a_delete(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(ADD)
    send(engine, table)
    engine.execute(f"DELETE FROM trees WHERE GlobalID='{G3}'")

    read_back(engine, table, tree(table, G3, OBJECTID=3, id="new", key=1))

    assert brief(engine, table) == [("delete", G3, ())]


def test_reconcile_when_the_service_rounded_an_add_then_its_values_are_taken(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(f"INSERT INTO trees(GlobalID,lazy,id) VALUES('{G3}',0.123,'x')")
    send(engine, table)
    engine.execute(f"UPDATE trees SET id='y' WHERE GlobalID='{G3}'")

    read_back(engine, table, tree(table, G3, OBJECTID=3, id="x", lazy=0.1, geom=None))

    assert cells(engine, G3, "OBJECTID", "lazy", "id") == (3, 0.1, "y")
    assert brief(engine, table) == [("update", G3, ("id",))]
    assert list_conflicts(engine, resolved=True) == []


def test_reconcile_when_rows_are_not_there_then_adds_are_resent_and_deletes_are_done(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(ADD)
    engine.execute(DELETE)
    engine.execute(f"UPDATE trees SET id='mine' WHERE GlobalID='{G2}'")
    send(engine, table)

    read_back(engine, table)

    assert brief(engine, table) == [("add", G3, ())]
    assert snapshot(engine, table).keys() == {G3}
    assert [c.global_id for c in list_conflicts(engine)] == [G2]


def test_reconcile_when_a_delete_did_not_arrive_and_the_row_changed_then_remote_wins_brings_it(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(DELETE)
    send(engine, table)

    changed = tree(table, G1, OBJECTID=1, id="theirs")
    read_back(engine, table, changed, policy=ConflictPolicy.REMOTE_WINS)

    assert snapshot(engine, table)[G1] == changed
    assert not has_pending(engine, table)


def test_reconcile_when_the_row_was_restored_from_the_store_meanwhile_then_it_is_added(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    """The sync was broken off between the download that deleted the row and the read-back."""
    engine.execute(UPDATE)
    send(engine, table)
    merge(engine, table, deletes=[G1])
    (conflict,) = list_conflicts(engine)
    engine.execute("BEGIN IMMEDIATE")
    resolve(engine, conflict.id, [table], Side.MINE, now=NOW)
    engine.execute("COMMIT")

    read_back(engine, table)

    assert [edit[:2] for edit in brief(engine, table)] == [("add", G1)]
    assert list_conflicts(engine) == []
