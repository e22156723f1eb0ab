"""The way up: batches of edits, each journaled before it is sent and settled by what is proven.

    PREPARED ─▶ SENDING ─▶ SUBMITTED ─▶ FETCHED ─▶ ACKNOWLEDGED ─▶ MERGED
                   └────────────┴── RECONCILING (answer lost: find out, then go on)

A refused call is halved until the guilty edits are alone, unless it is the call itself that the
service does not take. An edit is only guilty if its call is refused a second time, after the
service took another one.
"""

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from engine.errors import (
    AuthenticationError,
    BadParameterError,
    EditRefusedError,
    PermissionDeniedError,
    ProtocolError,
    ReplicaNotFoundError,
    ServiceRefusedError,
    TransientError,
)
from engine.geodatabase import change_log, journal
from engine.geodatabase.change_log import Edit, EditState
from engine.geodatabase.journal import BatchState
from engine.geodatabase.layer_table import LayerTable
from engine.layer_schema import LayerSchema, ServiceSchema
from engine.model import SyncModel
from engine.sync.accounts import Accounts
from engine.sync.batches import Batch, Cursor, Step, next_edits, prepare, steps
from engine.sync.channels import (
    ApplyEditsChannel,
    Channel,
    EditAnswer,
    SynchronizeReplicaChannel,
)
from engine.sync.context import SyncContext
from engine.sync.parameters import PushChannel
from engine.sync.partial_updates import Attributes, PartialUpdates
from engine.sync.reconciling import give_up, reconcile_batch
from engine.sync.recording import Key, key_of
from engine.sync.results import EditError
from engine.sync.set_aside import put_in_quarantine
from engine.sync.settlement import settle

ATTEMPTS = 4  # for one batch in one run; then the next sync goes on
MAX_SUSPECTS = 12  # edits refused alone, with no edit taken at all: then it is not their fault

_NOT_THE_EDITS_FAULT = (AuthenticationError, PermissionDeniedError, ReplicaNotFoundError)


def preferred_channel(schema: ServiceSchema, layers: Iterable[LayerSchema]) -> PushChannel:
    """``applyEdits`` where GlobalIDs are supported there and the data is not versioned."""
    by_global_ids = schema.supports_global_ids or all(one.supports_global_ids for one in layers)
    if by_global_ids and not schema.has_versioned_data:
        return PushChannel.APPLY_EDITS
    return PushChannel.SYNCHRONIZE_REPLICA


def choose_channel(context: SyncContext) -> Channel:
    """The one that was asked for, or the one that suits the service."""
    wanted = context.parameters.push_channel
    if wanted is PushChannel.AUTO:
        wanted = preferred_channel(context.schema, context.layers.values())
    if wanted is PushChannel.APPLY_EDITS:
        return ApplyEditsChannel(context.service)
    _require_rollback(context)
    generations = {
        layer.layer_id: layer.generation or 0
        for layer in context.replica.layers
        if context.replica.sync_model is SyncModel.PER_LAYER
        and context.direction(layer.layer_id).uploads
    }
    return SynchronizeReplicaChannel(
        context.service,
        context.schema,
        replica_id=context.replica.replica_id,
        sync_model=context.replica.sync_model,
        generations=generations,
    )


def _require_rollback(context: SyncContext) -> None:
    """Without the capability only services that are perReplica alone roll back ("RollbackOnFailure
    and sync models")."""
    if not context.parameters.rollback_on_failure or context.schema.supports_rollback:
        return
    if context.schema.sync_models != (SyncModel.PER_REPLICA,):
        raise BadParameterError(
            f"{context.schema.url} cannot take edits all or nothing",
            remedy="Sync without rollback_on_failure, or with another push_channel",
        )


