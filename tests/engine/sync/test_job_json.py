"""Jobs as JSON: made again they do the same, and go on where their journal says."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from engine import faults
from engine.errors import BadParameterError, EngineError, LinkError
from engine.maps.offline_map_parameters import (
    GenerateOfflineMapParameterOverrides,
    GenerateOfflineMapParameters,
)
from engine.model import Envelope, JobStatus, SpatialReference, SyncDirection, SyncModel
from engine.sync.delta_push import PushDeltaJob
from engine.sync.geodatabase_jobs import GenerateGeodatabaseJob, SyncGeodatabaseJob
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.job_json import job_json, parameters_in
from engine.sync.parameters import (
    GenerateGeodatabaseParameters,
    OfflineMapSyncParameters,
    PushChannel,
    SyncGeodatabaseParameters,
)
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, changed, gid
from tests.feature_service import Fault

PARAMETERS = (
    GenerateGeodatabaseParameters,
    GenerateOfflineMapParameterOverrides,
    GenerateOfflineMapParameters,
    OfflineMapSyncParameters,
    SyncGeodatabaseParameters,
)
AREA = Envelope.parse("1,2.5,3,4,3857")


def values(kind: Any) -> Iterator[Any]:
    """Values of a type, the last one not its default."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        yield None
        yield from values(arguments[0])
    elif origin is list:
        yield []
        yield [list(values(arguments[0]))[-1]]
    elif origin is dict:
        yield {"https://gis.example.org/a b": list(values(arguments[1]))[-1]}
    elif kind is Envelope:
        yield AREA
    elif kind is SpatialReference:
        yield SpatialReference.of(102100)
        yield SpatialReference.from_json({"wkt": "GEOGCS[]"})
    elif is_dataclass(kind):
        hints = get_type_hints(kind)
        make: Any = kind
        yield make(**{f.name: list(values(hints[f.name]))[-1] for f in fields(kind)})
    elif issubclass(kind, Enum):
        yield from kind
    elif kind is bool:
        yield from (True, False)
    elif kind is int:
        yield 7
    else:
        assert kind is str, kind
        yield "STATE='ÜT' \\ \""


@pytest.mark.parametrize("kind", PARAMETERS)
def test_every_member_of_the_parameters_comes_back(kind: type) -> None:
    hints = get_type_hints(kind)
    (whole,) = values(kind)
    for field in fields(kind):
        for value in values(hints[field.name]):
            setattr(whole, field.name, value)

            text = json.dumps(job_json("k", whole), allow_nan=False)

            assert parameters_in(json.loads(text), kind) == whole


@pytest.mark.parametrize("kind", [GenerateGeodatabaseParameters, SyncGeodatabaseParameters])
def test_members_that_are_missing_have_their_defaults(kind: type) -> None:
    assert parameters_in({"parameters": {}}, kind) == kind()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "parameters of a job cannot be None"),
        ([], "cannot be"),
        ({"layer_options": {}}, "layer_options of a job cannot be"),
        ({"layer_options": [{"layer_id": "1"}]}, "layer_id of a job cannot be '1'"),
        ({"layer_options": [{}]}, "cannot be"),
        ({"extent": {"xmin": 1}}, "extent of a job cannot be"),
        ({"sync_model": "PER_MOON"}, "sync_model of a job cannot be 'PER_MOON'"),
        ({"sync_model": 1}, "cannot be 1"),
        ({"return_attachments": 1}, "cannot be 1"),
        ({"return_attachment": True}, "unknown member return_attachment"),
    ],
)
def test_parameters_that_cannot_be_are_refused(value: object, says: str) -> None:
    with pytest.raises(BadParameterError) as caught:
        parameters_in({"parameters": value}, GenerateGeodatabaseParameters)

    assert says in str(caught.value)


# --- jobs -----------------------------------------------------------------------------------------


def again(value: dict[str, object]) -> dict[str, object]:
    """The same after it was kept as text."""
    copy: dict[str, object] = json.loads(json.dumps(value))
    return copy


async def generate_job(device: Device) -> GenerateGeodatabaseJob:
    async with GeodatabaseSyncTask(device.url, clock=device.clock) as task:
        parameters = await task.create_default_generate_geodatabase_parameters(None)
        return task.create_generate_geodatabase_job(parameters, device.path)


async def sync_job(device: Device, **changes: object) -> SyncGeodatabaseJob:
    parameters = SyncGeodatabaseParameters(push_channel=device.parameters.push_channel)
    changed(parameters, changes)
    async with device.open() as geodatabase, GeodatabaseSyncTask(device.url) as task:
        return task.create_sync_geodatabase_job(parameters, geodatabase)


async def edit(device: Device, name: str) -> None:
    async with device.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(1), {"name": name})


async def test_a_take_made_again_takes_the_same(world: Fleet) -> None:
    device = Device(world.url, world.folder / "A.gpkg", SyncModel.PER_REPLICA)
    first = await generate_job(device)
    job = GenerateGeodatabaseJob.from_json(again(first.to_json()), clock=device.clock)
    assert job.status is JobStatus.NOT_STARTED
    assert job.parameters == first.parameters
    assert job.to_json() == first.to_json()

    job.start()

    assert await job.result() == device.path
    world.devices["A"] = device
    await world.assert_agreed()


