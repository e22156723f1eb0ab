"""The way up: batches of edits, each journaled before it is sent and settled by what is proven.

    PREPARED ─▶ SENDING ─▶ SUBMITTED ─▶ FETCHED ─▶ ACKNOWLEDGED ─▶ MERGED
                   └────────────┴── RECONCILING (answer lost: find out, then go on)

A refused call is halved until the guilty edits are alone, unless it is the call itself that the
service does not take. An edit is only guilty if its call is refused a second time, after the
service took another one.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from engine.errors import (
    AuthenticationError,
    EditRefusedError,
    PermissionDeniedError,
    ProtocolError,
    ReplicaNotFoundError,
    ServiceRefusedError,
    TransientError,
)
from engine.geodatabase import change_log, conflicts, journal
from engine.geodatabase.change_log import Edit, EditState
from engine.geodatabase.journal import BatchState
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.sent import read_sent
from engine.model import EditOperation
from engine.sync.accounts import Accounts
from engine.sync.batches import Batch, Cursor, Step, begun, first_of, next_edits, prepare, steps
from engine.sync.canary_rows import Attributes
from engine.sync.case import Key, key_of
from engine.sync.channels import (
    Channel,
    EditAnswer,
)
from engine.sync.context import SyncContext
from engine.sync.delivery import Delivery
from engine.sync.partial_updates import PartialUpdates, judge_open
from engine.sync.photos import fetch_before_sending, missing_data
from engine.sync.reconciling import give_up, reconcile_batch
from engine.sync.recording import Settled, note_late_adds
from engine.sync.results import EditError
from engine.sync.set_aside import put_in_quarantine
from engine.sync.settlement import settle
from engine.sync.spool_upload import TOO_LARGE

ATTEMPTS = 6  # for one batch in one run; then the next sync goes on
MAX_SUSPECTS = 12  # edits refused alone, with no edit taken at all: then it is not their fault

_NOT_FETCHED = EditError(code=None, description="its data is not on this device yet")
_NOT_THE_EDITS_FAULT = (AuthenticationError, PermissionDeniedError, ReplicaNotFoundError)


class Push:
    """Sends all pending edits of one geodatabase, batch by batch."""

    def __init__(self, context: SyncContext, channel: Channel, accounts: Accounts) -> None:
        self._context = context
        self._channel = channel
        self._accounts = accounts
        self._delivery = Delivery(context, channel)
        self._partial = PartialUpdates(context, channel)
        self._is_whole = context.parameters.rollback_on_failure
        tables = [t for t in context.tables if context.direction(t.layer_id).uploads]
        self._plan: list[Step] = steps(tables, context.parents_first(), context.parents())
        self._taken = 0  # calls that the service took in this run
        self._took_edits = False
        self._has_more = False  # edits that came of a batch which was settled just now
        self._suspects: dict[Key, _Suspect] = {}

    async def run(self) -> None:
        """Send until every pending edit has been tried."""
        await judge_open(self._context, self._channel)
        await self._go_on()
        await self._send_all()
        while any(not suspect.is_settled for suspect in self._suspects.values()):
            await self._try_suspects()
            await self._send_all()  # what waited for one that was taken now

    async def _go_on(self) -> None:
        """Bring to their end the uploads that an earlier run began. What was edited in their rows
        between that run and this one is tried as well."""
        for batch in await self._context.database.read(begun, self._context):
            if await self._context.database.read(_has_given_way, batch.edits):
                await self._give_up(batch)
                continue
            edited = await self._context.database.read(_edited_since, batch.edits)
            self._accounts.meet(batch.edits)
            await self._deliver(batch)
            self._accounts.reopen(edited)

    async def _send_all(self) -> None:
        context, cursor = self._context, Cursor()
        total = await context.database.read(_count, [step.table for step in self._plan])
        done = 0
        while edits := await context.database.read(self._next, cursor):
            await context.narrator.breathe()
            self._accounts.meet(edits)
            await self._send(edits)
            if self._has_more:
                self._has_more, cursor = False, Cursor()
            done += len(edits)
            context.narrator.report(100 * done / max(total, done))

    def _next(self, connection: sqlite3.Connection, cursor: Cursor) -> list[Edit]:
        """The next edits of rows that were not tried yet: one that is edited over and over again
        must not keep a sync from ending."""
        limit = None if self._is_whole else self._delivery.sizer.limit_bytes
        while found := next_edits(connection, self._plan, cursor, limit_bytes=limit):
            if fresh := [edit for edit in found if not self._accounts.has_met(edit)]:
                return fresh
        return []

    # --- one call ---------------------------------------------------------------------------------

    async def _send(self, edits: Sequence[Edit], attempt: int = 1) -> None:
        """Send these; partial updates go alone, and are watched, until one has shown what becomes
        of the attributes that it leaves out."""
        if waiting := await fetch_before_sending(self._context, edits):
            self._accounts.pending(waiting)
            if self._is_whole:
                raise _named(waiting[0], _NOT_FETCHED)
            left = {key_of(edit) for edit in waiting}
            edits = [edit for edit in edits if key_of(edit) not in left]
        if self._is_whole:
            await self._partial.prove(edits)
        while not self._is_whole and (canary := await self._partial.canary(edits)):
            is_partial = await self._partial.watch(canary)
            await self._call([canary], attempt, is_partial=is_partial)
            edits = [edit for edit in edits if edit is not canary]
        if edits:
            await self._call(edits, attempt)

    async def _send_in_calls(self, edits: Sequence[Edit], attempt: int) -> None:
        """Send these in calls of the size that is right now."""
        left = list(edits)
        while left:
            limit = None if self._is_whole else self._delivery.sizer.limit_bytes
            some = await self._context.database.read(first_of, left, limit)
            await self._send(some, attempt)
            left = left[len(some) :]

    async def _call(self, edits: Sequence[Edit], attempt: int, *, is_partial: bool = False) -> None:
        whole_rows = {} if is_partial else await self._partial.whole_rows(edits)
        batch = await self._context.write(self._prepare, edits, whole_rows)
        self._accounts.forget(edits, [*batch.edits, *(e for e, _ in batch.refused)])
        for edit, reason in batch.refused:
            self._accounts.refused(edit, EditError(code=None, description=reason))
        await self._partial.note(batch)
        if batch.edits:
            await self._deliver(batch, attempt)

    async def _deliver(self, batch: Batch, attempt: int = 1) -> None:
        context = self._context
        if not await self._delivery.upload(batch):
            await self._give_up(batch)
            await self._send(batch.edits, attempt)
            return
        try:
            answers = await self._delivery.send(batch)
        except ServiceRefusedError as error:
            await self._refused_call(batch, error)
        except (TransientError, ProtocolError) as error:
            # Nobody knows whether it arrived, so nothing is sent before that is found out.
            self._delivery.sizer.lost()
            context.narrator.warn(f"the answer was lost: {error}")
            await context.service.session.pause(attempt, error)
            settled = await reconcile_batch(context, self._channel, batch.id)
            self._partial.forget()
            left = await self._tally(batch, settled, may_quarantine=True)
            if left and attempt >= ATTEMPTS:
                self._accounts.pending(left)
                raise
            if left:
                await self._send_in_calls(left, attempt + 1)
        else:
            self._taken += 1
            self._took_edits = True
            if is_refused := any(not answer.success for answer in answers):
                await self._partial.withdraw(batch.id)
            was_taken = bool(answers) and not is_refused
            await self._partial.judge(taken=batch.id if was_taken else None)
            await self._settle(batch, answers)

    async def _settle(self, batch: Batch, answers: Sequence[EditAnswer]) -> None:
        may_quarantine = not self._is_whole
        settled = await settle(
            self._context,
            batch.id,
            batch.edits,
            answers,
            may_quarantine=may_quarantine,
            is_answered=True,
        )
        await self._delivery.remove_spool(batch)
        left = await self._tally(batch, settled, may_quarantine=may_quarantine)
        self._accounts.pending(left)
        if self._is_whole and settled.refusals:
            raise _named(*settled.refusals[0])

    async def _tally(self, batch: Batch, settled: Settled, *, may_quarantine: bool) -> list[Edit]:
        """Count what is decided; returns what is still pending. The keys that point at a row with a
        new GlobalID are edits now, and so is what was changed of an add that was there in an older
        version: of tables that were passed or of this batch itself."""
        left = self._accounts.tally(batch.edits, settled, may_quarantine=may_quarantine)
        if settled.has_renamed:
            self._has_more = True
            self._accounts.reopen(await self._context.database.read(_edited_since, batch.edits))
        if settled.outgrown:
            self._has_more = True
            self._accounts.reopen(settled.outgrown)
        return left

    def _may_go_apart(self, edits: Sequence[Edit]) -> bool:
        """Whether the data of a lone attachment may be an upload of its own."""
        if len(edits) != 1 or self._is_whole or not self._delivery.takes_uploads:
            return False
        layer = self._context.layers[edits[0].table.layer_id]
        return self._channel.takes_attachments_by_upload(layer)

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
            apart_above=self._delivery.sizer.upload_above if self._may_go_apart(edits) else None,
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

    # --- a call that was refused as a whole -------------------------------------------------------

    async def _refused_call(self, batch: Batch, error: ServiceRefusedError) -> None:
        """Find the guilty edits by halving; raise if there are none, because it is the call."""
        # A call that came there twice may be refused because it was taken the first time.
        await self._context.write(note_late_adds, batch.edits)
        if self._is_whole or isinstance(error, _NOT_THE_EDITS_FAULT):
            await self._fail(batch, error)
        if error.service_code == TOO_LARGE and await self._send_smaller(batch):
            return
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
        context = self._context
        await context.write(journal.move, batch.id, BatchState.FETCHED, context.now())
        await self._partial.withdraw(batch.id)
        await self._settle(batch, [_refusal(edit, error)])

    async def _send_smaller(self, batch: Batch) -> bool:
        """After HTTP 413: in smaller calls, or as an upload; False if neither can be."""
        assert batch.spool is not None
        size = batch.spool.stat().st_size
        may = len(batch.edits) > 1 or (self._delivery.takes_uploads and not batch.upload)
        if not may or not self._delivery.sizer.too_large(size):
            return False
        await self._give_up(batch)
        await self._send_in_calls(batch.edits, 1)
        return True

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
        await self._partial.withdraw(batch.id)
        await self._delivery.remove_spool(batch)

    async def _takes_calls(self, since: int = 0) -> bool:
        """Whether the service takes calls: it took one after the first ``since``, or takes one
        without edits now."""
        if self._taken > since:
            return True
        if not await self._delivery.takes_calls():
            return False
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


def _has_given_way(connection: sqlite3.Connection, edits: Sequence[Edit]) -> bool:
    """Whether edits of the batch are none any more: a person has decided against them or is to
    decide, they are in a store, or the service's values are to win or are all there is."""
    return any(_is_given_up(connection, edit) for edit in edits)


