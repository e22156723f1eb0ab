"""The way up: batches of edits, each journaled before it is sent and settled by what is proven.

    PREPARED ─▶ SENDING ─▶ SUBMITTED ─▶ FETCHED ─▶ ACKNOWLEDGED ─▶ MERGED
                   └────────────┴── RECONCILING (answer lost: find out, then go on)

An edit is acknowledged by its own success, or by a read-back that shows it. One that the service
refuses goes to quarantine alone; a refused call is halved until the guilty edits are alone.
"""

import asyncio
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from engine import faults
from engine.errors import (
    AuthenticationError,
    PermissionDeniedError,
    ReplicaNotFoundError,
    ServiceRefusedError,
)
from engine.geodatabase import acknowledge, change_log, journal, quarantine
from engine.geodatabase.change_log import Edit
from engine.geodatabase.journal import BatchState
from engine.geodatabase.layer_table import LayerTable
from engine.model import EditOperation, SyncDirection, SyncModel
from engine.sync.batches import (
    MAX_EDITS,
    Batch,
    Cursor,
    Step,
    attachment_cells,
    next_edits,
    prepare,
    steps,
)
from engine.sync.channels import (
    ApplyEditsChannel,
    Channel,
    EditAnswer,
    SynchronizeReplicaChannel,
)
from engine.sync.context import SyncContext
from engine.sync.parameters import PushChannel
from engine.sync.pull import refresh
from engine.sync.results import EditCounts, EditError, FeatureEditResult

Key = tuple[int, str]  # (table number, GlobalID)

_NOT_THE_EDITS_FAULT = (AuthenticationError, PermissionDeniedError, ReplicaNotFoundError)


def choose_channel(context: SyncContext) -> Channel:
    """``applyEdits`` where GlobalIDs are supported there and the data is not versioned."""
    wanted = context.parameters.push_channel
    if wanted is PushChannel.AUTO:
        by_global_ids = context.schema.supports_global_ids or all(
            layer.supports_global_ids for layer in context.layers.values()
        )
        is_versioned = context.schema.has_versioned_data
        wanted = (
            PushChannel.APPLY_EDITS
            if by_global_ids and not is_versioned
            else PushChannel.SYNCHRONIZE_REPLICA
        )
    if wanted is PushChannel.APPLY_EDITS:
        return ApplyEditsChannel(context.service)
    generations = {
        layer.layer_id: layer.generation or 0
        for layer in context.replica.layers
        if context.replica.sync_model is SyncModel.PER_LAYER
    }
    return SynchronizeReplicaChannel(
        context.service,
        context.schema,
        replica_id=context.replica.replica_id,
        sync_model=context.replica.sync_model,
        generations=generations,
    )