class Push:
    """Sends all pending edits of one geodatabase, batch by batch."""

    def __init__(self, context: SyncContext, channel: Channel, accounts: Accounts) -> None:
        self._context = context
        self._channel = channel
        self._accounts = accounts
        self._partial = PartialUpdates(context, channel)
        self._is_whole = context.parameters.rollback_on_failure
        tables = [t for t in context.tables if context.direction(t.layer_id).uploads]
        self._plan: list[Step] = steps(tables, context.parents_first(), context.parents())
        self._taken = 0  # calls that the service took in this run
        self._took_edits = False
        self._suspects: dict[Key, _Suspect] = {}

    async def run(self) -> None:
        """Send until every pending edit has been tried."""
        await self._partial.judge()
        await self._send_all()
        while any(not suspect.is_settled for suspect in self._suspects.values()):
            await self._try_suspects()
            await self._send_all()  # what waited for one that was taken now

    async def _send_all(self) -> None:
        context, cursor = self._context, Cursor()
        total = await context.database.read(_count, [step.table for step in self._plan])
        done = 0
        while edits := await context.database.read(self._next, cursor):
            await context.narrator.breathe()
            self._accounts.meet(edits)
            await self._send(edits)
            done += len(edits)
            context.narrator.report(100 * done / max(total, done))

    def _next(self, connection: sqlite3.Connection, cursor: Cursor) -> list[Edit]:
        """The next edits of rows that were not tried yet: one that is edited over and over again
        must not keep a sync from ending."""
        while found := next_edits(connection, self._plan, cursor, is_whole=self._is_whole):
            if fresh := [edit for edit in found if not self._accounts.has_met(edit)]:
                return fresh
        return []

    # --- one call ---------------------------------------------------------------------------------

    async def _send(self, edits: Sequence[Edit], attempt: int = 1) -> None:
        """Send these; the first partial update of all goes alone, and is watched."""
        canary = None if self._is_whole else await self._partial.canary(edits)
        if canary is not None:
            await self._partial.watch(canary)
            await self._call([canary], attempt)
            edits = [edit for edit in edits if edit is not canary]
        if edits:
            await self._call(edits, attempt)

    async def _call(self, edits: Sequence[Edit], attempt: int = 1) -> None:
        context = self._context
        # All in one call leaves no room for a canary.
        whole_rows = await self._partial.whole_rows(edits, if_unknown=self._is_whole)
        batch = await context.write(self._prepare, edits, whole_rows)
        self._accounts.forget(edits, [*batch.edits, *(e for e, _ in batch.refused)])
        for edit, reason in batch.refused:
            self._accounts.refused(edit, EditError(code=None, description=reason))
        if not batch.edits:
            return
        try:
            answers = await self._exchange(batch)
        except ServiceRefusedError as error:
            await self._refused_call(batch, error)
        except (TransientError, ProtocolError) as error:
            # Nobody knows whether it arrived, so nothing is sent before that is found out.
            await self._pause(error, attempt)
            settled = await reconcile_batch(context, self._channel, batch.id)
            self._partial.forget()
            left = self._accounts.tally(batch.edits, settled)
            if left and attempt >= ATTEMPTS:
                self._accounts.pending(left)
                raise
            if left:
                await self._send(left, attempt + 1)
        else:
            self._taken += 1
            self._took_edits = True
            await self._partial.judge(was_taken=all(a.success for a in answers) and bool(answers))
            await self._settle(batch, answers)

    async def _settle(self, batch: Batch, answers: Sequence[EditAnswer]) -> None:
        may_quarantine = not self._is_whole
        settled = await settle(
            self._context, batch.id, batch.edits, answers, may_quarantine=may_quarantine
        )
        await self._remove_spool(batch)
        left = self._accounts.tally(batch.edits, settled, may_quarantine=may_quarantine)
        self._accounts.pending(left)
        if self._is_whole and settled.refusals:
            raise _named(*settled.refusals[0])

    def _prepare(
        self,
        connection: sqlite3.Connection,
        edits: Sequence[Edit],
        whole_rows: Mapping[Key, Attributes],
    ) -> Batch:
        context = self._context
        # What is sent must be what is in the file now: an edit may have changed since it was read.
        present = [change_log.edit_of(connection, e.table, e.global_id) for e in edits]
        batch = prepare(
            connection,
            [e for e in present if e is not None and e.state is EditState.PENDING],
            self._channel,
            context.folder,
            context.wire_layers(),
            context.now(),
            whole_rows=whole_rows,
        )
        if self._is_whole and batch.refused:
            edit, reason = batch.refused[0]
            raise EditRefusedError(
                f"{edit.table.name} {edit.global_id} cannot be sent: {reason}",
                remedy="Correct the row; nothing was sent",
            )
        for edit, reason in batch.refused:
            put_in_quarantine(connection, context, edit, "no-wire-form", reason)
        return batch

    async def _exchange(self, batch: Batch) -> list[EditAnswer]:
        context = self._context
        assert batch.spool is not None
        await self._move(batch, BatchState.SENDING)
        target = context.folder / f"answer-{batch.id}.json"
        try:
            answers = await self._channel.send(
                batch.spool,
                target,
                rollback=context.parameters.rollback_on_failure,
                submitted=partial(self._submitted, batch),
            )
        finally:
            target.unlink(missing_ok=True)
        await self._move(batch, BatchState.FETCHED)
        return answers

    async def _submitted(self, batch: Batch, status_url: str) -> None:
        context = self._context
        await context.write(
            journal.move, batch.id, BatchState.SUBMITTED, context.now(), status_url=status_url
        )

    async def _move(self, batch: Batch, state: BatchState) -> None:
        await self._context.write(journal.move, batch.id, state, self._context.now())

    async def _remove_spool(self, batch: Batch) -> None:
        if batch.spool is not None:
            await asyncio.to_thread(batch.spool.unlink, missing_ok=True)

    async def _pause(self, error: Exception, attempt: int) -> None:
        self._context.narrator.warn(f"the answer was lost: {error}")
        await self._context.service.session.pause(attempt, error)

    # --- a call that was refused as a whole -------------------------------------------------------

    async def _refused_call(self, batch: Batch, error: ServiceRefusedError) -> None:
        """Find the guilty edits by halving; raise if there are none, because it is the call."""
        if self._is_whole or isinstance(error, _NOT_THE_EDITS_FAULT):
            await self._fail(batch, error)
        if len(batch.edits) > 1:
            if not await self._takes_calls():
                await self._fail(batch, error)
            await self._give_up(batch)
            middle = len(batch.edits) // 2
            await self._send(batch.edits[:middle])
            await self._send(batch.edits[middle:])
            return
        (edit,) = batch.edits
        suspect = self._suspects.get(key_of(edit))
        if suspect is None:
            self._suspects[key_of(edit)] = _Suspect(edit=edit, taken=self._taken, error=error)
            if not self._took_edits and len(self._suspects) > MAX_SUSPECTS:
                await self._fail(batch, error)
            await self._give_up(batch)
            return
        # Alone it is the answer to this edit, which may have been applied in an earlier sync.
        suspect.is_settled = True
        await self._move(batch, BatchState.FETCHED)
        await self._settle(batch, [_refusal(edit, error)])

    async def _try_suspects(self) -> None:
        """Send once more what was refused alone; first the service must have taken another call."""
        for number, suspect in enumerate(list(self._suspects.values()), 1):
            if suspect.is_settled:
                continue
            if self._taken == suspect.taken:
                await self._context.service.session.pause(number, suspect.error)
                if not await self._takes_calls(since=suspect.taken):
                    raise suspect.error
            await self._send([suspect.edit])
            suspect.is_settled = True

    async def _fail(self, batch: Batch, error: ServiceRefusedError) -> NoReturn:
        await self._give_up(batch)
        self._accounts.pending(batch.edits)
        if self._is_whole and len(batch.edits) == 1:
            raise _named(batch.edits[0], _why(error)) from error
        raise error

    async def _give_up(self, batch: Batch) -> None:
        """The service did not take the call, so nothing of it was applied."""
        await self._context.write(give_up, batch.id)
        await self._remove_spool(batch)

    async def _takes_calls(self, since: int = 0) -> bool:
        """Whether the service takes calls: it took one after the first ``since``, or takes one
        without edits now."""
        if self._taken > since:
            return True
        spool = self._context.folder / "batch-empty.json"
        target = self._context.folder / "answer-empty.json"
        await asyncio.to_thread(spool.write_bytes, b"[]")
        try:
            await self._channel.send(spool, target, rollback=False, submitted=_not_journaled)
        except ServiceRefusedError:
            return False
        finally:
            await asyncio.to_thread(spool.unlink, missing_ok=True)
            await asyncio.to_thread(target.unlink, missing_ok=True)
        self._taken += 1
        return True


