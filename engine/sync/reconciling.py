"""Batches whose answer was lost: find out what became of them, then go on.

    statusUrl (is its job still known?) ─▶ download from the old generation ─▶ query by GlobalID

Nothing is sent again before that. What did not arrive is pending again afterwards.
"""

import asyncio
import sqlite3
from collections.abc import Collection, Sequence

from engine.errors import AuthenticationError, LinkError, ServiceBusyError, ServiceError
from engine.geodatabase import acknowledge, catalog, journal
from engine.geodatabase.change_log import Edit
from engine.geodatabase.journal import Batch, BatchState
from engine.service.download import is_kept
from engine.sync.accounts import Accounts
from engine.sync.batches import file_digest, remove_spool
from engine.sync.channels import Channel, EditAnswer
from engine.sync.check import is_current
from engine.sync.context import SyncContext
from engine.sync.partial_updates import judge_open, withdraw_open
from engine.sync.pull import pull
from engine.sync.recording import Settled
from engine.sync.settlement import settle

_UNKNOWN = (BatchState.SENDING, BatchState.SUBMITTED, BatchState.FETCHED, BatchState.RECONCILING)


MOST_ASKED = 3
"""In so many runs a job is asked for that cannot be reached; in the last one its rows tell."""

MOST_WAITED = 10
"""In so many runs a job is waited for, as each may be stopped before that; then its rows tell."""

_ASKED = "asked"
_WAITED = "waited"


async def reconcile_all(context: SyncContext, channel: Channel, accounts: Accounts) -> bool:
    """Settle what an interrupted run left in the journal; True if it had to be found out."""
    found_out = False
    kept: set[str | None] = set()
    for batch in await context.database.read(journal.unfinished):
        if batch.state in _UNKNOWN:
            if not await context.database.read(_waits, context, batch.id):
                edits = await context.database.read(_sent, context, batch.id)
                settled = await reconcile_batch(context, channel, batch.id)
                accounts.found_out(edits, settled)
                found_out = True
        elif batch.state is BatchState.PREPARED:
            is_whole = not await context.database.read(_lacks_edits, context, batch)
            if is_whole and await asyncio.to_thread(_can_go_on, context, channel, batch):
                kept.add(batch.spool_name)
            else:
                await context.write(give_up, batch.id)
        else:
            await context.write(_finish, batch.id, context.now())
    await asyncio.to_thread(clear_spool, context, kept)
    return found_out


async def reconcile_batch(context: SyncContext, channel: Channel, batch_id: int) -> Settled:
    """Find out what became of one batch that may have been sent.

    Edits of layers that take no part in this sync wait in a batch of their own for one in which
    they do.
    """
    batch = await context.database.read(journal.get_batch, batch_id)
    edits = await context.database.read(_sent, context, batch_id)
    if await context.database.read(_left_out, context, batch_id):
        await context.write(_put_apart, context, batch_id)
    context.narrator.info(f"finding out about {len(edits)} edits without an answer")
    if batch.state in (BatchState.SENDING, BatchState.SUBMITTED):
        await context.write(_reconciling, batch)
    answers = await _answers_of_job(context, channel, batch)
    if any(not answer.success for answer in answers):
        await withdraw_open(context, channel, batch_id)
    # What a partial update has cleared is mended before it is read back.
    await judge_open(context, channel)
    if context.downloads:
        await pull(context)
    settled = await settle(context, batch_id, edits, answers)
    if batch.spool_name:
        await asyncio.to_thread(remove_spool, context.folder / batch.spool_name)
    return settled


async def _answers_of_job(
    context: SyncContext, channel: Channel, batch: Batch
) -> Sequence[EditAnswer]:
    """The answers, if the service still knows the job that the batch was given to."""
    if not batch.status_url:
        return ()
    target = context.folder / f"answer-{batch.id}.json"
    counts = {**batch.counts, _WAITED: batch.counts.get(_WAITED, 0) + 1}
    if counts[_WAITED] > MOST_WAITED:
        context.narrator.warn("its job does not come to an end; the rows tell")
        return ()
    await context.write(journal.note, batch.id, context.now(), counts=counts)
    try:
        return await channel.resume(batch.status_url, target)
    except AuthenticationError:
        raise
    except (LinkError, ServiceBusyError) as error:
        # The service was reached a moment ago, but where it says its job is may be nowhere.
        counts[_ASKED] = counts.get(_ASKED, 0) + 1
        if counts[_ASKED] < MOST_ASKED:
            await context.write(journal.note, batch.id, context.now(), counts=counts)
            raise
        context.narrator.warn(f"its job cannot be asked; the rows tell: {error}")
        return ()
    except ServiceError:
        return ()  # the job failed, or it is forgotten; its rows tell
    finally:
        await asyncio.to_thread(target.unlink, missing_ok=True)


