"""Whatever one client edits directly and another by sync, both end with the same rows."""

import asyncio
import itertools
import tempfile
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from hypothesis import given, settings, strategies as st

from tests.feature_service import FeatureServer, ManualClock, Profile, seeded_mint
from tests.feature_service.guid import canonical

from .client import Client
from .world import HYDRANTS, Json, field, gid, hydrant, write_service

_KEYS = 12
_ROWS = 5

_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.none() | st.text("ab '%\\é", max_size=4),
        "status": st.sampled_from([1, 2, None, 9]),
        "serial": st.integers(-3, 3),
    },
)
_KEY = st.integers(1, _KEYS)
_POINT = st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9))
_EDIT = st.one_of(
    st.tuples(st.just("adds"), _KEY, _VALUES, _POINT),
    st.tuples(st.just("updates"), _KEY, _VALUES, _POINT),
    st.tuples(st.just("deletes"), _KEY, st.none(), st.none()),
)
_STEP = st.tuples(st.sampled_from(["direct", "sync"]), st.lists(_EDIT, max_size=4))


def _document() -> Json:
    status = {"type": "range", "name": "Status", "range": [1, 2]}
    return {
        "capabilities": "Create,Delete,Update,Editing,Query,Sync",
        "spatialReference": {"wkid": 3857},
        "layers": [
            {
                "id": HYDRANTS,
                "name": "Hydrants",
                "geometryType": "esriGeometryPoint",
                "fields": [
                    field("OBJECTID", "OID"),
                    field("GlobalID", "GlobalID"),
                    field("name", "String", length=20),
                    field("status", "SmallInteger", domain=status),
                    field("serial", "Integer", nullable=False, defaultValue=0),
                    field("pressure", "Double"),
                ],
            }
        ],
    }


def _edits(listed: list[tuple[str, int, Any, Any]]) -> Json:
    edits: Json = {"adds": [], "updates": [], "deletes": []}
    for kind, number, values, point in listed:
        if kind == "deletes":
            edits[kind].append(gid(number))
            continue
        feature: Json = {"attributes": {"GlobalID": gid(number), **values}}
        if point is not None:
            feature["geometry"] = {"x": float(point[0]), "y": float(point[1])}
        edits[kind].append(feature)
    return edits


class _Syncing:
    """A client that knows nothing but what its replica's downloads told it."""

    def __init__(self, client: Client, profile: Profile) -> None:
        self._client = client
        self._profile = profile
        self._model = "perReplica" if profile.sync_models == "perReplica" else "perLayer"
        self._replica: Json = {}
        self._generation = 0
        self.rows: dict[str, Json] = {}

    async def begin(self) -> None:
        """Take the replica."""
        self._replica = await self._client.replica(
            layers="0", layerQueries={"0": {"queryOption": "all"}}, syncModel=self._model
        )
        self._remember(self._replica)
        self._put(self._replica["layers"][0]["features"])

    async def sync(self, edits: Json | None) -> None:
        """Send edits and take what has changed; a refused call is one without edits."""
        sent = [] if edits is None else [{"id": HYDRANTS, "features": edits}]
        answer = await self._call(sent, "bidirectional")
        if "error" in answer:
            assert sent, answer
            answer = await self._call([], "download")
        self._take(answer)
        if edits is not None and not self._profile.echoes_own_edits:
            await self._read_back(edits)

    async def _read_back(self, edits: Json) -> None:
        """Look at the rows it edited, which the deltas leave out."""
        features = edits["adds"] + edits["updates"]
        keys = [*edits["deletes"], *(one["attributes"]["GlobalID"] for one in features)]
        for key in keys:
            self.rows.pop(key, None)
        if keys:
            found = await self._client.post("0/query", globalIds=keys, outFields="*")
            self._put(found["features"])

    async def take_all(self) -> None:
        """Take a snapshot, which shows even rows whose GlobalID the service made anew."""
        answer = await self._call([], "snapshot")
        self.rows.clear()
        self._put(answer["layers"][0]["features"])
        self._remember(answer)

    async def _call(self, edits: list[Json], direction: str) -> Json:
        fields: Json = {"edits": edits, "syncDirection": direction, "returnIdsForAdds": True}
        if self._model == "perReplica":
            fields["replicaServerGen"] = self._generation
        else:
            fields["syncLayers"] = [{"id": HYDRANTS, "serverGen": self._generation}]
        return await self._client.sync(self._replica, **fields)

    def _take(self, answer: Json) -> None:
        for entry in answer.get("edits", []):
            features = entry["features"]
            self._put(features["adds"] + features["updates"])
            for key in features[self._profile.deletes_member]:
                if isinstance(key, int):
                    key = next((k for k, row in self.rows.items() if row["oid"] == key), None)
                self.rows.pop(canonical(key) or "", None)
        self._remember(answer)

    def _remember(self, answer: Json) -> None:
        if self._model == "perReplica":
            self._generation = answer["replicaServerGen"]
        else:
            self._generation = answer["layerServerGens"][0]["serverGen"]

    def _put(self, features: list[Json]) -> None:
        self.rows |= dict(_row(feature) for feature in features)


def _row(feature: Json) -> tuple[str, Json]:
    attributes = dict(feature["attributes"])
    key = canonical(attributes.pop("GlobalID")) or ""
    return key, {"oid": attributes.pop("OBJECTID"), "at": feature["geometry"], **attributes}


async def _queried(client: Client) -> dict[str, Json]:
    found = await client.post("0/query", where="1=1", outFields="*")
    return dict(_row(feature) for feature in found["features"])


async def _live(folder: Path, seed: int, steps: list[Any]) -> None:
    rows = [hydrant(number) for number in range(1, _ROWS + 1)]
    write_service(folder / "s", _document(), {HYDRANTS: rows})
    profile = Profile.random(seed)
    server = FeatureServer(folder, profile=profile, clock=ManualClock(), mint=seeded_mint(seed))
    async with server, ClientSession() as session:
        client = Client(session, server.url("s"))
        syncing, watching = _Syncing(client, profile), _Syncing(client, profile)
        await syncing.begin()
        await watching.begin()
        for (how, listed), rolls_back in zip(steps, itertools.cycle([True, False]), strict=False):
            edits = _edits(listed)
            if how == "sync":
                await syncing.sync(edits)
            else:
                await client.post(
                    "0/applyEdits", useGlobalIds=True, rollbackOnFailure=rolls_back, **edits
                )
        await syncing.sync(None)
        await watching.sync(None)

        truth = await _queried(client)
        assert watching.rows == truth
        if profile.echoes_own_edits or not profile.remints_global_ids:
            assert syncing.rows == truth
        await syncing.take_all()
        assert syncing.rows == truth


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 10_000), steps=st.lists(_STEP, min_size=1, max_size=8))
def test_rows_when_one_edits_directly_and_one_by_sync_then_all_see_the_same(
    seed: int, steps: list[Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_live(Path(folder), seed, steps))
