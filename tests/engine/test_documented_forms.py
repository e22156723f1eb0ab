"""Every documented answer of a feature service, through the part of the engine that reads it.

The forms in ``documented/`` are the examples of the ArcGIS REST API's own pages.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ServiceRefusedError
from engine.layer_schema import FieldType, LayerSchema
from engine.model import EditOperation as Op
from engine.service.answer import raise_error_in
from engine.service.feature_service import FeatureService
from engine.service.operation import _says_no_data, link, wait_for_job
from engine.service.replica_file import generations
from engine.service.session import Session
from engine.service.sign_in import _life_s
from engine.service.uploads import Uploads
from engine.sync.channels import EditAnswer
from engine.sync.edit_codes import remedy_of
from native.decoder import Rows, decode
from native.geometry import gpkg_to_esri_json
from native.layer import FIELD_TYPES, Column, Layer
from tests.engine.sync.sending import apply_edits, sending
from tests.fakes.clock import VirtualClock
from tests.fakes.http_server import HttpServer, json_answer

FORMS = Path(__file__).with_name("documented")
URL = "https://example.com/arcgis/rest/services/Trees/FeatureServer"


def form(name: str) -> Any:
    return json.loads((FORMS / f"{name}.json").read_text())


async def _answers(name: str, folder: Path) -> list[EditAnswer]:
    """What the channel reads of a layer's documented results, in the service's list of layers."""
    spool = folder / "spool"
    spool.write_text("[]")
    reply = json_answer([{"id": 0, **form(name)}])
    async with HttpServer(reply) as server, Session() as session:
        channel = apply_edits(session, server.origin)
        return list(await channel.send(sending(spool, folder / "target")))


async def test_results_of_edits_and_attachments(tmp_path: Path) -> None:
    found = await _answers("applyedits_response_mixed", tmp_path)

    assert [(a.is_attachment, a.operation, a.object_id) for a in found] == [
        (False, Op.ADD, 618),
        (False, Op.ADD, 619),
        (False, Op.UPDATE, 50),
        (False, Op.DELETE, 25),
        (False, Op.DELETE, 26),
        (True, Op.ADD, 500),
        (True, Op.ADD, 501),
        (True, Op.UPDATE, 600),
        (True, Op.DELETE, 800),
        (True, Op.DELETE, 801),
    ]
    assert all(a.success for a in found)
    # One is printed with a space before it, one in mixed letter case.
    assert found[-1].global_id == "{18F43B1C-2754-4D05-BCB0-C4643C331C29}"
    assert found[0].global_id == "{74100804-E229-49B8-8CDC-9B5D3EF03EDA}"


async def test_results_with_a_refused_edit(tmp_path: Path) -> None:
    refused, taken = await _answers("applyedits_partial_failure", tmp_path)

    assert (refused.success, refused.code, refused.object_id) == (False, 1019, 2)
    assert refused.description == "Violated attribute constraint rule. [Error No: -1 ]"
    assert (taken.success, taken.code, taken.object_id) == (True, None, 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("applyedits_error_rollback", "Violated attribute constraint rule"),
        ("error_not_supported", "Requested operation is not supported by this service"),
    ],
)
def test_error_object_is_a_refusal_that_quotes_it(name: str, words: str) -> None:
    with pytest.raises(ServiceRefusedError, match=words) as caught:
        raise_error_in(form(name), URL)

    assert caught.value.service_code == 400


def test_every_code_of_an_edit_has_a_remedy_of_its_own_or_the_general_one() -> None:
    codes = {int(code): meaning for code, meaning in form("editing_error_codes").items()}

    general = {code for code in codes if remedy_of(code) == remedy_of(None)}
    assert {codes[c] for c in general} == {
        "non-specific edit content error",
        "GlobalID missing",
        "GlobalID empty",
    }


def test_replica_file_and_job_are_found_where_an_answer_puts_them() -> None:
    file = link(form("createreplica_response_url"), URL, "resultUrl", "responseUrl", "URL")
    job = link(form("async_submit"), URL, "statusUrl")

    assert file.endswith("/replicafiles/600ccf2726d14bfebfcb8576b29edb6f.json")
    assert job.endswith("/FeatureServer/jobs/jf90d6386f7494cd59c024f749773fe7b")


# The list is printed without a separator between "Failed" and "ImportChanges".
_STATUSES = [
    word for text in form("async_status")["status"].strip("<>").split("|") for word in text.split()
]


@pytest.mark.parametrize("status", _STATUSES)
async def test_job_of_every_status(status: str, clock: VirtualClock) -> None:
    ends = {"Completed", "CompletedWithErrors", "Failed"}
    body = {**form("async_status"), "status": status, "resultUrl": "result.json"}
    replies = [json_answer(body)]
    if status not in ends:
        replies.append(json_answer({**body, "status": "Completed"}))
    async with HttpServer(*replies) as server, Session(clock=clock) as session:
        if status == "Failed":
            with pytest.raises(ServiceRefusedError):
                await wait_for_job(session, f"{server.origin}/job")
        else:
            answer = await wait_for_job(session, f"{server.origin}/job")
            assert answer["status"] == (status if status in ends else "Completed")


def test_generations_of_a_replica() -> None:
    example = form("replica_info")
    as_text = {**example, "layerServerGens": json.dumps(example["layerServerGens"])}

    assert generations(example) == (None, {0: 4})
    assert generations(as_text) == (None, {0: 4})
    assert generations(form("replica_info_syntax")) == (0, {0: 0})
    assert generations(form("extractchanges_extent_only")) == (None, {0: 1653614103746})


async def test_replicas_are_a_bare_list() -> None:
    async with HttpServer(json_answer(form("replicas_list"))) as server, Session() as session:
        service = FeatureService(f"{server.origin}/FeatureServer", session)

        assert await service.replicas() == [
            ("replicaName1", "replicaID1"),
            ("replicaName1", "replicaID2"),
        ]


async def test_unregistered_replica() -> None:
    replica = "{C4189175-B90F-4622-938B-BED34EACC7F6}"
    async with HttpServer(json_answer(form("unregister_response"))) as server, Session() as session:
        await FeatureService(f"{server.origin}/FeatureServer", session).unregister_replica(replica)

    assert server.requests[0].field("replicaID") == replica


def test_layer_with_subtypes() -> None:
    layer = LayerSchema.from_json(form("layer_subtypes_example"), {})

    assert (layer.id, layer.name) == (1, "FC1")
    assert {f.type for f in layer.fields} >= {FieldType.OID, FieldType.STRING}


def _rows(name: str, *fields: tuple[str, str]) -> list[tuple[Any, ...]]:
    columns = tuple(Column(name=n, type=FIELD_TYPES[t]) for n, t in fields)
    layer = Layer(id=0, columns=columns, geometry_type="esriGeometryPoint")
    events = decode(lambda: [(FORMS / f"{name}.json").read_bytes()], [layer], default_layer=0)
    return [row for event in events if isinstance(event, Rows) for row in event.rows]


def test_feature_set_of_a_query() -> None:
    fields = [(f["name"], f["type"]) for f in form("query_featureset")["fields"]]
    rows = _rows("query_featureset", *fields)

    assert len(rows) == len(form("query_featureset")["features"]) == 2
    assert rows[1][:3] == (3745685, "2010-04-25T15:42:22.999Z", 40.6)
    assert gpkg_to_esri_json(rows[1][-1]) == b'{"x":-72.86509999999993,"y":-37.48659999999995}'


def test_feature_set_of_geometries_alone() -> None:
    assert [gpkg_to_esri_json(row[-1]) for row in _rows("query_ex2")] == [
        b'{"x":237.17180000000008,"y":38.844700000000046}',
        b'{"x":242.89430000000004,"y":34.55920000000009}',
    ]


def test_every_kind_of_answer_is_told_to_have_data_or_none() -> None:
    kinds = form("response_types")

    without = {kind for kind in kinds if _says_no_data({"responseType": kind})}
    assert without == {k for k, meaning in kinds.items() if meaning.startswith("no edits")}


def test_feature_as_it_is_documented() -> None:
    layer = Layer(
        id=0,
        columns=tuple(
            Column(name=name, type=FIELD_TYPES[f"esriFieldType{kind}"])
            for name, kind in (("OWNER", "String"), ("VALUE", "Double"), ("LASTUPDATE", "Date"))
        ),
        geometry_type="esriGeometryPoint",
    )
    document = json.dumps({"features": [form("feature_object")]}).encode()

    (rows,) = (
        e for e in decode(lambda: [document], [layer], default_layer=0) if isinstance(e, Rows)
    )

    assert rows.rows[0][:3] == ("Joe Smith", 94820.37, "2008-11-26T01:39:11.096Z")


async def test_uploads_from_their_registration_to_the_item() -> None:
    forms = form("uploads")
    replies = [json_answer(forms[n]) for n in ("register_response", "commit_response")]
    replies += [json_answer(forms["item_resource"]), json_answer(forms["register_response"])]
    async with HttpServer(*replies) as server, Session() as session:
        uploads = Uploads(FeatureService(f"{server.origin}/FeatureServer", session))

        assert await uploads.register("edits.json") == "ib740c7bb-e5d0-4156-9cea-12fa7d3a472c"
        await uploads.commit("i912f0648-a455-4d08-ae95-44eb5b82de2e", 3)
        assert await uploads.is_committed("i912f0648-a455-4d08-ae95-44eb5b82de2e") is True
        assert await uploads.is_committed("ib740c7bb-e5d0-4156-9cea-12fa7d3a472c") is False

    assert server.requests[1].field("parts") == "1,2,3"


def test_token_lasts_until_it_expires() -> None:
    answer = form("generate_token_request")["response"]
    now = datetime.fromtimestamp(answer["expires"] / 1000 - 3600, UTC)

    assert _life_s(answer, now, 7200) == pytest.approx(3600)
