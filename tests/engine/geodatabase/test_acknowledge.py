"""What was sent becomes the base; what was done since stays to be sent."""

import sqlite3
from pathlib import Path

import pytest

from engine.geodatabase.acknowledge import (
    acknowledge,
    in_flight,
    record_sent,
    release,
    sent_edits,
    set_object_ids,
)
from engine.geodatabase.change_log import (
    EditState,
    count_pending,
    drop_settled,
    edit_of,
    has_pending,
    pending_edits,
)
from engine.geodatabase.conflicts import list_conflicts
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.triggers import Permissions, rearm
from tests.engine.geodatabase.log_oracle import (
    attachments_of,
    create_file,
    insert_own,
)
from tests.engine.geodatabase.tree_rows import (
    ADD,
    DELETE,
    G1,
    G2,
    G3,
    MOVED,
    NOW,
    POINT,
    TREES,
    UPDATE,
    brief,
    cells,
    entries,
    merge,
    send,
    tree,
)


def confirm(
    connection: sqlite3.Connection, table: LayerTable, *gids: str, batch: int | str = 1
) -> int:
    connection.execute("BEGIN IMMEDIATE")
    count = acknowledge(connection, batch, table, gids or (G1, G2, G3), now=NOW)
    connection.execute("COMMIT")
    return count


@pytest.mark.parametrize(
    ("sent", "since", "then"),
    [
        (ADD, [], []),
        (ADD, [f"UPDATE trees SET id='newer' WHERE GlobalID='{G3}'"], [("update", G3, ("id",))]),
        (
            ADD,
            [f"UPDATE trees SET geom=NULL,key=NULL WHERE GlobalID='{G3}'"],
            [("update", G3, ("geom", "key"))],
        ),
        (ADD, [f"DELETE FROM trees WHERE GlobalID='{G3}'"], [("delete", G3, ())]),
        (ADD, [f"DELETE FROM trees WHERE GlobalID='{G3}'", ADD], []),
        (
            ADD,
            [f"REPLACE INTO trees(GlobalID,geom,id) VALUES('{G3}',x'{POINT.hex()}','new')"],
            [("update", G3, ("key",))],
        ),
        (UPDATE, [], []),
        (UPDATE, [f"UPDATE trees SET key=7 WHERE GlobalID='{G1}'"], [("update", G1, ("key",))]),
        (UPDATE, [f"UPDATE trees SET id='later' WHERE GlobalID='{G1}'"], [("update", G1, ("id",))]),
        (UPDATE, [f"UPDATE trees SET id='was' WHERE GlobalID='{G1}'"], [("update", G1, ("id",))]),
        (
            UPDATE,
            [f"UPDATE trees SET geom=x'{POINT.hex()}' WHERE GlobalID='{G1}'"],
            [("update", G1, ("geom",))],
        ),
        (UPDATE, [DELETE], [("delete", G1, ())]),
        (
            UPDATE,
            [
                DELETE,
                "INSERT INTO trees(GlobalID,OBJECTID,geom,id)"
                f" VALUES('{G1}',1,x'{MOVED.hex()}','mine')",
            ],
            [],
        ),
        (UPDATE, [f"UPDATE trees SET fid=99 WHERE GlobalID='{G1}'"], []),
        (DELETE, [], []),
        (DELETE, [f"INSERT INTO trees(GlobalID,id) VALUES('{G1}','back')"], [("add", G1, ())]),
        (
            DELETE,
            [f"INSERT INTO trees(GlobalID,id) VALUES('{G1}','back')", DELETE],
            [],
        ),
    ],
)
def test_acknowledge_when_something_was_done_since_then_only_that_is_pending(
    engine: sqlite3.Connection,
    table: LayerTable,
    sent: str,
    since: list[str],
    then: list[object],
) -> None:
    engine.execute(sent)
    send(engine, table)
    for statement in since:
        engine.execute(statement)

    count = confirm(engine, table)

    assert count == 1
    assert brief(engine, table) == then
    assert len(entries(engine)) == len(then)
    # What is pending now can be sent and acknowledged in its turn.
    send(engine, table, batch=2)
    confirm(engine, table, batch=2)
    assert entries(engine) == []


