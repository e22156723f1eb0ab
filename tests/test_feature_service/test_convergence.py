"""Whatever happens, snapshot plus deltas is the snapshot of now."""

import random
from typing import Any

import pytest

from tests.feature_service import Profile

from .client import Client, layer_of
from .conftest import Serve
from .world import HYDRANTS, VISITS, Json, gid

Rows = dict[str, Json]

_SCOPE = {
    "layers": "0,3",
    "geometry": "0,0,1000,1000",
    "layerQueries": {"0": {"where": "serial < 6 OR name LIKE 'in%'"}},
    "returnAttachments": True,
}


class Copy:
    """What a plain client keeps: rows and attachments by GlobalID, for each layer."""

    def __init__(self, replica: Json) -> None:
        self.rows: dict[int, Rows] = {}
        self.attachments: Rows = {}
        for entry in replica["layers"]:
            self.rows[entry["id"]] = {
                one["attributes"]["GlobalID"]: one for one in entry["features"]
            }
            for one in entry.get("attachments", []):
                self.attachments[one["globalId"]] = one

    def apply(self, answer: Json) -> None:
        """Take a delta in."""
        for entry in answer.get("edits", []):
            rows = self.rows[entry["id"]]
            features = entry["features"]
            for one in features["adds"]:
                assert one["attributes"]["GlobalID"] not in rows
                rows[one["attributes"]["GlobalID"]] = one
            for one in features["updates"]:
                assert one["attributes"]["GlobalID"] in rows
                rows[one["attributes"]["GlobalID"]] = one
            for key in features["deleteIds"]:
                del rows[key]
            attachments = entry.get("attachments", {})
            for one in [*attachments.get("adds", []), *attachments.get("updates", [])]:
                self.attachments[one["globalId"]] = one
            for key in attachments.get("deleteIds", []):
                del self.attachments[key]
        alive = set(self.rows[HYDRANTS])
        self.attachments = {
            key: one for key, one in self.attachments.items() if one["parentGlobalId"] in alive
        }

    def forget_server_made(self) -> None:
        """Drop what a client cannot know about rows it made itself."""
        for rows in self.rows.values():
            for one in rows.values():
                for name in ("created_by", "created_at", "edited_by", "edited_at"):
                    one["attributes"].pop(name, None)


