"""The client of a feature service, against the reference service in every profile."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import (
    AuthenticationError,
    BadParameterError,
    LinkError,
    NotAFeatureServiceError,
    ProtocolError,
    ReplicaNotFoundError,
    ServiceRefusedError,
)
from engine.geodatabase.layer_table import layer_table
from engine.layer_schema import LayerSchema
from engine.model import SpatialReference
from engine.service.feature_service import FeatureService
from engine.service.feature_set import query_by_global_ids
from engine.sync.rows import codec_layer
from tests.engine.service.plain_reader import Section as S
from tests.engine.service.waters import Waters, gid, hydrant, waters
from tests.feature_service import Fault, FeatureServer, Profile, Security
from tests.test_feature_service.world import service_document, write_service, write_world

TOUCHED: dict[str, list[Any]] = {
    "result_member": ["URL", "responseUrl", "resultUrl"],
    "generations_in": ["both", "file", "envelope"],
    "completes_before_url": [False, True],
    "status_case": ["camel", "upper", "lower", "spaced"],
    "sync_models": ["both", "perLayer", "perReplica"],
    "supports_async": [False, True],
    "results_on_other_origin": [False, True],
    "results_place": ["layer", "features", "root", "none"],
    "guid_spelling": ["braces-upper", "braces-lower", "upper", "lower"],
    "job_polls": [0, 1, 5],
    "error_shape": ["documented", "bare"],
}
PROFILES = [
    *(pytest.param({n: v}, id=f"{n}={v}") for n, choices in TOUCHED.items() for v in choices),
    *(
        pytest.param({n: v, "supports_async": False}, id=f"{n}={v} at once")
        for n in ("result_member", "generations_in", "sync_models", "results_place")
        for v in TOUCHED[n]
    ),
]
HYDRANTS = [f"H{number}" for number in range(1, 10)]


Found = dict[str, tuple[Any, ...] | None]


async def by_global_ids(service: FeatureService, layer: LayerSchema, gids: list[str]) -> Found:
    codec = codec_layer(layer, layer_table(layer), 3857)
    return await query_by_global_ids(service, layer, codec, gids, SpatialReference.of(102100))


def names_in(found: Found) -> list[str]:
    return [
        next(cell for cell in row if str(cell).startswith("H")) for row in found.values() if row
    ]


async def whole_life(at: Waters) -> None:
    """Create a replica, send and fetch a change each, and unregister it."""
    made = await at.create()
    assert made.names(S.FEATURES) == HYDRANTS
    assert made.header.layer_ids == [0, 3]

    await at.add_hydrant(20)
    delta = await at.download(made)
    assert delta.names(S.ADDS, S.UPDATES) == ["H20"]

    submitted: list[str] = []

    async def note(status_url: str) -> None:
        submitted.append(status_url)

    edits = [{"id": 0, "features": {"adds": [hydrant(30)], "updates": [], "deletes": []}}]
    await at.service.upload_edits(
        at.sync_form(delta, "upload"),
        at.edits(edits),
        at.folder / "results.json",
        on_submitted=note,
    )
    assert len(submitted) == at.server.profile.supports_async

    layer = await at.layer(0)
    assert names_in(await by_global_ids(at.service, layer, [gid(30)])) == ["H30"]

    assert await at.service.has_replica(made.replica_id)
    await at.service.unregister_replica(made.replica_id)
    assert not await at.service.has_replica(made.replica_id)


@pytest.mark.parametrize("switches", PROFILES)
async def test_a_replica_lives_with_every_switch(switches: dict[str, Any], tmp_path: Path) -> None:
    async with waters(tmp_path, Profile(**switches)) as at:
        await whole_life(at)


@pytest.mark.parametrize("seed", range(12))
async def test_a_replica_lives_with_any_profile(seed: int, tmp_path: Path) -> None:
    profile = replace(Profile.random(seed), remints_global_ids=False)
    async with waters(tmp_path, profile) as at:
        await whole_life(at)


@pytest.mark.parametrize("transport", ["esriTransportTypeEmbedded", "esriTransportTypeUrl"])
async def test_data_may_come_in_the_answer(transport: str, tmp_path: Path) -> None:
    async with waters(tmp_path, Profile(supports_async=False)) as at:
        made = await at.create(transportType=transport)
        await at.add_hydrant(20)
        delta = await at.download(made, transportType=transport)

    assert made.names(S.FEATURES) == HYDRANTS
    assert delta.names(S.ADDS, S.UPDATES) == ["H20"]


async def test_no_changes_are_no_file(tmp_path: Path) -> None:
    async with waters(tmp_path) as at:
        made = await at.create()
        delta = await at.download(made)

    assert delta.header.counts == {}
    assert delta.generations == made.generations


async def test_statuses_of_a_job_are_told_once_each(tmp_path: Path) -> None:
    told: list[str] = []
    async with waters(tmp_path) as at:
        made = await at.create()
        form = at.sync_form(made, "download")
        await at.service.download_changes(form, tmp_path / "delta", told.append)

    assert told == ["Pending", "InProgress", "ImportChanges", "Completed"]


# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_failed_create_is_a_refusal(is_async: bool, tmp_path: Path) -> None:
    async with waters(tmp_path, Profile(supports_async=is_async)) as at:
        at.server.faults.add(Fault(kind="job-failed", operation="createReplica"))

        with pytest.raises(ServiceRefusedError, match="The job failed"):
            await at.create()

        assert await at.service.replicas() == []


@pytest.mark.parametrize("is_async", [False, True])
async def test_failed_edits_are_a_refusal(is_async: bool, tmp_path: Path) -> None:
    async with waters(tmp_path, Profile(supports_async=is_async)) as at:
        form = at.sync_form(await at.create(), "upload")
        at.server.faults.add(Fault(kind="job-failed", operation="synchronizeReplica"))

        with pytest.raises(ServiceRefusedError, match="The job failed"):
            await at.service.upload_edits(form, at.edits([]), tmp_path / "results")


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_expired_file_is_told_from_a_refusal(is_async: bool, tmp_path: Path) -> None:
    edits = [{"id": 0, "features": {"adds": [hydrant(30)]}}]
    async with waters(tmp_path, Profile(supports_async=is_async)) as at:
        form = at.sync_form(await at.create(), "upload")
        at.server.faults.add(Fault(kind="expired-result", operation="replicafiles"))

        with pytest.raises(ProtocolError, match=r"outcome .* cannot be had: .* HTTP 404"):
            await at.service.upload_edits(form, at.edits(edits), tmp_path / "results")

        assert await at.service.count(0, {"where": "name='H30'"}) == 1  # it was taken all the same


async def test_a_job_nobody_knows_any_more_is_no_refusal_of_the_edits(tmp_path: Path) -> None:
    form: dict[str, str] = {}

    async def forget(status_url: str) -> None:
        at.server.hosted("water").store.run("DELETE FROM job")

    async with waters(tmp_path) as at:
        form = at.sync_form(await at.create(), "upload")

        with pytest.raises(ProtocolError, match=r"outcome .* cannot be had: .*Job not found"):
            await at.service.upload_edits(
                form, at.edits([]), tmp_path / "results", on_submitted=forget
            )


async def test_a_truncated_file_is_found_by_who_reads_it(tmp_path: Path) -> None:
    async with waters(tmp_path) as at:
        at.server.faults.add(Fault(kind="truncated-result", operation="replicafiles", at_byte=400))

        with pytest.raises(ProtocolError):
            await at.create()


@pytest.mark.parametrize("kind", ["drop-after-commit", "drop-before-commit"])
async def test_a_lost_answer_of_create_is_not_asked_again(kind: Any, tmp_path: Path) -> None:
    async with waters(tmp_path) as at:
        at.server.faults.add(Fault(kind=kind, operation="createReplica"))

        with pytest.raises(LinkError):
            await at.create(replicaName="fieldsync-unit-1")

        assert at.server.log.count("createReplica") == 1
        listed = [name for name, _ in await at.service.replicas()]
        assert listed == (["fieldsync-unit-1"] if kind == "drop-after-commit" else [])


async def test_a_lost_answer_of_a_download_is_asked_again(tmp_path: Path) -> None:
    async with waters(tmp_path) as at:
        made = await at.create()
        await at.add_hydrant(20)
        at.server.faults.add(Fault(kind="drop-after-commit", operation="synchronizeReplica"))
        at.server.faults.add(Fault(kind="status", operation="jobs", status=503, skip=1))
        at.server.faults.add(Fault(kind="cut-response", operation="replicafiles", at_byte=100))

        delta = await at.download(made)

    assert delta.names(S.ADDS) == ["H20"]


async def test_lost_edits_are_not_sent_again(tmp_path: Path) -> None:
    async with waters(tmp_path) as at:
        form = at.sync_form(await at.create(), "upload")
        at.server.faults.add(Fault(kind="drop-after-commit", operation="synchronizeReplica"))
        at.server.faults.add(Fault(kind="drop-after-commit", operation="applyEdits"))

        with pytest.raises(LinkError):
            await at.service.upload_edits(form, at.edits([]), tmp_path / "results")
        with pytest.raises(LinkError):
            await at.service.apply_edits({}, at.edits([]))

        assert at.server.log.count("synchronizeReplica") == 1
        assert at.server.log.count("applyEdits") == 1


@pytest.mark.parametrize("code", [400, 404, 500])
async def test_a_replica_that_is_gone_is_a_refusal(code: Any, tmp_path: Path) -> None:
    async with waters(tmp_path, Profile(unknown_replica_code=code)) as at:
        made = await at.create()
        at.server.faults.add(Fault(kind="replica-unregistered", operation="synchronizeReplica"))

        with pytest.raises(ServiceRefusedError, match="does not exist"):
            await at.download(made)
        with pytest.raises(ReplicaNotFoundError):
            await at.service.unregister_replica(made.replica_id)


async def test_unregistering_survives_a_lost_answer(tmp_path: Path) -> None:
    async with waters(tmp_path) as at:
        made = await at.create()
        at.server.faults.add(Fault(kind="drop-after-commit", operation="unRegisterReplica"))

        with pytest.raises(ReplicaNotFoundError, match="has no replica"):
            await at.service.unregister_replica(made.replica_id)

        assert await at.service.replicas() == []


@pytest.mark.parametrize("replica_id", ["*", "", "mine"])
async def test_only_one_replica_is_ever_unregistered(replica_id: str, tmp_path: Path) -> None:
    async with waters(tmp_path) as at:
        await at.create()

        with pytest.raises(BadParameterError):
            await at.service.unregister_replica(replica_id)

        assert "unRegisterReplica" not in at.server.log


async def test_a_service_that_wants_a_token_says_so(tmp_path: Path) -> None:
    async with waters(tmp_path) as at:
        security = Security(users={"ann": "pw"})
        async with FeatureServer(write_world(tmp_path / "more"), security=security) as server:
            service = FeatureService(server.url("water"), at.service.session)

            with pytest.raises(AuthenticationError):
                await service.load()


# --- resources ------------------------------------------------------------------------------------


async def test_a_layer_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with waters(tmp_path) as at:
        with pytest.raises(BadParameterError, match="has no layer 7") as caught:
            await at.layer(7)

    assert caught.value.remedy == "Its layers are 0, 1, 2, 3"


@pytest.mark.parametrize("tail", ["/0", "/replicas", "/nothing", "/../MapServer"])
async def test_a_url_beside_the_service_is_none(tail: str, tmp_path: Path) -> None:
    async with waters(tmp_path) as at:
        service = FeatureService(at.service.url + tail, at.service.session)

        with pytest.raises(NotAFeatureServiceError, match="is no feature service"):
            await service.load()


@pytest.mark.parametrize(
    "url", ["ftp://h.org/FeatureServer", "h.org/FeatureServer", "https://me:s3cret@h.org/x", ""]
)
async def test_a_url_that_cannot_be_one_is_refused(url: str, tmp_path: Path) -> None:
    async with waters(tmp_path) as at:
        with pytest.raises(NotAFeatureServiceError) as caught:
            FeatureService(url, at.service.session)

    assert "s3cret" not in str(caught.value)


# --- rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [2, 5, 1000])
async def test_rows_are_asked_for_in_as_many_queries_as_it_takes(told: int, tmp_path: Path) -> None:
    document = service_document() | {"maxRecordCount": 2}
    write_service(tmp_path / "data" / "small", document, {0: [hydrant(n) for n in range(1, 10)]})
    async with waters(tmp_path / "other") as at, FeatureServer(tmp_path / "data") as server:
        service = FeatureService(server.url("small"), at.service.session)
        layer = await service.layer(0, await service.load())
        wanted = [gid(n) for n in range(1, 12)]  # two are not there

        found = await by_global_ids(service, replace(layer, max_record_count=told), wanted)

    assert sorted(names_in(found)) == HYDRANTS


@pytest.mark.parametrize("name", ["GlobalID_1", "select", "Größe", "global id", "a.b"])
async def test_the_field_of_the_global_ids_may_have_any_name(name: str, tmp_path: Path) -> None:
    document = service_document()
    layer_document = document["layers"][0] | {"relationships": [], "editFieldsInfo": None}
    layer_document["fields"] = [
        f | {"name": name} if f["name"] == "GlobalID" else f for f in layer_document["fields"]
    ]
    document |= {"layers": [layer_document], "tables": []}
    row = hydrant(1)
    row["attributes"][name] = row["attributes"].pop("GlobalID")
    write_service(tmp_path / "data" / "odd", document, {0: [row]})
    async with waters(tmp_path / "other") as at, FeatureServer(tmp_path / "data") as server:
        service = FeatureService(server.url("odd"), at.service.session)
        layer = await service.layer(0, await service.load())

        found = await by_global_ids(service, layer, [gid(1)])

    assert names_in(found) == ["H1"]


async def test_only_guids_are_asked_for(tmp_path: Path) -> None:
    async with waters(tmp_path) as at:
        layer = await at.layer(0)

        assert await by_global_ids(at.service, layer, ["x' OR '1'='1"]) == {}
        assert "query" not in at.server.log


async def test_a_clause_the_service_refuses_is_a_refusal(tmp_path: Path) -> None:
    async with waters(tmp_path) as at:
        assert await at.service.count(0, {"where": "serial > 4"}) == 5
        with pytest.raises(ServiceRefusedError, match="'where' clause is invalid"):
            await at.service.count(0, {"where": "no such field"})


async def test_an_extent_is_given_in_the_reference_that_is_asked_for(tmp_path: Path) -> None:
    async with waters(tmp_path) as at:
        extent = await at.service.extent(0, SpatialReference.of(4326))
        table = await at.service.extent(3, SpatialReference.of(4326))

    assert extent is not None
    assert (extent.xmin, extent.xmax) == pytest.approx((0.000898, 0.008085), abs=1e-5)
    assert table is None
