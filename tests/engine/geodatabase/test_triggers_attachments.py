"""Of a large column the log notes only that it changed."""

import sqlite3
from pathlib import Path

import pytest

from engine.geodatabase.change_log import has_pending, pending_edits
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable
from engine.model import EditOperation
from tests.engine.geodatabase.log_oracle import (
    attachments_of,
    create_file,
    insert_own,
)
from tests.engine.geodatabase.tree_rows import (
    G1,
    G2,
    LAZY_TREES,
    POINT,
    TREES,
    two_rows,
)


def attachment_file(tmp_path: Path) -> tuple[sqlite3.Connection, LayerTable]:
    table = attachments_of(TREES)
    connection = create_file(tmp_path / "a.gpkg", TREES, table)
    insert_own(connection, table, [(G1, G2, "photo.jpg", 3)])
    return connection, table


def test_attachment_when_its_bytes_change_then_only_the_fact_is_noted(tmp_path: Path) -> None:
    connection, table = attachment_file(tmp_path)

    connection.execute('UPDATE "trees__ATTACH" SET DATA=zeroblob(100000),DATA_SIZE=100000')

    (edit,) = pending_edits(connection, table)
    assert (edit.operation, edit.columns, edit.data_changed) == (EditOperation.UPDATE, (), True)
    columns = [r[1] for r in connection.execute("PRAGMA table_info(fieldsync_base_7)")]
    assert "v_DATA" not in columns
    connection.close()


def test_attachment_when_written_by_pieces_then_a_touch_of_its_size_notes_it(
    tmp_path: Path,
) -> None:
    connection, table = attachment_file(tmp_path)
    connection.execute("BEGIN")
    connection.execute("UPDATE fieldsync_state SET applying=1")
    connection.execute('UPDATE "trees__ATTACH" SET DATA=zeroblob(8)')
    connection.execute("UPDATE fieldsync_state SET applying=NULL")
    connection.execute("COMMIT")

    with connection.blobopen("trees__ATTACH", "DATA", 1) as blob:
        blob.write(b"12345678")
    assert not has_pending(connection, table)
    connection.execute('UPDATE "trees__ATTACH" SET DATA_SIZE=length(DATA)')

    (edit,) = pending_edits(connection, table)
    assert edit.data_changed
    connection.close()


def test_attachment_when_renamed_then_its_bytes_are_not_sent_again(tmp_path: Path) -> None:
    connection, table = attachment_file(tmp_path)

    connection.execute("UPDATE \"trees__ATTACH\" SET ATT_NAME='p.jpg'")

    (edit,) = pending_edits(connection, table)
    assert (edit.columns, edit.data_changed) == (("ATT_NAME",), False)
    connection.close()


@pytest.mark.parametrize("verb", ["REPLACE", "INSERT"])
def test_attachment_when_inserted_anew_then_its_bytes_count_as_changed(
    tmp_path: Path, verb: str
) -> None:
    connection, table = attachment_file(tmp_path)
    if verb == "INSERT":
        connection.execute('DELETE FROM "trees__ATTACH"')

    connection.execute(
        f'{verb} INTO "trees__ATTACH"(GLOBALID,REL_GLOBALID,ATT_NAME,DATA_SIZE,DATA)'
        " VALUES(?,?,'photo.jpg',3,'abc')",
        (G1, G2),
    )

    (edit,) = pending_edits(connection, table)
    assert (edit.operation, edit.columns, edit.data_changed) == (EditOperation.UPDATE, (), True)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        f"INSERT OR IGNORE INTO \"trees__ATTACH\"(GLOBALID,ATT_NAME) VALUES('{G1}','x')",
        f"INSERT INTO \"trees__ATTACH\"(GLOBALID) VALUES('{G1}') ON CONFLICT DO NOTHING",
    ],
)
def test_attachment_when_an_insert_comes_to_nothing_then_there_is_no_edit(
    tmp_path: Path, statement: str
) -> None:
    connection, table = attachment_file(tmp_path)

    connection.execute(statement)

    assert not has_pending(connection, table)
    connection.close()


def test_log_when_a_lazy_row_changes_only_attributes_then_no_geometry_is_kept(
    tmp_path: Path,
) -> None:
    connection = create_file(tmp_path / "a.gpkg", LAZY_TREES)
    insert_own(connection, LAZY_TREES, two_rows(LAZY_TREES))

    connection.execute("UPDATE trees SET id='x' WHERE fid=1")
    connection.execute("UPDATE trees SET geom=x'01' WHERE fid=2")

    kept = connection.execute("SELECT lazy,v_geom FROM fieldsync_base_6 ORDER BY id").fetchall()
    assert kept == [(1, None), (0, POINT)]
    logged = LoggedTable(connection, LAZY_TREES)
    entry, stored = logged.entry(G1), logged.stored(G1)
    assert entry is not None
    assert stored is not None
    assert logged.base(entry, stored.row) == two_rows(LAZY_TREES)[0]
    connection.close()