class Editor:
    """Makes edits at random, each of them valid when it is made."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._next = 100

    def features(self, known: list[str]) -> Json:
        """Adds, updates and deletes of hydrants."""
        draw = self._draw
        self._next += 1
        adds = [self._row(gid(self._next))] if draw.random() < 0.6 else []
        picked = draw.sample(known, min(len(known), 3))
        updates = [self._row(key) for key in picked[:2]]
        return {"adds": adds, "updates": updates, "deletes": picked[2:]}

    def visit(self, parents: list[str]) -> Json:
        """An add of a visit."""
        self._next += 1
        parent = self._draw.choice(parents)
        return {"attributes": {"GlobalID": gid(self._next), "hydrant": parent, "note": "n"}}

    def _row(self, key: str) -> Json:
        draw = self._draw
        return {
            "attributes": {
                "GlobalID": key,
                "serial": draw.randrange(12),
                "name": draw.choice(("in", "out", None)),
            },
            "geometry": {"x": draw.randrange(0, 2000, 100), "y": draw.randrange(0, 2000, 100)},
        }


async def _keys(client: Client) -> list[str]:
    found = await client.get("0/query", where="1=1", outFields="GlobalID", returnGeometry=False)
    return [one["attributes"]["GlobalID"] for one in found["features"]]


async def _step(client: Client, editor: Editor, draw: random.Random) -> None:
    """Somebody else edits."""
    keys = await _keys(client)
    features = editor.features(keys)
    edits = [{"id": HYDRANTS, **features}]
    left = [key for key in keys if key not in features["deletes"]]
    edits.append({"id": VISITS, "adds": [editor.visit(left)]})
    answer = await client.post("applyEdits", edits=edits, useGlobalIds=True)
    assert isinstance(answer, list), answer
    if draw.random() < 0.5:
        oid = draw.choice(await client.oids(HYDRANTS, "1=1"))
        await client.send_file(f"0/{oid}/addAttachment", "attachment", "a.png", b"a")


@pytest.mark.parametrize("seed", range(6))
async def test_deltas_when_others_edit_then_copy_equals_snapshot(serve: Serve, seed: int) -> None:
    client = await serve(Profile())
    draw = random.Random(seed)
    editor = Editor(draw)
    replica = await client.replica(**_SCOPE)
    copy = Copy(replica)
    generations = replica["layerServerGens"]

    for _ in range(8):
        for _ in range(draw.randrange(3)):
            await _step(client, editor, draw)
        answer = await client.sync(replica, syncLayers=generations, syncDirection="download")
        copy.apply(answer)
        generations = answer["layerServerGens"]

        now = Copy(await client.replica(replicaName="now", **_SCOPE))
        assert copy.rows == now.rows
        assert copy.attachments == now.attachments


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("echoes", [False, True])
async def test_deltas_when_both_edit_then_copy_equals_snapshot(
    serve: Serve, seed: int, echoes: bool
) -> None:
    client = await serve(Profile(echoes_own_edits=echoes))
    draw = random.Random(seed)
    editor = Editor(draw)
    scope = {**_SCOPE, "layerQueries": {"0": {"useGeometry": False}}}
    replica = await client.replica(**scope)
    copy = Copy(replica)
    generations = replica["layerServerGens"]

    for _ in range(6):
        for _ in range(draw.randrange(2)):
            await _step(client, editor, draw)
        mine = editor.features(await _keys(client))
        answer = await client.sync(
            replica,
            syncLayers=generations,
            edits=[{"id": HYDRANTS, "features": mine}],
            returnIdsForAdds=True,
        )
        results = layer_of(answer, HYDRANTS)
        if not echoes:
            _take_own(copy, mine, results)
        copy.apply(answer) if echoes else _apply_leniently(copy, answer)
        generations = answer["layerServerGens"]

        now = Copy(await client.replica(replicaName="now", **scope))
        copy.forget_server_made()
        now.forget_server_made()
        assert copy.rows == now.rows


def _take_own(copy: Copy, mine: Json, results: Json) -> None:
    """A client keeps its own edits and takes the ObjectIDs the server gave."""
    rows = copy.rows[HYDRANTS]
    for one, result in zip(mine["adds"], results["addResults"], strict=True):
        blank = dict.fromkeys(next(iter(rows.values()))["attributes"])
        defaults: Json = {"status": 1, "OBJECTID": result["objectId"]}
        attributes = {**blank, **defaults, **one["attributes"]}
        rows[one["attributes"]["GlobalID"]] = {**one, "attributes": attributes}
    for one in mine["updates"]:
        known = rows.get(one["attributes"]["GlobalID"])
        if known is not None:
            attributes = {**known["attributes"], **one["attributes"]}
            rows[one["attributes"]["GlobalID"]] = {**one, "attributes": attributes}
    for key in mine["deletes"]:
        rows.pop(key, None)
        visits = copy.rows[VISITS]
        for child in [k for k, one in visits.items() if one["attributes"]["hydrant"] == key]:
            del visits[child]


def _apply_leniently(copy: Copy, answer: Json) -> None:
    """Upsert and delete, whatever the copy holds."""
    for entry in answer.get("edits", []):
        rows = copy.rows[entry["id"]]
        for one in [*entry["features"]["adds"], *entry["features"]["updates"]]:
            rows[one["attributes"]["GlobalID"]] = one
        for key in entry["features"]["deleteIds"]:
            rows.pop(key, None)


async def test_delta_when_asked_from_every_generation_then_all_lead_to_now(serve: Serve) -> None:
    client = await serve(Profile())
    draw = random.Random(11)
    editor = Editor(draw)
    replica = await client.replica(**_SCOPE)
    past: list[tuple[Any, Copy]] = [(replica["layerServerGens"], Copy(replica))]
    for number in range(6):
        await _step(client, editor, draw)
        then = await client.replica(replicaName=f"then{number}", **_SCOPE)
        past.append((then["layerServerGens"], Copy(then)))

    now = Copy(await client.replica(replicaName="now", **_SCOPE))
    for generations, copy in past:
        copy.apply(await client.sync(replica, syncLayers=generations))
        assert copy.rows == now.rows
        assert copy.attachments == now.attachments
