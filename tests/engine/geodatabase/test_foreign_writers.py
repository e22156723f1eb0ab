"""Programs that know nothing of us write the file as they always do; the log has it right."""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.geodatabase.catalog import StoredLayer, stored_layers
from engine.geodatabase.change_log import Edit, has_pending, pending_edits
from engine.geodatabase.geopackage import create_geopackage, insert_rows, load
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.replica import Replica
from engine.geodatabase.triggers import check_triggers, rearm
from engine.model import EditOperation, normalise_guid
from native.geometry import esri_json_to_gpkg
from tests.engine.geodatabase import gdal
from tests.engine.geodatabase.schemas import field, layer, service

ADD, UPDATE, DELETE = EditOperation.ADD, EditOperation.UPDATE, EditOperation.DELETE
FIELDS = [
    field("name", "esriFieldTypeString", length=50),
    field("height", "esriFieldTypeDouble"),
    field("planted", "esriFieldTypeDate"),
]
SHAPES: dict[str, dict[str, object]] = {
    "esriGeometryPoint": {"x": 1.5, "y": -2},
    "esriGeometryPolygon": {"rings": [[[0, 0], [0, 9], [9, 9], [9, 0], [0, 0]]]},
}
GIDS = [f"{{AAAAAAAA-0000-4000-8000-00000000000{n}}}" for n in range(1, 6)]


