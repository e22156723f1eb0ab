"""Features through the API: what goes in comes out, what the service would refuse is refused."""

import asyncio
import math
import sqlite3
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path

import pytest

from engine.errors import BadParameterError, EditRefusedError, FeatureNotFoundError
from engine.geodatabase.feature import Geometry
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.triggers import Permissions
from engine.model import EditOperation
from tests.engine.geodatabase import schemas
from tests.engine.geodatabase.made import CHECK, ELM, OAK, made
from tests.engine.geodatabase.schemas import field, layer

NOWHERE = "{00000000-0000-4000-8000-0000000000FF}"


VALUES: list[dict[str, object]] = [
    {name: None for name, _ in schemas.ALL_TYPES},
    {
        "small": -32768,
        "whole": 2**31 - 1,
        "big": 2**63 - 1,
        "single": 0.1,
        "real": 5e-324,
        "words": "",
        "moment": datetime(1903, 2, 3, 4, 5, 6, 789000, UTC),
        "day": date(1066, 10, 14),
        "clock": time(23, 59, 59),
        "offset": datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=-8))),
        "other": NOWHERE,
    },
    {
        "small": 0,
        "whole": -(2**31),
        "big": 2**53 + 1,
        "single": -1.5,
        "real": 1.7976931348623157e308,
        "words": "a\u0000b 😀 ' \" \n",
        "moment": datetime(9999, 12, 31, 23, 59, 59, 999000, UTC),
        "day": date(1, 1, 1),
        "clock": time(0, 0, 0, 500000),
        "offset": datetime(1969, 12, 31, tzinfo=UTC),
        "other": OAK,
    },
]


@pytest.mark.parametrize("values", VALUES)
async def test_every_field_type_comes_back_as_it_was(
    tmp_path: Path, values: dict[str, object]
) -> None:
    fields = [field(name, kind) for name, kind in schemas.ALL_TYPES]
    async with await made(tmp_path / "x.gpkg", [layer(fields=fields)]) as geodatabase:
        table = geodatabase.table(0)

        added = await table.add_feature(values)
        (found,) = [f async for f in table.query_features()]

        assert found == added
        assert {n: found.attributes[n] for n in values} == values
        assert found.attributes["OBJECTID"] is None
        assert found.problems == ()
        assert await table.update_feature(added.global_id, found.attributes) == found


SHAPES: list[tuple[str, bool, bool, Geometry]] = [
    ("esriGeometryPoint", False, False, {"x": 1.5, "y": -2}),
    ("esriGeometryPoint", True, True, {"x": 1.5, "y": -2, "z": 3, "m": 4}),
    ("esriGeometryMultipoint", True, False, {"hasZ": True, "points": [[1, 2, 3], [4, 5, 6]]}),
    (
        "esriGeometryPolyline",
        False,
        True,
        {"hasM": True, "paths": [[[0, 0, 1], [1, 1, 2]], [[5, 5, 3], [6, 6, 4]]]},
    ),
    (
        "esriGeometryPolygon",
        False,
        False,
        {
            "rings": [
                [[0, 0], [0, 9], [9, 9], [9, 0], [0, 0]],
                [[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]],
            ]
        },
    ),
    ("esriGeometryMultipoint", False, False, {"points": []}),
    ("esriGeometryPolyline", True, True, {"hasZ": True, "hasM": True, "paths": []}),
    ("esriGeometryPolygon", False, False, {"rings": []}),
]


@pytest.mark.parametrize(("kind", "has_z", "has_m", "shape"), SHAPES)
async def test_every_geometry_comes_back_as_it_was(
    tmp_path: Path, kind: str, has_z: bool, has_m: bool, shape: Geometry
) -> None:
    layers = [layer(geometry=kind, hasZ=has_z, hasM=has_m)]
    async with await made(tmp_path / "x.gpkg", layers) as geodatabase:
        table = geodatabase.table(0)

        added = await table.add_feature(geometry=shape)
        assert added.geometry == shape
        assert (await table.feature(added.global_id)).geometry == shape
        assert (await table.update_feature(added.global_id, geometry=None)).geometry is None
        assert (await table.update_feature(added.global_id, geometry=shape)).geometry == shape


async def test_reading_gives_the_features_as_the_service_sent_them(
    geodatabase: Geodatabase,
) -> None:
    oak, elm = [f async for f in geodatabase.table(0).query_features()]

    assert oak.global_id == OAK
    assert oak.geometry == {"x": 1, "y": 2}
    assert oak.attributes == {
        "OBJECTID": 1,
        "GlobalID": OAK,
        "species": "OAK",
        "height": 12.5,
        "planted": datetime(1969, 12, 31, 23, 59, 59, 999000, UTC),
        "edited_by": "ann",
    }
    assert elm.geometry is None


