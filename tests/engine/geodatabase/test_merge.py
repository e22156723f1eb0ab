"""What the service sends reaches the rows; what was edited here stays pending or in the store."""

import sqlite3
import struct
from pathlib import Path

import pytest

from engine.geodatabase.change_log import has_pending
from engine.geodatabase.conflicts import ConflictKind, list_conflicts
from engine.geodatabase.difference import Cell
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.merge import (
    MergeCounts,
    arrange,
    merge_table,
    stage_deletes,
    stage_rows,
)
from engine.geodatabase.quarantine import Direction, list_quarantined
from engine.model import ConflictPolicy
from tests.engine.geodatabase.log_oracle import (
    connect,
    create_file,
    insert_own,
    make_table,
    snapshot,
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
    cells,
    merge,
    tree,
    two_rows,
)

LAST, REMOTE, MANUAL = (
    ConflictPolicy.LAST_SYNCED,
    ConflictPolicy.REMOTE_WINS,
    ConflictPolicy.MANUAL,
)


# --- rows that nobody touched here -------------------------------------------------------------


def test_merge_when_nothing_was_edited_here_then_the_rows_are_the_services(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    new = tree(table, G3, OBJECTID=3, id="new")
    changed = tree(table, G1, OBJECTID=1, id="theirs", geom=MOVED)

    counts = merge(engine, table, [new, changed, two_rows(table)[1]], ["{NOT-HERE}"])

    assert counts == MergeCounts(added=1, updated=1, unchanged=1)
    assert snapshot(engine, table) == {G1: changed, G2: two_rows(table)[1], G3: new}
    assert not has_pending(engine, table)


def test_merge_when_a_row_is_the_same_then_it_is_not_written(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    before = engine.total_changes
    merge(engine, table, two_rows(table))
    staged_twice = engine.total_changes - before

    engine.execute("CREATE TABLE written(n)")
    engine.execute(
        "CREATE TRIGGER w AFTER UPDATE ON trees BEGIN INSERT INTO written VALUES(1); END"
    )
    counts = merge(engine, table, two_rows(table))

    assert counts == MergeCounts(unchanged=2)
    assert engine.execute("SELECT count(*) FROM written").fetchone() == (0,)
    assert staged_twice > 0


def test_merge_when_rows_are_deleted_there_then_they_go(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    counts = merge(engine, table, deletes=[G1, G3])

    assert counts == MergeCounts(deleted=1)
    assert snapshot(engine, table).keys() == {G2}


def test_merge_when_the_same_globalid_has_another_object_id_then_it_is_an_update(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    counts = merge(engine, table, [tree(table, G1, OBJECTID=77, id="was")])

    assert counts == MergeCounts(updated=1)
    assert cells(engine, G1, "fid", "OBJECTID") == (1, 77)


def test_merge_when_a_row_is_both_sent_and_deleted_then_it_is_there(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    merge(engine, table, [tree(table, G1, id="again")], [G1])

    assert cells(engine, G1, "id") == ("again",)


def test_merge_when_done_in_parts_then_the_end_is_the_same(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET id='mine' WHERE fid=2")
    stage_rows(engine, table, [tree(table, G3, id="new"), tree(table, G1, id="theirs")])
    stage_deletes(engine, table, [G2])
    last = arrange(engine, table)

    total = MergeCounts()
    for position in range(1, last + 1):
        for command in ("ROLLBACK", "COMMIT"):
            engine.execute("BEGIN IMMEDIATE")
            counts = merge_table(engine, table, LAST, now=NOW, part=(position, position))
            engine.execute(command)
        total += counts

    assert last == 3
    assert total == MergeCounts(added=1, updated=1, deleted=1, conflicts=1)
    assert snapshot(engine, table).keys() == {G1, G3}


def test_merge_when_many_rows_come_then_they_are_ordered_by_key(tmp_path: Path) -> None:
    connection = create_file(tmp_path / "b.gpkg", TREES)
    gids = [f"{{{n:08X}-0000-4000-8000-000000000000}}" for n in range(5000)]
    insert_own(connection, TREES, [tree(TREES, gid) for gid in gids])

    stage_rows(connection, TREES, [tree(TREES, gid, id="theirs") for gid in reversed(gids)])
    arrange(connection, TREES)

    order = connection.execute(
        "SELECT t.fid FROM temp.fieldsync_order_6 o JOIN trees t ON t.GlobalID=o.gid"
        " ORDER BY o.position"
    ).fetchall()
    assert order == sorted(order)
    connection.close()


def test_merge_when_the_table_is_large_then_the_cost_is_that_of_the_download(
    tmp_path: Path,
) -> None:
    steps = []
    for size in (1_000, 40_000):
        connection = create_file(tmp_path / f"{size}.gpkg", TREES)
        gids = [f"{{{n:08X}-0000-4000-8000-000000000000}}" for n in range(size)]
        insert_own(connection, TREES, [tree(TREES, gid) for gid in gids])
        connection.execute("UPDATE trees SET id='mine' WHERE fid<=20")
        count = [0]

        def step(count: list[int] = count) -> int:
            count[0] += 1
            return 0

        connection.set_progress_handler(step, 10)
        rows = [tree(TREES, gid, key=1) for gid in gids[:100]]
        assert merge(connection, TREES, rows, gids[200:210]).deleted == 10
        connection.close()
        steps.append(count[0])

    print(f"VM steps for 110 rows into 1,000 and 40,000: {steps[0]}0, {steps[1]}0")
    assert steps[1] <= 1.5 * steps[0]


def test_merge_when_staged_then_no_lock_is_held(
    tmp_path: Path, engine: sqlite3.Connection, table: LayerTable
) -> None:
    stage_rows(engine, table, [tree(table, G1, id="theirs")])
    arrange(engine, table)

    foreign = connect(tmp_path / "a.gpkg", engine=False)
    foreign.execute("PRAGMA busy_timeout=0")
    foreign.execute("UPDATE trees SET id='mine' WHERE fid=1")
    foreign.close()
    engine.execute("BEGIN IMMEDIATE")
    counts = merge_table(engine, table, LAST, now=NOW, part=(1, 1))
    engine.execute("COMMIT")

    assert counts.conflicts == 1
    assert cells(engine, G1, "id") == ("mine",)


def test_merge_when_990_columns_are_merged_then_three_sides_meet(tmp_path: Path) -> None:
    wide = make_table(990, name="trees")
    connection = create_file(tmp_path / "b.gpkg", wide)
    insert_own(connection, wide, two_rows(wide))
    connection.execute("UPDATE trees SET id='mine' WHERE fid=1")

    merge(connection, wide, [tree(wide, g, OBJECTID=1, id="was", f976=5.5) for g in (G1, G2, G3)])

    assert cells(connection, G1, "id", "f976") == ("mine", 5.5)
    assert cells(connection, G3, "id", "f976") == ("was", 5.5)
    assert brief(connection, wide) == [("update", G1, ("id",))]
    connection.close()


# --- changed here and there --------------------------------------------------------------------


def test_merge_when_different_columns_changed_then_both_stand(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET id='mine' WHERE fid=1")

    counts = merge(engine, table, [tree(table, G1, OBJECTID=1, id="was", key=5, geom=MOVED)])

    assert counts == MergeCounts(updated=1)
    assert cells(engine, G1, "id", "key", "geom") == ("mine", 5, MOVED)
    assert brief(engine, table) == [("update", G1, ("id",))]
    assert list_conflicts(engine, resolved=True) == []


@pytest.mark.parametrize(
    ("policy", "value", "pending"),
    [
        (LAST, "mine", [("update", G1, ("id",))]),
        (REMOTE, "theirs", []),
        (MANUAL, "mine", []),
    ],
)
def test_merge_when_the_same_column_changed_then_the_policy_decides(
    engine: sqlite3.Connection,
    table: LayerTable,
    policy: ConflictPolicy,
    value: str,
    pending: list[object],
) -> None:
    engine.execute("UPDATE trees SET id='mine' WHERE fid=1")

    counts = merge(engine, table, [tree(table, G1, OBJECTID=1, id="theirs", key=5)], policy=policy)

    assert counts.conflicts == 1
    assert cells(engine, G1, "id", "key") == (value, 5)
    assert brief(engine, table) == pending
    assert has_pending(engine, table, everything=True) == (policy is not REMOTE)
    (conflict,) = list_conflicts(engine, resolved=True)
    assert (conflict.kind, conflict.columns) == (ConflictKind.UPDATED, ("id",))
    assert conflict.is_held == (policy is MANUAL)
    assert conflict.resolution == ("theirs" if policy is REMOTE else None)
    versions = [
        version and version["id"] for version in (conflict.base, conflict.mine, conflict.theirs)
    ]
    assert versions == ["was", "mine", "theirs"]


@pytest.mark.parametrize("policy", [LAST, REMOTE])
def test_merge_when_both_moved_the_geometry_then_it_is_a_conflict_like_any_column(
    engine: sqlite3.Connection, table: LayerTable, policy: ConflictPolicy
) -> None:
    mine, theirs = POINT[:-1] + b"\x41", MOVED
    engine.execute("UPDATE trees SET geom=? WHERE fid=1", (mine,))

    merge(engine, table, [tree(table, G1, OBJECTID=1, id="was", geom=theirs)], policy=policy)

    assert cells(engine, G1, "geom") == (mine if policy is LAST else theirs,)
    (conflict,) = list_conflicts(engine, resolved=True)
    assert conflict.columns == ("geom",)
    assert conflict.theirs is not None
    assert conflict.theirs["geom"] == {"hex": theirs.hex()}


def test_merge_when_both_sides_wrote_the_same_then_the_edit_is_settled(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET id='same',geom=? WHERE fid=1", (WITH_ENVELOPE,))

    merge(engine, table, [tree(table, G1, OBJECTID=1, id="same")])

    assert not has_pending(engine, table)
    assert cells(engine, G1, "geom") == (POINT,)
    assert engine.execute("SELECT count(*) FROM fieldsync_change").fetchone() == (0,)


def test_merge_when_conflict_is_seen_again_then_there_is_one_record_with_the_first_base(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET id='mine' WHERE fid=1")
    for value in ("theirs", "theirs later"):
        merge(engine, table, [tree(table, G1, OBJECTID=1, id=value)])

    (conflict,) = list_conflicts(engine)

    assert conflict.base is not None
    assert conflict.theirs is not None
    assert (conflict.base["id"], conflict.theirs["id"]) == ("was", "theirs later")


def test_merge_when_service_gives_up_its_value_then_a_held_conflict_is_settled(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET id='mine' WHERE fid=1")
    merge(engine, table, [tree(table, G1, OBJECTID=1, id="theirs")], policy=MANUAL)

    merge(engine, table, [tree(table, G1, OBJECTID=1, id="mine")], policy=MANUAL)

    assert list_conflicts(engine) == []
    assert not has_pending(engine, table, everything=True)


def test_merge_when_only_an_unowned_column_was_written_here_then_theirs_is_taken(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET OBJECTID=99,id='mine' WHERE fid=1")

    merge(engine, table, [tree(table, G1, OBJECTID=1, id="was", key=3)])

    assert cells(engine, G1, "OBJECTID", "id", "key") == (1, "mine", 3)


ROUNDED = struct.pack("<2sBBiBIdd", b"GP", 0, 1, 0, 1, 1, 1e6 + 0.004, 2e6)
EXACT = struct.pack("<2sBBiBIdd", b"GP", 0, 1, 0, 1, 1, 1e6, 2e6)


@pytest.mark.parametrize(
    ("column", "sent", "rounded", "other"),
    [
        ("lazy", 0.123456789, 0.1234568, 0.1235),
        ("geom", EXACT, ROUNDED, MOVED),
        ("select", "2024-01-01T00:00:00.700Z", "2024-01-01T00:00:00.000Z", "2024-01-02T00:00:00Z"),
    ],
)
@pytest.mark.parametrize("policy", ConflictPolicy)
def test_merge_when_the_service_only_rounded_what_was_sent_then_it_is_no_conflict(
    tmp_path: Path, policy: ConflictPolicy, column: str, sent: Cell, rounded: Cell, other: Cell
) -> None:
    connection = create_file(tmp_path / "b.gpkg", TREES)
    insert_own(connection, TREES, [tree(TREES, gid, **{column: sent}) for gid in (G1, G2, G3)])
    connection.execute(f'UPDATE trees SET "{column}"=NULL WHERE fid<3')

    rows = [tree(TREES, G1, **{column: rounded}), tree(TREES, G3, **{column: rounded})]
    counts = merge(connection, TREES, rows, policy=policy)

    assert counts.conflicts == 0
    assert brief(connection, TREES)[0] == ("update", G1, (column,))
    assert cells(connection, G3, f'"{column}"') == (rounded,)
    # What is more than rounding is somebody's edit.
    counts = merge(connection, TREES, [tree(TREES, G2, **{column: other})], policy=policy)
    assert counts.conflicts == 1
    connection.close()


def test_merge_when_an_own_add_comes_back_then_mine_stays_and_object_id_is_theirs(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("INSERT INTO trees(GlobalID,id) VALUES(?,'mine')", (G3,))

    merge(engine, table, [tree(table, G3, OBJECTID=3, id="mine", geom=None, key=8)])

    assert cells(engine, G3, "OBJECTID", "id", "key") == (3, "mine", None)
    assert brief(engine, table) == [("update", G3, ("key",))]


# --- rows that cannot be stored ------------------------------------------------------------------


def test_merge_when_another_programs_rule_refuses_a_row_then_it_alone_is_quarantined(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("CREATE UNIQUE INDEX theirs ON trees(key)")
    engine.execute("UPDATE trees SET key=1 WHERE fid=2")

    rows = [tree(table, G1, OBJECTID=1, id="fine"), tree(table, G3, OBJECTID=3, key=1)]
    counts = merge(engine, table, rows)

    assert counts == MergeCounts(updated=1, quarantined=1)
    assert cells(engine, G1, "id") == ("fine",)
    (record,) = list_quarantined(engine)
    assert (record.direction, record.global_id, record.code) == (
        Direction.INBOUND,
        G3,
        "not-stored",
    )
    assert "UNIQUE constraint failed" in record.reason

    engine.execute("DROP INDEX theirs")
    assert merge(engine, table, rows) == MergeCounts(added=1, unchanged=1)
    assert list_quarantined(engine) == []


def test_merge_when_a_touched_row_cannot_be_stored_then_its_edit_stays_pending(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("CREATE UNIQUE INDEX theirs ON trees(key)")
    engine.execute("UPDATE trees SET key=1 WHERE fid=2")
    engine.execute("UPDATE trees SET id='mine' WHERE fid=1")

    counts = merge(engine, table, [tree(table, G1, OBJECTID=1, id="was", key=1)])

    assert counts == MergeCounts(quarantined=1)
    assert ("update", G1, ("id",)) in brief(engine, table)