@dataclass(slots=True, kw_only=True)
class _Suspect:
    """An edit whose call was refused when it was alone in it, when ``taken`` calls were taken."""

    edit: Edit
    taken: int
    error: ServiceRefusedError
    is_settled: bool = False


def _why(error: ServiceRefusedError) -> EditError:
    return EditError(code=error.service_code, description=error.message)


def _named(edit: Edit, error: EditError) -> ServiceRefusedError:
    return ServiceRefusedError(
        f"{edit.table.name} {edit.global_id}: {edit.operation.value} refused: {error.description}",
        service_code=error.code,
        remedy="Nothing was applied; correct this row, or sync without rollback_on_failure",
    )


def _refusal(edit: Edit, error: ServiceRefusedError) -> EditAnswer:
    return EditAnswer(
        layer_id=edit.table.layer_id,
        is_attachment=edit.table.is_attachment,
        operation=edit.operation,
        position=0,
        global_id=edit.global_id,
        object_id=None,
        success=False,
        code=error.service_code,
        description=error.message,
    )


async def _not_journaled(status_url: str) -> None:
    """A call without edits leaves nothing to find out."""


def _count(connection: sqlite3.Connection, tables: Sequence[LayerTable]) -> int:
    unique = {t.number: t for t in tables}
    return sum(change_log.count_pending(connection, t).total for t in unique.values())