def _sent(connection: sqlite3.Connection, context: SyncContext, batch_id: int) -> list[Edit]:
    """The batch's edits of layers that take part."""
    tables = [entry.table for entry in catalog.entries(connection)]
    taking_part = {t.number for t in context.tables}
    edits = acknowledge.sent_edits(connection, batch_id, tables)
    return [e for e in edits if e.table.number in taking_part]


def _left_out(connection: sqlite3.Connection, context: SyncContext, batch_id: int) -> list[int]:
    """The numbers of the batch's tables that take no part in this sync."""
    taking_part = {t.number for t in context.tables}
    return [n for n in acknowledge.sent_tables(connection, batch_id) if n not in taking_part]


def _waits(connection: sqlite3.Connection, context: SyncContext, batch_id: int) -> bool:
    """Whether all of the batch is of layers that take no part in this sync."""
    left_out = _left_out(connection, context, batch_id)
    return bool(left_out) and left_out == acknowledge.sent_tables(connection, batch_id)


def _put_apart(connection: sqlite3.Connection, context: SyncContext, batch_id: int) -> None:
    left_out = _left_out(connection, context, batch_id)
    other = journal.copy_batch(connection, batch_id, context.now())
    acknowledge.move_sent(connection, batch_id, other, left_out)


def give_up(connection: sqlite3.Connection, batch_id: int) -> None:
    """Forget a batch of which nothing was applied: its edits are pending again."""
    acknowledge.release(connection, batch_id)
    journal.discard(connection, batch_id)


def _reconciling(connection: sqlite3.Connection, batch: Batch) -> None:
    journal.move(connection, batch.id, BatchState.RECONCILING, batch.updated_at)


def _finish(connection: sqlite3.Connection, batch_id: int, now: str) -> None:
    acknowledge.release(connection, batch_id)
    journal.move(connection, batch_id, BatchState.MERGED, now)


def _lacks_edits(connection: sqlite3.Connection, context: SyncContext, batch: Batch) -> bool:
    """Whether edits of the batch must not be sent now: their layers take no part in this sync, or
    they were settled by the answer to a file that had them as well."""
    (left,) = connection.execute(
        "SELECT count(*) FROM fieldsync_sent WHERE batch=?", (batch.id,)
    ).fetchone()
    is_settled_in_part = int(left) < batch.counts.get("edits", 0)
    return is_settled_in_part or bool(_left_out(connection, context, batch.id))


def _can_go_on(context: SyncContext, channel: Channel, batch: Batch) -> bool:
    """Whether the upload that was begun may be brought to its end.

    Not if its file is damaged, or its rows may have been changed by others since: then the edits
    are pending again, to be merged and sent anew.
    """
    if not batch.upload_item or batch.channel != channel.name or batch.spool_name is None:
        return False
    path = context.folder / batch.spool_name
    is_same = path.is_file() and file_digest(path) == batch.spool_sha256
    is_whole = context.parameters.rollback_on_failure
    return is_same and not is_whole and (not batch.counts.get("rows") or is_current(context))


_LEFT = (".", "batch-", "answer-", "download", "fetch-")


def clear_spool(
    context: SyncContext, kept: Collection[str | None] = (), *, is_at_rest: bool = False
) -> None:
    """Remove what an interrupted run left in the spool folder, but for what is gone on with.

    ``is_at_rest``: no batch is open, so what was noted of a partial update was never sent.
    """
    left = (*_LEFT, "canary-") if is_at_rest else _LEFT
    if context.folder.is_dir():
        for entry in context.folder.iterdir():
            if entry.name in kept or is_kept(entry):
                continue
            if entry.name.startswith(left):
                entry.unlink(missing_ok=True)
