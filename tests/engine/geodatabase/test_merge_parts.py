"""Attachments and children share the fate of their row; none of their bytes is lost."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.geodatabase.change_log import has_pending, pending_edits
from engine.geodatabase.conflicts import list_conflicts
from engine.geodatabase.dependents import Dependent
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.merge import (
    MergeCounts,
)
from tests.engine.geodatabase.log_oracle import (
    attachments_of,
    create_file,
    insert_own,
    make_table,
    snapshot,
)
from tests.engine.geodatabase.tree_rows import (
    G1,
    G2,
    G3,
    TREES,
    merge,
    two_rows,
)

# --- attachments and children -------------------------------------------------------------------

PHOTOS = attachments_of(TREES)
VISITS = LayerTable(
    number=12,
    layer_id=6,
    name="visits",
    key="fid",
    global_id="GlobalID",
    geometry=None,
    columns=(PHOTOS.columns[0], make_table(3).columns[1]),
)
WITH_PARTS = (
    Dependent(table=PHOTOS, key_column="REL_GLOBALID"),
    Dependent(table=VISITS, key_column="REL_GLOBALID"),
)


@pytest.fixture
def family(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Two trees, each with a photo and a visit that the service knows."""
    connection = create_file(tmp_path / "family.gpkg", TREES, PHOTOS, VISITS)
    insert_own(connection, TREES, two_rows(TREES))
    for parent in (G1, G2):
        photo, visit = parent.replace("-4", "-5", 1), parent.replace("-4", "-6", 1)
        insert_own(connection, PHOTOS, [(photo, parent, "old.jpg", 3)])
        insert_own(connection, VISITS, [(visit, parent, "old visit")])
    connection.execute("BEGIN")
    connection.execute("UPDATE fieldsync_state SET applying=1")
    connection.execute("UPDATE \"trees__ATTACH\" SET DATA='old'")
    connection.execute("UPDATE fieldsync_state SET applying=NULL")
    connection.execute("COMMIT")
    yield connection
    connection.close()


def test_merge_when_a_clean_row_is_deleted_there_then_its_attachments_go_too(
    family: sqlite3.Connection,
) -> None:
    counts = merge(family, TREES, deletes=[G1], dependents=WITH_PARTS)

    assert counts == MergeCounts(deleted=1)
    assert [r[1] for r in snapshot(family, PHOTOS).values()] == [G2]
    assert len(snapshot(family, VISITS)) == 2
    assert not has_pending(family, PHOTOS)


@pytest.mark.parametrize("also_edited", [False, True])
def test_merge_when_a_row_with_a_new_photo_is_deleted_there_then_bytes_and_children_are_kept(
    family: sqlite3.Connection, also_edited: bool
) -> None:
    if also_edited:
        family.execute("UPDATE trees SET id='mine' WHERE fid=1")
    family.execute(
        "INSERT INTO \"trees__ATTACH\"(GLOBALID,REL_GLOBALID,ATT_NAME,DATA) VALUES(?,?,'n',?)",
        (G3, G1, b"\0\1\2"),
    )
    family.execute("INSERT INTO visits(GlobalID,REL_GLOBALID,id) VALUES(?,?,'new visit')", (G3, G1))

    counts = merge(family, TREES, deletes=[G1, G2], dependents=WITH_PARTS)

    assert counts == MergeCounts(deleted=2, conflicts=1)
    (conflict,) = list_conflicts(family)
    assert (conflict.global_id, conflict.parts) == (G1, 4)
    parts = family.execute("SELECT layer,data FROM fieldsync_conflict_part ORDER BY id").fetchall()
    assert parts == [(7, "old"), (7, b"\0\1\2"), (12, None), (6, None)]
    assert snapshot(family, PHOTOS) == {}
    assert len(snapshot(family, VISITS)) == 2
    assert not any(has_pending(family, t, everything=True) for t in (TREES, PHOTOS, VISITS))


def test_merge_when_attachment_rows_come_without_bytes_then_the_bytes_stay(
    family: sqlite3.Connection,
) -> None:
    rows = [(*row[:2], "renamed.jpg", row[3]) for row in snapshot(family, PHOTOS).values()]

    counts = merge(family, PHOTOS, [*rows, (G3, G1, "new.jpg", 9)])

    assert counts == MergeCounts(added=1, updated=2)
    found = family.execute('SELECT ATT_NAME,DATA FROM "trees__ATTACH" ORDER BY 1 DESC').fetchall()
    assert found == [("renamed.jpg", "old"), ("renamed.jpg", "old"), ("new.jpg", None)]


def test_merge_when_bytes_were_changed_here_then_the_edit_stays_pending(
    family: sqlite3.Connection,
) -> None:
    family.execute("UPDATE \"trees__ATTACH\" SET DATA='mine' WHERE ATTACHMENTID=1")
    rows = list(snapshot(family, PHOTOS).values())

    merge(family, PHOTOS, rows)

    (edit,) = pending_edits(family, PHOTOS)
    assert edit.data_changed
    assert edit.columns == ()
