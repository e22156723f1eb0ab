"""Whether the service keeps the attributes that an update leaves out, as is documented.

("Apply edits (feature service)": attributes that are not given keep their values.) A service that
clears them would lose data with every edit, so the first partial update on each channel goes up
alone, and its row is read before and after. If attributes were lost they are sent again, from the
values read before, and from then on every update carries the whole row as the service has it now,
with our columns on top. So does an update that could show nothing, as long as nothing is known.

Somebody else may have emptied the row at that moment, and it looks the same. So before that is
believed, a second update sets a column that is empty already: a service that clears attributes
clears now what the first one has set. Where nothing is left to be cleared, another row shows it.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine import atomic, faults
from engine.errors import (
    AuthenticationError,
    PermissionDeniedError,
    ReplicaNotFoundError,
    ServiceRefusedError,
)
from engine.geodatabase import journal
from engine.geodatabase.change_log import Edit
from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.remembered import recall, remember
from engine.model import EditOperation, normalise_guid
from engine.service.feature_service import NO_SUCH_LAYER
from engine.sync.batches import Batch
from engine.sync.canary_rows import (
    Attributes,
    Note,
    can_prove,
    can_show,
    editable,
    filled_in_part,
    is_clearable,
    is_same_row,
    number,
    omits_values,
    proof,
    shape,
    shows,
)
from engine.sync.case import Key
from engine.sync.channels import Channel, Sending
from engine.sync.context import SyncContext
from engine.sync.delivery import Delivery, not_journaled
from engine.sync.outgoing import sent_attributes, write_update
from engine.sync.parameters import PushChannel
from engine.sync.read_back import find, refresh

KEEPS, CLEARS = "keeps", "clears"

_CHANNELS = (PushChannel.SYNCHRONIZE_REPLICA.value, PushChannel.APPLY_EDITS.value)
_WITNESS = "witness"
_OTHER_ROW = "other_row"
_NO_BATCH = -1
"""In place of a batch: the update was made to find out, and carries no edit."""


class _NotMended(ServiceRefusedError):
    """The service does not take the update of a row that was watched."""


class PartialUpdates:
    """What is known of partial updates on one channel of one service. ``of``: the name of another
    channel, which was used before; what is sent to find out about that goes through this one."""

    def __init__(self, context: SyncContext, channel: Channel, of: str = "") -> None:
        self._context = context
        self._channel = channel
        self._of = of or channel.name
        self._name = f"omitted-attributes-{self._of}"
        self._known: str | None = None
        self._before: Row | None = None

    async def known(self) -> str:
        """:data:`KEEPS`, :data:`CLEARS`, or empty as long as nothing was proven."""
        if self._known is None:
            self._known = await self._context.database.read(recall, self._name)
        return self._known

    def forget(self) -> None:
        """Somebody else may have found out meanwhile."""
        self._known = None

    async def canary(self, edits: Sequence[Edit]) -> Edit | None:
        """The edit that must go up alone, if one of them can show what partial updates do.

        None while another one is not judged (its layer is left out, say): whole rows go up then.
        """
        if await self.known() or self._path.exists():
            return None
        for edit in edits:
            if edit.operation is EditOperation.UPDATE and not edit.table.is_attachment:
                layer = self._context.layers[edit.table.layer_id]
                if omits_values(edit, layer) and can_show(edit):
                    return edit
        return None

    async def watch(self, edit: Edit) -> bool:
        """Read how the canary's row is before it is sent; False if that cannot be understood, so
        that nobody could see what becomes of it."""
        found = await find(self._context, edit.table, [edit.global_id])
        self._before = found.get(edit.global_id)
        return self._before is not None or not found

    async def prove(self, edits: Sequence[Edit]) -> None:
        """Before a call in which no edit may go alone: find out by an update that changes nothing,
        of a column that is empty already, in one of the rows. Does nothing if that is known, or no
        row can show it: as the service last told of them, so that a large call asks for few."""
        if await self.known() or self._path.exists():
            return
        for edit in edits:
            if edit.operation is not EditOperation.UPDATE or edit.table.is_attachment:
                continue
            layer = self._context.layers[edit.table.layer_id]
            if not can_prove(edit, layer):
                continue
            row = await self._read(edit.table, edit.global_id)
            before: Attributes = {} if row is None else editable(edit.table, row)
            empty, present = proof(layer, before)
            if empty is None or not present:
                continue
            note: Note = {
                "batch": _NO_BATCH,
                "run": self._context.run,
                "table": edit.table.number,
                "global_id": edit.global_id,
                "before": before,
                "shape_before": None,
                "sent": {},
                "shape_sent": None,
                _WITNESS: present,
            }
            self._context.folder.mkdir(exist_ok=True)
            await asyncio.to_thread(atomic.write_json, self._path, note)
            faults.point("canary.prepared")
            try:
                await self._update(edit.table, {empty: None}, edit.global_id)
            except _NotMended:  # the edit itself may be what makes the row acceptable
                await asyncio.to_thread(self._path.unlink)
                continue
            await self.judge(taken=_NO_BATCH)
            if await self.known():
                return

    async def note(self, batch: Batch) -> None:
        """Note the canary as it is in the batch, just before it is sent; survives a crash.

        What is sent is the row as it was when the batch was made, and it may have been edited since
        somebody looked at it. Does nothing if the batch is no canary's.
        """
        before, self._before = self._before, None
        if (
            before is None
            or not batch.edits
            or batch.edits[0].operation is not EditOperation.UPDATE
        ):
            return
        (edit,) = batch.edits
        note = {
            "batch": batch.id,
            "run": self._context.run,
            "table": edit.table.number,
            "global_id": edit.global_id,
            "number": number(edit.table, before),
            "before": editable(edit.table, before),
            "shape_before": shape(edit.table, before),
            "sent": sent_attributes(edit),
            "shape_sent": shape(edit.table, edit.row) if edit.geometry_changed else None,
        }
        self._context.folder.mkdir(exist_ok=True)
        await asyncio.to_thread(atomic.write_json, self._path, note)
        faults.point("canary.noted")

    async def judge(self, *, taken: int | None = None) -> None:
        """Read the canary's row again; mend it if it lost what was not sent.

        Does nothing if there is no canary on its way, or if nothing may be sent to its layer in
        this sync. What the service refuses is tried again by the next sync, and no edit waits for
        it. ``taken``: the batch of which the service said that it took it; otherwise only values
        can show that the canary arrived.
        """
        if not self._path.exists():
            return
        note: Note = json.loads(await asyncio.to_thread(self._path.read_bytes))
        table = self._uploading(note)
        if table is None or (_OTHER_ROW in note and self._uploading(note[_OTHER_ROW]) is None):
            return
        row = await self._read(table, note["global_id"])
        try:
            if row is not None and is_same_row(note, table, row):
                await self._judge_row(table, note, row, was_taken=taken == note["batch"])
            await self._mend_other_row(note)
        except _NotMended as error:
            self._context.narrator.warn(str(error))
            return
        await asyncio.to_thread(self._mended.unlink, missing_ok=True)  # of a run that died
        await asyncio.to_thread(self._path.unlink, missing_ok=True)
        faults.point("canary.judged")

    async def withdraw(self, batch_id: int) -> None:
        """That batch was not applied: if it is the canary's, its row shows nothing."""
        if not self._path.exists():
            return
        note: Note = json.loads(await asyncio.to_thread(self._path.read_bytes))
        if note["batch"] == batch_id:
            await asyncio.to_thread(self._path.unlink)

    def _uploading(self, of_row: Note) -> LayerTable | None:
        """The row's table, if anything may be sent to its layer."""
        for table in self._context.tables:
            if table.number == of_row["table"]:
                return table if self._context.direction(table.layer_id).uploads else None
        return None

    async def _read(self, table: LayerTable, gid: str) -> Row | None:
        return (await find(self._context, table, [gid])).get(gid)

    async def _judge_row(self, table: LayerTable, note: Note, row: Row, *, was_taken: bool) -> None:
        context, gid = self._context, note["global_id"]
        layer, after = context.layers[table.layer_id], editable(table, row)
        sent, before = note["sent"], note["before"]
        # Since then a field may have been removed, or closed to edits.
        omitted = {n: v for n, v in before.items() if v is not None and n in after.keys() - sent}
        # Those went with their parent, whether this service clears attributes or not.
        for name in await self._orphaned(table, omitted, after):
            del omitted[name]
        clearable = [n for n in omitted if is_clearable(layer, n)]
        # A service that clears one clears all, but somebody may have filled one again since.
        empty = next((n for n in clearable if after.get(n) is None), None)
        if empty is None:  # the parent may be gone since, but not what an earlier run tried
            empty = next((n for n in note.get(_WITNESS, {}) if after.get(n, ...) is None), None)
        arrived = was_taken or shows(note, table, row)
        known = await self.known()
        if empty is not None and known != KEEPS:
            # A note that is still there after the conclusion tells of a mending that failed.
            if known != CLEARS:
                clears = await self._clears(table, note, note, after, empty)
                if clears is None:
                    clears = await self._clears_other_row(note)
                if clears is False:
                    await self._conclude(KEEPS)
                if not (arrived if clears is None else clears):
                    return
            # First of all: after a mending whose answer is lost nothing looks cleared.
            await self._conclude(CLEARS)
            # What is there is newer than what was read before, wherever it has a value.
            there = {n: v for n, v in after.items() if v is not None}
            mended = {**after, **omitted, **sent, **note.get(_WITNESS, {}), **there}
            await self._update(table, {name: mended[name] for name in after}, gid)
            context.narrator.warn(
                f"{layer.name}: the service clears attributes that an update leaves out; "
                f"{gid} was mended, and whole rows are sent from now on"
            )
            await refresh(context, table, gid)
        elif known == CLEARS:
            # The answer of a mending may have been lost; of what goes up through our own replica
            # no download tells.
            await refresh(context, table, gid)
        elif clearable and arrived and not known and note.get("run") == context.run:
            # After a run that died the same edit may have come from a file, or through the other
            # channel, and whole: then the row tells nothing of this update.
            await self._conclude(KEEPS)

    async def _clears(
        self, table: LayerTable, note: Note, of_row: Note, after: Attributes, empty: str
    ) -> bool | None:
        """Whether an update that sets a column that is empty anyhow clears one that has a value;
        None if there is none that has, or the row is gone.

        What has a value is noted first, so that a run that dies then does not lose it; ``of_row``
        is the part of ``note`` that is about this row.
        """
        layer = self._context.layers[table.layer_id]
        _, present = proof(layer, after)
        noted = of_row.get(_WITNESS, {})
        if not present:
            return True if noted else None  # an earlier run sent it
        if noted != present:  # others may have written since an earlier run
            of_row[_WITNESS] = {**noted, **present}
            await asyncio.to_thread(atomic.write_json, self._path, note)
            faults.point("canary.doubted")
        await self._update(table, {empty: None}, of_row["global_id"])
        row = await self._read(table, of_row["global_id"])
        if row is None:  # deleted just now
            return None
        return all(editable(table, row).get(n) is None for n in present)

    async def _clears_other_row(self, note: Note) -> bool | None:
        """The same by any row that has an empty column and a value; None if there is no such row.
        It is mended when the canary is judged."""
        context = self._context
        tables = [t for t in context.tables if context.direction(t.layer_id).uploads]
        if (noted := note.get(_OTHER_ROW)) is not None:
            own = next((t for t in tables if t.number == noted["table"]), None)
            if own is None:
                return None
            there = await find(context, own, [noted["global_id"]])
            if any(row is None or is_same_row(noted, own, row) for row in there.values()):
                tables = [own]
            else:  # somebody has deleted it
                noted = None
                del note[_OTHER_ROW]
        for table in tables:
            layer = context.layers[table.layer_id]
            if noted is not None:
                gids = [noted["global_id"]]
            elif table.is_attachment:
                continue
            else:
                names = [c.name for c in table.columns if c.is_editable]
                names = [name for name in names if is_clearable(layer, name)]
                gids = await context.database.read(filled_in_part, table, names)
            for gid in gids:
                row = await self._read(table, gid)
                if row is None:
                    continue
                after = editable(table, row)
                empty, present = proof(layer, after)
                if empty is None or (not present and noted is None):
                    continue
                of_row = note.setdefault(
                    _OTHER_ROW,
                    {"table": table.number, "global_id": gid, "number": number(table, row)},
                )
                return await self._clears(table, note, of_row, after, empty)
        return None

    async def _mend_other_row(self, note: Note) -> None:
        """Give the row that was tried in place of the canary back what it lost by that."""
        of_row = note.get(_OTHER_ROW)
        if of_row is None:
            return
        if not await self.known() and (clears := await self._clears_other_row(note)) is not None:
            await self._conclude(CLEARS if clears else KEEPS)
        table = self._uploading(of_row)
        row = None if table is None else await self._read(table, of_row["global_id"])
        if table is None or row is None or await self.known() != CLEARS:
            return
        if not is_same_row(of_row, table, row):
            return
        after = editable(table, row)
        witness = of_row[_WITNESS]
        lost = {n: witness[n] for n, v in after.items() if v is None and n in witness}
        if lost:
            await self._update(table, {**after, **lost}, of_row["global_id"])
        await refresh(self._context, table, of_row["global_id"])

    async def _orphaned(
        self, table: LayerTable, omitted: Attributes, after: Attributes
    ) -> list[str]:
        """Columns that hold the GlobalID of a parent and were emptied, perhaps by its delete: the
        service does not have the parent any more."""
        context = self._context
        # Also tables that take no part in this sync: a layer that could not be read, say.
        origins = {relation.origin.number: relation.origin for relation in context.relations}
        orphaned = []
        for origin, name in context.parents().get(table.number, ()):
            parent = normalise_guid(omitted.get(name))
            if parent is None or after.get(name) is not None:
                continue
            if not await self._is_there(origins[origin], parent):
                orphaned.append(name)
        return list(dict.fromkeys(orphaned))

    async def _is_there(self, table: LayerTable, global_id: str) -> bool:
        """Whether the service has the row; not if it has lost the whole layer."""
        takes_part = any(t.number == table.number for t in self._context.tables)
        try:
            return bool(await find(self._context, table, [global_id]))
        except ServiceRefusedError as error:
            if takes_part or error.service_code not in NO_SUCH_LAYER:
                raise
            return False

    async def _conclude(self, what: str) -> None:
        await self._context.write(remember, self._name, what)
        self._known = what

    async def whole_rows(self, edits: Sequence[Edit]) -> Mapping[Key, Attributes]:
        """What updates must carry beside their own columns: nothing if omitted values are kept."""
        if await self.known() == KEEPS:
            return {}
        rows: dict[Key, Attributes] = {}
        updates = [
            e for e in edits if e.operation is EditOperation.UPDATE and not e.table.is_attachment
        ]
        for table in {e.table.number: e.table for e in updates}.values():
            bases = {e.global_id: e.base for e in updates if e.table.number == table.number}
            for gid, found in (await find(self._context, table, bases)).items():
                # Of a row that cannot be understood: as it was last known, rather than cleared.
                row = bases[gid] if found is None else found
                if row is not None:
                    rows[(table.number, gid)] = editable(table, row)
        return rows

    @property
    def _path(self) -> Path:
        return _note_path(self._context.folder, self._of)

    @property
    def _mended(self) -> Path:
        return self._context.folder / "canary-mended.json"

    async def _update(self, table: LayerTable, attributes: Attributes, gid: str) -> None:
        context = self._context
        layer = context.layers[table.layer_id]
        spool = self._mended
        target = context.folder / "answer-canary.json"

        def write() -> None:
            with atomic.new_file(spool) as stream:
                write_update(
                    stream,
                    self._channel.form,
                    table,
                    context.wire_layers()[table.layer_id],
                    gid,
                    attributes,
                )

        await asyncio.to_thread(write)
        await context.write(journal.skip_id)
        try:
            answers = await self._channel.send(
                # The note of the canary is enough: after a crash its row is judged again.
                Sending(spool=spool, target=target, submitted=not_journaled)
            )
        except (AuthenticationError, PermissionDeniedError, ReplicaNotFoundError):
            raise
        except ServiceRefusedError as error:
            # One bad edit may refuse the call; if none is taken, it is not the row's fault.
            if not await Delivery(context, self._channel).takes_calls():
                raise
            raise _not_mended(layer.name, gid, error.message, error.service_code) from error
        finally:
            await asyncio.to_thread(target.unlink, missing_ok=True)
            await asyncio.to_thread(spool.unlink, missing_ok=True)
        for refused in (a for a in answers if not a.success):
            raise _not_mended(layer.name, gid, refused.description, refused.code)


def _not_mended(layer: str, gid: str, reason: str, code: int | None) -> _NotMended:
    return _NotMended(
        f"{layer} {gid} lost attributes and could not be mended: {reason}",
        service_code=code,
        remedy="The values are kept and sent again by the next sync",
    )


def is_any_open(folder: Path) -> bool:
    """Whether a canary is still to be judged, of whatever channel."""
    return any(_note_path(folder, of).exists() for of in _CHANNELS)


async def judge_open(context: SyncContext, channel: Channel) -> None:
    """Judge what is on its way, also what went through the channel that is not used any more."""
    for of in _CHANNELS:
        await PartialUpdates(context, channel, of).judge()


async def withdraw_open(context: SyncContext, channel: Channel, batch_id: int) -> None:
    """An edit of that batch was refused; see :meth:`PartialUpdates.withdraw`."""
    for of in _CHANNELS:
        await PartialUpdates(context, channel, of).withdraw(batch_id)


def _note_path(folder: Path, channel_name: str) -> Path:
    return folder / f"canary-{channel_name}.json"
