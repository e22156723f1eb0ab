"""The accounts of a sync: every edit of this device is counted once, whatever becomes of it."""

import sqlite3
from collections.abc import AsyncIterator, Collection, Sequence

from engine.geodatabase import catalog, change_log
from engine.geodatabase.change_log import Edit, EditState
from engine.geodatabase.layer_table import LayerTable
from engine.sync.case import key_of
from engine.sync.context import SyncContext
from engine.sync.edit_marks import EditMarks
from engine.sync.recording import Outcome, Settled
from engine.sync.results import EditCounts, EditError, FeatureEditResult


class Accounts:
    """Writes the edit counts of a sync's result.

    Also those of layers that an error keeps out of the sync; but of the layers ``unknown``, by
    their ids, nobody knows the edits.
    """

    def __init__(self, context: SyncContext, unknown: Collection[int] = ()) -> None:
        self._context = context
        self._numbers = {t.number for t in context.tables if t.layer_id not in unknown}
        self._met = EditMarks()

    def again(self) -> None:
        """The push begins anew: the edits that were not decided are tried once more."""
        self._met.keep_decided()
        for result in self._context.result.layer_results:
            for counts in (result.uploaded, result.attachments_uploaded):
                counts.pending = 0
                counts.found = counts.accounted

    def has_met(self, edit: Edit) -> bool:
        """Whether an edit of that row was counted in this sync."""
        return edit in self._met

    async def has_new(self) -> bool:
        """Whether there is an edit to be sent that was not tried in this sync."""
        for table in self._context.tables:
            async for edits in self._pages(table, everything=False):
                if not all(self.has_met(edit) for edit in edits):
                    return True
        return False

    def meet(self, edits: Sequence[Edit]) -> None:
        """These are tried now."""
        self._met.add(edits)
        for edit in edits:
            self._counts(edit).found += 1

    def reopen(self, edits: Sequence[Edit]) -> None:
        """Those of them that are decided: their rows have another edit, which counts by itself."""
        self._met.discard_decided(edits)

    def forget(self, edits: Sequence[Edit], kept: Sequence[Edit]) -> None:
        """Of ``edits`` only ``kept`` are edits still: the others were taken back meanwhile."""
        keys = {key_of(edit) for edit in kept}
        self._take_back([edit for edit in edits if key_of(edit) not in keys])

    def tally(
        self, edits: Sequence[Edit], settled: Settled, *, may_quarantine: bool = True
    ) -> list[Edit]:
        """Count what is decided; returns the edits that are still pending."""
        left = []
        for edit in edits:
            counts = self._counts(edit)
            match settled.outcomes[key_of(edit)]:
                case Outcome.APPLIED:
                    counts.applied += 1
                    self._met.decide(edit)
                case Outcome.CONFLICT:
                    counts.conflict += 1
                    self._met.decide(edit)
                case Outcome.QUARANTINED:
                    pass  # counted with its refusal
                case Outcome.PENDING:
                    left.append(edit)
                case Outcome.TAKEN_BACK:
                    self._take_back([edit])
        if may_quarantine:
            for edit, error in settled.refusals:
                self.refused(edit, error)
        self.held(settled.held)
        for number, count in settled.went_along.items():
            result = self._context.result.layer(number >> 1)
            counts = result.attachments_uploaded if number & 1 else result.uploaded
            counts.found += count
            counts.applied += count
        return left

    def found_out(self, edits: Sequence[Edit], settled: Settled) -> None:
        """Count what became of these, which an earlier sync has sent; what is still to be sent of
        their rows is not tried yet."""
        self.meet(edits)
        self._take_back(self.tally(edits, settled))
        known = settled.outcomes
        self._met.discard([e for e in edits if known[key_of(e)] is not Outcome.QUARANTINED])

    def pending(self, edits: Sequence[Edit]) -> None:
        """These are left for the next sync."""
        for edit in edits:
            self._counts(edit).pending += 1

    def held(self, count: int) -> None:
        """Say that rows wait for others; they are counted by :meth:`close`."""
        if count:
            self._context.narrator.warn(f"{count} rows wait for a refused row they belong to")

    def refused(self, edit: Edit, error: EditError) -> None:
        """This one was set aside."""
        self._met.decide(edit)
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

    async def close(self) -> None:
        """Count the edits that were not tried, and those of a sync that was broken off."""
        try:
            for table in await self._context.database.read(_as_they_are, self._numbers):
                async for edits in self._pages(table, everything=True):
                    self._close([edit for edit in edits if not self.has_met(edit)])
        finally:
            self._met.close()
        for result in self._context.result.layer_results:
            for counts in (result.uploaded, result.attachments_uploaded):
                counts.pending += counts.found - counts.accounted

    async def _pages(self, table: LayerTable, *, everything: bool) -> AsyncIterator[list[Edit]]:
        after = 0
        while edits := await self._context.database.read(_edits, table, after, everything):
            yield edits
            after = edits[-1].first

    def _take_back(self, edits: Sequence[Edit]) -> None:
        """They are none any more; if their rows have others, those count by themselves."""
        self._met.discard(edits)
        for edit in edits:
            self._counts(edit).found -= 1

    def _close(self, edits: Sequence[Edit]) -> None:
        self.meet(edits)
        for edit in edits:
            counts = self._counts(edit)
            match edit.state:
                case EditState.QUARANTINED:
                    counts.quarantined += 1
                case EditState.HELD:
                    counts.held += 1
                case _:
                    counts.pending += 1

    def _counts(self, edit: Edit) -> EditCounts:
        result = self._context.layer_result(edit.table)
        return result.attachments_uploaded if edit.table.is_attachment else result.uploaded


def _as_they_are(connection: sqlite3.Connection, numbers: Collection[int]) -> list[LayerTable]:
    """These tables; a sync that is broken off may have altered them in the file already."""
    return [e.table for e in catalog.entries(connection) if e.table.number in numbers]


def _edits(
    connection: sqlite3.Connection, table: LayerTable, after: int, everything: bool
) -> list[Edit]:
    return change_log.pending_edits(connection, table, after=after, everything=everything)
