"""Servers that are none of ours, or half of one: each operation ends in one clear error."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from engine.errors import (
    BadParameterError,
    EngineError,
    NotAFeatureServiceError,
    ProtocolError,
    ServiceRefusedError,
    SyncNotEnabledError,
)
from engine.layer_schema import LayerSchema, ServiceSchema
from engine.model import SpatialReference
from engine.service.feature_service import FeatureService
from engine.service.feature_set import query_by_global_ids
from engine.service.session import Session
from engine.sync.replica_request import require_sync, require_syncable
from native.layer import Column, ColumnType, Layer
from tests.fakes.http_server import HttpServer, answer, json_answer

LAYER = {
    "currentVersion": 11.2,
    "id": 0,
    "name": "pts",
    "type": "Feature Layer",
    "geometryType": "esriGeometryPoint",
    "globalIdField": "",
    "objectIdField": "OBJECTID",
    "uniqueIdField": {"name": "OBJECTID", "isSystemMaintained": True},
    "capabilities": "Query",
    "maxRecordCount": 2000,
    "fields": [{"name": "OBJECTID", "type": "esriFieldTypeOID"}],
}
SERVICE = {
    "currentVersion": 11.2,
    "capabilities": "Query",
    "syncEnabled": False,
    "spatialReference": {"wkid": 4326},
    "layers": [{"id": 0, "name": "pts"}],
    "tables": [],
}
GUID = "{00000000-0000-4000-8000-000000000001}"

Operation = Callable[[FeatureService, Path], Awaitable[object]]


def edits(folder: Path) -> Path:
    path = folder / "edits"
    path.write_text("[]")
    return path


async def create(service: FeatureService, folder: Path) -> object:
    return await service.create_replica({"replicaName": "r"}, folder / "target")


async def download(service: FeatureService, folder: Path) -> object:
    return await service.download_changes({"replicaID": GUID}, folder / "target")


async def upload(service: FeatureService, folder: Path) -> object:
    return await service.upload_edits({"replicaID": GUID}, edits(folder), folder / "target")


async def apply_edits(service: FeatureService, folder: Path) -> object:
    return await service.apply_edits({}, edits(folder))


async def replicas(service: FeatureService, folder: Path) -> object:
    return await service.replicas()


async def unregister(service: FeatureService, folder: Path) -> object:
    await service.unregister_replica(GUID)
    return None


async def count(service: FeatureService, folder: Path) -> object:
    return await service.count(0, {})


async def rows(service: FeatureService, folder: Path) -> object:
    layer = LayerSchema.from_json(LAYER | {"globalIdField": "GlobalID"}, SERVICE)
    codec = Layer(id=0, columns=(Column(name="GlobalID", type=ColumnType.GUID),), key="GlobalID")
    reference = SpatialReference.of(4326)
    return await query_by_global_ids(service, layer, codec, [GUID], reference)


async def wait(service: FeatureService, folder: Path) -> object:
    return await service.wait_for_job(f"{service.url}/jobs/1")


OPERATIONS = (create, download, upload, apply_edits, replicas, unregister, count, rows, wait)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("resource", [LAYER, SERVICE])
async def test_metadata_for_an_answer_is_no_answer(
    operation: Operation, resource: object, session: Session, tmp_path: Path
) -> None:
    async with HttpServer(json_answer(resource)) as server:
        service = FeatureService(f"{server.origin}/FeatureServer", session)

        with pytest.raises(ProtocolError, match=f"^{server.origin}/FeatureServer"):
            await operation(service, tmp_path)


MEANINGLESS = ["<html>", "[1]", "7", "", "{}", '{"success":"yes"}']


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("body", MEANINGLESS)
async def test_a_meaningless_answer_is_no_answer(
    operation: Operation, body: str, session: Session, tmp_path: Path
) -> None:
    async with HttpServer(answer(body)) as server:
        service = FeatureService(f"{server.origin}/FeatureServer", session)

        with pytest.raises(ProtocolError):
            await operation(service, tmp_path)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_page_of_404_is_one_line(
    operation: Operation, session: Session, tmp_path: Path
) -> None:
    async with HttpServer(answer("<html>Cannot POST</html>", status=404)) as server:
        service = FeatureService(f"{server.origin}/FeatureServer", session)

        with pytest.raises(EngineError, match="HTTP 404") as caught:
            await operation(service, tmp_path)

    assert "\n" not in str(caught.value)
    assert "<" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        "<html>",
        "[]",
        "7",
        "{}",
        json.dumps(LAYER),
        '{"layers":[]}',
        '{"error":{"code":400,"message":"Invalid URL"}}',
    ],
)
async def test_what_is_no_feature_service_is_called_so(body: str, session: Session) -> None:
    async with HttpServer(answer(body)) as server:
        service = FeatureService(f"{server.origin}/FeatureServer", session)

        with pytest.raises(NotAFeatureServiceError, match="is no feature service") as caught:
            await service.load()

    assert caught.value.remedy == "Give the URL of a feature service; it ends in /FeatureServer"


async def test_a_service_without_sync_is_told_before_anything_is_asked_of_it(
    session: Session,
) -> None:
    async with HttpServer(json_answer(SERVICE), json_answer(LAYER)) as server:
        service = FeatureService(f"{server.origin}/FeatureServer", session)
        schema = await service.load()
        layer = await service.layer(0, schema)

    with pytest.raises(SyncNotEnabledError, match="has no Sync capability"):
        require_sync(schema)
    with pytest.raises(SyncNotEnabledError, match="'pts' has no GlobalID field"):
        require_syncable(layer)


def test_a_service_with_no_model_of_sync_is_told() -> None:
    sync = {"supportsPerReplicaSync": False}
    value = SERVICE | {"capabilities": "Query,Sync", "syncCapabilities": sync}

    with pytest.raises(SyncNotEnabledError, match="no sync model"):
        require_sync(ServiceSchema.from_json(value, "https://h.org/x/FeatureServer"))


async def test_another_layer_than_was_asked_for_is_refused(session: Session) -> None:
    async with HttpServer(json_answer(SERVICE), json_answer(LAYER | {"id": 5})) as server:
        service = FeatureService(server.origin, session)

        with pytest.raises(ProtocolError, match="is not the layer resource"):
            await service.layer(0, await service.load())


async def test_an_old_service_cannot_tell_an_extent(session: Session) -> None:
    for reply in (
        json_answer({"error": {"code": 400, "message": "Bad"}}),
        json_answer({"features": []}),
        json_answer({"extent": {"xmin": "NaN", "ymin": "NaN", "xmax": "NaN", "ymax": "NaN"}}),
        json_answer(
            {
                "extent": {
                    "xmin": 1,
                    "ymin": 1,
                    "xmax": 2,
                    "ymax": 2,
                    "spatialReference": {"wkid": 3857},
                }
            }
        ),
    ):
        async with HttpServer(reply) as server:
            service = FeatureService(server.origin, session)
            assert await service.extent(0, SpatialReference.of(4326)) is None


async def test_a_single_row_that_is_cut_ends_the_asking(session: Session) -> None:
    cut = json_answer({"features": [], "exceededTransferLimit": True})
    async with HttpServer(cut) as server:
        service = FeatureService(server.origin, session)

        with pytest.raises(ProtocolError, match="for a single row"):
            await rows(service, Path())


# --- edits of several layers ----------------------------------------------------------------------

REFUSED = {"id": 1, "error": {"code": 400, "message": "No layer."}}
TAKEN = {"id": 0, "addResults": [{"success": True, "globalId": GUID}]}


async def test_a_layer_that_is_refused_is_the_answer_if_nothing_was_done(
    session: Session, tmp_path: Path
) -> None:
    async with HttpServer(json_answer([REFUSED])) as server:
        with pytest.raises(ServiceRefusedError, match="No layer"):
            await apply_edits(FeatureService(server.origin, session), tmp_path)


async def test_a_layer_that_is_refused_does_not_hide_what_was_done(
    session: Session, tmp_path: Path
) -> None:
    async with HttpServer(json_answer([REFUSED, TAKEN])) as server:
        found = await apply_edits(FeatureService(server.origin, session), tmp_path)

    assert found == [REFUSED, TAKEN]


async def test_a_bad_replica_id_never_reaches_the_service(session: Session) -> None:
    async with HttpServer(answer("{}")) as server:
        with pytest.raises(BadParameterError):
            await FeatureService(server.origin, session).unregister_replica("*")

        assert server.requests == []
