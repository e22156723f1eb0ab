"""What is asked of createReplica and synchronizeReplica, and what is found out before."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import (
    AuthenticationError,
    BadParameterError,
    PermissionDeniedError,
    ServiceRefusedError,
)
from engine.layer_schema import LayerSchema
from engine.model import (
    AttachmentSyncDirection as Direction,
    Envelope,
    QueryOption,
    SpatialReference,
    SyncModel,
)
from engine.service.feature_service import FeatureService
from engine.service.session import Session
from engine.sync.parameters import GenerateGeodatabaseParameters, GenerateLayerOption
from engine.sync.replica_request import (
    create_form,
    effective_spatial_reference,
    estimate,
    filter_form,
    replica_name,
    sync_form,
)
from tests.engine.geodatabase.schemas import layer, service
from tests.engine.service.waters import Waters, hydrant, waters
from tests.fakes.http_server import HttpServer, json_answer
from tests.feature_service import FeatureServer
from tests.test_feature_service.world import service_document, write_service

AREA = Envelope.parse("-1.5,2,3,4.25")


def parameters(*options: GenerateLayerOption, **more: Any) -> GenerateGeodatabaseParameters:
    return GenerateGeodatabaseParameters(extent=AREA, layer_options=list(options), **more)


# --- forms ----------------------------------------------------------------------------------------


def test_the_form_of_a_new_replica() -> None:
    chosen = parameters(
        GenerateLayerOption(layer_id=0, where_clause="a = 'ä'"),
        GenerateLayerOption(layer_id=3, query_option=QueryOption.NONE, use_geometry=False),
        return_attachments=False,
        attachment_sync_direction=Direction.NONE,
    )

    form = create_form(chosen, service(), [layer(), layer(3, "Visits", None)], "mine")

    queries = json.loads(form.pop("layerQueries"))
    assert form == {
        "replicaName": "mine",
        "layers": "0,3",
        "replicaSR": "102100",
        "transportType": "esriTransportTypeUrl",
        "dataFormat": "json",
        "syncModel": "perReplica",
        "targetType": "client",
        "async": "false",
        "returnAttachments": "false",
        "geometry": "-1.5,2.0,3.0,4.25",
        "geometryType": "esriGeometryEnvelope",
        "inSR": "4326",
    }
    common = {"includeRelated": True}
    assert queries == {
        "0": {"queryOption": "useFilter", "useGeometry": True, "where": "a = 'ä'", **common},
        "3": {"queryOption": "none", "useGeometry": False, **common},
    }


def test_what_the_service_offers_is_made_use_of() -> None:
    able = service(
        syncCapabilities={
            "supportsAsync": True,
            "supportsSyncDirectionControl": True,
            "supportsAttachmentsSyncDirection": True,
            "supportsPerLayerSync": True,
        }
    )
    chosen = parameters(sync_model=SyncModel.PER_LAYER)

    form = create_form(chosen, able, [layer(hasAttachments=True)], "mine")

    assert form["async"] == "true"
    assert form["syncModel"] == "perLayer"
    assert form["syncDirection"] == "bidirectional"
    assert form["attachmentsSyncDirection"] == "bidirectional"
    assert form["returnAttachments"] == form["returnAttachmentsDataByUrl"] == "true"


@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize("direction", Direction)
def test_only_pairs_of_attachment_settings_that_go_together_are_sent(
    with_data: bool, direction: Direction
) -> None:
    chosen = parameters(return_attachments=with_data, attachment_sync_direction=direction)
    able = service(syncCapabilities={"supportsAttachmentsSyncDirection": True})
    layers = [layer(hasAttachments=True)]
    wrong = Direction.NONE if with_data else Direction.BIDIRECTIONAL

    if direction is wrong:
        with pytest.raises(BadParameterError, match=f"{direction.value} does not go with"):
            create_form(chosen, able, layers, "mine")
    else:
        form = create_form(chosen, able, layers, "mine")
        assert form["attachmentsSyncDirection"] == direction.value


@pytest.mark.parametrize("direction", Direction)
def test_layers_without_attachments_have_no_wrong_settings(direction: Direction) -> None:
    chosen = parameters(attachment_sync_direction=direction)

    assert create_form(chosen, service(), [layer()], "mine")["returnAttachments"] == "false"


def test_a_model_that_is_not_offered_is_refused_with_those_that_are() -> None:
    with pytest.raises(BadParameterError, match="perLayer") as caught:
        create_form(parameters(sync_model=SyncModel.PER_LAYER), service(), [layer()], "mine")

    assert caught.value.remedy == "It offers perReplica"


def test_the_reference_of_the_data_may_be_chosen() -> None:
    chosen = parameters(out_spatial_reference=SpatialReference.of(4326))

    assert effective_spatial_reference(chosen, service()).wkid == 4326
    assert create_form(chosen, service(), [layer()], "mine")["replicaSR"] == "4326"


def test_a_reference_without_number_is_sent_as_text() -> None:
    local = SpatialReference.from_json({"wkt": 'LOCAL_CS["site"]'})
    form = filter_form(AREA.in_reference(local))

    assert json.loads(form["inSR"]) == {"wkt": 'LOCAL_CS["site"]'}


@pytest.mark.parametrize(
    ("full", "of_layer", "geometry", "in_sr"),
    [
        ({"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}, None, "1.0,2.0,3.0,4.0", "102100"),
        (
            {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4, "spatialReference": {"wkid": 4326}},
            None,
            "1.0,2.0,3.0,4.0",
            "4326",
        ),
        (None, AREA, "-1.5,2.0,3.0,4.25", "4326"),
    ],
)
def test_without_an_area_everything_is_the_area(
    full: object, of_layer: Envelope | None, geometry: str, in_sr: str
) -> None:
    chosen = GenerateGeodatabaseParameters()

    form = create_form(
        chosen, service(fullExtent=full), [replace(layer(), extent=of_layer)], "mine"
    )

    assert (form["geometry"], form["inSR"]) == (geometry, in_sr)


def test_a_service_that_does_not_know_its_extent_needs_an_area() -> None:
    with pytest.raises(BadParameterError, match="does not say where its data lies"):
        create_form(
            GenerateGeodatabaseParameters(), service(), [replace(layer(), extent=None)], "mine"
        )


def test_names_of_replicas_are_told_apart() -> None:
    names = {replica_name() for _ in range(100)}

    assert len(names) == 100
    assert all(re.fullmatch(r"fieldsync-[A-Za-z0-9]{1,24}-[0-9a-f-]{36}", name) for name in names)


@pytest.mark.parametrize("with_attachments", [False, True])
def test_the_form_of_a_download(with_attachments: bool) -> None:
    def form(model: SyncModel) -> dict[str, str]:
        return sync_form(
            replica_id="{R}",
            schema=service(syncCapabilities={"supportsAsync": True}),
            sync_model=model,
            generation=2**53,
            layer_generations={3: 7, 0: 5},
            direction="download",
            with_attachments=with_attachments,
        )

    common = {
        "replicaID": "{R}",
        "syncDirection": "download",
        "transportType": "esriTransportTypeUrl",
        "dataFormat": "json",
        "closeReplica": "false",
        "returnIdsForAdds": "false",
        "async": "true",
        **({"returnAttachmentsDataByUrl": "true"} if with_attachments else {}),
    }
    assert form(SyncModel.PER_REPLICA) == {**common, "replicaServerGen": "9007199254740992"}
    per_layer = form(SyncModel.PER_LAYER)
    assert json.loads(per_layer.pop("syncLayers")) == [
        {"id": 0, "serverGen": 5, "syncDirection": "download"},
        {"id": 3, "serverGen": 7, "syncDirection": "download"},
    ]
    assert per_layer == common


# --- estimates ------------------------------------------------------------------------------------


async def estimated(
    at: Waters, area: str | None, *options: GenerateLayerOption, layers: tuple[int, ...] = (0, 1, 3)
) -> dict[int, int]:
    schema = await at.schema()
    chosen = GenerateGeodatabaseParameters(
        extent=None if area is None else Envelope.parse(area), layer_options=list(options)
    )
    return await estimate(at.service, await at.service.layers(layers, schema), chosen, schema)


NONE = GenerateLayerOption(layer_id=3, query_option=QueryOption.NONE)
ALL = GenerateLayerOption(layer_id=3, query_option=QueryOption.ALL)


@pytest.mark.parametrize(
    ("area", "options", "counts"),
    [
        (None, (NONE,), {0: 9, 1: 3}),
        (None, (ALL,), {0: 9, 1: 3, 3: 3}),
        ("150,150,350,350,102100", (NONE,), {0: 2, 1: 2}),
        ("150,150,350,350,3857", (NONE,), {0: 2, 1: 2}),
        ("0.0014,0.0014,0.0031,0.0031", (NONE,), {0: 2, 1: 2}),
        (None, (GenerateLayerOption(layer_id=0, where_clause="serial > 4"), NONE), {0: 5, 1: 3}),
        (
            "150,150,350,350,3857",
            (GenerateLayerOption(layer_id=0, use_geometry=False), NONE),
            {0: 9, 1: 2},
        ),
        (
            "150,150,350,350,3857",
            (GenerateLayerOption(layer_id=0, query_option=QueryOption.ALL), NONE),
            {0: 9, 1: 2},
        ),
    ],
)
async def test_the_service_is_asked_how_much_it_will_be(
    area: str | None,
    options: tuple[GenerateLayerOption, ...],
    counts: dict[int, int],
    tmp_path: Path,
) -> None:
    async with waters(tmp_path) as at:
        assert await estimated(at, area, *options) == counts


@pytest.mark.parametrize(
    ("area", "there"),
    [
        ("10,50,11,51", r"0\.00089\d*,0,0\.0080\d*,0\.0089\d*,4326"),  # longitude and latitude
        ("5000,5000,6000,6000,102100", r"100,0,900,1000,102100"),
        ("5000,5000,6000,6000,3857", r"100,0,900,1000,3857"),
    ],
)
async def test_an_area_beside_the_data_is_named_with_where_it_is(
    area: str, there: str, tmp_path: Path
) -> None:
    async with waters(tmp_path) as at:
        with pytest.raises(BadParameterError, match="the area lies outside the data of") as caught:
            await estimated(at, area, ALL)

    assert re.fullmatch(f"The data is in {there}", caught.value.remedy), caught.value.remedy


@pytest.mark.parametrize("area", ["0.00405,0.00405,0.0042,0.0042", "460,460,470,470,3857"])
async def test_an_empty_place_within_the_data_may_be_taken(area: str, tmp_path: Path) -> None:
    async with waters(tmp_path) as at:
        assert await estimated(at, area, NONE, layers=(0,)) == {0: 0}


async def test_a_clause_that_finds_nothing_is_no_place_beside_the_data(tmp_path: Path) -> None:
    nothing = GenerateLayerOption(layer_id=0, where_clause="serial > 1000")
    async with waters(tmp_path) as at:
        assert await estimated(at, "0,0,400,400,3857", nothing, layers=(0,)) == {0: 0}


async def test_an_empty_service_may_be_taken_anywhere(tmp_path: Path) -> None:
    write_service(tmp_path / "data" / "new", service_document(), {})
    async with waters(tmp_path / "other") as at, FeatureServer(tmp_path / "data") as server:
        at.service = FeatureService(server.url("new"), at.service.session)

        assert await estimated(at, "10,50,11,51", ALL) == {0: 0, 1: 0, 3: 0}


async def test_room_that_the_owner_made_counts_as_data(tmp_path: Path) -> None:
    wide = {"xmin": -9e6, "ymin": -9e6, "xmax": 9e6, "ymax": 9e6}
    document = service_document() | {"fullExtent": wide | {"spatialReference": {"wkid": 102100}}}
    write_service(tmp_path / "data" / "wide", document, {0: [hydrant(1)]})
    async with waters(tmp_path / "other") as at, FeatureServer(tmp_path / "data") as server:
        at.service = FeatureService(server.url("wide"), at.service.session)
        schema = replace(await at.schema(), full_extent=Envelope.from_json(wide))
        layers = [replace(layer, extent=None) for layer in await at.service.layers([0], schema)]
        chosen = GenerateGeodatabaseParameters(extent=Envelope.parse("5e6,5e6,6e6,6e6,3857"))

        assert await estimate(at.service, layers, chosen, schema) == {0: 0}


@pytest.mark.parametrize("clause", ["no such field", "name = 'x", "name = 'a'; DROP TABLE x"])
async def test_a_clause_that_the_service_refuses_is_named(clause: str, tmp_path: Path) -> None:
    option = GenerateLayerOption(layer_id=0, where_clause=clause)
    async with waters(tmp_path) as at:
        with pytest.raises(BadParameterError, match=r"layer 0 \(Hydrants\)") as caught:
            await estimated(at, None, option)

    assert repr(clause) in caught.value.message
    assert "page" in caught.value.remedy


async def asked(reply: bytes, where: str, known: LayerSchema | None = None) -> dict[int, int]:
    async with HttpServer(reply) as server, Session() as session:
        return await estimate(
            FeatureService(server.origin, session),
            [known or layer()],
            parameters(GenerateLayerOption(layer_id=0, where_clause=where)),
            service(),
        )


@pytest.mark.parametrize(
    ("code", "kind"), [(498, AuthenticationError), (403, PermissionDeniedError)]
)
async def test_a_refusal_of_the_user_is_not_one_of_the_clause(
    code: int, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        await asked(json_answer({"error": {"code": code, "message": "x"}}), "a = 1")


async def test_a_refusal_without_a_clause_is_passed_on() -> None:
    with pytest.raises(ServiceRefusedError, match="Unable to perform"):
        await asked(json_answer({"error": {"code": 400, "message": "Unable to perform."}}), "")


@pytest.mark.parametrize(
    ("stated", "is_beside"),
    [
        (None, False),  # nobody knows
        (Envelope.parse("0,0,9,9"), False),
        (Envelope.parse("50,50,60,60"), True),
        (Envelope.parse("50,50,60,60,102100"), False),  # not to be compared
    ],
)
async def test_an_old_service_is_believed_what_its_resources_say(
    stated: Envelope | None, is_beside: bool
) -> None:
    reply = json_answer({"count": 0})
    known = replace(layer(), extent=stated)

    if is_beside:
        with pytest.raises(BadParameterError) as caught:
            await asked(reply, "", known)
        assert caught.value.remedy == "The data is in 50,50,60,60,4326"
    else:
        assert await asked(reply, "", known) == {0: 0}
