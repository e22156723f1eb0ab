"""The states of one sync of one geodatabase: a table of moves, and one function for each state.

It may be killed between any two instructions and run again: every state finds in the geodatabase
what is left to do, and nothing is sent twice without having been found out about.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from engine.clock import timestamp
from engine.errors import (
    AuthenticationError,
    FullDownloadRequired,
    PermissionDeniedError,
    ServiceError,
    ServiceRefusedError,
)
from engine.geodatabase.carried import prune_carried, with_old
from engine.geodatabase.change_log import drop_settled, has_moot
from engine.geodatabase.deleted_parts import has_moot_parts, prune_parts
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.notices import note_checkpoint, was_busy
from engine.geodatabase.retention import KEPT_DAYS, has_resolved, prune_resolved
from engine.sync import recovery
from engine.sync.accounts import Accounts
from engine.sync.channel_choice import choose_channel
from engine.sync.channels import ApplyEditsChannel, Channel
from engine.sync.check import (
    are_attachments_back,
    check_directions,
    check_layers,
    check_presence,
    check_space,
    check_tables,
    has_work,
    is_any_back,
    is_any_mended,
    is_current,
    settle_back,
    takes_edits,
)
from engine.sync.context import SyncContext
from engine.sync.job import Narrator
from engine.sync.machine import is_another_machine
from engine.sync.partial_updates import is_any_open
from engine.sync.photos import fetch_photos
from engine.sync.pull import pull
from engine.sync.push import Push
from engine.sync.rebase import rebase
from engine.sync.reconciling import clear_spool, reconcile_all
from engine.sync.recovery import Trouble
from engine.sync.schema_change import fill_new_fields
from engine.sync.snapshot import fetch_everything

SAME_TIME = timedelta(days=1)


class SyncStep(Enum):
    """Where a sync is."""

    CHECK = "check"
    REGISTER = "register"
    RECONCILE = "reconcile"
    PULL = "pull"
    REBASE = "rebase"
    PUSH = "push"
    SNAPSHOT = "snapshot"
    FILL = "fill"
    PHOTOS = "photos"
    DONE = "done"


MOVES: Mapping[SyncStep, frozenset[SyncStep]] = {
    SyncStep.CHECK: frozenset({SyncStep.REGISTER, SyncStep.RECONCILE, SyncStep.DONE}),
    SyncStep.REGISTER: frozenset({SyncStep.RECONCILE}),
    SyncStep.RECONCILE: frozenset(
        {
            SyncStep.PULL,
            SyncStep.REBASE,
            SyncStep.PUSH,  # what was found out was found by a pull
            SyncStep.REGISTER,  # the replica is gone
            SyncStep.RECONCILE,  # once more, without a generation to go by
        }
    ),
    SyncStep.PULL: frozenset({SyncStep.PUSH, SyncStep.REGISTER, SyncStep.RECONCILE}),
    SyncStep.REBASE: frozenset({SyncStep.PUSH}),
    SyncStep.PUSH: frozenset(
        {
            SyncStep.SNAPSHOT,
            SyncStep.FILL,
            SyncStep.PULL,  # it did not come to its end several times, so the edits went first
            SyncStep.REGISTER,
            SyncStep.RECONCILE,
        }
    ),
    SyncStep.SNAPSHOT: frozenset(
        {
            SyncStep.PUSH,  # it showed what is still to be sent
            SyncStep.FILL,
        }
    ),
    SyncStep.FILL: frozenset({SyncStep.PHOTOS}),
    SyncStep.PHOTOS: frozenset({SyncStep.DONE}),
    SyncStep.DONE: frozenset(),
}
"""State → the states that may follow it."""

_PERCENT = {
    SyncStep.CHECK: (0, 5),
    SyncStep.REGISTER: (5, 7),
    SyncStep.RECONCILE: (7, 10),
    SyncStep.PULL: (10, 40),
    SyncStep.REBASE: (10, 20),
    SyncStep.PUSH: (40, 65),
    SyncStep.SNAPSHOT: (65, 75),
    SyncStep.FILL: (75, 80),
    SyncStep.PHOTOS: (80, 99),
    SyncStep.DONE: (99, 99),
}


@dataclass(slots=True, kw_only=True)
class SyncRun:
    """One sync as it goes through its states; ``troubles`` are those it has met already."""

    context: SyncContext
    geodatabase: Geodatabase
    accounts: Accounts
    troubles: set[Trouble] = field(default_factory=set)

    def channel(self) -> Channel:
        """How edits go up; it may be another one after each state."""
        return choose_channel(self.context)


async def run_states(run: SyncRun, narrator: Narrator) -> None:
    """Go from :attr:`SyncStep.CHECK` to :attr:`SyncStep.DONE` along :data:`MOVES`."""
    step = SyncStep.CHECK
    try:
        while step is not SyncStep.DONE:
            low, high = _PERCENT[step]
            run.context.narrator = narrator.part(low, high)
            await narrator.breathe()
            following = await _state(run, step)
            assert following in MOVES[step], f"{step.name} → {following.name}"
            narrator.report(high)
            step = following
    finally:
        await run.accounts.close()
    await _prune(run.context)
    await _checkpoint(run.context)


async def _prune(context: SyncContext) -> None:
    """What is open of edits that were taken back is settled; what was decided long ago goes."""
    for table in context.tables:
        if await context.database.read(has_moot, table):
            await context.write(drop_settled, table, now=context.now())
    now = _known_time(context)
    if await context.database.read(has_resolved):
        await context.write(prune_resolved, now)
    if await context.database.read(has_moot_parts):
        await context.write(prune_parts)
    if now is not None:
        moments = timestamp(now), timestamp(now - timedelta(days=KEPT_DAYS))
        for table in await context.database.read(with_old, context.tables, *moments):
            await context.write(prune_carried, table, *moments)


def _known_time(context: SyncContext) -> datetime | None:
    """What time it is, if the service and this device say the same."""
    skew = context.service.session.clock_skew
    return context.clock.now() if skew is not None and abs(skew) < SAME_TIME else None


async def _checkpoint(context: SyncContext) -> None:
    """Move the write-ahead log into the file; ``info`` tells if another program prevents it."""
    is_busy = False
    for warning in await context.database.checkpoint():
        context.narrator.warn(warning)
        is_busy = True
    if is_busy != await context.database.read(was_busy):
        await context.write(note_checkpoint, is_busy)


async def _state(run: SyncRun, step: SyncStep) -> SyncStep:
    """Do what the state is for; the state that follows."""
    try:
        return await STATES[step](run)
    except ServiceError as error:
        if SyncStep.REGISTER not in MOVES[step] or step is SyncStep.CHECK:
            raise
        trouble = await recovery.diagnose(run.context, error, is_download=step is not SyncStep.PUSH)
        if trouble is None or trouble in run.troubles:
            raise
        run.troubles.add(trouble)
        run.accounts.again()
        run.context.needs_snapshot = True
        return SyncStep.REGISTER if trouble is Trouble.GONE else SyncStep.RECONCILE


async def _check(run: SyncRun) -> SyncStep:
    context = run.context
    check_space(context)
    check_directions(context)
    check_tables(context, run.geodatabase)
    check_presence(context)
    is_back = await is_any_back(context)
    await recovery.clear_left(context)
    is_doubted = context.uploads and is_any_open(context.folder)
    if not is_doubted and not is_back and not await has_work(context):
        await asyncio.to_thread(clear_spool, context, is_at_rest=context.uploads)
        context.narrator.info("nothing changed on either side")
        return SyncStep.DONE
    await check_layers(context, run.geodatabase)
    is_back |= await is_any_mended(context)
    with_attachments = await are_attachments_back(context)
    if is_back or with_attachments:
        what = "a layer is" if is_back else "the attachments of a layer are"
        context.narrator.warn(f"{what} back on the service, so all rows are compared")
        run.troubles.add(Trouble.GONE)
        await recovery.give_up_replica(context)
        return SyncStep.REGISTER
    is_copy = is_another_machine(context.replica.machine_id)
    return SyncStep.REGISTER if is_copy else SyncStep.RECONCILE


async def _register(run: SyncRun) -> SyncStep:
    """This geodatabase gets a replica of its own: its own is gone, or it is another device's."""
    is_gone = Trouble.GONE in run.troubles
    try:
        await recovery.register(run.context, is_gone=is_gone)
    except ServiceRefusedError as error:
        is_access = isinstance(error, AuthenticationError | PermissionDeniedError)
        needs_replica = run.channel().name != ApplyEditsChannel.name
        if is_access or needs_replica or not is_gone:
            raise
        # The edits need none, and one with rows may be had after them.
        run.context.narrator.warn(f"no replica without rows: {error.message}")
    else:
        await settle_back(run.context)
    return SyncStep.RECONCILE


