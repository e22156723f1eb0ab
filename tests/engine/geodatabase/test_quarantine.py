"""A refused edit waits for a person or for the next edit of its row; the others go on."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import FeatureNotFoundError
from engine.geodatabase.acknowledge import acknowledge, record_sent
from engine.geodatabase.change_log import EditState, drop_settled, edit_of, pending_edits
from engine.geodatabase.fetch_queue import next_fetches
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.quarantine import (
    HELD_CODE,
    Direction,
    discard,
    hold_dependents,
    list_quarantined,
    put,
    retry,
)
from engine.model import EditOperation
from tests.engine.geodatabase.log_oracle import attachments_of, create_file, insert_own, snapshot
from tests.engine.geodatabase.tree_rows import (
    G1,
    G2,
    G3,
    MOVED,
    NOW,
    TREES,
    brief,
    cells,
    merge,
    tree,
    two_rows,
)

PHOTOS = attachments_of(TREES)
ADD = f"INSERT INTO trees(GlobalID,id) VALUES('{G3}','new')"
UPDATE = f"UPDATE trees SET id='mine',geom=x'{MOVED.hex()}' WHERE GlobalID='{G1}'"
DELETE = f"DELETE FROM trees WHERE GlobalID='{G1}'"


@pytest.fixture
def engine(tmp_path: Path, table: LayerTable) -> Iterator[sqlite3.Connection]:
    connection = create_file(tmp_path / "a.gpkg", table, PHOTOS)
    insert_own(connection, table, two_rows(table))
    yield connection
    connection.close()


def refuse(connection: sqlite3.Connection, table: LayerTable) -> int:
    """The service refuses the only pending edit."""
    (edit,) = pending_edits(connection, table)
    return put(
        connection,
        direction=Direction.OUTBOUND,
        table=table,
        global_id=edit.global_id,
        operation=edit.operation,
        code="1000",
        reason="The value is out of range",
        remedy="Enter a value from 0 to 120",
        seq=edit.last,
        now=NOW,
    )


def give_up(connection: sqlite3.Connection, number: int, table: LayerTable) -> list[str]:
    connection.execute("BEGIN IMMEDIATE")
    given_up = discard(connection, number, [table, PHOTOS], now=NOW)
    connection.execute("COMMIT")
    return given_up


@pytest.mark.parametrize("statement", [ADD, UPDATE, DELETE])
def test_edit_when_refused_then_it_is_not_pending_but_kept(
    engine: sqlite3.Connection, table: LayerTable, statement: str
) -> None:
    engine.execute(statement)
    (before,) = pending_edits(engine, table)

    refuse(engine, table)

    assert pending_edits(engine, table) == []
    (edit,) = pending_edits(engine, table, everything=True)
    assert edit.state is EditState.QUARANTINED
    assert (edit.row, edit.base) == (before.row, before.base)
    (record,) = list_quarantined(engine)
    assert (record.operation, record.code, record.is_effective) == (before.operation, "1000", True)
    assert (record.payload["row"] is None) == (statement is DELETE)
    assert record.remedy == "Enter a value from 0 to 120"


def test_edit_when_the_row_is_edited_again_then_it_is_pending_again(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(UPDATE)
    refuse(engine, table)

    engine.execute("UPDATE trees SET id='mended' WHERE fid=1")

    assert brief(engine, table) == [("update", G1, ("geom", "id"))]
    (record,) = list_quarantined(engine)
    assert not record.is_effective


def test_edit_when_it_was_edited_while_on_its_way_then_the_refusal_does_not_hold_it(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(UPDATE)
    (sent,) = pending_edits(engine, table)
    engine.execute("UPDATE trees SET id='mended' WHERE fid=1")

    put(
        engine,
        direction=Direction.OUTBOUND,
        table=table,
        global_id=G1,
        operation=EditOperation.UPDATE,
        code="1000",
        reason="r",
        remedy="",
        seq=sent.last,
        now=NOW,
    )

    assert brief(engine, table) == [("update", G1, ("geom", "id"))]


def test_edit_when_refused_again_then_there_is_one_open_record(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(UPDATE)
    refuse(engine, table)
    engine.execute("UPDATE trees SET id='mended badly' WHERE fid=1")

    refuse(engine, table)

    assert brief(engine, table) == []
    assert len(list_quarantined(engine)) == 1
    assert [r.resolution for r in list_quarantined(engine, resolved=True)] == ["replaced", None]


def test_record_when_the_mended_edit_is_acknowledged_then_it_is_closed(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(UPDATE)
    refuse(engine, table)
    engine.execute("UPDATE trees SET id='mended' WHERE fid=1")

    engine.execute("BEGIN IMMEDIATE")
    record_sent(engine, 1, pending_edits(engine, table))
    acknowledge(engine, 1, table, [G1], now=NOW)
    engine.execute("COMMIT")

    assert list_quarantined(engine) == []
    assert [r.resolution for r in list_quarantined(engine, resolved=True)] == ["sent"]


def test_record_when_the_edit_is_taken_back_by_hand_then_tidying_closes_it(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(f"UPDATE trees SET id='mine' WHERE GlobalID='{G1}'")
    refuse(engine, table)
    engine.execute(f"UPDATE trees SET id='was' WHERE GlobalID='{G1}'")

    engine.execute("BEGIN IMMEDIATE")
    drop_settled(engine, table, now=NOW)
    engine.execute("COMMIT")

    assert list_quarantined(engine) == []


def test_retry_when_asked_then_the_edit_is_pending_as_it_is(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(UPDATE)
    number = refuse(engine, table)

    retry(engine, number, now=NOW)

    assert brief(engine, table) == [("update", G1, ("geom", "id"))]
    with pytest.raises(FeatureNotFoundError, match="no open quarantine record"):
        retry(engine, number, now=NOW)


@pytest.mark.parametrize("statement", [ADD, UPDATE, DELETE])
def test_discard_when_asked_then_the_row_is_the_services_again(
    engine: sqlite3.Connection, table: LayerTable, statement: str
) -> None:
    before = snapshot(engine, table)
    keys = engine.execute("SELECT fid,GlobalID FROM trees").fetchall()
    engine.execute(statement)
    number = refuse(engine, table)

    assert give_up(engine, number, table) == [G3 if statement is ADD else G1]

    assert snapshot(engine, table) == before
    assert engine.execute("SELECT fid,GlobalID FROM trees").fetchall() == keys
    assert engine.execute("SELECT count(*) FROM fieldsync_change").fetchone() == (0,)
    (record,) = list_quarantined(engine, resolved=True)
    assert record.resolution == "discarded"
    row = record.payload["row"]
    assert statement is DELETE or (isinstance(row, dict) and row["id"] in ("new", "mine"))


def test_discard_when_the_service_has_changed_the_row_since_then_its_newest_row_is_restored(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(UPDATE)
    number = refuse(engine, table)
    theirs = tree(table, G1, OBJECTID=1, id="was", key=8)
    merge(engine, table, [theirs])
    assert brief(engine, table) == []

    give_up(engine, number, table)

    assert snapshot(engine, table)[G1] == theirs


# --- what belongs to a refused row ---------------------------------------------------------------


@pytest.fixture
def family(engine: sqlite3.Connection, table: LayerTable) -> int:
    """A refused new tree with a new photo, held with it."""
    engine.execute(ADD)
    engine.execute(
        'INSERT INTO "trees__ATTACH"(GLOBALID,REL_GLOBALID)'
        f" VALUES('{G2}','{G3}'),('{G1}','{G1}')"
    )
    number = refuse(engine, table)
    assert hold_dependents(engine, table, G3, PHOTOS, "REL_GLOBALID", now=NOW) == [G2]
    return number


def test_dependents_when_the_parent_was_refused_then_they_are_held_and_others_are_not(
    engine: sqlite3.Connection, table: LayerTable, family: int
) -> None:
    assert [e.global_id for e in pending_edits(engine, PHOTOS)] == [G1]
    held = edit_of(engine, PHOTOS, G2)
    assert held is not None
    assert held.state is EditState.HELD
    record = list_quarantined(engine)[-1]
    assert (record.code, record.held_layer, record.held_global_id) == (HELD_CODE, table.number, G3)


@pytest.mark.parametrize("how", ["edited", "retried", "merged away"])
def test_dependents_when_the_parent_is_free_again_then_so_are_they(
    engine: sqlite3.Connection, table: LayerTable, family: int, how: str
) -> None:
    if how == "edited":
        engine.execute("UPDATE trees SET id='mended' WHERE GlobalID=?", (G3,))
    elif how == "retried":
        retry(engine, family, now=NOW)
    else:
        merge(engine, table, [tree(table, G3, OBJECTID=3, id="new", geom=None)])

    assert {e.global_id for e in pending_edits(engine, PHOTOS)} == {G1, G2}


def test_dependents_when_the_parent_is_discarded_then_they_are_given_up_with_it(
    engine: sqlite3.Connection, table: LayerTable, family: int
) -> None:
    assert give_up(engine, family, table) == [G2, G3]

    assert cells(engine, G3, "id") is None
    assert [row[0] for row in snapshot(engine, PHOTOS).values()] == [G1]
    assert list_quarantined(engine) == []


def test_discard_when_photo_bytes_were_changed_then_they_are_to_be_fetched_again(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    insert_own(engine, PHOTOS, [(G1, G2, "photo.jpg", 3)])
    engine.execute("UPDATE \"trees__ATTACH\" SET DATA='mine',ATT_NAME='mine.jpg'")
    number = refuse(engine, PHOTOS)

    give_up(engine, number, table)

    found = engine.execute('SELECT ATT_NAME,DATA_SIZE,DATA FROM "trees__ATTACH"').fetchall()
    assert found == [("photo.jpg", 3, None)]
    assert [(f.gid, f.size_bytes) for f in next_fetches(engine)] == [(G1, 3)]


def test_discard_when_a_delete_of_a_photo_was_refused_then_its_bytes_are_to_be_fetched(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    insert_own(engine, PHOTOS, [(G1, G2, "photo.jpg", 3)])
    engine.execute('DELETE FROM "trees__ATTACH"')
    number = refuse(engine, PHOTOS)

    give_up(engine, number, table)

    assert [f.gid for f in next_fetches(engine)] == [G1]


def test_inbound_when_a_row_is_set_aside_then_retry_and_discard_only_close_the_record(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    numbers = [
        put(
            engine,
            direction=Direction.INBOUND,
            table=table,
            global_id=gid,
            operation=EditOperation.UPDATE,
            code="not-decoded",
            reason="r",
            remedy="",
            row=tree(table, gid, id="theirs"),
            now=NOW,
        )
        for gid in (G1, G3)
    ]

    retry(engine, numbers[0], now=NOW)
    assert give_up(engine, numbers[1], table) == []

    found = list_quarantined(engine, direction=Direction.INBOUND, layer=table.number, resolved=True)
    assert [r.resolution for r in found] == ["retried", "discarded"]
    assert len(snapshot(engine, table)) == 2
    assert list_quarantined(engine, direction=Direction.OUTBOUND, resolved=True) == []
