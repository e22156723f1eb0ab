"""Edits are read from the log in order, in batches, each as the net difference."""

import sqlite3
from pathlib import Path

import pytest

from engine.geodatabase.change_log import (
    EditCounts,
    EditState,
    count_pending,
    drop_settled,
    edit_of,
    has_pending,
    iterate_pending,
    pending_edits,
)
from engine.geodatabase.layer_table import LayerTable
from engine.model import EditOperation
from tests.engine.geodatabase.log_oracle import (
    attachments_of,
    connect,
    create_file,
    insert_own,
    make_table,
)
from tests.engine.geodatabase.tree_rows import (
    G1,
    G2,
    G3,
    MOVED,
    NOW,
    POINT,
    TREES,
    WITH_ENVELOPE,
    brief,
    tree,
    two_rows,
)


def test_edit_when_a_row_is_added_then_it_has_the_whole_row_and_no_base(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("INSERT INTO trees(GlobalID,geom,id) VALUES(?,?,'new')", (G3, POINT))

    (edit,) = pending_edits(engine, table)

    assert edit.operation is EditOperation.ADD
    assert (edit.global_id, edit.key, edit.base) == (G3, 3, None)
    assert edit.row == tree(table, G3, id="new")
    assert edit.columns == ("id", "key", "lazy", "select")
    assert edit.geometry_changed
    assert not edit.data_changed
    assert edit.state is EditState.PENDING


def test_edit_when_a_row_is_updated_then_it_names_what_differs(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET id='mine',key=7,geom=? WHERE fid=1", (MOVED,))

    (edit,) = pending_edits(engine, table)

    assert edit.operation is EditOperation.UPDATE
    assert (edit.columns, edit.geometry_changed) == (("id", "key"), True)
    assert edit.base == two_rows(table)[0]
    assert edit.row == tree(table, G1, OBJECTID=1, id="mine", key=7, geom=MOVED)


def test_edit_when_a_row_is_deleted_then_the_base_is_what_is_left(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET id='mine' WHERE fid=2")
    engine.execute("DELETE FROM trees WHERE fid=2")

    (edit,) = pending_edits(engine, table)

    assert edit.operation is EditOperation.DELETE
    assert (edit.key, edit.row, edit.columns) == (2, None, ())
    assert edit.base == two_rows(table)[1]


@pytest.mark.parametrize(
    "statements",
    [
        ["UPDATE trees SET id='mine'", "UPDATE trees SET id='was'"],
        ["INSERT INTO trees(fid) VALUES(9)", "DELETE FROM trees WHERE fid=9"],
        ["UPDATE trees SET OBJECTID=OBJECTID+100"],
        ["UPDATE trees SET fid=fid+100"],
        ["UPDATE trees SET id=id,geom=geom"],
        ["BEGIN", "UPDATE trees SET id='mine'", "ROLLBACK"],
    ],
)
def test_edit_when_it_comes_to_nothing_then_there_is_none(
    engine: sqlite3.Connection, table: LayerTable, statements: list[str]
) -> None:
    for statement in statements:
        engine.execute(statement)

    assert pending_edits(engine, table) == []
    assert not has_pending(engine, table)
    assert not count_pending(engine, table)


def test_edit_when_a_geometry_is_only_written_otherwise_then_there_is_none(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET geom=?", (WITH_ENVELOPE,))

    assert pending_edits(engine, table) == []


def test_edit_when_a_guid_is_only_spelled_otherwise_then_there_is_none(tmp_path: Path) -> None:
    photos = attachments_of(TREES)
    connection = create_file(tmp_path / "b.gpkg", photos)
    insert_own(connection, photos, [(G1, G2, "photo.jpg", 3)])

    connection.execute('UPDATE "trees__ATTACH" SET REL_GLOBALID=lower(REL_GLOBALID)')

    assert pending_edits(connection, photos) == []
    connection.close()


def test_pending_edits_when_read_in_batches_then_each_edit_comes_once_in_order_of_first_touch(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    for n in range(20):
        engine.execute("INSERT INTO trees(id) VALUES(?)", (f"new {n}",))
    engine.execute("UPDATE trees SET id='again' WHERE fid=3")
    engine.execute("DELETE FROM trees WHERE fid=10")

    after, batches = 0, []
    while batch := pending_edits(engine, table, after=after, limit=7):
        batches.append(batch)
        after = batch[-1].first

    assert [len(b) for b in batches] == [7, 7, 5]
    keys = [edit.key for batch in batches for edit in batch]
    assert keys == [n for n in range(3, 23) if n != 10]
    assert [e.key for e in iterate_pending(engine, table)] == keys


def test_pending_edits_when_rows_are_large_then_a_batch_ends_by_bytes(tmp_path: Path) -> None:
    connection = create_file(tmp_path / "b.gpkg", TREES)
    for n in range(6):
        connection.execute("INSERT INTO trees(id) VALUES(?)", (str(n) * 1024 * 1024,))

    sizes, after = [], 0
    while batch := pending_edits(connection, TREES, after=after):
        sizes.append(len(batch))
        after = batch[-1].first

    assert sizes == [2, 2, 2]
    connection.close()


def test_count_pending_when_there_are_edits_then_it_is_exact(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("INSERT INTO trees(id) VALUES('a'),('b')")
    engine.execute("UPDATE trees SET id='mine' WHERE fid=1")
    engine.execute("DELETE FROM trees WHERE fid=2")

    counts = count_pending(engine, table)

    assert counts == EditCounts(adds=2, updates=1, deletes=1)
    assert counts.total == 4
    assert has_pending(engine, table)


def test_log_when_there_are_two_layers_then_each_has_its_own_edits(tmp_path: Path) -> None:
    other = make_table(4, name="other", number=8, global_id='Global "ID"', geometry=None)
    connection = create_file(tmp_path / "b.gpkg", TREES, other)
    insert_own(connection, TREES, two_rows(TREES))
    insert_own(connection, other, [(G1, 1, "was", None, None)])

    connection.execute("UPDATE other SET id='mine'")

    assert brief(connection, other) == [("update", G1, ("id",))]
    assert brief(connection, TREES) == []
    connection.close()


def test_edit_of_when_asked_for_one_row_then_it_is_that_of_the_list(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET id='mine',geom=? WHERE fid=1", (MOVED,))
    engine.execute("DELETE FROM trees WHERE fid=2")

    assert [edit_of(engine, table, gid) for gid in (G1, G2)] == pending_edits(engine, table)
    assert edit_of(engine, table, G3) is None


def test_drop_settled_when_entries_compare_as_nothing_then_they_go_and_edits_stay(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET id='mine'")
    engine.execute("UPDATE trees SET id='was' WHERE fid=2")
    before = pending_edits(engine, table)

    engine.execute("BEGIN IMMEDIATE")
    dropped = drop_settled(engine, table, now=NOW)
    engine.execute("COMMIT")

    assert dropped == 1
    assert pending_edits(engine, table) == before
    assert engine.execute("SELECT gid FROM fieldsync_change").fetchall() == [(G1,)]


def test_drop_settled_when_a_foreign_program_wrote_an_object_id_then_the_base_is_kept(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET OBJECTID=99 WHERE fid=1")

    engine.execute("BEGIN IMMEDIATE")
    assert drop_settled(engine, table, now=NOW) == 0
    engine.execute("COMMIT")
    engine.execute("DELETE FROM trees WHERE fid=1")

    (edit,) = pending_edits(engine, table)
    assert edit.base == two_rows(table)[0]


def test_seq_when_the_log_is_emptied_then_it_does_not_fall_back(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET id='mine'")
    (last,) = engine.execute("SELECT max(seq) FROM fieldsync_change").fetchone()
    engine.execute("UPDATE trees SET id='was'")
    engine.execute("BEGIN IMMEDIATE")
    drop_settled(engine, table, now=NOW)
    engine.execute("COMMIT")

    engine.execute("UPDATE trees SET id='mine' WHERE fid=1")

    (edit,) = pending_edits(engine, table)
    assert edit.first > last


def test_export_when_the_table_is_large_then_the_cost_is_that_of_the_edits(tmp_path: Path) -> None:
    steps = []
    for size in (1_000, 50_000):
        path = tmp_path / f"{size}.gpkg"
        create_file(path, TREES).close()
        connection = connect(path)
        insert_own(
            connection,
            TREES,
            [tree(TREES, f"{{{n:08X}-0000-4000-8000-000000000000}}") for n in range(size)],
        )
        connection.execute("UPDATE trees SET id='mine' WHERE fid<=100")
        count = [0]

        def step(count: list[int] = count) -> int:
            count[0] += 1
            return 0

        connection.set_progress_handler(step, 10)
        assert len(pending_edits(connection, TREES)) == 100
        connection.close()
        steps.append(count[0])

    print(f"VM steps for 100 edits among 1,000 and 50,000 rows: {steps[0]}0, {steps[1]}0")
    assert steps[1] <= 1.5 * steps[0]
