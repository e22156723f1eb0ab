"""Deleted on one side, edited on the other: no edit vanishes, no row comes back unasked."""

import sqlite3

import pytest

from engine.geodatabase.change_log import has_pending, pending_edits
from engine.geodatabase.conflicts import ConflictKind, list_conflicts
from engine.geodatabase.deleted_parts import note_parts
from engine.geodatabase.dependents import Dependent
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.merge import (
    MergeCounts,
)
from engine.model import ConflictPolicy
from tests.engine.geodatabase.log_oracle import (
    snapshot,
)
from tests.engine.geodatabase.tree_rows import (
    G1,
    G2,
    G3,
    brief,
    merge,
    tree,
    two_rows,
)

LAST, REMOTE, MANUAL = (
    ConflictPolicy.LAST_SYNCED,
    ConflictPolicy.REMOTE_WINS,
    ConflictPolicy.MANUAL,
)


def test_merge_when_deleted_here_and_unchanged_there_then_it_is_not_brought_back(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("DELETE FROM trees WHERE fid=1")

    counts = merge(engine, table, two_rows(table), policy=REMOTE)

    assert counts == MergeCounts(unchanged=2)
    assert brief(engine, table) == [("delete", G1, ())]


@pytest.mark.parametrize(
    ("policy", "is_back", "pending"),
    [(LAST, False, [("delete", G1, ())]), (REMOTE, True, []), (MANUAL, False, [])],
)
def test_merge_when_deleted_here_and_changed_there_then_the_policy_decides(
    engine: sqlite3.Connection,
    table: LayerTable,
    policy: ConflictPolicy,
    is_back: bool,
    pending: list[object],
) -> None:
    engine.execute("DELETE FROM trees WHERE fid=1")
    theirs = tree(table, G1, OBJECTID=1, id="theirs")

    counts = merge(engine, table, [theirs], policy=policy)

    assert counts.conflicts == 1
    assert (G1 in snapshot(engine, table)) == is_back
    assert brief(engine, table) == pending
    (conflict,) = list_conflicts(engine, resolved=True)
    assert (conflict.kind, conflict.mine) == (ConflictKind.DELETED_HERE, None)
    # Afterwards the base is the service's row, whoever won.
    for edit in pending_edits(engine, table, everything=True):
        assert edit.base == theirs


def test_merge_when_deleted_on_both_sides_then_nothing_is_pending(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("DELETE FROM trees WHERE fid=1")

    merge(engine, table, deletes=[G1])

    assert not has_pending(engine, table)
    assert list_conflicts(engine) == []


def test_merge_when_edited_here_and_deleted_there_then_it_lies_in_the_store(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET id='mine' WHERE fid=1")

    counts = merge(engine, table, deletes=[G1])

    assert (counts.deleted, counts.conflicts) == (1, 1)
    assert snapshot(engine, table).keys() == {G2}
    assert not has_pending(engine, table, everything=True)
    (conflict,) = list_conflicts(engine)
    assert conflict.kind is ConflictKind.DELETED_THERE
    assert conflict.mine is not None
    assert conflict.mine["id"] == "mine"


def test_merge_when_a_row_comes_back_with_its_whole_and_is_deleted_there_then_it_just_goes(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    """Both rows are of one table, and met in one transaction."""
    merge(engine, table, [tree(table, G2, OBJECTID=2, id=G1)])
    engine.execute("DELETE FROM trees")
    engine.execute("CREATE TABLE gpkg_extensions(name,place,extension,definition,scope)")
    note_parts(engine, table, [G2], (table.number, G1))
    part = Dependent(table=table, key_column="id", is_composite=True)

    changed = tree(table, G1, OBJECTID=1, id="theirs")
    merge(engine, table, [changed], deletes=[G2], policy=REMOTE, dependents=(part,))

    assert snapshot(engine, table).keys() == {G1}
    assert list_conflicts(engine) == []


def test_merge_when_an_edit_was_taken_back_and_the_row_deleted_there_then_it_just_goes(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET id='mine' WHERE fid=1")
    engine.execute("UPDATE trees SET id='was' WHERE fid=1")

    counts = merge(engine, table, deletes=[G1])

    assert counts == MergeCounts(deleted=1)
    assert list_conflicts(engine) == []


def test_merge_when_our_own_delete_comes_back_after_a_new_add_then_the_add_stays(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("INSERT INTO trees(GlobalID,id) VALUES(?,'again')", (G3,))

    merge(engine, table, deletes=[G3])

    assert brief(engine, table) == [("add", G3, ())]