def _is_given_up(connection: sqlite3.Connection, edit: Edit) -> bool:
    logged = LoggedTable(connection, edit.table)
    sent = read_sent(connection, edit.table, edit.global_id)
    if sent is None or logged.entry(edit.global_id) is None or sent.overtaken:
        return True
    if missing_data(connection, edit) is not None:
        return True
    if conflicts.is_held(connection, edit.table, edit.global_id):
        return True
    left = change_log.edit_of(connection, edit.table, edit.global_id)
    if edit.operation is EditOperation.ADD:
        return False  # what was done with it since is sent behind it
    if left is None:
        return True
    if left.operation is EditOperation.DELETE:
        return False
    return edit.operation is EditOperation.DELETE or (edit.data_changed and not left.data_changed)


def _edited_since(connection: sqlite3.Connection, edits: Sequence[Edit]) -> list[Edit]:
    """Those of the edits, as they were sent, whose rows were touched after that."""
    entries = [(e, LoggedTable(connection, e.table).entry(e.global_id)) for e in edits]
    return [edit for edit, entry in entries if entry is not None and entry.seq > edit.last]


def _count(connection: sqlite3.Connection, tables: Sequence[LayerTable]) -> int:
    unique = {t.number: t for t in tables}
    return sum(change_log.count_pending(connection, t).total for t in unique.values())
