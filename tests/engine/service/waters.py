"""The reference service with a client of ours, for tests of the client."""

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.layer_schema import JsonObject, LayerSchema, ServiceSchema
from engine.service.feature_service import FeatureService
from engine.service.replica_file import generations
from engine.service.session import Session
from tests.engine.service.plain_reader import ReplicaHeader, Section, read_rows, scan
from tests.fakes.clock import VirtualClock
from tests.feature_service import FeatureServer, ManualClock, Profile, seeded_mint
from tests.test_feature_service.world import gid, hydrant, write_world

EVERYWHERE = "-100000,-100000,100000,100000"


@dataclass(slots=True)
class Waters:
    """The service ``water``: its server, and what a client needs."""

    server: FeatureServer
    service: FeatureService
    folder: Path
    clock: ManualClock

    async def schema(self) -> ServiceSchema:
        return await self.service.load()

    async def layer(self, layer_id: int) -> LayerSchema:
        return await self.service.layer(layer_id, await self.schema())

    async def create(self, **more: str) -> "Made":
        """A replica of hydrants and visits, of a model the service has."""
        offered = self.server.profile.sync_models
        form = {
            "replicaName": "mine",
            "layers": "0,3",
            "layerQueries": json.dumps({"3": {"queryOption": "all"}}),
            "geometry": EVERYWHERE,
            "transportType": "esriTransportTypeUrl",
            "syncModel": "perReplica" if offered == "both" else offered,
            "async": "true" if self.server.profile.supports_async else "false",
            **more,
        }
        target = self.folder / "replica.json"
        envelope = await self.service.create_replica(form, target)
        return Made(envelope, scan(target), target)

    def sync_form(self, made: "Made", direction: str, **more: str) -> dict[str, str]:
        server, layers = made.generations
        per_layer = [
            {"id": layer_id, "serverGen": generation, "syncDirection": direction}
            for layer_id, generation in layers.items()
        ]
        form = {
            "replicaID": made.replica_id,
            "syncDirection": direction,
            "transportType": "esriTransportTypeUrl",
            "async": "true" if self.server.profile.supports_async else "false",
            "returnIdsForAdds": "true",
        }
        if layers:
            form["syncLayers"] = json.dumps(per_layer)
        else:
            form["replicaServerGen"] = str(server)
        return form | more

    async def download(self, made: "Made", **more: str) -> "Made":
        target = self.folder / "delta.json"
        form = self.sync_form(made, "download", **more)
        fetched = await self.service.download_changes(form, target)
        return Made(fetched.envelope, scan(target), target)

    def edits(self, value: object) -> Path:
        path = self.folder / "edits.json"
        path.write_text(json.dumps(value))
        return path

    async def add_hydrant(self, number: int) -> None:
        """An edit by somebody else."""
        edits = self.edits([{"id": 0, "adds": [hydrant(number)]}])
        answer = await self.service.apply_edits({"useGlobalIds": "true"}, edits)
        assert answer[0]["addResults"][0]["success"], answer  # type: ignore[index]


@dataclass(slots=True)
class Made:
    """What createReplica or a download came to."""

    envelope: JsonObject
    header: ReplicaHeader
    path: Path

    @property
    def generations(self) -> tuple[int | None, dict[int, int]]:
        found = generations(self.header.members)
        return generations(self.envelope) if found == (None, {}) else found

    @property
    def replica_id(self) -> str:
        return str(self.header.members.get("replicaID") or self.envelope["replicaID"])

    def names(self, *sections: Section) -> list[Any]:
        """The names of the hydrants in those sections, sorted."""
        rows: list[Any] = [
            item.value
            for item in read_rows(self.path, self.header)
            if item.layer_id == 0 and item.section in sections
        ]
        return sorted(row["attributes"]["name"] for row in rows)


@asynccontextmanager
async def waters(folder: Path, profile: Profile | None = None) -> AsyncIterator[Waters]:
    """Serve the world, and a client of it whose pauses take no time."""
    data = write_world(folder / "data")
    clock, ours = ManualClock(), VirtualClock(autojump=True)
    async with (
        FeatureServer(data, profile=profile, clock=clock, mint=seeded_mint(7)) as server,
        Session(clock=ours, rng=random.Random(1)) as session,
    ):
        yield Waters(server, FeatureService(server.url("water"), session), folder, clock)
    ours.close()


__all__ = ["EVERYWHERE", "Made", "Waters", "gid", "hydrant", "waters"]