async def test_queries_take_conditions_with_parameters(geodatabase: Geodatabase) -> None:
    table = geodatabase.table(0)

    async def ids(where: str, *parameters: int | float | str) -> list[str]:
        return [f.global_id async for f in table.query_features(where, parameters)]

    assert await ids("species = ?", "ELM") == [ELM]
    assert await ids("height > 10 OR 1 = 0 -- all tall ones") == [OAK]
    assert await ids("height IS NULL") == [ELM]
    with pytest.raises(BadParameterError, match="the condition 'colour = 1' cannot be used: no"):
        await ids("colour = 1")
    with pytest.raises(BadParameterError, match="cannot be used"):
        await ids("species = ?")
    with pytest.raises(BadParameterError, match="cannot be used"):
        await ids("1); DROP TABLE Trees; --")


async def test_many_features_come_in_pieces(tmp_path: Path) -> None:
    async with await made(
        tmp_path / "x.gpkg", [layer(fields=[field("words", "esriFieldTypeString")])]
    ) as geodatabase:
        table = geodatabase.table(0)
        async with geodatabase.transaction():
            for number in range(1203):
                await table.add_feature({"words": str(number)})

        assert [f.attributes["words"] async for f in table.query_features()] == [
            str(n) for n in range(1203)
        ]
        assert len([e async for e in table.get_local_edits()]) == 1203


async def test_edits_are_listed_with_what_the_service_has(geodatabase: Geodatabase) -> None:
    table = geodatabase.table(0)
    added = await table.add_feature({"species": "OAK"}, {"x": 5, "y": 6})
    await table.update_feature(OAK, {"HEIGHT": 13, "species": "OAK"})
    await table.delete_feature(ELM)

    edits = {e.operation: e async for e in table.get_local_edits()}
    assert edits[EditOperation.ADD].feature == added
    assert edits[EditOperation.ADD].base is None
    update = edits[EditOperation.UPDATE]
    assert (update.global_id, update.fields, update.geometry_changed) == (OAK, ("height",), False)
    assert update.feature is not None
    assert update.base is not None
    assert (update.base.attributes["height"], update.feature.attributes["height"]) == (12.5, 13.0)
    assert edits[EditOperation.DELETE].feature is None
    assert [f.global_id async for f in table.get_added_features()] == [added.global_id]
    assert [f.global_id async for f in table.get_updated_features()] == [OAK]
    assert [f.attributes["species"] async for f in table.get_deleted_features()] == ["ELM"]
    counts = await table.edit_counts()
    assert (counts.adds, counts.updates, counts.deletes) == (1, 1, 1)
    assert await table.has_local_edits()
    assert await geodatabase.has_local_edits()
    assert not await geodatabase.table(1).has_local_edits()


async def test_changing_back_and_giving_back_are_no_edits(geodatabase: Geodatabase) -> None:
    table = geodatabase.table(0)
    oak = await table.feature(OAK)
    await table.update_feature(OAK, {"height": 13}, {"x": 9, "y": 9})
    await table.update_feature(OAK, oak.attributes, oak.geometry)
    added = await table.add_feature()
    await table.delete_feature(added.global_id)

    assert not await table.has_local_edits()


async def test_an_app_may_choose_the_global_id(geodatabase: Geodatabase) -> None:
    table = geodatabase.table(0)

    added = await table.add_feature({"globalid": NOWHERE.strip("{}").lower()})

    assert added.global_id == NOWHERE
    with pytest.raises(EditRefusedError, match="already has a row"):
        await table.add_feature({"GlobalID": NOWHERE})
    with pytest.raises(EditRefusedError, match="it must be a GUID"):
        await table.add_feature({"GlobalID": "7"})


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"colour": 1}, r"Trees has no field 'colour'; it has OBJECTID, GlobalID, species"),
        ({"height": math.nan}, r"Trees: height = nan: nan is not a finite number"),
        ({"height": "tall"}, r"Trees: height = 'tall': 'tall' where a number is expected"),
        ({"height": 121}, r"Trees: height: 121.0 is not between 0 and 120"),
        ({"species": "ASH"}, r"Trees: species: 'ASH' is none of 'OAK' \(Oak\), 'ELM' \(Élm's\)"),
        ({"species": "ELEVEN CHAR"}, r"species = 'ELEVEN CHAR': 11 characters; at most 10"),
        ({"planted": datetime(2024, 1, 1)}, r"planted = .*: a datetime without a time zone"),
        ({"edited_by": "eve"}, r"Trees: edited_by = 'eve': it is set by the service"),
        ({"OBJECTID": 7}, r"Trees: OBJECTID = 7: it is set by the service"),
    ],
)
async def test_values_that_the_service_would_refuse_are_refused(
    geodatabase: Geodatabase, attributes: dict[str, object], reason: str
) -> None:
    table = geodatabase.table(0)

    with pytest.raises(EditRefusedError, match=reason):
        await table.add_feature(attributes)
    with pytest.raises(EditRefusedError, match=reason):
        await table.update_feature(OAK, attributes)
    assert not await table.has_local_edits()


