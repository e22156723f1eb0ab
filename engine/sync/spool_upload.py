"""A spool file that is too large for one request: it goes up in parts, and goes on where it was.

Each part that arrived is noted in the journal before the next one is sent, so a run that is killed
loses at most the part that was on its way. After a failure the service is asked which parts it has.
"""

from pathlib import Path

from engine import faults
from engine.errors import (
    AuthenticationError,
    ProtocolError,
    ServiceRefusedError,
    TransientError,
)
from engine.geodatabase import journal
from engine.service.uploads import Part, Uploads
from engine.sync.batch_sizer import BatchSizer
from engine.sync.context import SyncContext

ATTEMPTS = 6  # in a row, without one part that arrives
TOO_LARGE = 413  # HTTP


class SpoolUpload:
    """The upload of one batch's spool file."""

    def __init__(self, context: SyncContext, sizer: BatchSizer, batch_id: int, spool: Path) -> None:
        self._context = context
        self._sizer = sizer
        self._batch_id = batch_id
        self._spool = spool
        self._uploads = Uploads(context.service)
        self._size = spool.stat().st_size
        self._item = ""
        self._sizes: list[int] = []
        self._underway: Part | None = None
        self._failures = 0

    async def run(self) -> str:
        """Bring the file up, and return the id of its item.

        :exc:`ServiceRefusedError` or :exc:`ProtocolError`: the service takes no such upload.
        :exc:`TransientError`: the link does not carry it now; another run goes on from here.
        """
        batch = await self._context.database.read(journal.get_batch, self._batch_id)
        self._item, self._sizes = batch.upload_item or "", list(batch.upload_parts)
        is_committed = bool(self._item) and await self._take_stock()
        while not is_committed:
            try:
                await self._go_on()
                is_committed = True
            except AuthenticationError:
                raise
            except (TransientError, ProtocolError, ServiceRefusedError) as error:
                self._failures += 1
                if self._failures >= ATTEMPTS or not self._can_retry(error):
                    raise
                await self._context.service.session.pause(self._failures, error)
                is_committed = bool(self._item) and await self._take_stock()
        faults.point("upload.committed")
        return self._item

    def _can_retry(self, error: Exception) -> bool:
        if isinstance(error, TransientError):
            self._sizer.lost()
            return True
        if isinstance(error, ServiceRefusedError) and error.service_code == TOO_LARGE:
            return self._underway is not None and self._sizer.too_large(self._underway.size)
        return bool(self._item)  # perhaps the service has forgotten the item

    async def _go_on(self) -> None:
        """Register, send what is missing, commit."""
        if not self._item:
            self._item = await self._uploads.register(self._spool.name)
            self._sizes = []
            await self._note()
            faults.point("upload.registered")
        while (offset := sum(self._sizes)) < self._size:
            await self._context.narrator.breathe()
            size = min(self._sizer.limit_bytes, self._size - offset)
            part = Part(number=len(self._sizes) + 1, offset=offset, size=size)
            start = self._context.clock.monotonic()
            self._underway = part
            await self._uploads.send(self._item, self._spool, part)
            self._sizer.arrived(size, self._context.clock.monotonic() - start)
            await self._has_arrived(part)
        await self._uploads.commit(self._item, len(self._sizes))

    async def _has_arrived(self, part: Part) -> None:
        self._underway, self._failures = None, 0
        self._sizes.append(part.size)
        await self._note()
        faults.point("part.sent")

    async def _take_stock(self) -> bool:
        """Ask what the service has of the item; True if it is whole."""
        underway, self._underway = self._underway, None
        is_committed = await self._uploads.is_committed(self._item)
        if is_committed:
            return True
        there = None if is_committed is None else await self._uploads.parts(self._item)
        if there is None:
            self._item, self._sizes = "", []
            await self._note()
            return False
        if underway is not None and underway.number in there:
            await self._has_arrived(underway)
        known = next((n for n in range(len(self._sizes)) if n + 1 not in there), len(self._sizes))
        if known < len(self._sizes):
            del self._sizes[known:]
            await self._note()
        return False

    async def _note(self) -> None:
        context = self._context
        await context.write(
            journal.note,
            self._batch_id,
            context.now(),
            upload_item=self._item or None,
            upload_parts=list(self._sizes),
        )
