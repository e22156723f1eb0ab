"""Other programs write the file as they always do; nothing is damaged and every edit is known."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.geodatabase.geodatabase import Geodatabase
from tests.engine.geodatabase import gdal
from tests.engine.geodatabase.made import ELM, OAK, made_trees


@pytest.fixture
async def geodatabase(tmp_path: Path) -> AsyncIterator[Geodatabase]:
    gdal.require()
    async with await made_trees(tmp_path / "trees.gpkg") as geodatabase:
        yield geodatabase


async def _counts(geodatabase: Geodatabase, layer_id: int = 0) -> tuple[int, int, int]:
    counts = await geodatabase.table(layer_id).edit_counts()
    return counts.adds, counts.updates, counts.deletes


async def test_ogr2ogr_appends_features(geodatabase: Geodatabase, tmp_path: Path) -> None:
    source = tmp_path / "new.csv"
    source.write_text('species,height,WKT\nOAK,7,"POINT (5 6)"\nELM,,\n')

    gdal.run(
        *("ogr2ogr", "-update", "-append", "-nln", "Trees", "-a_srs", "EPSG:3857"),
        *("-oo", "GEOM_POSSIBLE_NAMES=WKT", "-oo", "KEEP_GEOM_COLUMNS=NO"),
        *(geodatabase.path, source),
    )

    added = [f async for f in geodatabase.table(0).get_added_features()]
    assert [(f.attributes["species"], f.geometry) for f in added] == [
        ("OAK", {"x": 5, "y": 6}),
        ("ELM", None),
    ]
    assert added[0].attributes["height"] == 7.0
    assert all(f.global_id.startswith("{") and not f.problems for f in added)
    gdal.validate(geodatabase.path)


async def test_ogrinfo_updates_and_deletes(geodatabase: Geodatabase) -> None:
    path = geodatabase.path
    gdal.run("ogrinfo", path, "-sql", "UPDATE Trees SET height = 99 WHERE species = 'OAK'")
    gdal.run("ogrinfo", path, "-sql", "DELETE FROM Trees WHERE species = 'ELM'")

    assert await _counts(geodatabase) == (0, 1, 1)
    assert (await geodatabase.table(0).feature(OAK)).attributes["height"] == 99.0
    gdal.validate(path)


_WRITE_DATES = """
import sys
from osgeo import ogr, gdal
gdal.UseExceptions()
source = gdal.OpenEx(sys.argv[1], gdal.OF_UPDATE | gdal.OF_VECTOR)
layer = source.GetLayerByName("Trees")
for feature in layer:
    feature.SetField("planted", 2024, 2, 29, 12, 30, 45.5, int(sys.argv[2]))
    layer.SetFeature(feature)
"""


@pytest.mark.parametrize(("zone", "hour"), [("100", 12), ("108", 10), ("0", 12)])
async def test_dates_that_gdal_writes_are_read_in_their_zone(
    geodatabase: Geodatabase, zone: str, hour: int
) -> None:
    gdal.python(_WRITE_DATES, geodatabase.path, zone)

    planted = (await geodatabase.table(0).feature(ELM)).attributes["planted"]
    assert str(planted) == f"2024-02-29 {hour}:30:45.500000+00:00"


_ALTER = """
import sys
from osgeo import ogr, gdal
gdal.UseExceptions()
source = gdal.OpenEx(sys.argv[1], gdal.OF_UPDATE | gdal.OF_VECTOR)
for table, name in (("Trees", "species"), ("Inspections", "note"), ("Trees__ATTACH", "ATT_NAME")):
    layer = source.GetLayerByName(table)
    wider = ogr.FieldDefn(name, ogr.OFTString)
    wider.SetWidth(300)
    number = layer.GetLayerDefn().GetFieldIndex(name)
    layer.AlterFieldDefn(number, wider, ogr.ALTER_WIDTH_PRECISION_FLAG)
    layer.CreateField(ogr.FieldDefn("mine", ogr.OFTInteger))
    layer.CreateField(ogr.FieldDefn("gone", ogr.OFTInteger))
    layer.DeleteField(layer.GetLayerDefn().GetFieldIndex("gone"))
"""


async def test_altering_fields_damages_nothing(geodatabase: Geodatabase) -> None:
    table = geodatabase.table(0)
    await table.add_attachment(OAK, "a.txt", None, b"data")
    before = [f async for f in table.query_features()]
    await geodatabase.close()

    gdal.python(_ALTER, geodatabase.path)

    with sqlite3.connect(geodatabase.path) as other:
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    other.close()
    gdal.validate(geodatabase.path)
    async with await Geodatabase.open(geodatabase.path) as again:
        assert [t.error for t in again.feature_tables] == [None, None]
        assert [f async for f in again.table(0).query_features()] == before
        (attachment,) = await again.table(0).attachments(OAK)
        data = again.table(0).attachment_data(attachment.global_id)
        assert [piece async for piece in data] == [b"data"]
        await again.table(0).update_feature(ELM, {"height": 4})
        assert await _counts(again) == (0, 1, 0)


async def test_overwriting_a_layer_is_noticed(geodatabase: Geodatabase, tmp_path: Path) -> None:
    source = tmp_path / "new.csv"
    source.write_text("species,height\nOAK,7\n")
    await geodatabase.close()

    gdal.run("ogr2ogr", "-update", "-overwrite", "-nln", "Trees", geodatabase.path, source)

    async with await Geodatabase.open(geodatabase.path) as again:
        assert "the trigger fieldsync_0_au of Trees is missing" in str(again.table(0).error)
        assert again.table(1).error is None