async def test_a_take_that_had_ended_has_nothing_left_to_do(world: Fleet) -> None:
    device = Device(world.url, world.folder / "A.gpkg", SyncModel.PER_REPLICA)
    first = await generate_job(device)
    first.start()
    await first.result()
    calls = len(world.server.log)

    job = GenerateGeodatabaseJob.from_json(again(first.to_json()), clock=device.clock)
    job.start()

    assert await job.result() == device.path
    assert len(world.server.log) == calls


@pytest.mark.parametrize("other", ["another take", "another file"])
async def test_a_take_made_again_does_not_take_another_file_for_its_own(
    world: Fleet, other: str
) -> None:
    device = Device(world.url, world.folder / "A.gpkg", SyncModel.PER_REPLICA)
    value = (await generate_job(device)).to_json()
    if other == "another take":
        parameters = parameters_in(value, GenerateGeodatabaseParameters)
        parameters.layer_options = parameters.layer_options[:1]
        await device.take(parameters)
    else:
        device.path.write_text("mine")

    job = GenerateGeodatabaseJob.from_json(again(value), clock=device.clock)
    job.start()

    with pytest.raises(BadParameterError, match="already exists"):
        await job.result()


async def test_a_sync_made_again_opens_its_geodatabase_and_does_the_same(world: Fleet) -> None:
    device = await world.device("A")
    await edit(device, "mine")
    first = await sync_job(device, geodatabase_sync_direction=SyncDirection.UPLOAD)
    job = SyncGeodatabaseJob.from_json(again(first.to_json()), clock=device.clock)
    assert job.parameters == first.parameters
    assert job.to_json() == first.to_json()

    job.start()
    await job.result()

    assert (await world.rows())[HYDRANTS][gid(1)]["name"] == "mine"
    assert (await device.rows())[HYDRANTS][gid(1)]["name"] == "mine"


async def test_a_sync_whose_answer_was_lost_is_found_out_by_the_job_made_again(
    world: Fleet,
) -> None:
    device = await world.device("A")
    await edit(device, "mine")
    first = await sync_job(device)
    value = again(first.to_json())

    def dies(point: str) -> None:
        if point == "batch.sending":
            world.server.faults.add(Fault(kind="drop-after-commit", operation="applyEdits"))
            world.server.faults.add(Fault(kind="drop-before-commit", skip=1, times=0))

    broken = SyncGeodatabaseJob.from_json(value, clock=device.clock)
    with faults.armed(dies):
        broken.start()
        with pytest.raises(LinkError):
            await broken.result()
    world.server.faults.clear()

    job = SyncGeodatabaseJob.from_json(value, clock=device.clock)
    job.start()
    await job.result()

    assert world.server.log.count("applyEdits") == 1
    await world.assert_agreed()


@pytest.mark.parametrize("url", [None, "https://gis.example.org/FeatureServer"])
def test_a_push_of_a_file_comes_back(url: str | None) -> None:
    channel = PushChannel.SYNCHRONIZE_REPLICA
    first = PushDeltaJob(Path("a.delta"), Path("b.delta"), url=url, push_channel=channel)

    value = again(first.to_json())

    assert PushDeltaJob.from_json(value).to_json() == value
    assert value["parameters"] == {"push_channel": "SYNCHRONIZE_REPLICA"}
    assert value.get("service_url") == url


async def test_a_push_that_a_task_makes_goes_to_its_service() -> None:
    url = "https://gis.example.org/arcgis/rest/services/Trees/FeatureServer"
    async with GeodatabaseSyncTask(url) as task:
        job = task.create_push_delta_job("a.delta", "b.delta")

    assert job.to_json() == PushDeltaJob(Path("a.delta"), Path("b.delta"), url=url).to_json()


async def test_a_geodatabase_that_is_gone_is_the_jobs_error(world: Fleet) -> None:
    value = job_json(
        "sync_geodatabase", SyncGeodatabaseParameters(), path=str(world.folder / "none.gpkg")
    )

    job = SyncGeodatabaseJob.from_json(value)
    job.start()

    with pytest.raises(EngineError, match=r"none\.gpkg"):
        await job.result()


@pytest.mark.parametrize("kind", [GenerateGeodatabaseJob, SyncGeodatabaseJob])
@pytest.mark.parametrize(
    "value",
    [
        {},
        {"kind": "job", "format": 1},
        {"kind": "generate_geodatabase", "format": 2},
        {"kind": "sync_geodatabase", "format": 1},
        {"kind": "sync_geodatabase", "format": 1, "parameters": {}, "path": ""},
        {"kind": "generate_geodatabase", "format": 1, "parameters": {}, "path": "x"},
        [],
        None,
    ],
)
def test_what_is_no_such_job_is_refused(
    kind: type[GenerateGeodatabaseJob | SyncGeodatabaseJob], value: Any
) -> None:
    with pytest.raises(BadParameterError):
        kind.from_json(value)


async def test_the_parameters_of_a_job_cannot_be_changed(world: Fleet) -> None:
    device = await world.device("A")
    syncing = await sync_job(device)
    generating = await generate_job(device)
    told = (syncing.to_json(), generating.to_json())

    syncing.parameters.geodatabase_sync_direction = SyncDirection.NONE
    generating.parameters.layer_options.clear()
    with pytest.raises(AttributeError):
        syncing.parameters = SyncGeodatabaseParameters()  # type: ignore[misc]  # is the point

    assert (syncing.to_json(), generating.to_json()) == told