@pytest.fixture(params=SHAPES, ids=["points", "polygons"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A geodatabase with one layer of five rows, whole or lazy."""
    gdal.require()
    path = tmp_path / "with space.gpkg"
    connection = connect(path)
    connection.execute("BEGIN")
    create_geopackage(connection, service(), [layer(0, "Trees", request.param, FIELDS)], Replica())
    shape = json.dumps(SHAPES[request.param]).encode()

    def fill(connection: sqlite3.Connection) -> None:
        (stored,) = stored_layers(connection)
        blob = esri_json_to_gpkg(shape, request.param, stored.features.srs_id, False, False)
        rows = [
            (gid, blob, n, f"tree {n}", n / 3, "2024-01-02T03:04:05.000Z")
            for n, gid in enumerate(GIDS, 1)
        ]
        insert_rows(connection, stored.features.table, rows)

    load(connection, fill)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    return path


@pytest.fixture
def engine(file: Path) -> Iterator[sqlite3.Connection]:
    """The engine's own connection, open all the while."""
    connection = connect(file)
    yield connection
    connection.close()


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=10)
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def trees(connection: sqlite3.Connection) -> StoredLayer:
    (stored,) = stored_layers(connection)
    return stored


def table_of(connection: sqlite3.Connection) -> LayerTable:
    return trees(connection).features.table


def edits(connection: sqlite3.Connection) -> list[Edit]:
    return pending_edits(connection, table_of(connection))


def short(connection: sqlite3.Connection) -> list[tuple[EditOperation, str, tuple[str, ...], bool]]:
    return [
        (e.operation, e.global_id, e.columns if e.operation is UPDATE else (), e.geometry_changed)
        for e in edits(connection)
    ]


def features(folder: Path, *properties: dict[str, object]) -> Path:
    """A GeoJSON file, one feature without geometry per set of properties."""
    path = folder / "source.geojson"
    path.write_text(
        json.dumps(
            {
                "type": "FeatureCollection",
                "features": [
                    {"type": "Feature", "properties": p, "geometry": None} for p in properties
                ],
            }
        )
    )
    return path


def shell(path: Path, sql: str) -> subprocess.CompletedProcess[str]:
    """The sqlite3 command."""
    if shutil.which("sqlite3") is None:
        pytest.skip("the sqlite3 command is not installed")
    return subprocess.run(
        ["sqlite3", str(path)], input=sql, capture_output=True, text=True, check=False
    )


# --- ogr2ogr -------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [None, ""])
def test_ogr2ogr_append_when_globalids_are_missing_then_they_are_minted(
    engine: sqlite3.Connection, file: Path, tmp_path: Path, missing: str | None
) -> None:
    source = features(
        tmp_path,
        {"GlobalID": missing, "name": "new 1"},
        {"GlobalID": missing, "name": "new 2"},
    )

    gdal.run("ogr2ogr", "-update", "-append", file, source, "-nln", "Trees")

    found = edits(engine)
    assert [e.operation for e in found] == [ADD, ADD]
    assert [e.row and "new 1" in e.row for e in found] == [True, False]
    assert all(normalise_guid(e.global_id) == e.global_id for e in found)
    assert engine.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert check(engine) == []
    gdal.validate(file)


def test_ogr2ogr_append_when_a_globalid_is_taken_then_it_fails_and_nothing_is_logged(
    engine: sqlite3.Connection, file: Path, tmp_path: Path
) -> None:
    source = features(tmp_path, {"GlobalID": GIDS[0], "name": "again"})
    command = ["ogr2ogr", "-update", "-append", str(file), str(source), "-nln", "Trees"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert "UNIQUE constraint failed" in done.stderr
    assert not has_pending(engine, table_of(engine))


def test_ogr2ogr_upsert_when_rows_exist_then_they_are_updates_of_what_changed(
    engine: sqlite3.Connection, file: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.gpkg"
    gdal.run("ogr2ogr", copy, file, "Trees", "-where", "OBJECTID<4")
    gdal.run("ogrinfo", copy, "-sql", "UPDATE Trees SET name=name||' upserted'")

    gdal.run("ogr2ogr", "-upsert", file, copy, "Trees")

    assert short(engine) == [(UPDATE, gid, ("name",), False) for gid in GIDS[:3]]


def test_ogr2ogr_overwrite_when_it_drops_the_table_then_the_check_notices(
    engine: sqlite3.Connection, file: Path, tmp_path: Path
) -> None:
    source = features(tmp_path, {"GlobalID": GIDS[0], "name": "overwritten"})
    stored = trees(engine).features

    gdal.run("ogr2ogr", "-overwrite", file, source, "-nln", "Trees")

    faults = check_triggers(engine, stored.table, stored.permissions)
    assert "the trigger fieldsync_0_au of Trees is missing" in faults
    assert "the column OBJECTID of Trees is missing" in faults


# --- ogrinfo -sql and the sqlite3 command --------------------------------------------------------


def test_ogrinfo_sql_when_it_updates_and_deletes_then_both_are_logged(
    engine: sqlite3.Connection, file: Path
) -> None:
    gdal.run("ogrinfo", file, "-sql", "UPDATE Trees SET height=height*2,name=name WHERE fid<3")
    gdal.run("ogrinfo", file, "-sql", "DELETE FROM Trees WHERE fid=5")

    assert short(engine) == [
        (UPDATE, GIDS[0], ("height",), False),
        (UPDATE, GIDS[1], ("height",), False),
        (DELETE, GIDS[4], (), False),
    ]


def test_sqlite3_command_when_it_edits_then_every_edit_is_logged(
    engine: sqlite3.Connection, file: Path
) -> None:
    done = shell(
        file,
        f"""
        BEGIN;
        INSERT INTO Trees(name) VALUES('plain');
        INSERT INTO Trees(GlobalID,name) VALUES('bbbbbbbb-0000-4000-8000-000000000001','lower');
        UPDATE Trees SET planted=NULL WHERE GlobalID='{GIDS[0]}';
        UPDATE Trees SET name='x' WHERE fid=2; UPDATE Trees SET name='tree 2' WHERE fid=2;
        REPLACE INTO Trees(fid,GlobalID,name) VALUES(3,'{GIDS[2]}','replaced');
        DELETE FROM Trees WHERE fid=4;
        COMMIT;
        """,
    )

    assert done.stderr == ""
    found = short(engine)
    assert [f[0] for f in found] == [ADD, ADD, UPDATE, UPDATE, DELETE]
    assert found[1][1] == "{BBBBBBBB-0000-4000-8000-000000000001}"
    assert found[2][1:] == (GIDS[0], ("planted",), False)
    assert found[3][1:] == (GIDS[2], ("name", "height", "planted"), True)
    assert found[4][1] == GIDS[3]


def test_sqlite3_command_when_text_is_no_utf8_then_the_edit_is_still_read(
    file: Path,
) -> None:
    command = ["sqlite3", str(file)]
    subprocess.run(command, input=b"UPDATE Trees SET name='M\xfcller' WHERE fid=1;", check=True)
    connection = connect(file)
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")

    assert short(connection) == [(UPDATE, GIDS[0], ("name",), False)]
    connection.close()


@pytest.mark.parametrize("program", ["sqlite3", "ogrinfo"])
def test_vacuum_when_edits_are_pending_then_the_log_is_intact(
    engine: sqlite3.Connection, file: Path, program: str
) -> None:
    engine.execute("UPDATE Trees SET name='mine' WHERE fid=1")
    engine.execute("DELETE FROM Trees WHERE fid=2")
    before = edits(engine)

    if program == "sqlite3":
        assert shell(file, "VACUUM;").stderr == ""
    else:
        gdal.run("ogrinfo", file, "-sql", "VACUUM")

    assert edits(engine) == before
    assert check(engine) == []


def test_copies_when_made_by_sqlite_then_the_log_comes_with_them(
    engine: sqlite3.Connection, file: Path, tmp_path: Path
) -> None:
    engine.execute("UPDATE Trees SET name='mine' WHERE fid=1")
    before = short(engine)

    assert shell(file, f"VACUUM INTO '{tmp_path / 'into.gpkg'}';").stderr == ""
    shell(tmp_path / "restored.gpkg", shell(file, ".dump").stdout)

    for name in ("into.gpkg", "restored.gpkg"):
        copy = connect(tmp_path / name)
        assert short(copy) == before
        assert check(copy) == []
        copy.execute("DELETE FROM Trees WHERE fid=2")
        assert short(copy) == [*before, (DELETE, GIDS[1], (), False)]
        copy.close()


# --- the OGR library -----------------------------------------------------------------------------

OGR = """
import sys
from osgeo import gdal, ogr
gdal.UseExceptions()
ogr.UseExceptions()
source = gdal.OpenEx(sys.argv[1], gdal.OF_VECTOR | gdal.OF_UPDATE)
layer = source.GetLayerByName("Trees")
"""


def test_setfeature_when_nothing_changed_then_there_is_no_edit(
    engine: sqlite3.Connection, file: Path
) -> None:
    gdal.python(OGR + "for f in list(layer): layer.SetFeature(f)", file)

    assert short(engine) == []


def test_setfeature_when_one_attribute_changed_then_only_that_is_the_edit(
    engine: sqlite3.Connection, file: Path
) -> None:
    gdal.python(OGR + "f = layer.GetFeature(2); f['name'] = 'ogr'; layer.SetFeature(f)", file)

    assert short(engine) == [(UPDATE, GIDS[1], ("name",), False)]


def test_setfeature_when_the_geometry_moved_then_geometry_is_the_edit(
    engine: sqlite3.Connection, file: Path
) -> None:
    script = """
f = layer.GetFeature(2)
g = f.GetGeometryRef().Clone()
moved = ogr.CreateGeometryFromWkt(g.ExportToWkt().replace("9", "10").replace("1.5", "1.75"))
f.SetGeometry(moved)
layer.SetFeature(f)
"""
    gdal.python(OGR + script, file)

    assert short(engine) == [(UPDATE, GIDS[1], (), True)]


def test_setfeature_when_globalid_is_set_null_then_it_is_restored(
    engine: sqlite3.Connection, file: Path
) -> None:
    script = (
        "f = layer.GetFeature(2); f.SetFieldNull('GlobalID'); f['name']='x'; layer.SetFeature(f)"
    )
    gdal.python(OGR + script, file)

    assert short(engine) == [(UPDATE, GIDS[1], ("name",), False)]
    assert engine.execute("SELECT GlobalID FROM Trees WHERE fid=2").fetchone() == (GIDS[1],)


def test_features_when_created_and_deleted_then_adds_and_deletes(
    engine: sqlite3.Connection, file: Path
) -> None:
    script = """
f = ogr.Feature(layer.GetLayerDefn()); f["name"] = "a"; layer.CreateFeature(f)
f = ogr.Feature(layer.GetLayerDefn()); f["name"] = "b"; layer.CreateFeature(f)
layer.DeleteFeature(f.GetFID())
layer.DeleteFeature(3)
"""
    gdal.python(OGR + script, file)

    assert [f[0] for f in short(engine)] == [ADD, DELETE]


def test_schema_when_a_field_is_added_then_writers_and_log_go_on(
    engine: sqlite3.Connection, file: Path
) -> None:
    gdal.python(OGR + "layer.CreateField(ogr.FieldDefn('note', ogr.OFTString))", file)
    gdal.run("ogrinfo", file, "-sql", "UPDATE Trees SET note='n',name='x' WHERE fid=1")

    assert check(engine) == []
    assert short(engine) == [(UPDATE, GIDS[0], ("name",), False)]


def test_schema_when_a_layers_field_is_removed_then_it_is_refused(
    engine: sqlite3.Connection, file: Path
) -> None:
    script = """
try:
    layer.DeleteField(layer.GetLayerDefn().GetFieldIndex("name"))
except RuntimeError as error:
    print(error)
"""
    assert "error in trigger" in gdal.python(OGR + script, file)
    assert check(engine) == []


def test_schema_when_a_field_is_renamed_then_the_check_notices(
    engine: sqlite3.Connection, file: Path
) -> None:
    script = """
at = layer.GetLayerDefn().GetFieldIndex("name")
layer.AlterFieldDefn(at, ogr.FieldDefn("title", ogr.OFTString), ogr.ALTER_NAME_FLAG)
"""
    gdal.python(OGR + script, file)

    assert "the column name of Trees is missing" in check(engine)


def test_rearm_when_triggers_were_dropped_then_edits_are_logged_again(
    engine: sqlite3.Connection, file: Path
) -> None:
    stored = trees(engine).features
    shell(file, "DROP TRIGGER fieldsync_0_au; DROP TRIGGER fieldsync_0_ai;")
    assert len(check(engine)) == 2

    rearm(engine, stored.table, stored.permissions)
    gdal.run("ogrinfo", file, "-sql", "UPDATE Trees SET name='x' WHERE fid=1")

    assert check(engine) == []
    assert short(engine) == [(UPDATE, GIDS[0], ("name",), False)]


def check(connection: sqlite3.Connection) -> list[str]:
    stored = trees(connection).features
    return check_triggers(connection, stored.table, stored.permissions)