class Push:
    """Sends all pending edits of one geodatabase, batch by batch."""

    def __init__(self, context: SyncContext) -> None:
        self._context = context
        self._channel = choose_channel(context)
        uploading = {
            option.layer_id
            for option in context.parameters.layer_options
            if option.sync_direction in (SyncDirection.UPLOAD, SyncDirection.BIDIRECTIONAL)
        }
        tables = [
            t
            for t in context.tables
            if not context.parameters.layer_options or t.layer_id in uploading
        ]
        self._plan: list[Step] = steps(tables, context.parents_first())

    async def run(self) -> None:
        """Send until every pending edit has been tried once."""
        context, cursor = self._context, Cursor()
        total = await context.database.read(_count, [step.table for step in self._plan])
        done = 0
        # All or nothing is only possible in one call.
        limit = sys.maxsize if context.parameters.rollback_on_failure else MAX_EDITS
        while edits := await context.database.read(next_edits, self._plan, cursor, limit):
            await context.narrator.breathe()
            for edit in edits:
                self._counts(edit).found += 1
            await self._send(edits)
            done += len(edits)
            context.narrator.report(100 * done / max(total, done))

    async def _send(self, edits: Sequence[Edit]) -> None:
        context = self._context
        batch = await context.database.write(self._prepare, edits)
        for edit, reason in batch.refused:
            self._refused(edit, EditError(code=None, description=reason))
        if not batch.edits:
            return
        try:
            await self._send_prepared(batch)
        except ServiceRefusedError as error:
            if isinstance(error, _NOT_THE_EDITS_FAULT) or context.parameters.rollback_on_failure:
                await self._give_up(batch)
                raise
            await self._give_up(batch)
            await self._halve(batch.edits, error)

    def _prepare(self, connection: sqlite3.Connection, edits: Sequence[Edit]) -> Batch:
        context = self._context
        # What is sent must be what is in the file now: an edit may have changed since it was read.
        present = [change_log.edit_of(connection, e.table, e.global_id) for e in edits]
        return prepare(
            connection,
            [e for e in present if e is not None and e.state is change_log.EditState.PENDING],
            self._channel,
            context.folder,
            context.spatial_reference,
            context.now(),
        )

    async def _send_prepared(self, batch: Batch) -> None:
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
        await self._settle(batch, answers)
        await asyncio.to_thread(batch.spool.unlink, missing_ok=True)

    async def _submitted(self, batch: Batch, status_url: str) -> None:
        await self._context.database.write(
            partial(journal.move, status_url=status_url),
            batch.id,
            BatchState.SUBMITTED,
            self._context.now(),
        )

    async def _move(self, batch: Batch, state: BatchState) -> None:
        await self._context.database.write(journal.move, batch.id, state, self._context.now())

    async def _give_up(self, batch: Batch) -> None:
        """The service refused the call as a whole, so nothing of it was applied."""
        await self._context.database.write(_abandon, batch.id)
        if batch.spool is not None:
            await asyncio.to_thread(batch.spool.unlink, missing_ok=True)

    async def _halve(self, edits: Sequence[Edit], error: ServiceRefusedError) -> None:
        if len(edits) == 1:
            await self._quarantine(edits[0], error.service_code, error.message)
            return
        middle = len(edits) // 2
        for half in (edits[:middle], edits[middle:]):
            await self._send(half)

    # --- answers ----------------------------------------------------------------------------------

    async def _settle(self, batch: Batch, answers: Sequence[EditAnswer]) -> None:
        context = self._context
        found = match_answers(batch.edits, answers)
        good: list[Edit] = []
        doubtful: list[Edit] = []
        for edit in batch.edits:
            answer = found.get(key_of(edit))
            (good if answer is not None and answer.success else doubtful).append(edit)
        there = await self._attachments_there([e for e in doubtful if e.table.is_attachment])
        proven = [e for e in doubtful if self._is_proven(e, there)]
        doubtful = [e for e in doubtful if e not in proven]
        good += proven
        object_ids: dict[int, dict[str, int]] = defaultdict(dict)
        for edit in good:
            answer = found.get(key_of(edit))
            if answer is not None and answer.object_id is not None:
                object_ids[edit.table.number][edit.global_id] = answer.object_id
        await context.database.write(_acknowledge, batch.id, good, object_ids, context.now())
        for edit in good:
            self._counts(edit).applied += 1
        present = await self._read_back(good, doubtful)
        for edit in doubtful:
            await self._judge(edit, found.get(key_of(edit)), edit.global_id in present)
        await self._move(batch, BatchState.MERGED)
        await context.database.write(_forget_old_batches)

    def _is_proven(self, edit: Edit, there: set[str]) -> bool:
        """True for an attachment that the service has, or has no more, as it was meant to."""
        if not edit.table.is_attachment or edit.operation is EditOperation.UPDATE:
            return False
        return (edit.global_id in there) == (edit.operation is EditOperation.ADD)

    async def _read_back(self, good: Sequence[Edit], doubtful: Sequence[Edit]) -> set[str]:
        """Refresh rows that were taken, and find out about those that were not said to be.

        Returns the GlobalIDs of doubtful rows that the service has.
        """
        context = self._context
        present: set[str] = set()
        tables = {e.table.number: e.table for e in (*good, *doubtful)}
        for table in (t for t in tables.values() if not t.is_attachment):
            written = [
                e.global_id
                for e in good
                if e.table.number == table.number and e.operation is not EditOperation.DELETE
            ]
            if context.parameters.geodatabase_sync_direction.downloads:
                await refresh(context, table, written, absent_means_deleted=False)
            unclear = [e for e in doubtful if e.table.number == table.number]
            for is_add in (True, False):
                gids = [
                    e.global_id for e in unclear if (e.operation is EditOperation.ADD) is is_add
                ]
                present |= await refresh(context, table, gids, absent_means_deleted=not is_add)
        return present

    async def _judge(self, edit: Edit, answer: EditAnswer | None, is_there: bool) -> None:
        """What becomes of an edit without a success of its own, knowing if its row is there."""
        if not edit.table.is_attachment:
            left = await self._left(edit)
            if left is None or left.operation is not edit.operation:
                # The merge of the read-back settled it: the service has it, or it has the row no
                # more and what was edited here is in the conflict store.
                lost = edit.operation is EditOperation.UPDATE and not is_there
                if lost:
                    self._counts(edit).conflict += 1
                else:
                    self._counts(edit).applied += 1
                return
        if answer is None:
            self._counts(edit).pending += 1  # nothing was said: tried again in the next sync
            return
        await self._quarantine(edit, answer.code, answer.description or "no reason given")

    async def _left(self, edit: Edit) -> Edit | None:
        return await self._context.database.read(change_log.edit_of, edit.table, edit.global_id)

    async def _attachments_there(self, edits: Sequence[Edit]) -> set[str]:
        """Which of these attachments the service has, asked of their features."""
        context = self._context
        present: set[str] = set()
        for edit in edits:
            table = context.feature_table(edit.table.layer_id)
            parent = attachment_cells(edit)["REL_GLOBALID"]
            if table is None or not isinstance(parent, str):
                continue
            features = await context.service.query_by_global_ids(
                context.layers[table.layer_id], [parent], context.spatial_reference.wkid
            )
            object_id_field = context.layers[table.layer_id].object_id_field
            for feature in features:
                attributes = feature.get("attributes")
                object_id = attributes.get(object_id_field) if isinstance(attributes, dict) else 0
                if isinstance(object_id, int):
                    present |= await context.service.attachment_ids(table.layer_id, object_id)
        return present

    async def _quarantine(self, edit: Edit, code: int | None, reason: str) -> None:
        context = self._context
        held = await context.database.write(_put_in_quarantine, context, edit, code, reason)
        if held:
            context.narrator.warn(f"{held} rows that belong to {edit.global_id} wait with it")
        self._refused(edit, EditError(code=code, description=reason))

    def _refused(self, edit: Edit, error: EditError) -> None:
        self._counts(edit).quarantined += 1
        self._context.layer_result(edit.table).edit_results.append(
            FeatureEditResult(
                global_id=edit.global_id,
                object_id=None,
                edit_operation=edit.operation,
                error=error,
            )
        )
        self._context.narrator.warn(
            f"{edit.table.name} {edit.global_id}: {edit.operation.value} refused: "
            f"{error.description}"
        )

    def _counts(self, edit: Edit) -> EditCounts:
        result = self._context.layer_result(edit.table)
        return result.attachments_uploaded if edit.table.is_attachment else result.uploaded


