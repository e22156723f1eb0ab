"""One sync of one geodatabase that is kept current by packages: new features up, packages down."""

from collections.abc import Iterator
from dataclasses import replace

from engine.clock import Clock
from engine.errors import EngineError
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.package_record import note_sending, note_sent, sent_up_to
from engine.maps.package_update import PackageUpdate, has_unsent
from engine.model import PreplannedScheduledUpdatesOption, PreplannedUpdateMode, SyncDirection
from engine.service.feature_service import FeatureService
from engine.service.replica_file import generations
from engine.service.session import Session
from engine.sync.geodatabase_sync import GeodatabaseSync
from engine.sync.job import Narrator
from engine.sync.parameters import SyncGeodatabaseParameters
from engine.sync.results import SyncGeodatabaseResult, SyncLayerResult, SyncTotals

_SENDS_NEW = PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES_AND_UPLOAD_NEW_FEATURES


class ScheduledSync:
    """Sends new features where the update mode has it so, then applies what the package has.

    The direction in ``parameters`` does not apply: it is for geodatabases that sync with their
    service ("OfflineMapSyncParameters" of the ArcGIS Maps SDK). ``result`` tells of a sync that
    failed, too.
    """

    def __init__(
        self,
        geodatabase: Geodatabase,
        parameters: SyncGeodatabaseParameters,
        option: PreplannedScheduledUpdatesOption,
        *,
        clock: Clock,
    ) -> None:
        self._geodatabase = geodatabase
        self._parameters = parameters
        self._option = option
        self._clock = clock
        self.result: SyncGeodatabaseResult | None = None

    async def run(self, narrator: Narrator, session: Session) -> SyncGeodatabaseResult:
        """Sync. What could not be sent does not keep updates away, but all of a package at once:
        then :exc:`~engine.errors.UploadRequired`, which says why they were not sent."""
        start = self._clock.monotonic()
        sent, received = session.sent_bytes, session.received_bytes
        result = self.result = self._empty_result()
        try:
            failure = await self._send(result, narrator.part(0, 40), session)
            if self._option is PreplannedScheduledUpdatesOption.DOWNLOAD_ALL_UPDATES:
                await self._update(result, narrator.part(40, 99), session, failure)
            if failure is not None:
                raise failure
            await self._geodatabase.note_sync()
        except EngineError as error:
            result.error = error
            raise
        finally:
            result.totals = SyncTotals(
                sent_bytes=session.sent_bytes - sent,
                received_bytes=session.received_bytes - received,
                seconds=self._clock.monotonic() - start,
            )
        return result

    def _empty_result(self) -> SyncGeodatabaseResult:
        return SyncGeodatabaseResult(
            geodatabase_path=self._geodatabase.path,
            layer_results=[
                SyncLayerResult(layer_id=table.layer_id, table_name=table.table_name)
                for table in self._geodatabase.feature_tables
            ],
        )

    async def _send(
        self, result: SyncGeodatabaseResult, narrator: Narrator, session: Session
    ) -> EngineError | None:
        """Send new features; why that could not be done."""
        if self._geodatabase.replica.update_mode is not _SENDS_NEW:
            return None
        if not self._geodatabase.sync_id and not await self._geodatabase.has_local_edits():
            return None  # its service takes no new features
        upload = replace(self._parameters, geodatabase_sync_direction=SyncDirection.UPLOAD)
        sync = GeodatabaseSync(self._geodatabase, upload, clock=self._clock)
        database = self._geodatabase.database
        try:
            if await database.read(has_unsent):
                await database.write(note_sending)
            await sync.run(narrator, session)
            if await database.read(sent_up_to) is None:
                await database.write(note_sent, await self._generation(session))
        except EngineError as error:
            return error
        finally:
            if sync.result is not None:
                result.layer_results = sync.result.layer_results
                result.delta_info = sync.result.delta_info
        return None

    async def _generation(self, session: Session) -> int:
        """Up to where the service is now; 0 if it does not say so."""
        service = await FeatureService(self._geodatabase.service_url, session).load()
        tracking = service.resource.get("changeTrackingInfo")
        _, layers = generations(tracking if isinstance(tracking, dict) else {})
        return max(layers.values(), default=0)

    async def _update(
        self,
        result: SyncGeodatabaseResult,
        narrator: Narrator,
        session: Session,
        failure: EngineError | None,
    ) -> None:
        download = replace(self._parameters, geodatabase_sync_direction=SyncDirection.DOWNLOAD)
        update = PackageUpdate(self._geodatabase, session, self._clock)
        why = failure or _refused(result)
        try:
            await update.run(download, narrator, result)
        except EngineError as error:
            if why is not None:
                # Whoever reads the one must not miss the other: both need something to be done.
                error.message = f"{error.message.rstrip('.')}; new features were not sent before, "
                error.message += f"because {why.message}"
                error.remedy = " ".join(dict.fromkeys(_sentences(error.remedy, why.remedy)))
            raise error from error.__cause__ or why


def _refused(result: SyncGeodatabaseResult) -> EngineError | None:
    """Why a layer could not be sent, while others were."""
    return next((layer.error for layer in result.layer_results if layer.error is not None), None)


def _sentences(*texts: str) -> Iterator[str]:
    for text in texts:
        if text:
            yield f"{text.rstrip('.')}."
