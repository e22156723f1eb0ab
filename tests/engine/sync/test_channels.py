"""The two ways up: the exact bytes that are sent, and what is read from every shape of answer."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from engine.model import EditOperation as Op, SyncModel
from engine.service.feature_service import FeatureService
from engine.service.session import Session
from engine.sync.channels import (
    ApplyEditsChannel,
    AttachmentData,
    Channel,
    LayerEdits,
    SynchronizeReplicaChannel,
)
from tests.engine.geodatabase.schemas import URL, service
from tests.engine.service.waters import gid, hydrant, waters
from tests.engine.sync.sending import apply_edits, ignore, synchronize
from tests.fakes.http_server import HttpServer, answer, json_answer
from tests.feature_service import Profile

A, B, C = "{A}", "{B}", "{C}"


@pytest.fixture
def session() -> Session:
    """One that is never opened: only what is written is looked at."""
    return Session()


def photo(*chunks: bytes, **metadata: object) -> AttachmentData:
    return AttachmentData(metadata=metadata, chunks=lambda: iter(chunks))


def wire(channel: Channel, *edits: LayerEdits) -> str:
    stream = io.BytesIO()
    channel.write(stream, edits)
    return stream.getvalue().decode()


# --- what is sent ---------------------------------------------------------------------------------

EVERYTHING = (
    LayerEdits(
        layer_id=0,
        adds=[{"attributes": {"GlobalID": A, "n": 0.1}, "geometry": {"x": -0.0, "y": 1e300}}],
        updates=[{"attributes": {"GlobalID": B, "t": 'é😀"\\\n', "when": -2208988800000}}],
        deletes=[C],
        attachment_adds=[photo(b"\x00\x01", b"\x02\xff", globalId=A, name="a.png")],
        attachment_updates=[photo(globalId=B)],
        attachment_deletes=[C],
    ),
    LayerEdits(layer_id=12, updates=[{"attributes": {"GlobalID": A, "big": 2**63 - 1}}]),
    LayerEdits(layer_id=13, attachment_deletes=[A, B]),
)
FEATURES = (
    '"adds":[{"attributes":{"GlobalID":"{A}","n":0.1},"geometry":{"x":-0.0,"y":1e+300}}],'
    '"updates":[{"attributes":{"GlobalID":"{B}","t":"é😀\\"\\\\\\n","when":-2208988800000}}],'
    '"deletes":["{C}"]'
)
ATTACHMENTS = (
    '"attachments":{"adds":[{"globalId":"{A}","name":"a.png","data":"AAEC/w=="}],'
    '"updates":[{"globalId":"{B}","data":""}],"deletes":["{C}"]}'
)
BIG = (
    '"adds":[],"updates":[{"attributes":{"GlobalID":"{A}","big":9223372036854775807}}],"deletes":[]'
)
GONE = '{"id":13,"attachments":{"adds":[],"updates":[],"deletes":["{A}","{B}"]}}'


def test_the_bytes_of_apply_edits(session: Session) -> None:
    assert wire(apply_edits(session), *EVERYTHING) == (
        f'[{{"id":0,{FEATURES},{ATTACHMENTS}}},{{"id":12,{BIG}}},{GONE}]'
    )


def test_the_bytes_of_synchronize_replica(session: Session) -> None:
    assert wire(synchronize(session), *EVERYTHING) == (
        f'[{{"id":0,"features":{{{FEATURES}}},{ATTACHMENTS}}},'
        f'{{"id":12,"features":{{{BIG}}}}},{GONE}]'
    )


@pytest.mark.parametrize("make", [apply_edits, synchronize])
def test_nothing_is_an_empty_list(make: Any, session: Session) -> None:
    assert wire(make(session)) == "[]"
    assert wire(make(session), LayerEdits(layer_id=3)) == '[{"id":3}]'


def test_an_attachment_without_metadata_is_still_json(session: Session) -> None:
    edits = LayerEdits(layer_id=0, attachment_adds=[photo(b"a")])

    assert json.loads(wire(apply_edits(session), edits))[0]["attachments"]["adds"] == [
        {"data": "YQ=="}
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_json_cannot_say_is_never_written(value: float, session: Session) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        wire(apply_edits(session), LayerEdits(layer_id=0, adds=[{"n": value}]))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.binary(max_size=20), max_size=8))
def test_data_is_joined_across_chunks_of_any_length(chunks: list[bytes]) -> None:
    channel = ApplyEditsChannel(FeatureService(URL, Session()))
    stream = io.BytesIO()
    channel.write(stream, [LayerEdits(layer_id=0, attachment_adds=[photo(*chunks, name="a")])])

    (sent,) = json.loads(stream.getvalue())[0]["attachments"]["adds"]
    assert base64.b64decode(sent["data"], validate=True) == b"".join(chunks)


def test_data_is_encoded_as_it_is_read(session: Session) -> None:
    written: list[int] = []

    class Stream(io.BytesIO):
        def write(self, data: Any) -> int:
            written.append(len(data))
            return len(data)

    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(3000)

    edits = LayerEdits(
        layer_id=0, attachment_adds=[AttachmentData(metadata={"n": 1}, chunks=chunks)]
    )
    apply_edits(session).write(Stream(), [edits])

    assert sum(written) > 400_000
    assert max(written) == 4000


@pytest.mark.parametrize(
    "number", [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 123456789.12345679, 1e22, 1e-7]
)
def test_doubles_are_exact(number: float, session: Session) -> None:
    text = wire(apply_edits(session), LayerEdits(layer_id=0, adds=[{"n": number}]))

    assert repr(json.loads(text)[0]["adds"][0]["n"]) == repr(number)


async def forms(channel_of: Any, folder: Path, reply: bytes, **options: Any) -> dict[str, str]:
    """The form that a channel sends."""
    spool = folder / "spool"
    spool.write_text('[{"id":0}]')
    async with HttpServer(reply) as server, Session() as session:
        channel = channel_of(session, server.origin, **options)
        await channel.send(spool, folder / "target", rollback=False, submitted=ignore)
        body = server.requests[0].body.decode()
    names = [part.partition('"')[0] for part in body.split('name="')[1:]]
    return {name: server.requests[0].field(name) for name in names}


NO_EDITS = json_answer({"responseType": "esriReplicaResponseTypeNoEdits"})


async def test_the_form_of_apply_edits(tmp_path: Path) -> None:
    assert await forms(apply_edits, tmp_path, answer("[]")) == {
        "useGlobalIds": "true",
        "rollbackOnFailure": "false",
        "returnEditResults": "true",
        "f": "json",
        "edits": '[{"id":0}]',
    }


async def test_the_form_of_a_replica_with_one_generation(tmp_path: Path) -> None:
    assert await forms(synchronize, tmp_path, NO_EDITS) == {
        "replicaID": "{R}",
        "syncDirection": "upload",
        "transportType": "esriTransportTypeUrl",
        "dataFormat": "json",
        "returnIdsForAdds": "true",
        "async": "false",
        "f": "json",
        "edits": '[{"id":0}]',
    }


async def test_the_form_of_a_replica_with_a_generation_per_layer(tmp_path: Path) -> None:
    able = service(syncCapabilities={"supportsAsync": True, "supportsRollbackOnFailure": True})

    form = await forms(
        synchronize, tmp_path, NO_EDITS, schema=able, model=SyncModel.PER_LAYER, _0=5, _3=2**53
    )

    assert form["async"] == "true"
    assert form["rollbackOnFailure"] == "false"
    assert json.loads(form["syncLayers"]) == [
        {"id": 0, "serverGen": 5, "syncDirection": "upload"},
        {"id": 3, "serverGen": 2**53, "syncDirection": "upload"},
    ]


# --- against the reference service ----------------------------------------------------------------


@pytest.mark.parametrize("place", ["layer", "features", "root"])
@pytest.mark.parametrize("spelling", ["braces-upper", "lower"])
async def test_the_service_takes_what_is_written(place: Any, spelling: Any, tmp_path: Path) -> None:
    profile = Profile(results_place=place, guid_spelling=spelling)
    async with waters(tmp_path, profile) as at:
        made = await at.create(attachmentsSyncDirection="upload")
        server, layers = made.generations
        channels = [
            ApplyEditsChannel(at.service),
            SynchronizeReplicaChannel(
                at.service,
                await at.schema(),
                replica_id=made.replica_id,
                sync_model=SyncModel.PER_LAYER if server is None else SyncModel.PER_REPLICA,
                generations=layers,
            ),
        ]
        for number, channel in enumerate(channels):
            picture = photo(
                b"\x89PNG",
                b"\x00" * 7,
                globalId=gid(60 + number),
                parentGlobalId=gid(20 + number),
                name="p.png",
                contentType="image/png",
            )
            edits = LayerEdits(
                layer_id=0,
                adds=[hydrant(20 + number)],
                updates=[{"attributes": {"GlobalID": gid(2 + number), "name": "new"}}],
                deletes=[gid(8 + number), gid(99)],
                attachment_adds=[picture],
            )
            spool = tmp_path / "spool"
            with spool.open("wb") as stream:
                channel.write(stream, [edits])

            found = await channel.send(spool, tmp_path / "target", rollback=False, submitted=ignore)

            assert {(a.is_attachment, a.operation, a.global_id, a.success) for a in found} == {
                (False, Op.ADD, gid(20 + number), True),
                (False, Op.UPDATE, gid(2 + number), True),
                (False, Op.DELETE, gid(8 + number), True),
                (False, Op.DELETE, gid(99), False),
                (True, Op.ADD, gid(60 + number), True),
            }
            assert await at.service.count(0, {"where": "name='new'"}) == 1 + number
