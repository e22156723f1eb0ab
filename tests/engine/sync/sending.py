"""Both channels, made for a service at any URL, and edits as they are written for one."""

import io
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.geodatabase.change_log import Edit
from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import LayerTable, layer_table
from engine.layer_schema import LayerSchema, ServiceSchema
from engine.model import EditOperation, SyncModel
from engine.service.feature_service import FeatureService
from engine.service.session import Session
from engine.sync.channels import (
    ApplyEditsChannel,
    Channel,
    Sending,
    SynchronizeReplicaChannel,
)
from engine.sync.outgoing import Attributes, Refused, write_edits
from engine.sync.rows import codec_layer
from native.encoder import Form
from tests.engine.geodatabase.schemas import URL, service


def apply_edits(
    session: Session, url: str = URL, *, schema: ServiceSchema | None = None
) -> Channel:
    return ApplyEditsChannel(FeatureService(url, session), schema or service())


def synchronize(
    session: Session,
    url: str = URL,
    *,
    schema: ServiceSchema | None = None,
    model: SyncModel = SyncModel.PER_REPLICA,
    reconcile: bool = False,
    **generations: int,
) -> Channel:
    return SynchronizeReplicaChannel(
        FeatureService(url, session),
        schema or service(),
        replica_id="{R}",
        sync_model=model,
        generations={int(name[1:]): generation for name, generation in generations.items()},
        reconcile_branch_version=reconcile,
    )


def sending(spool: Path, target: Path, **more: Any) -> Sending:
    return Sending(spool=spool, target=target, submitted=ignore, **more)


async def ignore(status_url: str) -> None:
    pass


def add(table: LayerTable, row: Row) -> Edit:
    return edit(table, row, EditOperation.ADD)


def edit(table: LayerTable, row: Row, operation: EditOperation, **more: Any) -> Edit:
    return Edit(
        table=table,
        global_id=str(row[0]),
        operation=operation,
        key=1,
        first=1,
        last=1,
        row=row,
        base=None,
        **more,
    )


def wire(
    schema: LayerSchema,
    edits: Sequence[Edit],
    form: Form = Form.APPLY,
    *,
    reference: str = "",
    whole_rows: dict[tuple[int, str], Attributes] | None = None,
    refused: Refused | None = None,
    connection: sqlite3.Connection | None = None,
) -> bytes:
    """The ``edits`` list of edits of one layer; those without a form are added to ``refused``."""
    layers = {schema.id: codec_layer(schema, layer_table(schema), 3857, reference)}
    stream = io.BytesIO()
    nowhere = connection or sqlite3.connect(":memory:")
    found = write_edits(stream, nowhere, edits, form, layers, whole_rows or {})
    if connection is None:
        nowhere.close()
    if refused is None:
        assert not found
    else:
        refused += found
    return stream.getvalue()