async def _reconcile(run: SyncRun) -> SyncStep:
    context = run.context
    if await reconcile_all(context, run.channel(), run.accounts):
        return SyncStep.PUSH
    return SyncStep.REBASE if context.needs_snapshot else SyncStep.PULL


async def _pull(run: SyncRun) -> SyncStep:
    context = run.context
    if context.downloads and not is_current(context):
        await pull(context)
        if not context.edits_first:
            await recovery.note_download(context, refused=False)
    return SyncStep.PUSH


async def _rebase(run: SyncRun) -> SyncStep:
    """Edits go first, because all the rows may take long; conflicts are seen nevertheless."""
    await rebase(run.context)
    return SyncStep.PUSH


async def _push(run: SyncRun) -> SyncStep:
    context = run.context
    if context.uploads and takes_edits(context):
        if context.parameters.keep_geodatabase_deltas:
            from engine.sync.delta_keep import keep_upload  # a megabyte that few syncs need

            await keep_upload(context)
        await Push(context, run.channel(), run.accounts).run()
    context.has_pushed = True
    if context.edits_first:
        context.edits_first = False
        return SyncStep.PULL
    wants_all = context.needs_snapshot and context.downloads
    return SyncStep.SNAPSHOT if wants_all else SyncStep.FILL


async def _snapshot(run: SyncRun) -> SyncStep:
    context = run.context
    if not context.parameters.allow_full_download:
        raise FullDownloadRequired(
            f"{context.schema.url} can no longer say what has changed, so all rows of "
            f"{run.geodatabase.path.name} must be fetched"
        )
    await fetch_everything(context)
    await settle_back(context)
    await recovery.note_download(context, refused=False)
    await recovery.clear_left(context)
    # A row that was deleted here is only then known to have come there, by a file from here.
    return SyncStep.PUSH if await run.accounts.has_new() else SyncStep.FILL


async def _fill(run: SyncRun) -> SyncStep:
    """After the edits have gone up, because that may take long too."""
    await fill_new_fields(run.context)
    return SyncStep.PHOTOS


async def _photos(run: SyncRun) -> SyncStep:
    if run.context.downloads:
        await fetch_photos(run.context)
    return SyncStep.DONE


STATES: Mapping[SyncStep, Callable[[SyncRun], Awaitable[SyncStep]]] = {
    SyncStep.CHECK: _check,
    SyncStep.REGISTER: _register,
    SyncStep.RECONCILE: _reconcile,
    SyncStep.PULL: _pull,
    SyncStep.REBASE: _rebase,
    SyncStep.PUSH: _push,
    SyncStep.SNAPSHOT: _snapshot,
    SyncStep.FILL: _fill,
    SyncStep.PHOTOS: _photos,
}
