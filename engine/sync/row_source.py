"""Where the first rows of a new geodatabase come from: a replica that its service makes for it.

Other sources, such as the packages of map areas, are made of the same parts: a file as
``createReplica`` writes it, the generations of its rows, and the replica they will be synced as.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from engine import faults
from engine.atomic import require_space
from engine.geodatabase.package_record import PackageRecord
from engine.layer_schema import JsonObject, LayerSchema, ServiceSchema
from engine.service.feature_service import FeatureService
from engine.service.replica_file import ReplicaHeader, generations, read_header
from engine.sync.job import Narrator
from engine.sync.parameters import GenerateGeodatabaseParameters
from engine.sync.replica_request import create_form, estimate, replica_id_of
from engine.sync.taking import Taking

EXPECTED_ROW_BYTES = 200  # of JSON; a point with a few attributes has that


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a geodatabase is made of. ``target`` is where the replica file goes, ``path`` where the
    geodatabase will be; ``taking`` is noted beside the file."""

    service: FeatureService
    schema: ServiceSchema
    layers: Sequence[LayerSchema]
    parameters: GenerateGeodatabaseParameters
    path: Path
    target: Path
    taking: Taking
    narrator: Narrator

    @property
    def replica_name(self) -> str:
        """The name of a replica that may be registered for it."""
        return self.taking.name

    def form(self) -> dict[str, str]:
        """The form of ``createReplica`` for it."""
        return create_form(self.parameters, self.schema, self.layers, self.replica_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRows:
    """A replica file that has come, and what is known of its rows.

    ``path`` is the file, ``replica_id`` the replica of this geodatabase, empty if it has none.
    ``package``: what is written down of the package they came in. ``needs_snapshot``: the replica
    cannot tell what has changed since, so the first sync fetches everything.
    """

    path: Path
    header: ReplicaHeader
    replica_id: str = ""
    replica_name: str = ""
    server_generation: int | None = None
    layer_generations: Mapping[int, int] = field(default_factory=dict)
    package: PackageRecord | None = None
    needs_snapshot: bool = False


class RowSource(Protocol):
    """Gives a geodatabase its first rows.

    ``goes_on``: whether :meth:`fetch` can go on with what a run that was killed had asked for.
    """

    goes_on: bool

    async def prepare(self, wanted: Wanted) -> None:
        """Find out whether they can be had, and whether there is room, before anything is made."""

    async def fetch(self, wanted: Wanted) -> FirstRows:
        """Get the file, and a replica if the geodatabase is to have one."""

    async def fetch_kept(self, wanted: Wanted) -> FirstRows | None:
        """The same, of a run that was killed; None if it must be asked for anew."""


class ServiceRows:
    """The rows come with the replica that the service makes for this geodatabase."""

    goes_on = True

    async def prepare(self, wanted: Wanted) -> None:
        counts = await estimate(wanted.service, wanted.layers, wanted.parameters, wanted.schema)
        expected = sum(counts.values())
        wanted.narrator.info(
            f"{wanted.schema.name}: about {expected} rows in {len(wanted.layers)} layers"
        )
        require_space(wanted.path, EXPECTED_ROW_BYTES * expected)

    async def fetch(self, wanted: Wanted) -> FirstRows:
        async def answered(answer: JsonObject) -> None:
            noted = replace(wanted.taking, answer=answer)
            await asyncio.to_thread(noted.write, wanted.target.parent)
            faults.point("replica.answered")

        envelope = await wanted.service.create_replica(
            wanted.form(),
            wanted.target,
            wanted.narrator.service_says,
            request=wanted.taking.request,
            on_answer=answered,
        )
        return await self._first(wanted, envelope)

    async def fetch_kept(self, wanted: Wanted) -> FirstRows | None:
        taking = wanted.taking
        if taking.answer is None:
            return None
        envelope = await wanted.service.created_replica(
            taking.answer, wanted.target, taking.request, wanted.narrator.service_says
        )
        return None if envelope is None else await self._first(wanted, envelope)

    async def _first(self, wanted: Wanted, envelope: JsonObject) -> FirstRows:
        service, target, name = wanted.service, wanted.target, wanted.replica_name
        require_space(wanted.path, target.stat().st_size)
        header = await asyncio.to_thread(read_header, target)
        replica_id = await replica_id_of(service, {**envelope, **header.members}, name)
        faults.point("replica.created")
        server, per_layer = generations(header.members)
        if server is None and not per_layer:
            server, per_layer = generations(envelope)
        return FirstRows(
            path=target,
            header=header,
            replica_id=replica_id,
            replica_name=str(
                header.members.get("replicaName") or envelope.get("replicaName") or name
            ),
            server_generation=server,
            layer_generations=per_layer,
        )
