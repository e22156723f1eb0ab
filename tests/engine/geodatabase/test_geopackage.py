"""The file is a GeoPackage that other programs open without complaint, whatever the layers."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from engine.errors import BadParameterError
from engine.geodatabase.catalog import StoredLayer, stored_layers
from engine.geodatabase.connection import Database
from engine.geodatabase.geopackage import create_geopackage, insert_rows, load
from engine.geodatabase.replica import Replica
from engine.geodatabase.triggers import Permissions, check_triggers
from engine.layer_schema import LayerSchema
from engine.model import SpatialReference, SyncDirection, new_guid
from engine.values import from_wire
from native.geometry import esri_json_to_gpkg
from tests.engine.geodatabase import gdal, schemas
from tests.engine.geodatabase.schemas import field, layer, service

DOWNLOAD = Replica(sync_direction=SyncDirection.DOWNLOAD)
SHAPES: dict[str, dict[str, object]] = {
    "esriGeometryPoint": {"x": 1.5, "y": -2},
    "esriGeometryMultipoint": {"points": [[1, 2], [3, 4]]},
    "esriGeometryPolyline": {"paths": [[[0, 0], [1, 1]], [[5, 5], [6, 6], [7, 5]]]},
    "esriGeometryPolygon": {
        "rings": [
            [[0, 0], [0, 9], [9, 9], [9, 0], [0, 0]],
            [[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]],
        ]
    },
}
EMPTY: dict[str, dict[str, object]] = {
    "esriGeometryPoint": {"x": None},
    "esriGeometryMultipoint": {"points": []},
    "esriGeometryPolyline": {"paths": []},
    "esriGeometryPolygon": {"rings": []},
}


async def build(
    path: Path,
    layers: Sequence[LayerSchema],
    rows: int = 0,
    replica: Replica | None = None,
    **options: object,
) -> None:
    """A loaded geodatabase at ``path``, ``rows`` rows in each layer."""

    def fill(connection: sqlite3.Connection) -> None:
        for stored in stored_layers(connection):
            insert_rows(connection, stored.features.table, generated(stored, rows))

    async with await Database.open(path, create=True) as database:

        def make(connection: sqlite3.Connection) -> None:
            create_geopackage(
                connection,
                service(),
                layers,
                replica or Replica(),
                **options,  # type: ignore[arg-type]  # passed on as they are
            )

        await database.write(make)
        await database.write(load, fill)
        await database.use_wal()


def generated(
    stored: StoredLayer, count: int
) -> Iterator[tuple[int | float | str | bytes | None, ...]]:
    """Rows of a layer: a geometry or none in turn, and some of every value."""
    kind = stored.schema.geometry_type
    samples: dict[str, object] = {
        "esriFieldTypeString": "Ä😀",
        "esriFieldTypeDate": -1,
        "esriFieldTypeDateOnly": "1066-10-14",
        "esriFieldTypeTimeOnly": "07:08:09",
        "esriFieldTypeTimestampOffset": "2024-01-02T03:04:05.000+02:00",
        "esriFieldTypeGUID": new_guid(),
        "esriFieldTypeDouble": 0.1,
        "esriFieldTypeSingle": 0.5,
    }
    table = stored.features.table
    for number in range(count):
        row: list[int | float | str | bytes | None] = [new_guid()]
        if kind is not None:
            row.append(_shape(stored, kind, number))
        row += [
            from_wire(c.type, samples.get(c.type.value, number)) if number % 3 else None
            for c in table.columns
        ]
        yield tuple(row)


def _shape(stored: StoredLayer, kind: str, number: int) -> bytes | None:
    return None if number % 3 == 2 else encoded(stored, SHAPES[kind])


def encoded(stored: StoredLayer, shape: dict[str, object]) -> bytes | None:
    """An Esri JSON geometry as ``stored``'s column holds it, with the layer's Z and M."""
    schema = stored.schema
    shape = _raised(shape, int(schema.has_z) + int(schema.has_m))
    shape |= {"hasZ": schema.has_z, "hasM": schema.has_m}
    return esri_json_to_gpkg(
        json.dumps(shape).encode(),
        str(schema.geometry_type),
        stored.features.srs_id,
        schema.has_z,
        schema.has_m,
    )


def _raised(value: object, more: int) -> dict[str, object]:
    """The geometry with ``more`` ordinates on each vertex."""

    def vertex(item: object) -> object:
        if isinstance(item, list):
            if item and not isinstance(item[0], list):
                return [*item, 100, 200][: 2 + more]
            return [vertex(part) for part in item]
        return item

    assert isinstance(value, dict)
    if "x" in value:
        return value | ({"z": 100, "m": 200} if value["x"] is not None else {})
    return {name: vertex(part) for name, part in value.items()}


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize("dims", ["", "Z", "M", "ZM"])
async def test_every_geometry_type_validates(tmp_path: Path, dims: str) -> None:
    gdal.require()
    path = tmp_path / "shapes.gpkg"
    layers = [
        layer(i, f"L{i}", kind, hasZ="Z" in dims, hasM="M" in dims) for i, kind in enumerate(SHAPES)
    ]

    await build(path, layers, 7)

    gdal.validate(path)
    assert query(path, "SELECT DISTINCT z, m FROM gpkg_geometry_columns") == [
        (int("Z" in dims), int("M" in dims))
    ]
    assert gdal.layers(path)[:4] == ["L0", "L1", "L2", "L3"]


async def test_every_field_type_validates_also_in_220_columns(tmp_path: Path) -> None:
    gdal.require()
    path = tmp_path / "wide.gpkg"
    fields = [field(f"{n}_{i}", k) for i in range(20) for n, k in schemas.ALL_TYPES]

    await build(path, [layer(fields=fields), layer(1, "Rows", None, fields)], 5)

    gdal.validate(path)
    assert len(query(path, "SELECT * FROM pragma_table_info('Trees')")) == 4 + 220


async def test_layers_with_domains_relations_and_attachments_validate(tmp_path: Path) -> None:
    gdal.require()
    path = tmp_path / "trees.gpkg"

    await build(path, [schemas.trees(), schemas.inspections(), *schemas.many_to_many()], 4)

    gdal.validate(path)
    shown = ["Trees", "Sites", "Trees__ATTACH", "Inspections", "Crews", "SitesCrews"]
    assert sorted(gdal.layers(path)) == sorted(shown)
    names = gdal.python(
        "import sys; from osgeo import gdal; gdal.UseExceptions();"
        "print(len(gdal.OpenEx(sys.argv[1]).GetRelationshipNames()))",
        path,
    )
    assert names.strip() == "3"


@pytest.mark.parametrize("dims", ["", "ZM"])
async def test_empty_geometries_are_read_as_empty_by_gdal(tmp_path: Path, dims: str) -> None:
    gdal.require()  # its validator takes GDAL's own empty geometries for damaged, so only reading
    path = tmp_path / "empty.gpkg"
    layers = [
        layer(i, f"L{i}", kind, hasZ="Z" in dims, hasM="M" in dims) for i, kind in enumerate(SHAPES)
    ]
    await build(path, layers, replica=DOWNLOAD)
    async with await Database.open(path) as database:

        def insert(connection: sqlite3.Connection) -> None:
            for stored in stored_layers(connection):
                blob = encoded(stored, EMPTY[str(stored.schema.geometry_type)])
                insert_rows(connection, stored.features.table, [(new_guid(), blob, 1)])

        await database.write(insert, applying=True)
    listing = gdal.run("ogrinfo", "-al", path)

    for kind in ("POINT", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON"):
        assert f"\n  {kind} {dims} EMPTY".replace("  EMPTY", " EMPTY") in listing
    assert query(path, "SELECT count(*) FROM rtree_L0_geom") == [(0,)]


ODD_NAMES = [
    'say "hello"',
    "it's mine",
    "select",
    "Straße 木 😀",
    "a.b,c;d--e/*f*/",
    "  spaced  out ",
    "gpkg_contents",
    "rtree_x",
    "fieldsync_state",
    "[x]`y`",
]


async def test_odd_names_validate_and_stay_apart(tmp_path: Path) -> None:
    gdal.require()
    path = tmp_path / "odd.gpkg"
    fields = [
        field("fid", "esriFieldTypeInteger"),
        field("geom", "esriFieldTypeString"),
        field("order", "esriFieldTypeDouble"),
        field('the "best"', "esriFieldTypeString"),
        field("it's", "esriFieldTypeDate"),
        field("größe 😀", "esriFieldTypeInteger"),
    ]
    layers = [layer(i, name, fields=fields) for i, name in enumerate([*ODD_NAMES, "Select"])]

    await build(path, layers, 3, DOWNLOAD)

    gdal.validate(path)
    columns = query(path, "SELECT name FROM pragma_table_info('Select_10')")
    assert [name for (name,) in columns][:3] == ["fid_", "geom_", "GlobalID"]
    identifiers = {str(i) for (i,) in query(path, "SELECT identifier FROM gpkg_contents")}
    assert set(ODD_NAMES) <= identifiers


async def test_service_without_a_table_hides_the_bookkeeping(tmp_path: Path) -> None:
    gdal.require()
    path = tmp_path / "points.gpkg"

    await build(path, [layer()], 2)

    gdal.validate(path)
    assert gdal.layers(path) == ["Trees", "fieldsync_information"]
    with pytest.raises(sqlite3.IntegrityError, match="for reading only"):
        query(path, "DELETE FROM fieldsync_information")


async def test_download_only_layers_have_a_true_index_and_editable_ones_none(
    tmp_path: Path,
) -> None:
    gdal.require()
    path = tmp_path / "index.gpkg"
    layers = [layer(0, "Open"), layer(1, "Shut", "esriGeometryPolygon", capabilities="Query,Sync")]

    await build(path, layers, 9)

    gdal.validate(path)
    indexed = "SELECT table_name, column_name FROM gpkg_extensions WHERE extension_name = "
    assert query(path, indexed + "'gpkg_rtree_index'") == [("Shut", "geom")]
    # Its numbers are coarser than the geometry's: a box may be larger, but never smaller.
    east = "max(maxx) BETWEEN 9.0 AND 9.00001"
    assert query(path, f"SELECT count(*), {east} FROM rtree_Shut_geom") == [(6, 1)]


async def test_index_follows_the_engines_own_writes(tmp_path: Path) -> None:
    path = tmp_path / "index.gpkg"
    await build(path, [layer()], 3, DOWNLOAD)
    async with await Database.open(path) as database:

        def move_all(connection: sqlite3.Connection) -> None:
            blob = esri_json_to_gpkg(b'{"x": 50, "y": 60}', "esriGeometryPoint", 3857, False, False)
            connection.execute("UPDATE Trees SET geom = ?", (blob,))
            connection.execute("DELETE FROM Trees WHERE fid = 1")
            connection.execute("UPDATE Trees SET fid = 9 WHERE fid = 2")
            connection.execute("UPDATE Trees SET geom = NULL WHERE fid = 3")

        def change(connection: sqlite3.Connection) -> None:
            move_all(connection)

        await database.write(change, applying=True)

    assert query(path, "SELECT id, minx, maxy FROM rtree_Trees_geom") == [(9, 50.0, 60.0)]


async def test_index_can_be_asked_for_on_editable_layers(tmp_path: Path) -> None:
    path = tmp_path / "index.gpkg"

    await build(path, [layer()], 3, spatial_index=True)

    assert query(path, "SELECT count(*) FROM rtree_Trees_geom") == [(2,)]


async def test_extent_is_that_of_the_rows_else_of_the_layer(tmp_path: Path) -> None:
    extent = "SELECT min_x, min_y, max_x, max_y FROM gpkg_contents WHERE data_type = 'features'"
    await build(tmp_path / "full.gpkg", [layer()], 2)
    await build(tmp_path / "empty.gpkg", [layer()])

    assert query(tmp_path / "full.gpkg", extent) == [(1.5, -2, 1.5, -2)]
    assert query(tmp_path / "empty.gpkg", extent) == [(-100, -100, 100, 100)]


async def test_domains_and_aliases_are_declared(tmp_path: Path) -> None:
    path = tmp_path / "trees.gpkg"
    same = {"name": "Species", "type": "codedValue", "codedValues": [{"name": "no", "code": 2}]}
    point_range = {"name": "One", "type": "range", "range": [4, 4]}
    await build(
        path,
        [
            schemas.trees(),
            layer(
                5,
                "More",
                None,
                [
                    field("a", "esriFieldTypeString", domain=schemas.SPECIES, alias="A"),
                    field("b", "esriFieldTypeInteger", domain=same, alias="A"),
                    field("c", "esriFieldTypeInteger", domain=point_range),
                ],
            ),
        ],
    )

    constraints = query(
        path,
        "SELECT constraint_name, constraint_type, value, min, max, description "
        "FROM gpkg_data_column_constraints",
    )
    assert constraints == [
        ("Species", "enum", "OAK", None, None, "Oak"),
        ("Species", "enum", "ELM", None, None, "Élm's"),
        ("Height", "range", None, 0, 120, ""),
        ("Species 2", "enum", "2", None, None, "no"),
        ("One", "enum", "4", None, None, ""),
    ]
    columns = query(
        path,
        "SELECT column_name, name, constraint_name FROM gpkg_data_columns "
        "WHERE table_name = 'More' AND column_name IN ('a', 'b', 'c')",
    )
    assert columns == [("a", "A", "Species"), ("b", "A (b)", "Species 2"), ("c", "c", "One")]


async def test_mapping_views_follow_the_keys(tmp_path: Path) -> None:
    path = tmp_path / "rel.gpkg"
    await build(path, [schemas.trees(), schemas.inspections(), *schemas.many_to_many()])
    guid, crew = new_guid(), new_guid()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO Trees (fid, GlobalID) VALUES (5, ?)", (guid,))
        connection.execute("INSERT INTO Inspections (fid, tree_guid) VALUES (8, ?)", (guid,))
        connection.execute("INSERT INTO Inspections (fid) VALUES (9)")
        connection.execute(
            "INSERT INTO Trees__ATTACH (ATTACHMENTID, REL_GLOBALID) VALUES (3, ?)", (guid,)
        )
        connection.execute("INSERT INTO Sites (fid, code) VALUES (1, 77)")
        connection.execute("INSERT INTO Crews (fid, GlobalID) VALUES (2, ?)", (crew,))
        connection.execute("INSERT INTO SitesCrews (site, crew) VALUES (77, ?)", (crew,))

    assert query(path, "SELECT * FROM fieldsync_relation_0_3") == [(5, 8)]
    assert query(path, "SELECT * FROM fieldsync_relation_0_attachments") == [(5, 3)]
    assert query(path, "SELECT * FROM fieldsync_relation_10_7") == [(1, 2)]


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        (SpatialReference.of(4326), "WGS 84"),
        (SpatialReference.of(102100), "WGS 84 / Pseudo-Mercator"),
        (SpatialReference.of(25832), "ETRS89 / UTM zone 32N"),
        (SpatialReference.of(102039), "ESRI:102039"),
        (SpatialReference(wkid=0, latest=0, wkt='LOCAL_CS["site grid",UNIT["metre",1]]'), "site"),
        (SpatialReference(wkid=0, latest=0), ""),
    ],
)
async def test_spatial_references_are_known_to_gdal(
    tmp_path: Path, reference: SpatialReference, name: str
) -> None:
    gdal.require()
    path = tmp_path / "srs.gpkg"

    await build(path, [layer()], 2, spatial_reference=reference)

    gdal.validate(path)
    assert name in gdal.run("ogrinfo", "-so", path, "Trees")


async def test_triggers_are_armed_and_permissions_are_the_layers(tmp_path: Path) -> None:
    path = tmp_path / "armed.gpkg"
    await build(path, [schemas.trees(capabilities="Query,Sync,Update")], 3)
    async with await Database.open(path) as database:
        (stored,) = await database.read(stored_layers)
        assert stored.attachments is not None
        assert stored.features.is_loaded
        assert stored.features.permissions == Permissions(can_create=False, can_delete=False)
        assert stored.attachments.permissions.can_create
        entry = stored.features

        assert not await database.read(check_triggers, entry.table, entry.permissions)
    with pytest.raises(sqlite3.IntegrityError, match="Trees allows no deleted rows"):
        query(path, "DELETE FROM Trees")


async def test_file_is_whole_or_empty_when_loading_fails(tmp_path: Path) -> None:
    path = tmp_path / "half.gpkg"

    def fail(connection: sqlite3.Connection) -> None:
        (stored,) = stored_layers(connection)
        insert_rows(connection, stored.features.table, generated(stored, 3))
        raise LookupError("the answer breaks off")

    async with await Database.open(path, create=True) as database:
        await database.write(create_geopackage, service(), [layer()], Replica())
        with pytest.raises(LookupError):
            await database.write(load, fail)
        assert await database.read(lambda c: c.execute("SELECT * FROM Trees").fetchall()) == []
        await database.write(load)
        with pytest.raises(ValueError, match="loaded already"):
            await database.write(load)


async def test_layer_without_global_ids_is_refused(tmp_path: Path) -> None:
    plain = layer(globalIdField="", fields=[])
    fields = [f for f in plain.resource["fields"] if f["name"] != "GlobalID"]  # type: ignore[attr-defined]  # plain JSON
    plain = LayerSchema.from_json({**plain.resource, "fields": fields}, {})

    with pytest.raises(BadParameterError, match="no GlobalID field"):
        await build(tmp_path / "x.gpkg", [plain])


async def test_domain_of_no_values_declares_nothing(tmp_path: Path) -> None:
    nothing = {"type": "codedValue", "name": "Empty", "codedValues": []}
    path = tmp_path / "x.gpkg"
    await build(path, [layer(fields=[field("a", "esriFieldTypeInteger", domain=nothing)])])

    assert query(path, "SELECT * FROM gpkg_data_column_constraints") == []
