"""One sync of one geodatabase: the lock, the connection, and what its states share."""

import copy
from dataclasses import replace

from engine.clock import Clock
from engine.errors import EngineError, GeodatabaseError
from engine.geodatabase import replica as replica_record
from engine.geodatabase.geodatabase import Geodatabase
from engine.service.feature_service import FeatureService
from engine.service.session import Session
from engine.service.sign_in import Credentials
from engine.sync.accounts import Accounts
from engine.sync.context import SyncContext
from engine.sync.exclusive import exclusive
from engine.sync.job import Narrator
from engine.sync.opening import open_context
from engine.sync.parameters import SyncGeodatabaseParameters
from engine.sync.registration import require_synced, require_upload
from engine.sync.results import GeodatabaseDeltaInfo, SyncGeodatabaseResult
from engine.sync.states import SyncRun, run_states


def no_deltas(geodatabase: Geodatabase) -> GeodatabaseDeltaInfo:
    """What a sync has kept when it begins."""
    return GeodatabaseDeltaInfo(
        geodatabase_path=geodatabase.path, feature_service_url=geodatabase.service_url
    )


class GeodatabaseSync:
    """Syncs an open geodatabase with its feature service, once."""

    def __init__(
        self,
        geodatabase: Geodatabase,
        parameters: SyncGeodatabaseParameters,
        *,
        credential: Credentials | None = None,
        clock: Clock,
    ) -> None:
        self.geodatabase = geodatabase
        self._parameters = copy.deepcopy(parameters)
        self._credential = credential
        self._clock = clock
        self.result: SyncGeodatabaseResult | None = None

    async def run(
        self, narrator: Narrator, session: Session | None = None
    ) -> SyncGeodatabaseResult:
        """Sync, and account for every edit; ``result`` tells of a sync that failed, too.

        Over ``session``, or one of its own. :exc:`SyncInProgress` if another program syncs this
        geodatabase now; :exc:`TransactionOpenError` before any traffic if the caller's transaction
        is open.
        """
        with exclusive(self.geodatabase):
            if session is not None:
                return await self._run(narrator, session)
            async with Session(
                credential=self._credential, clock=self._clock, watch=narrator.watch
            ) as own:
                return await self._run(narrator, own)

    async def _run(self, narrator: Narrator, session: Session) -> SyncGeodatabaseResult:
        geodatabase = self.geodatabase
        start, sent, received = (
            self._clock.monotonic(),
            session.sent_bytes,
            session.received_bytes,
        )
        context = await self._context(session, narrator)
        self.result = context.result
        if context.parameters.keep_geodatabase_deltas:
            context.result.delta_info = no_deltas(geodatabase)
        try:
            unknown = {t.layer_id for t in geodatabase.feature_tables if t.error is not None}
            accounts = Accounts(context, unknown)
            run = SyncRun(context=context, geodatabase=geodatabase, accounts=accounts)
            await run_states(run, narrator)
            noted = await geodatabase.note_sync()
            context.replica = replace(context.replica, last_sync_at=noted)
        except EngineError as error:
            context.result.error = error
            raise
        finally:
            totals = context.result.totals
            totals.sent_bytes = session.sent_bytes - sent
            totals.received_bytes = session.received_bytes - received
            totals.seconds = self._clock.monotonic() - start
            geodatabase.replica = context.replica
        return context.result

    async def _context(self, session: Session, narrator: Narrator) -> SyncContext:
        geodatabase = self.geodatabase
        record = await geodatabase.database.read(replica_record.get_replica)
        require_synced(geodatabase)
        require_upload(geodatabase, self._parameters)
        if not record.replica_id:
            raise GeodatabaseError(
                f"{geodatabase.path} is not registered with its feature service",
                remedy="Register it anew with `fieldsync register`; its edits are kept",
            )
        return await open_context(
            geodatabase,
            FeatureService(record.service_url, session),
            self._parameters,
            clock=self._clock,
            narrator=narrator,
        )