@pytest.mark.parametrize(
    ("geometry", "reason"),
    [
        ({"x": math.nan, "y": 1}, "Trees: geometry: it holds NaN"),
        ({"x": 1, "y": math.inf}, "Trees: geometry: it holds NaN, infinity"),
        ({"rings": []}, "Trees: geometry: the geometry is of an unknown or unexpected type"),
        ({"x": "one", "y": 1}, "Trees: geometry: "),
        ({"x": 1, "y": {2}}, "Trees: geometry: .*no JSON"),
        (
            {"x": 1, "y": 2, "spatialReference": {"wkid": 4326}},
            "in the spatial reference 4326; the layer's is 3857",
        ),
    ],
)
async def test_geometries_that_do_not_fit_are_refused(
    geodatabase: Geodatabase, geometry: Geometry, reason: str
) -> None:
    table = geodatabase.table(0)

    with pytest.raises(EditRefusedError, match=reason):
        await table.add_feature(geometry=geometry)
    with pytest.raises(EditRefusedError, match=reason):
        await table.update_feature(OAK, geometry=geometry)


async def test_geometry_in_the_layers_own_reference_is_taken(geodatabase: Geodatabase) -> None:
    shape = {"x": 3, "y": 4, "spatialReference": {"wkid": 102100}}

    assert (await geodatabase.table(0).add_feature(geometry=shape)).geometry == {"x": 3, "y": 4}


async def test_a_table_takes_no_geometry(geodatabase: Geodatabase) -> None:
    with pytest.raises(EditRefusedError, match="Inspections is a table without geometry"):
        await geodatabase.table(1).add_feature(geometry={"x": 1, "y": 1})


async def test_required_fields_and_defaults(tmp_path: Path) -> None:
    fields = [
        field("must", "esriFieldTypeInteger", nullable=False),
        field("kind", "esriFieldTypeInteger", nullable=False, defaultValue=4),
        field("day", "esriFieldTypeDate", defaultValue="not a date"),
    ]
    async with await made(tmp_path / "x.gpkg", [layer(fields=fields)]) as geodatabase:
        table = geodatabase.table(0)
        with pytest.raises(EditRefusedError, match="Trees: must needs a value"):
            await table.add_feature()
        with pytest.raises(EditRefusedError, match="must = None: it needs a value"):
            await table.add_feature({"must": None})

        added = await table.add_feature({"must": 1})

        assert added.attributes["kind"] == 4
        assert added.attributes["day"] is None


async def test_subtypes_have_their_own_domains(tmp_path: Path) -> None:
    own = {"type": "codedValue", "name": "Own", "codedValues": [{"name": "Ash", "code": "ASH"}]}
    fields = [
        field("kind", "esriFieldTypeInteger"),
        field("species", "esriFieldTypeString", domain=schemas.SPECIES),
    ]
    types = [
        {"id": 1, "domains": {"species": own}},
        {"id": 2, "domains": {"species": {"type": "inherited"}}},
    ]
    layers = [layer(fields=fields, typeIdField="KIND", types=types)]
    async with await made(tmp_path / "x.gpkg", layers) as geodatabase:
        table = geodatabase.table(0)
        first = await table.add_feature({"kind": 1, "species": "ASH"})
        await table.add_feature({"kind": 2, "species": "OAK"})

        with pytest.raises(EditRefusedError, match=r"'OAK' is none of 'ASH' \(Ash\)"):
            await table.update_feature(first.global_id, {"species": "OAK"})
        with pytest.raises(EditRefusedError, match="'ASH' is none of"):
            await table.add_feature({"kind": 2, "species": "ASH"})


async def test_what_the_layer_does_not_allow_is_refused_in_words(tmp_path: Path) -> None:
    async with await made(
        tmp_path / "x.gpkg",
        [layer()],
        permissions={0: Permissions(can_create=False, can_update=False, can_delete=False)},
    ) as geodatabase:
        with pytest.raises(EditRefusedError, match="Trees allows no new rows; it allows reading"):
            await geodatabase.table(0).add_feature()


async def test_missing_features_are_named(geodatabase: Geodatabase) -> None:
    table = geodatabase.table(0)
    for attempt in (
        table.feature(NOWHERE),
        table.update_feature(NOWHERE, {"height": 1}),
        table.delete_feature(NOWHERE),
        table.validate_relationship_constraints(NOWHERE),
    ):
        with pytest.raises(FeatureNotFoundError, match=f"Trees has no row {NOWHERE}"):
            await attempt
    with pytest.raises(FeatureNotFoundError, match="'12' is no GlobalID"):
        await table.feature("12")