def test_acknowledge_when_a_lazy_base_is_confirmed_then_later_moves_are_still_seen(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(f"UPDATE trees SET id='mine' WHERE GlobalID='{G1}'")
    send(engine, table)
    engine.execute(f"UPDATE trees SET key=1 WHERE GlobalID='{G1}'")
    confirm(engine, table)

    engine.execute("UPDATE trees SET geom=? WHERE GlobalID=?", (MOVED, G1))
    assert brief(engine, table) == [("update", G1, ("geom", "key"))]
    engine.execute("UPDATE trees SET geom=?,key=NULL WHERE GlobalID=?", (POINT, G1))
    assert brief(engine, table) == []


def test_acknowledge_when_done_twice_or_for_another_batch_then_nothing_happens(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(UPDATE)
    send(engine, table, batch="b-1")

    assert confirm(engine, table, batch="b-2") == 0
    assert in_flight(engine) == {"b-1": 1}
    assert confirm(engine, table, batch="b-1") == 1
    assert confirm(engine, table, batch="b-1") == 0
    assert in_flight(engine) == {}


def test_acknowledge_when_only_some_succeeded_then_the_rest_stays_in_flight(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(ADD)
    engine.execute(UPDATE)
    send(engine, table)

    confirm(engine, table, G3)

    assert in_flight(engine) == {1: 1}
    assert brief(engine, table) == []
    assert release(engine, 1) == 1
    assert brief(engine, table) == [("update", G1, ("geom", "id"))]


def test_in_flight_when_a_row_is_on_its_way_then_it_is_not_pending_and_not_dropped(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(UPDATE)
    send(engine, table)
    engine.execute("UPDATE trees SET id='was',geom=? WHERE fid=1", (POINT,))

    engine.execute("BEGIN IMMEDIATE")
    drop_settled(engine, table, now=NOW)
    engine.execute("COMMIT")

    assert not has_pending(engine, table)
    engine.execute("UPDATE trees SET id='other' WHERE fid=1")
    edit = edit_of(engine, table, G1)
    assert edit is not None
    assert edit.state is EditState.IN_FLIGHT
    assert count_pending(engine, table, everything=True).updates == 1


def test_record_sent_when_a_row_is_in_a_batch_already_then_it_is_refused(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(UPDATE)
    (edit,) = pending_edits(engine, table)
    send(engine, table)

    with pytest.raises(sqlite3.IntegrityError, match="fieldsync_sent"):
        record_sent(engine, 2, [edit])


def test_sent_edits_when_rows_change_afterwards_then_they_are_as_they_were_sent(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(UPDATE)
    engine.execute(f"DELETE FROM trees WHERE GlobalID='{G2}'")
    engine.execute(ADD)
    before = pending_edits(engine, table)
    send(engine, table)
    engine.execute("UPDATE trees SET id='later',geom=NULL")

    assert sent_edits(engine, 1, [table]) == before
    assert sent_edits(engine, 2, [table]) == []


def test_release_when_a_batch_is_given_up_then_its_edits_are_pending_as_they_are_now(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(UPDATE)
    send(engine, table)
    engine.execute("UPDATE trees SET key=5 WHERE fid=1")

    assert release(engine, 1) == 1
    assert release(engine, 1) == 0

    assert brief(engine, table) == [("update", G1, ("geom", "id", "key"))]
    assert engine.execute("SELECT count(*) FROM fieldsync_sent_6").fetchone() == (0,)


def test_permissions_when_an_add_is_on_its_way_then_it_is_no_longer_an_own_add(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    rearm(engine, table, Permissions(can_delete=False))
    engine.execute(ADD)
    send(engine, table)

    with pytest.raises(sqlite3.IntegrityError, match="deleted rows"):
        engine.execute(f"DELETE FROM trees WHERE GlobalID='{G3}'")


def test_set_object_ids_when_the_service_gave_them_then_rows_and_bases_have_them(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(ADD)
    send(engine, table)
    engine.execute(f"UPDATE trees SET id='newer' WHERE GlobalID='{G3}'")
    confirm(engine, table)

    engine.execute("BEGIN IMMEDIATE")
    set_object_ids(engine, table, {G3: 41, G2: 42, "{NOT-HERE}": 43})
    engine.execute("COMMIT")

    assert cells(engine, G3, "OBJECTID") == (41,)
    assert cells(engine, G2, "OBJECTID") == (42,)
    (edit,) = pending_edits(engine, table)
    assert edit.base is not None
    assert edit.base[2] == 41
    assert edit.columns == ("id",)


def test_acknowledge_when_a_conflict_was_open_then_mine_has_won(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(UPDATE)
    merge(engine, table, [tree(table, G1, OBJECTID=1, id="theirs")])
    send(engine, table)

    confirm(engine, table)

    (conflict,) = list_conflicts(engine, resolved=True)
    assert conflict.resolution == "mine"
    assert list_conflicts(engine) == []


# --- attachments ---------------------------------------------------------------------------------


def test_acknowledge_when_photo_bytes_change_while_on_their_way_then_they_are_sent_again(
    tmp_path: Path,
) -> None:
    photos = attachments_of(TREES)
    connection = create_file(tmp_path / "b.gpkg", photos)
    insert_own(connection, photos, [(G1, G2, "old.jpg", 3)])
    connection.execute("UPDATE \"trees__ATTACH\" SET DATA='one'")
    connection.execute(f"INSERT INTO \"trees__ATTACH\"(GLOBALID,DATA) VALUES('{G3}','one')")
    send(connection, photos)
    connection.execute("UPDATE \"trees__ATTACH\" SET DATA='two'")

    confirm(connection, photos)

    again = pending_edits(connection, photos)
    assert [(e.operation.value, e.data_changed) for e in again] == [("update", True)] * 2
    send(connection, photos, batch=2)
    confirm(connection, photos, batch=2)
    assert entries(connection) == []
    connection.close()
