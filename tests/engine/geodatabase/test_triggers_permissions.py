"""What a layer does not allow is refused at the edit, in a plain sentence."""

import sqlite3
from pathlib import Path

import pytest

from engine.geodatabase.change_log import has_pending, pending_edits
from engine.geodatabase.triggers import (
    Permissions,
    applying,
)
from engine.model import new_guid
from tests.engine.geodatabase.log_oracle import (
    create_file,
    insert_own,
    snapshot,
)
from tests.engine.geodatabase.tree_rows import (
    G1,
    G3,
    MOVED,
    POINT,
    TREES,
    WITH_ENVELOPE,
    two_rows,
)


def open_with(tmp_path: Path, **allowed: bool) -> sqlite3.Connection:
    permissions = Permissions(**allowed)  # type: ignore[arg-type]
    connection = create_file(tmp_path / "a.gpkg", TREES, permissions=permissions)
    insert_own(connection, TREES, two_rows(TREES))
    return connection


ALL = {"can_create": True, "can_update": True, "can_delete": True, "allows_geometry_updates": True}


@pytest.mark.parametrize(
    ("forbidden", "statement", "message"),
    [
        ("can_create", "INSERT INTO trees(id) VALUES('x')", "new rows"),
        ("can_create", "INSERT OR IGNORE INTO trees(id) VALUES('x')", "new rows"),
        ("can_create", f"UPDATE trees SET GlobalID='{G3}' WHERE fid=1", "GlobalIDs"),
        ("can_update", "UPDATE trees SET id='x' WHERE fid=1", "changed rows"),
        ("can_update", f"UPDATE trees SET GlobalID='{G3}' WHERE fid=1", "changed rows"),
        ("can_update", f"REPLACE INTO trees(GlobalID,id) VALUES('{G1}','x')", "changed rows"),
        ("can_delete", "DELETE FROM trees WHERE fid=1", "deleted rows"),
        ("can_delete", "REPLACE INTO trees(fid,id) VALUES(1,'x')", "deleted rows"),
        ("can_delete", "UPDATE OR REPLACE trees SET fid=2 WHERE fid=1", "deleted rows"),
        ("allows_geometry_updates", "UPDATE trees SET geom=x'00' WHERE fid=1", "geometries"),
        ("allows_geometry_updates", "UPDATE trees SET geom=NULL WHERE fid=1", "geometries"),
    ],
)
def test_edit_when_not_permitted_then_a_plain_sentence_refuses_it(
    tmp_path: Path, forbidden: str, statement: str, message: str
) -> None:
    connection = open_with(tmp_path, **ALL | {forbidden: False})
    before = snapshot(connection, TREES)

    with pytest.raises(sqlite3.IntegrityError, match=f"^trees allows no .*{message}; it allows"):
        connection.execute(statement)

    assert snapshot(connection, TREES) == before
    assert not has_pending(connection, TREES)
    connection.close()


@pytest.mark.parametrize(
    ("forbidden", "statement"),
    [
        ("can_create", f"INSERT INTO trees(GlobalID,id) VALUES('{G1}','x') ON CONFLICT DO NOTHING"),
        (
            "can_create",
            f"INSERT INTO trees(GlobalID,id) VALUES('{G1}','x')"
            " ON CONFLICT(GlobalID) DO UPDATE SET id=excluded.id",
        ),
        ("can_create", f"REPLACE INTO trees(GlobalID,id) VALUES('{G1}','x')"),
        ("can_update", "UPDATE trees SET id=id"),
        ("can_update", "DELETE FROM trees WHERE fid=1"),
        ("can_delete", "INSERT INTO trees(id) VALUES('x')"),
        ("can_delete", f"REPLACE INTO trees(GlobalID,id) VALUES('{G1}','x')"),
        ("can_delete", "UPDATE trees SET GlobalID=lower(GlobalID),id='x'"),
        ("allows_geometry_updates", "UPDATE trees SET id='x',geom=geom"),
    ],
)
def test_edit_when_another_operation_is_forbidden_then_it_passes(
    tmp_path: Path, forbidden: str, statement: str
) -> None:
    connection = open_with(tmp_path, **ALL | {forbidden: False})

    connection.execute(statement)

    connection.close()


def test_own_add_when_not_sent_yet_then_it_may_be_changed_and_deleted(tmp_path: Path) -> None:
    connection = open_with(
        tmp_path, can_update=False, can_delete=False, allows_geometry_updates=False
    )

    connection.execute("INSERT INTO trees(fid,id) VALUES(9,'new')")
    connection.execute("UPDATE trees SET id='newer',geom=x'00' WHERE fid=9")
    connection.execute("DELETE FROM trees WHERE fid=9")

    assert not has_pending(connection, TREES)
    connection.close()


def test_geometry_when_only_its_header_is_rewritten_then_it_is_no_refused_change(
    tmp_path: Path,
) -> None:
    connection = create_file(
        tmp_path / "a.gpkg", TREES, permissions=Permissions(allows_geometry_updates=False)
    )
    insert_own(connection, TREES, [(G1, POINT, 1, "was", None, None, None)])

    connection.execute("UPDATE trees SET geom=?,id='x'", (WITH_ENVELOPE,))
    with pytest.raises(sqlite3.IntegrityError, match="it allows adding rows, changing attributes"):
        connection.execute("UPDATE trees SET geom=?", (MOVED,))

    (edit,) = pending_edits(connection, TREES)
    assert edit.columns == ("id",)
    assert not edit.geometry_changed
    connection.close()


def test_engine_when_nothing_is_permitted_then_its_own_writes_pass(tmp_path: Path) -> None:
    connection = open_with(tmp_path, **dict.fromkeys(ALL, False))

    connection.execute("BEGIN IMMEDIATE")
    with applying(connection):
        connection.execute("UPDATE trees SET id='theirs',geom=x'00'")
        connection.execute("DELETE FROM trees WHERE fid=2")
        connection.execute("INSERT INTO trees(GlobalID) VALUES(?)", (new_guid(),))
    connection.execute("COMMIT")

    assert not has_pending(connection, TREES)
    with pytest.raises(sqlite3.IntegrityError, match="it allows reading only"):
        connection.execute("INSERT INTO trees(id) VALUES('x')")
    connection.close()