async def test_rubbish_of_another_program_is_shown_and_named(geodatabase: Geodatabase) -> None:
    with sqlite3.connect(geodatabase.path) as other:
        other.execute(
            "UPDATE Trees SET height = 9e999, planted = 'soon', species = CAST(x'ff' AS TEXT), "
            "geom = 'here' WHERE GlobalID = ?",
            (OAK,),
        )
    other.close()
    table = geodatabase.table(0)

    oak = await table.feature(OAK)

    assert (oak.attributes["height"], oak.attributes["planted"]) == (math.inf, "soon")
    assert oak.geometry is None
    assert [p.split(":")[0] for p in oak.problems] == ["species", "height", "planted", "geometry"]
    repaired = await table.update_feature(OAK, {**oak.attributes, "height": 1, "planted": None})
    assert repaired.attributes["height"] == 1.0
    assert [f.global_id async for f in table.get_updated_features()] == [OAK]


async def test_related_features_are_found_from_both_ends(geodatabase: Geodatabase) -> None:
    trees, checks = geodatabase.feature_tables

    down = [r async for r in trees.related_features(OAK)]
    up = [r async for r in checks.related_features(CHECK)]

    assert [(r.relationship, r.layer_id, r.feature.global_id) for r in down] == [
        ("inspections", 1, CHECK)
    ]
    assert [(r.layer_id, r.feature.global_id) for r in up] == [(0, OAK)]
    assert [r async for r in trees.related_features(ELM)] == []


async def test_many_to_many_goes_through_the_table_between(tmp_path: Path) -> None:
    async with await made(tmp_path / "x.gpkg", schemas.many_to_many()) as geodatabase:
        sites, crews, between = geodatabase.feature_tables
        site = await sites.add_feature({"code": 7})
        crew = await crews.add_feature()
        await between.add_feature({"site": 7, "crew": crew.global_id})

        found = [r async for r in sites.related_features(site.global_id)]
        back = [r async for r in crews.related_features(crew.global_id)]

        assert [r.feature.global_id for r in found] == [crew.global_id]
        assert [r.feature.global_id for r in back] == [site.global_id]


async def test_relationship_violations_are_told_and_not_enforced(geodatabase: Geodatabase) -> None:
    trees, checks = geodatabase.feature_tables
    orphan = await checks.add_feature({"tree_guid": NOWHERE})
    loose = await checks.add_feature()

    assert await checks.validate_relationship_constraints(CHECK) == []
    assert await trees.validate_relationship_constraints(OAK) == []
    assert await checks.validate_relationship_constraints(orphan.global_id) == [
        f"inspections: Trees has no row {NOWHERE!r}"
    ]
    assert await checks.validate_relationship_constraints(loose.global_id) == [
        "inspections: the row belongs to no row of Trees"
    ]


async def test_deleting_takes_the_parts_along(geodatabase: Geodatabase) -> None:
    trees, checks = geodatabase.feature_tables
    await trees.add_attachment(OAK, "a.txt", None, b"x")

    await trees.delete_feature(OAK)

    assert [f async for f in checks.query_features()] == []
    assert [f.global_id async for f in checks.get_deleted_features()] == [CHECK]
    assert (await trees.attachment_edit_counts()).total == 0  # it never left this device


async def test_cancelled_edits_are_whole(geodatabase: Geodatabase) -> None:
    table = geodatabase.table(0)
    steps = 0
    while True:
        task = asyncio.create_task(table.add_feature({"species": "OAK"}, {"x": steps, "y": 0}))
        for _ in range(steps):
            await asyncio.sleep(0)
        if task.done():
            break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not geodatabase.is_in_transaction
        steps += 1
    added = [f async for f in table.get_added_features()]

    assert all(f.geometry and f.attributes["species"] == "OAK" for f in added)


async def test_deleting_rows_that_are_parts_of_each_other_takes_them_all(tmp_path: Path) -> None:
    end = {"id": 5, "name": "parts", "relatedTableId": 0, "composite": True}
    end["cardinality"] = "esriRelCardinalityOneToMany"
    ends = [
        {**end, "role": "esriRelRoleOrigin", "keyField": "GlobalID"},
        {**end, "role": "esriRelRoleDestination", "keyField": "whole"},
    ]
    guid = field("whole", "esriFieldTypeGUID")
    ring = layer(fields=[guid], relationships=ends)
    async with await made(tmp_path / "x.gpkg", [ring]) as geodatabase:
        table = geodatabase.table(0)
        first = (await table.add_feature()).global_id
        second = (await table.add_feature({"whole": first})).global_id
        alone = (await table.add_feature()).global_id
        await table.update_feature(first, {"whole": second})
        await table.update_feature(alone, {"whole": alone})

        await table.delete_feature(second)
        await table.delete_feature(alone)

        assert await table.count() == 0
