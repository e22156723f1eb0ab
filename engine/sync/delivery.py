"""One batch on its way: in a single request where it is small, as an upload where it is not."""

import asyncio
from functools import partial

from engine.errors import (
    AuthenticationError,
    ProtocolError,
    ServiceRefusedError,
    TransientError,
)
from engine.geodatabase import journal
from engine.geodatabase.journal import BatchState
from engine.sync.batch_sizer import BatchSizer
from engine.sync.batches import Batch, remove_spool, write_reference
from engine.sync.channels import Channel, EditAnswer, Sending
from engine.sync.context import SyncContext
from engine.sync.spool_upload import SpoolUpload


class Delivery:
    """Brings batches to the service through one channel.

    ``sizer`` tells how large the next batch may be; ``takes_uploads`` whether a larger one may be
    uploaded first.
    """

    def __init__(self, context: SyncContext, channel: Channel) -> None:
        self._context = context
        self._channel = channel
        self.sizer = BatchSizer()
        self.takes_uploads = channel.takes_uploads

    async def upload(self, batch: Batch) -> bool:
        """Upload what is too large for one request; False if the service takes no such upload and
        the batch cannot be sent without.

        :exc:`TransientError`: the batch waits where it is, for another run to go on.
        """
        assert batch.spool is not None
        size = batch.spool.stat().st_size
        is_begun = batch.is_resumed or batch.is_apart
        if not self.takes_uploads or (size <= self.sizer.upload_above and not is_begun):
            return not batch.is_apart
        try:
            batch.upload = await SpoolUpload(self._context, self.sizer, batch.id, batch.spool).run()
        except (AuthenticationError, TransientError):
            raise
        except (ServiceRefusedError, ProtocolError) as error:
            self._context.narrator.warn(f"uploads are not taken: {error}")
            self.takes_uploads = False
            return not batch.is_apart
        return True

    async def send(self, batch: Batch) -> list[EditAnswer]:
        """Send the batch once and give the service's answers."""
        context = self._context
        assert batch.spool is not None
        spool, upload = batch.spool, batch.upload
        if batch.is_apart:
            spool, upload = spool.with_suffix(".json"), ""
            layers = context.wire_layers()
            await asyncio.to_thread(write_reference, spool, batch, self._channel.form, layers)
        if batch.is_resumed:  # downloads may have been begun since it was prepared
            await context.write(journal.skip_id)
        await self._move(batch, BatchState.SENDING)
        target = context.folder / f"answer-{batch.id}.json"
        start = context.clock.monotonic()
        try:
            answers = await self._channel.send(
                Sending(
                    spool=spool,
                    target=target,
                    submitted=partial(self._submitted, batch),
                    upload=upload,
                    rollback=context.parameters.rollback_on_failure,
                )
            )
        finally:
            target.unlink(missing_ok=True)
        if not upload:
            self.sizer.arrived(spool.stat().st_size, context.clock.monotonic() - start)
        await self._move(batch, BatchState.FETCHED)
        return answers

    async def takes_calls(self) -> bool:
        """Whether the service takes a call without edits."""
        spool = self._context.folder / "batch-empty.json"
        target = self._context.folder / "answer-empty.json"
        await asyncio.to_thread(spool.write_bytes, b"[]")
        try:
            await self._channel.send(Sending(spool=spool, target=target, submitted=not_journaled))
        except ServiceRefusedError:
            return False
        finally:
            await asyncio.to_thread(spool.unlink, missing_ok=True)
            await asyncio.to_thread(target.unlink, missing_ok=True)
        return True

    async def remove_spool(self, batch: Batch) -> None:
        """Forget the files of a batch that is settled."""
        if batch.spool is not None:
            await asyncio.to_thread(remove_spool, batch.spool)

    async def _submitted(self, batch: Batch, status_url: str) -> None:
        context = self._context
        await context.write(
            journal.move, batch.id, BatchState.SUBMITTED, context.now(), status_url=status_url
        )

    async def _move(self, batch: Batch, state: BatchState) -> None:
        await self._context.write(journal.move, batch.id, state, self._context.now())


async def not_journaled(status_url: str) -> None:
    """For a call of which nothing needs to be found out later."""
