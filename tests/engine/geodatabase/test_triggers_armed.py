"""The engine writes unlogged only inside applying(), and damage to the triggers is noticed."""

import sqlite3
from pathlib import Path

import pytest

from engine.geodatabase.change_log import has_pending, pending_edits
from engine.geodatabase.layer_table import Column, LayerTable
from engine.geodatabase.triggers import (
    Permissions,
    applying,
    check_triggers,
    drop_triggers,
    rearm,
    trigger_sql,
)
from engine.layer_schema import FieldType
from tests.engine.geodatabase.log_oracle import (
    connect,
    create_file,
    insert_own,
    make_table,
)
from tests.engine.geodatabase.tree_rows import (
    G1,
)


def test_applying_when_left_then_edits_are_logged_again(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("BEGIN IMMEDIATE")
    with applying(engine), applying(engine):
        engine.execute("UPDATE trees SET id='theirs'")
    engine.execute("UPDATE trees SET id='mine' WHERE fid=1")
    engine.execute("COMMIT")

    assert [e.global_id for e in pending_edits(engine, table)] == [G1]


def test_applying_when_the_flag_is_forgotten_then_the_commit_fails(
    engine: sqlite3.Connection,
) -> None:
    engine.execute("BEGIN IMMEDIATE")
    engine.execute("UPDATE fieldsync_state SET applying=1")

    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        engine.execute("COMMIT")

    assert engine.in_transaction
    engine.execute("ROLLBACK")


def test_applying_when_the_body_fails_then_the_flag_is_cleared(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("BEGIN IMMEDIATE")
    with pytest.raises(ZeroDivisionError), applying(engine):
        raise ZeroDivisionError
    engine.execute("UPDATE trees SET id='mine' WHERE fid=1")
    engine.execute("COMMIT")

    assert has_pending(engine, table)


def test_applying_when_there_is_no_transaction_or_latch_then_it_is_refused(
    tmp_path: Path, engine: sqlite3.Connection
) -> None:
    with pytest.raises(RuntimeError, match="transaction"), applying(engine):
        pass

    foreign = connect(tmp_path / "a.gpkg", engine=False)
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(RuntimeError, match="foreign_keys"), applying(foreign):
        pass
    foreign.close()


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("DROP TRIGGER fieldsync_6_au", "the trigger fieldsync_6_au of trees is missing"),
        ("DROP TABLE trees", "the table trees is missing"),
        ("ALTER TABLE trees RENAME TO woods", "the table trees is missing"),
        ("ALTER TABLE trees RENAME COLUMN id TO name", "the column id of trees is missing"),
        ("DROP TABLE fieldsync_base_6", "the table fieldsync_base_6 is missing"),
        ("DROP TABLE fieldsync_quarantine", "the table fieldsync_quarantine is missing"),
        (
            "CREATE TRIGGER fieldsync_6_zz AFTER INSERT ON trees BEGIN SELECT 1; END",
            "there is an unknown trigger fieldsync_6_zz",
        ),
    ],
)
def test_check_triggers_when_something_was_damaged_then_it_says_so(
    engine: sqlite3.Connection, table: LayerTable, damage: str, complaint: str
) -> None:
    assert check_triggers(engine, table, Permissions()) == []

    engine.execute(damage)

    assert complaint in check_triggers(engine, table, Permissions())


def test_check_triggers_when_permissions_changed_then_the_triggers_are_stale_until_rearmed(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    stricter = Permissions(can_delete=False)
    engine.execute("UPDATE trees SET id='mine' WHERE fid=1")

    faults = check_triggers(engine, table, stricter)
    rearm(engine, table, stricter)

    assert any("was altered" in fault for fault in faults)
    assert check_triggers(engine, table, stricter) == []
    assert [e.global_id for e in pending_edits(engine, table)] == [G1]
    with pytest.raises(sqlite3.IntegrityError, match="deleted rows"):
        engine.execute("DELETE FROM trees")


def test_check_triggers_when_a_column_was_added_then_nothing_is_wrong_and_writers_go_on(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("ALTER TABLE trees ADD COLUMN note TEXT")

    engine.execute("UPDATE trees SET note='x',id='mine' WHERE fid=1")

    assert check_triggers(engine, table, Permissions()) == []
    assert [e.columns for e in pending_edits(engine, table)] == [("id",)]


def test_drop_column_when_the_layer_has_it_then_sqlite_refuses(engine: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="error in trigger"):
        engine.execute("ALTER TABLE trees DROP COLUMN id")


def test_drop_triggers_when_dropped_then_edits_are_not_logged(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    drop_triggers(engine, table)

    engine.execute("UPDATE trees SET id='mine'")

    assert not has_pending(engine, table)


def test_trigger_sql_when_written_twice_then_it_is_the_same_and_small(table: LayerTable) -> None:
    wide = make_table(220, lazy=table.is_lazy)

    assert trigger_sql(table, Permissions()) == trigger_sql(table, Permissions())
    assert sum(map(len, trigger_sql(make_table(13), Permissions()).values())) < 11_000
    assert sum(map(len, trigger_sql(wide, Permissions()).values())) < 40_000


@pytest.mark.parametrize("lazy", [False, True], ids=["whole", "lazy"])
def test_layer_when_it_has_990_columns_then_edits_are_logged(tmp_path: Path, lazy: bool) -> None:
    table = LayerTable(
        number=2,
        layer_id=1,
        name="wide",
        key="fid",
        global_id="GlobalID",
        geometry="geom",
        columns=tuple(Column(name=f"c{n}", type=FieldType.STRING) for n in range(990)),
        is_lazy=lazy,
    )
    connection = create_file(tmp_path / "a.gpkg", table)
    insert_own(connection, table, [(G1, b"g", *("x" for _ in range(990)))])

    connection.execute("UPDATE wide SET c0='y',c989=NULL")

    (edit,) = pending_edits(connection, table)
    assert edit.columns == ("c0", "c989")
    assert edit.base is not None
    assert edit.base[2] == "x"
    connection.close()