def key_of(edit: Edit) -> Key:
    """What an edit is known by: its table's number and its GlobalID."""
    return edit.table.number, edit.global_id


def match_answers(edits: Sequence[Edit], answers: Sequence[EditAnswer]) -> dict[Key, EditAnswer]:
    """Which answer belongs to which edit: by GlobalID, else by its place if all are there."""
    sent: dict[tuple[int, bool, EditOperation], list[Edit]] = defaultdict(list)
    for edit in edits:
        sent[(edit.table.layer_id, edit.table.is_attachment, edit.operation)].append(edit)
    groups: dict[tuple[int, bool, EditOperation], list[EditAnswer]] = defaultdict(list)
    for answer in answers:
        groups[(answer.layer_id, answer.is_attachment, answer.operation)].append(answer)
    matched: dict[Key, EditAnswer] = {}
    for group, given in groups.items():
        asked = sent.get(group, [])
        by_gid = {edit.global_id: edit for edit in asked}
        for answer in given:
            named = by_gid.get(answer.global_id or "")
            if named is None and len(given) == len(asked):
                named = asked[answer.position]
            if named is not None:
                matched.setdefault(key_of(named), answer)
    return matched


def _count(connection: sqlite3.Connection, tables: Sequence[LayerTable]) -> int:
    unique = {t.number: t for t in tables}
    return sum(change_log.count_pending(connection, t).total for t in unique.values())


def _abandon(connection: sqlite3.Connection, batch_id: int) -> None:
    acknowledge.release(connection, batch_id)
    journal.discard(connection, batch_id)


def _acknowledge(
    connection: sqlite3.Connection,
    batch_id: int,
    good: Sequence[Edit],
    object_ids: dict[int, dict[str, int]],
    now: str,
) -> None:
    """Base := what was sent, for the edits that were taken; the others are pending again."""
    for table in {e.table.number: e.table for e in good}.values():
        gids = [e.global_id for e in good if e.table.number == table.number]
        acknowledge.acknowledge(connection, batch_id, table, gids, now=now)
        acknowledge.set_object_ids(connection, table, object_ids.get(table.number, {}))
    acknowledge.release(connection, batch_id)
    journal.move(connection, batch_id, BatchState.ACKNOWLEDGED, now)
    faults.point("edits.acknowledged")


def _forget_old_batches(connection: sqlite3.Connection) -> None:
    journal.remove_finished(connection, keep=100)


def _put_in_quarantine(
    connection: sqlite3.Connection,
    context: SyncContext,
    edit: Edit,
    code: int | None,
    reason: str,
) -> int:
    """Set the edit aside, and with a refused add what belongs to it; returns how many those are."""
    now = context.now()
    quarantine.put(
        connection,
        direction=quarantine.Direction.OUTBOUND,
        table=edit.table,
        global_id=edit.global_id,
        operation=edit.operation,
        code="refused" if code is None else str(code),
        reason=reason,
        remedy="Correct the row on the device, or discard the edit",
        seq=edit.last,
        now=now,
    )
    faults.point("edit.quarantined")
    if edit.operation is not EditOperation.ADD or edit.table.is_attachment:
        return 0
    held = 0
    for dependent in context.dependents(edit.table):
        if dependent.parent_column is None:
            held += len(
                quarantine.hold_dependents(
                    connection,
                    edit.table,
                    edit.global_id,
                    dependent.table,
                    dependent.key_column,
                    now=now,
                )
            )
    return held
