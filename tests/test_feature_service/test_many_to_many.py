"""Many-to-many relationships: two layers and the table between them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.feature_service import DataError, FeatureServer

from .client import Client, layer_of, names
from .world import Json, field, gid, write_service

VALVES, CREWS, LINKS = 0, 1, 2


def _ids() -> list[Json]:
    return [field("OBJECTID", "OID"), field("GlobalID", "GlobalID"), field("name", "String")]


def _side(role: str, other: int, key: str, link: str) -> Json:
    return {
        "id": 0,
        "name": "cares",
        "relatedTableId": other,
        "cardinality": "esriRelCardinalityManyToMany",
        "role": f"esriRelRole{role}",
        "keyField": key,
        "composite": False,
        "relationshipTableId": LINKS,
        "keyFieldInRelationshipTable": link,
    }


def _document() -> Json:
    return {
        "capabilities": "Create,Delete,Update,Editing,Query,Sync",
        "spatialReference": {"wkid": 3857},
        "layers": [
            {
                "id": VALVES,
                "name": "Valves",
                "geometryType": "esriGeometryPoint",
                "fields": _ids(),
                "relationships": [_side("Origin", CREWS, "GlobalID", "valve")],
            }
        ],
        "tables": [
            {
                "id": CREWS,
                "name": "Crews",
                "fields": _ids(),
                "relationships": [_side("Destination", VALVES, "name", "crew")],
            },
            {
                "id": LINKS,
                "name": "Cares",
                "fields": [*_ids(), field("valve", "GUID"), field("crew", "String")],
            },
        ],
    }


def _row(number: int, at: float | None = None, **attributes: object) -> Json:
    found: Json = {"attributes": {"OBJECTID": number % 100, "GlobalID": gid(number), **attributes}}
    return found if at is None else {**found, "geometry": {"x": at, "y": at}}


def _write(folder: Path) -> Path:
    """Valve 1 is cared for by red and blue, valve 2 by blue; valve 3 and green by nobody."""
    pairs = [(gid(1), "red"), (gid(1), "blue"), (gid(2), "blue")]
    write_service(
        folder / "s",
        _document(),
        {
            VALVES: [_row(n, at=100.0 * n, name=f"V{n}") for n in (1, 2, 3)],
            CREWS: [_row(100 + n, name=name) for n, name in enumerate(("red", "blue", "green"), 1)],
            LINKS: [
                _row(200 + n, valve=valve, crew=crew) for n, (valve, crew) in enumerate(pairs, 1)
            ],
        },
    )
    return folder


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with FeatureServer(_write(tmp_path)) as server, ClientSession() as session:
        yield Client(session, server.url("s"))


async def _related(client: Client, layer: int, oids: str) -> dict[int, list[str]]:
    answer = await client.get(
        f"{layer}/queryRelatedRecords", objectIds=oids, relationshipId=0, outFields="*"
    )
    return {
        group["objectId"]: names(group["relatedRecords"]) for group in answer["relatedRecordGroups"]
    }


async def test_related_when_many_to_many_then_found_from_both_sides(client: Client) -> None:
    assert await _related(client, VALVES, "1,2,3") == {1: ["red", "blue"], 2: ["blue"]}
    assert await _related(client, CREWS, "1,2,3") == {1: ["V1"], 2: ["V1", "V2"]}


async def test_related_when_a_link_is_there_twice_then_the_row_comes_once(client: Client) -> None:
    again = {"attributes": {"valve": gid(1), "crew": "red"}}
    await client.post(f"{LINKS}/applyEdits", adds=[again])

    assert await _related(client, VALVES, "1") == {1: ["red", "blue"]}


async def test_relationships_when_many_to_many_then_table_between_is_named(client: Client) -> None:
    (shown,) = (await client.get("relationships"))["relationships"]

    assert shown["relationshipTableId"] == LINKS
    assert (shown["originForeignKey"], shown["destinationForeignKey"]) == ("valve", "crew")
    assert (shown["originPrimaryKey"], shown["destinationPrimaryKey"]) == ("GlobalID", "name")


async def test_delete_when_many_to_many_then_links_go_and_the_other_side_stays(
    client: Client,
) -> None:
    await client.post(f"{VALVES}/applyEdits", deletes="1")
    assert await client.oids(LINKS, "1=1") == [3]

    await client.post(f"{CREWS}/applyEdits", deletes="2")
    assert await client.oids(LINKS, "1=1") == []
    assert await client.oids(VALVES, "1=1") == [2, 3]


async def test_replica_when_many_to_many_then_related_rows_and_links_follow(
    client: Client,
) -> None:
    replica = await client.replica(layers="0,1,2", geometry="150,150,400,400")

    assert names(layer_of(replica, VALVES, "layers")["features"]) == ["V2", "V3"]
    assert names(layer_of(replica, CREWS, "layers")["features"]) == ["blue"]
    assert names(layer_of(replica, LINKS, "layers")["features"], "crew") == ["blue"]


async def test_sync_when_a_link_is_added_then_its_other_side_enters(client: Client) -> None:
    replica = await client.replica(layers="0,1,2", geometry="150,150,400,400")
    link = {"attributes": {"GlobalID": gid(300), "valve": gid(3), "crew": "green"}}
    await client.post(f"{LINKS}/applyEdits", adds=[link], useGlobalIds=True)

    answer = await client.sync(replica)

    assert names(layer_of(answer, CREWS)["features"]["adds"]) == ["green"]
    assert names(layer_of(answer, LINKS)["features"]["adds"], "crew") == ["green"]


async def test_related_when_no_table_is_between_then_refused(tmp_path: Path) -> None:
    document = _document()
    for entry in (document["layers"][0], document["tables"][0]):
        del entry["relationships"][0]["relationshipTableId"]
    write_service(tmp_path / "s", document, {VALVES: [_row(1, at=1.0, name="V1")]})

    async with FeatureServer(tmp_path) as server, ClientSession() as session:
        client = Client(session, server.url("s"))
        answer = await client.get("0/queryRelatedRecords", objectIds="1", relationshipId=0)
        assert answer["error"]["details"] == ["relationship 0 has no relationshipTableId"]
        gone = await client.post("0/applyEdits", deletes="1")
        assert gone["deleteResults"][0]["success"] is True


@pytest.mark.parametrize(
    ("member", "value"), [("relationshipTableId", 9), ("keyFieldInRelationshipTable", "none")]
)
async def test_service_when_table_between_is_not_there_then_data_error(
    tmp_path: Path, member: str, value: object
) -> None:
    document = _document()
    document["layers"][0]["relationships"][0][member] = value
    write_service(tmp_path / "s", document, {})

    with pytest.raises(DataError, match=member):
        await FeatureServer(tmp_path).start()
