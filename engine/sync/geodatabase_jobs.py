"""The jobs that generate and sync one geodatabase; they can be made again after a restart."""

import copy
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from engine.clock import Clock, SystemClock
from engine.errors import EngineError
from engine.geodatabase import replica
from engine.geodatabase.geodatabase import Geodatabase
from engine.service.sign_in import Credentials
from engine.sync.generate import GeodatabaseGenerator
from engine.sync.geodatabase_sync import GeodatabaseSync, no_deltas
from engine.sync.job import Job
from engine.sync.job_json import check_kind, job_json, parameters_in, text_in
from engine.sync.parameters import GenerateGeodatabaseParameters, SyncGeodatabaseParameters
from engine.sync.results import GeodatabaseDeltaInfo, SyncGeodatabaseResult, SyncLayerResult


class GenerateGeodatabaseJob(Job[Path]):
    """Makes a geodatabase; its result is the path of the file."""

    kind = "generate_geodatabase"

    def __init__(self, generator: GeodatabaseGenerator, *, clock: Clock | None = None) -> None:
        super().__init__(clock=clock)
        self._generator = generator
        self._goes_on = False

    @property
    def parameters(self) -> GenerateGeodatabaseParameters:
        """A copy: those of the job cannot be changed any more."""
        return copy.deepcopy(self._generator.parameters)

    def to_json(self) -> dict[str, object]:
        return job_json(
            self.kind,
            self._generator.parameters,
            service_url=self._generator.url,
            path=str(self._generator.path),
        )

    @classmethod
    def from_json(
        cls,
        value: Mapping[str, object],
        *,
        credential: Credentials | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """The job that :meth:`to_json` told of, not started, to go on after a restart.

        If it had ended, and its file is there, it has nothing left to do.
        """
        check_kind(value, cls.kind)
        generator = GeodatabaseGenerator(
            text_in(value, "service_url"),
            parameters_in(value, GenerateGeodatabaseParameters),
            Path(text_in(value, "path")),
            credential=credential,
            clock=clock or SystemClock(),
        )
        job = cls(generator, clock=clock)
        job._goes_on = True
        return job

    async def _run(self) -> Path:
        if self._goes_on and await _is_made(self._generator):
            return self._generator.path
        await self._generator.run(self._narrator)
        return self._generator.path


class SyncGeodatabaseJob(Job[list[SyncLayerResult]]):
    """Syncs a geodatabase; its result has one entry for each layer and table.

    A path instead of an open geodatabase is opened for as long as the job runs.
    """

    kind = "sync_geodatabase"

    def __init__(
        self,
        geodatabase: Geodatabase | Path,
        parameters: SyncGeodatabaseParameters,
        *,
        credential: Credentials | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(clock=clock)
        self._geodatabase = geodatabase
        self._credential = credential
        self._parameters = copy.deepcopy(parameters)
        self.geodatabase_result: SyncGeodatabaseResult | None = None
        self._sync: GeodatabaseSync | None = None

    @property
    def geodatabase_delta_info(self) -> GeodatabaseDeltaInfo | None:
        """The deltas that were kept, also by a job that failed; None if none were to be kept."""
        if not self._parameters.keep_geodatabase_deltas or self._sync is None:
            return None
        result = self._sync.result
        info = None if result is None else result.delta_info
        return info or no_deltas(self._sync.geodatabase)

    @property
    def parameters(self) -> SyncGeodatabaseParameters:
        """A copy: those of the job cannot be changed any more."""
        return copy.deepcopy(self._parameters)

    def to_json(self) -> dict[str, object]:
        given = self._geodatabase
        path = given.path if isinstance(given, Geodatabase) else given
        return job_json(self.kind, self._parameters, path=str(path))

    @classmethod
    def from_json(
        cls,
        value: Mapping[str, object],
        *,
        credential: Credentials | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """The job that :meth:`to_json` told of, not started, to go on after a restart.

        It opens its geodatabase by itself, and goes on where the journal says.
        """
        check_kind(value, cls.kind)
        parameters = parameters_in(value, SyncGeodatabaseParameters)
        path = Path(text_in(value, "path"))
        return cls(path, parameters, credential=credential, clock=clock)

    async def _run(self) -> list[SyncLayerResult]:
        async with AsyncExitStack() as stack:
            geodatabase = self._geodatabase
            if isinstance(geodatabase, Path):
                geodatabase = await stack.enter_async_context(await Geodatabase.open(geodatabase))
            self._sync = GeodatabaseSync(
                geodatabase, self._parameters, credential=self._credential, clock=self._clock
            )
            self.geodatabase_result = await self._sync.run(self._narrator)
            return self.geodatabase_result.layer_results


async def _is_made(generator: GeodatabaseGenerator) -> bool:
    """Whether the file is there already, and what a run would make."""
    if not generator.path.exists():
        return False
    try:
        async with await Geodatabase.open(generator.path) as geodatabase:
            record = await geodatabase.database.read(replica.get_replica)
    except EngineError:
        return False  # the run will say that something else is in its place
    asked, extent = generator.parameters, generator.parameters.extent
    options = {option.layer_id: option.to_json() for option in asked.layer_options}
    return (
        record.service_url == generator.url
        and record.extent == (None if extent is None else extent.to_json())
        and record.sync_model is asked.sync_model
        and {layer.layer_id: layer.options for layer in record.layers if layer.options} == options
    )
